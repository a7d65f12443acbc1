//! The lines that Lambda itself writes into a function's log (AWS page "Sending Lambda function logs to
//! CloudWatch Logs").

use super::failure::Failure;
use super::record::{InvocationRecord, Outcome};

/// The line before an invocation.
pub(super) fn start(request_id: &str) -> String {
    format!("START RequestId: {request_id} Version: $LATEST\n")
}

/// The line after a first Init that failed; a successful one stands in the report of its invocation.
pub(super) fn init(init_ms: f64, outcome: Outcome, failure: Option<&Failure>) -> String {
    let mut text = format!("INIT_REPORT Init Duration: {init_ms:.2} ms\tPhase: init\t");
    match (outcome, failure) {
        (Outcome::TimedOut, _) => text += "Status: timeout\t",
        (_, Some(failure)) => text += &format!("Status: error\tError Type: {}\t", failure.kind),
        _ => text += "Status: error\t",
    }
    text.push('\n');
    text
}

/// The lines after an invocation. `now` is only written where the platform ended it for its time.
pub(super) fn end(
    record: &InvocationRecord,
    failure: Option<&Failure>,
    now: impl FnOnce() -> String,
) -> String {
    let InvocationRecord { request_id, duration_ms, billed_ms, memory_mb, max_memory_mb, .. } = record;
    // Lambda never reports more than the size: at the size means that the limit was hit.
    let used = (*max_memory_mb).min(u64::from(*memory_mb));
    let mut text = String::with_capacity(320);
    match (record.outcome, failure) {
        (Outcome::TimedOut, Some(failure)) => {
            let task = failure.message.rsplit("Error: ").next().unwrap_or_default();
            text += &format!("{} {request_id} {task}\n", now());
        }
        (Outcome::Exited | Outcome::OutOfMemory | Outcome::InitFailed, Some(failure)) => {
            text += &format!("{}\n{}\n", failure.message, failure.kind);
        }
        _ => {}
    }
    text += &format!("END RequestId: {request_id}\n");
    text += &format!(
        "REPORT RequestId: {request_id}\tDuration: {duration_ms:.2} ms\tBilled Duration: {billed_ms} ms\t\
         Memory Size: {memory_mb} MB\tMax Memory Used: {used} MB\t"
    );
    if let Some(init_ms) = record.init_ms {
        text += &format!("Init Duration: {init_ms:.2} ms\t");
    }
    match (record.outcome, failure) {
        (Outcome::TimedOut, _) => text += "Status: timeout\t",
        (_, Some(failure)) => text += &format!("Status: error\tError Type: {}\t", failure.kind),
        _ => {}
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{InvocationRecord, Outcome, end, start};
    use crate::host::failure::Failure;

    fn record(outcome: Outcome) -> InvocationRecord {
        InvocationRecord {
            function: "gradient".into(),
            request_id: "r".into(),
            cold: true,
            queued_ms: 0.0,
            init_ms: Some(203.4),
            duration_ms: 14.125,
            billed_ms: 218,
            memory_mb: 128,
            max_memory_mb: 130,
            request_bytes: 2,
            response_bytes: 2,
            outcome,
            pid: Some(1),
        }
    }

    #[test]
    fn a_report_reads_like_lambdas() {
        assert_eq!(start("r"), "START RequestId: r Version: $LATEST\n");
        assert_eq!(
            end(&record(Outcome::Succeeded), None, String::new),
            "END RequestId: r\nREPORT RequestId: r\tDuration: 14.12 ms\tBilled Duration: 218 ms\t\
             Memory Size: 128 MB\tMax Memory Used: 128 MB\tInit Duration: 203.40 ms\t\n"
        );
        let late = Failure::timed_out("r", Duration::from_secs(3));
        let text = end(&record(Outcome::TimedOut), Some(&late), || "NOW".to_owned());
        assert!(text.starts_with("NOW r Task timed out after 3.00 seconds\nEND"), "{text}");
        assert!(text.ends_with("\tStatus: timeout\t\n"), "{text}");
    }
}
