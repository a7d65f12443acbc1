//! Starts this program through the wrapper that `AWS_LAMBDA_EXEC_WRAPPER` names. Lambda does so for the runtimes that it
//! brings along, and leaves it to the others (AWS Lambda Developer Guide, "Modifying the runtime environment": not
//! supported on OS-only runtimes, where `bootstrap` is the runtime). Extensions that stand between a function and the
//! Runtime API are switched on in this way, that of AWS Fault Injection Service among them.
#![expect(clippy::disallowed_methods, reason = "becomes another program")]

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

/// Names the wrapper: a program that ends by becoming the one that its arguments say.
const WRAPPER: &str = "AWS_LAMBDA_EXEC_WRAPPER";
/// Set for what the wrapper starts, which is this program again.
const WRAPPED: &str = "STEPGRAD_WRAPPED";

/// The wrapper did not take over.
#[derive(Debug, thiserror::Error)]
#[error("cannot start {path}, which {WRAPPER} names: {source}; add the layer that brings it, or take the variable away", path = .path.display())]
pub struct WrapperError {
    path: PathBuf,
    source: std::io::Error,
}

/// Becomes the wrapper, where the variables name one that has not started this program already; otherwise it comes back.
///
/// # Errors
/// Where the wrapper cannot be started.
pub fn go_on(get: impl Fn(&str) -> Option<OsString>) -> Result<(), WrapperError> {
    let Some(path) = get(WRAPPER).filter(|path| !path.is_empty()).map(PathBuf::from) else { return Ok(()) };
    if get(WRAPPED).is_some() {
        return Ok(());
    }
    let source = match std::env::current_exe() {
        Err(error) => error,
        // Comes back only if it fails.
        Ok(own) => Command::new(&path).arg(own).args(std::env::args_os().skip(1)).env(WRAPPED, "1").exec(),
    };
    Err(WrapperError { path, source })
}
