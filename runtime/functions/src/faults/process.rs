//! Faults of the process itself.
#![expect(clippy::disallowed_methods, reason = "only another process can wake a stopped one, and it waits")]

use nix::sys::signal::{Signal, kill as signal};
use nix::unistd::Pid;
use std::time::Duration;
use stepgrad_contract::{ErrorKind, FunctionError};

/// Bytes that are taken at once.
const CHUNK: usize = 16 << 20;
/// How long the process waits to be ended once it has taken more than it may.
const GRACE: Duration = Duration::from_secs(5);
/// The argument with which this program continues another one.
const CONTINUE: &str = "continue-process";

/// Ends this process as the kernel would.
pub(super) fn kill() -> ! {
    // A process may always send itself a signal, and SIGKILL cannot be held off.
    let _ = signal(Pid::this(), Signal::SIGKILL);
    std::process::abort()
}

/// Ends this process with an exit status.
pub(super) fn exit(code: u8) -> ! {
    std::process::exit(code.into())
}

/// Stops this process, all threads of it, for `ms`. It cannot wake itself: a child of it does.
pub(super) fn pause(ms: u64) -> Result<(), FunctionError> {
    let failed = |error: &dyn std::error::Error| {
        FunctionError::new(ErrorKind::Internal, format!("cannot pause this process: {error}"))
    };
    let program = std::env::current_exe().map_err(|error| failed(&error))?;
    let pid = Pid::this().to_string();
    let child = std::process::Command::new(program)
        .args([CONTINUE, &pid, &ms.to_string()])
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .spawn();
    let mut child = child.map_err(|error| failed(&error))?;
    signal(Pid::this(), Signal::SIGSTOP).map_err(|error| failed(&error))?;
    child.wait().map_err(|error| failed(&error))?;
    Ok(())
}

/// If the arguments ask for it, waits and continues the process that they name; gives whether they did.
#[must_use]
pub fn continue_later(arguments: impl IntoIterator<Item = String>) -> bool {
    let mut arguments = arguments.into_iter().skip(1);
    if arguments.next().as_deref() != Some(CONTINUE) {
        return false;
    }
    let mut number = || arguments.next().and_then(|text| text.parse::<u64>().ok());
    let (Some(pid), Some(ms)) = (number(), number()) else { return true };
    std::thread::sleep(Duration::from_millis(ms));
    let parent = Pid::parent();
    // Where the paused process was ended meanwhile, its number may be another's.
    if u64::try_from(parent.as_raw()) == Ok(pid) {
        let _ = signal(parent, Signal::SIGCONT);
    }
    true
}

/// Takes memory until the limit ends this process.
///
/// # Errors
/// [`ErrorKind::Internal`] where nobody ends it: the limit is not kept here.
pub(super) async fn out_of_memory(memory_mb: u64) -> Result<(), FunctionError> {
    let mut taken = Vec::new();
    let chunks = 2 * (memory_mb << 20) / CHUNK as u64 + 1;
    for _ in 0..chunks {
        // Written to, or the kernel would only promise it.
        taken.push(vec![1_u8; CHUNK]);
        std::hint::black_box(&taken);
        // The limit is watched from outside; a process that takes all at once would be seen too late.
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    tokio::time::sleep(GRACE).await;
    drop(taken);
    let message = format!("took twice its {memory_mb} MB and nobody ended it: the limit is not kept here");
    Err(FunctionError::new(ErrorKind::Internal, message))
}

#[cfg(test)]
mod tests {
    use super::{CONTINUE, continue_later};

    #[test]
    fn only_its_own_arguments_make_it_wait() {
        let arguments = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        assert!(!continue_later(arguments(&["bootstrap"])));
        assert!(!continue_later(arguments(&["bootstrap", "serve"])));
        assert!(continue_later(arguments(&["bootstrap", CONTINUE, "1", "x"])));
        // Process 1 is not this test's parent, and gets no signal.
        assert!(continue_later(arguments(&["bootstrap", CONTINUE, "1", "0"])));
    }
}
