//! What ends a verb early: an exit code and what to say.

use crate::exit::Exit;
use std::path::Path;

/// Why a verb ended early.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The code to exit with.
    pub(crate) exit: Exit,
    /// What is said on stderr, after `error: `; empty where all has been said.
    pub(crate) message: String,
}

impl Failure {
    /// A failure that has not been told yet.
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into() }
    }

    /// A failure of which everything has been said.
    pub(crate) const fn told(exit: Exit) -> Self {
        Self { exit, message: String::new() }
    }

    /// A file that could not be read or written.
    pub(crate) fn file(what: &str, path: &Path, error: &std::io::Error) -> Self {
        Self::new(Exit::Internal, format!("cannot {what} {}: {error}", path.display()))
    }
}
