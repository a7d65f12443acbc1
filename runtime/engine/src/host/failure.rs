//! What the caller reads when the platform, not the function's code, ends an invocation. The texts are those of
//! Lambda on an OS-only runtime (AWS page "Troubleshoot invocation issues in Lambda"). There a process that is
//! killed for its memory is reported as `Runtime.ExitError` with "signal: killed", and only the REPORT line
//! shows why; `Runtime.OutOfMemory` belongs to the managed runtimes.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use bytes::Bytes;
use serde_json::json;

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Exit(pub(super) Option<ExitStatus>);

impl std::fmt::Display for Exit {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Some(status) = self.0 else {
            return formatter.write_str("Runtime exited without providing a reason");
        };
        match (status.code(), status.signal()) {
            (Some(0), _) => formatter.write_str("Runtime exited without providing a reason"),
            (Some(code), _) => write!(formatter, "Runtime exited with error: exit status {code}"),
            (None, Some(signal)) => {
                let core = if status.core_dumped() { " (core dumped)" } else { "" };
                match signal_name(signal) {
                    Some(name) => write!(formatter, "Runtime exited with error: signal: {name}{core}"),
                    None => write!(formatter, "Runtime exited with error: signal: signal {signal}{core}"),
                }
            }
            (None, None) => formatter.write_str("Runtime exited without providing a reason"),
        }
    }
}

/// Lambda is written in Go and names signals as Go does.
const fn signal_name(signal: i32) -> Option<&'static str> {
    Some(match signal {
        1 => "hangup",
        2 => "interrupt",
        3 => "quit",
        4 => "illegal instruction",
        5 => "trace/breakpoint trap",
        6 => "aborted",
        7 => "bus error",
        8 => "floating point exception",
        9 => "killed",
        10 => "user defined signal 1",
        11 => "segmentation fault",
        12 => "user defined signal 2",
        13 => "broken pipe",
        14 => "alarm clock",
        15 => "terminated",
        _ => return None,
    })
}

/// A failure that the platform reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    /// The `errorType`.
    pub(super) kind: &'static str,
    /// The `errorMessage`.
    pub(super) message: String,
}

impl Failure {
    pub(super) fn timed_out(request_id: &str, after: Duration) -> Self {
        let seconds = after.as_secs_f64();
        Self {
            kind: "Sandbox.Timedout",
            message: format!("RequestId: {request_id} Error: Task timed out after {seconds:.2} seconds"),
        }
    }

    pub(super) fn exited(request_id: &str, exit: Exit) -> Self {
        Self { kind: "Runtime.ExitError", message: format!("RequestId: {request_id} Error: {exit}") }
    }

    pub(super) fn killed_for_memory(request_id: &str) -> Self {
        Self {
            kind: "Runtime.ExitError",
            message: format!("RequestId: {request_id} Error: Runtime exited with error: signal: killed"),
        }
    }

    pub(super) fn invalid_entrypoint(request_id: &str, reason: &str) -> Self {
        Self {
            kind: "Runtime.InvalidEntrypoint",
            message: format!("RequestId: {request_id} Error: {reason}"),
        }
    }

    pub(super) fn response_too_large(limit: usize) -> Self {
        Self {
            kind: "Function.ResponseSizeTooLarge",
            message: format!("Response payload size exceeded maximum allowed payload size ({limit} bytes)."),
        }
    }

    /// The reply's payload.
    pub(super) fn payload(&self) -> Bytes {
        Bytes::from(json!({"errorType": self.kind, "errorMessage": self.message}).to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;
    use std::time::Duration;

    use super::{Exit, Failure};

    #[test]
    fn the_texts_are_those_of_lambda() {
        let text = |raw| Exit(Some(ExitStatus::from_raw(raw))).to_string();
        assert_eq!(text(1 << 8), "Runtime exited with error: exit status 1");
        assert_eq!(text(0), "Runtime exited without providing a reason");
        assert_eq!(text(9), "Runtime exited with error: signal: killed");
        assert_eq!(text(11 | 0x80), "Runtime exited with error: signal: segmentation fault (core dumped)");
        assert_eq!(
            Failure::timed_out("r", Duration::from_secs(3)).payload(),
            r#"{"errorType":"Sandbox.Timedout","errorMessage":"RequestId: r Error: Task timed out after 3.00 seconds"}"#
        );
    }
}
