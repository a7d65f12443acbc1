//! Data goes to stdout, prose to stderr. The only room that prints.
#![expect(clippy::disallowed_methods, reason = "the command's own environment")]

use serde_json::Value;
use std::io::{ErrorKind, IsTerminal, Write};
use std::sync::OnceLock;

/// Why data could not be written, where they could not.
static LOST: OnceLock<String> = OnceLock::new();

/// How results are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Text,
    /// One versioned JSON document.
    Json,
}

/// Writes data to stdout. A closed pipe ends the output, not the command: a reader that went away (`| head`) has what it
/// wanted. Anything else is what [`lost`] tells when the command ends.
pub(crate) fn data(text: &str) {
    let mut stdout = std::io::stdout().lock();
    if let Err(error) = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush())
        && error.kind() != ErrorKind::BrokenPipe
    {
        let _ = LOST.set(error.to_string());
    }
}

/// Why some of the data did not get to stdout.
pub(crate) fn lost() -> Option<&'static str> {
    LOST.get().map(String::as_str)
}

/// Writes one JSON document as a line.
pub(crate) fn json(value: &Value) {
    data(&format!("{value}\n"));
}

/// Says something to the user.
pub(crate) fn say(text: &str) {
    let mut stderr = std::io::stderr().lock();
    let _ = writeln!(stderr, "{text}");
}

/// Whether stderr is a terminal that wants colours (<https://no-color.org>).
pub(crate) fn colour() -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    !refused && !dumb && std::io::stderr().is_terminal()
}

/// Whether progress may be redrawn in place.
pub(crate) fn interactive() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}
