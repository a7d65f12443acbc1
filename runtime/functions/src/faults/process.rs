//! Faults of the process itself.
#![expect(clippy::disallowed_methods, reason = "only another process can wake a stopped one, and it waits")]

use nix::sys::signal::{Signal, kill as signal};
use nix::unistd::Pid;
use std::time::{Duration, Instant};
use stepgrad_contract::{ErrorKind, FunctionError};

/// Bytes that are taken at once.
const CHUNK: usize = 16 << 20;
/// How long the process waits to be ended once it has taken more than it may.
const GRACE: Duration = Duration::from_secs(5);
/// How long its waker waits for a process to stop: it is about to, unless the machine is very busy.
const STOPPED_WITHIN: Duration = Duration::from_secs(10);
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
    // Where the paused process was ended meanwhile, its number may be another's.
    let paused = || Some(Pid::parent()).filter(|parent| u64::try_from(parent.as_raw()) == Ok(pid));
    // A signal that comes before the process stops wakes nobody.
    let asked = Instant::now();
    while paused().is_some_and(|process| !is_stopped(process)) && asked.elapsed() < STOPPED_WITHIN {
        std::thread::sleep(Duration::from_millis(1));
    }
    std::thread::sleep(Duration::from_millis(ms));
    if let Some(process) = paused() {
        let _ = signal(process, Signal::SIGCONT);
    }
    true
}

/// Whether a process stands still: state T of `/proc/PID/stat` (man page `proc_pid_stat`).
fn is_stopped(process: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"));
    // The name before the state stands in brackets, and may hold some itself.
    let state = stat.ok().and_then(|stat| stat.rsplit_once(") ").map(|(_, rest)| rest.starts_with('T')));
    state.unwrap_or(false)
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
    use super::{CONTINUE, continue_later, is_stopped};
    use nix::sys::signal::{Signal, kill as signal};
    use nix::unistd::Pid;
    use std::time::{Duration, Instant};

    #[test]
    fn only_its_own_arguments_make_it_wait() {
        let arguments = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        assert!(!continue_later(arguments(&["bootstrap"])));
        assert!(!continue_later(arguments(&["bootstrap", "serve"])));
        assert!(continue_later(arguments(&["bootstrap", CONTINUE, "1", "x"])));
        // Process 1 is not this test's parent, and gets no signal.
        assert!(continue_later(arguments(&["bootstrap", CONTINUE, "1", "0"])));
    }
    /// What its waker waits for.
    #[test]
    fn a_process_is_seen_to_stand_still() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
        let begun = Instant::now();
        let becomes = |stopped| {
            while is_stopped(pid) != stopped && begun.elapsed() < Duration::from_secs(30) {
                std::thread::yield_now();
            }
            is_stopped(pid) == stopped
        };
        assert!(becomes(false));
        signal(pid, Signal::SIGSTOP).unwrap();
        let stood = becomes(true);
        signal(pid, Signal::SIGCONT).unwrap();
        let went = becomes(false);
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(stood && went && !is_stopped(Pid::from_raw(i32::MAX)));
    }
}
