//! The AWS Lambda custom runtime: serves the function that `_HANDLER` names (see [`stepgrad_runtime::serve`]).
#![expect(clippy::disallowed_methods, reason = "the environment is bootstrap's to read")]

use std::io::Write;
use std::process::ExitCode;

// One event at a time: a second thread would only wait.
#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> ExitCode {
    // A paused process cannot wake itself.
    if stepgrad_runtime::faults::continue_later(std::env::args()) {
        return ExitCode::SUCCESS;
    }
    if let Err(error) = stepgrad_runtime::wrapper::go_on(|name| std::env::var_os(name)) {
        drop(writeln!(std::io::stderr(), "{error}"));
        return ExitCode::FAILURE;
    }
    match stepgrad_runtime::serve::serve(|name| std::env::var(name).ok()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            drop(writeln!(std::io::stderr(), "{error}"));
            ExitCode::FAILURE
        }
    }
}
