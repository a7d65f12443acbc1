//! Where the binary `bootstrap`, which runs the functions, is on this machine.
#![expect(clippy::disallowed_methods, reason = "looks at the environment")]

use crate::exit::Exit;
use crate::failure::Failure;
use std::path::{Path, PathBuf};

/// The environment variable that names it.
pub(crate) const VARIABLE: &str = "STEPGRAD_BOOTSTRAP";

/// The one that `--bootstrap` names, else the variable, else the one beside this executable.
pub(crate) fn find(given: Option<&Path>) -> Result<PathBuf, Failure> {
    let named = given.map(Path::to_owned).or_else(|| std::env::var_os(VARIABLE).map(PathBuf::from));
    let path = match named {
        Some(path) => path,
        None => std::env::current_exe()
            .map_err(|error| {
                Failure::new(Exit::Internal, format!("cannot tell where this executable is: {error}"))
            })?
            .with_file_name("bootstrap"),
    };
    // Function processes run in a folder of their own: a relative path would lead elsewhere.
    match path.canonicalize() {
        Ok(path) if path.is_file() => Ok(path),
        _ => Err(Failure::new(
            Exit::Usage,
            format!(
                "{} is not there: it runs the functions and links libtorch; build it with `make build`, or name it \
                 with --bootstrap or {VARIABLE}",
                path.display()
            ),
        )),
    }
}
