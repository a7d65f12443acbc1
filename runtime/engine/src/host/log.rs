//! Where the output of functions goes: line by line to a sink, by default one file per function.
#![expect(clippy::disallowed_methods, reason = "log files are what this room is for")]

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// The longest line that is kept whole (256 KB is CloudWatch's largest event).
pub const MAX_LINE: usize = 256 * 1024;

/// Takes log lines. Called from the hot path: it should not wait.
pub trait LogSink: Send + Sync + 'static {
    /// Takes `lines` of `function`: one or more whole lines, each ending in a line feed.
    fn write(&self, function: &str, lines: &str);
}

/// Throws all lines away.
#[derive(Debug, Clone, Copy, Default)]
pub struct Discard;

impl LogSink for Discard {
    fn write(&self, _function: &str, _lines: &str) {}
}

/// One file `FUNCTION.log` per function in a folder, opened for appending when its first line comes.
#[derive(Debug)]
pub struct LogFolder {
    folder: PathBuf,
    files: Mutex<BTreeMap<String, Option<File>>>,
}

impl LogFolder {
    /// Logs into `folder`, which is made if it is missing.
    ///
    /// # Errors
    /// If the folder cannot be made.
    pub fn new(folder: impl Into<PathBuf>) -> io::Result<Self> {
        let folder = folder.into();
        std::fs::create_dir_all(&folder)?;
        Ok(Self { folder, files: Mutex::default() })
    }
}

impl LogSink for LogFolder {
    fn write(&self, function: &str, lines: &str) {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        if !files.contains_key(function) {
            let path = self.folder.join(format!("{function}.log"));
            let file = OpenOptions::new().create(true).append(true).open(&path);
            if let Err(error) = &file {
                tracing::warn!(path = %path.display(), %error, "no log is kept of this function");
            }
            files.insert(function.to_owned(), file.ok());
        }
        if let Some(Some(file)) = files.get_mut(function)
            && let Err(error) = file.write_all(lines.as_bytes())
        {
            tracing::warn!(function, %error, "log lines are lost");
        }
    }
}

/// Cuts a stream of bytes into lines of at most [`MAX_LINE`] bytes.
#[derive(Debug, Default)]
pub(super) struct Lines {
    begun: Vec<u8>,
    /// The line's beginning was already handed on as too long.
    skipping: bool,
}

impl Lines {
    /// Takes `bytes` and returns the lines that they complete, each with its line feed.
    pub(super) fn push(&mut self, bytes: &[u8]) -> String {
        let mut complete = String::new();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ends) = match piece.split_last() {
                Some((b'\n', text)) => (text, true),
                _ => (piece, false),
            };
            if !self.skipping {
                let room = MAX_LINE - self.begun.len();
                self.begun.extend_from_slice(&text[..text.len().min(room)]);
                if text.len() > room {
                    self.skipping = true;
                    complete.push_str(&self.take());
                    complete.push_str(" [cut]\n");
                } else if ends {
                    complete.push_str(&self.take());
                    complete.push('\n');
                }
            }
            if ends {
                self.skipping = false;
            }
        }
        complete
    }

    /// What was begun and will not be ended.
    pub(super) fn finish(&mut self) -> String {
        if self.begun.is_empty() { String::new() } else { self.take() + "\n" }
    }

    fn take(&mut self) -> String {
        let text = String::from_utf8_lossy(&self.begun).into_owned();
        self.begun.clear();
        text
    }
}

#[cfg(test)]
mod tests {
    use super::{Lines, LogFolder, LogSink, MAX_LINE};

    #[test]
    fn lines_come_out_whole_and_bounded() {
        let mut lines = Lines::default();
        assert_eq!(lines.push(b"one\ntw"), "one\n");
        assert_eq!(lines.push(b"o\n\nthree"), "two\n\n");
        assert_eq!(lines.finish(), "three\n");
        assert_eq!(lines.finish(), "");

        let long = vec![b'x'; MAX_LINE + 10];
        let cut = lines.push(&long);
        assert_eq!(cut.len(), MAX_LINE + " [cut]\n".len());
        assert_eq!(lines.push(b"the rest of it\nnext\n"), "next\n");
        assert_eq!(lines.push(&[b'y'; MAX_LINE]), "");
        assert_eq!(lines.push(b"\n").len(), MAX_LINE + 1);
    }

    #[test]
    fn a_folder_holds_one_file_a_function_and_appends() {
        let folder = tempfile::tempdir().unwrap();
        for line in ["a\n", "b\n"] {
            LogFolder::new(folder.path().join("logs")).unwrap().write("gradient", line);
        }
        let path = folder.path().join("logs/gradient.log");
        assert_eq!(std::fs::read_to_string(path).unwrap(), "a\nb\n");
    }
}
