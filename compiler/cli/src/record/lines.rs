//! A file of JSON lines that grows with the run.
#![expect(clippy::disallowed_methods, reason = "writes the record")]

use crate::exit::Exit;
use crate::failure::Failure;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

/// The lines of a file, none where there is no such file. The last line of a run that goes on, or was killed, may be half a
/// one.
///
/// # Errors
/// Where the file cannot be read, or a line before the last one is damaged.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>, Failure> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Failure::file("read", path, &error)),
    };
    let lines: Vec<&str> = text.lines().collect();
    let mut values = Vec::with_capacity(lines.len());
    for (number, line) in lines.iter().enumerate() {
        match serde_json::from_str(line) {
            Ok(value) => values.push(value),
            Err(_) if number + 1 == lines.len() => {}
            Err(error) => {
                let what = format!("line {} of {} is damaged: {error}", number + 1, path.display());
                return Err(Failure::new(Exit::Internal, what));
            }
        }
    }
    Ok(values)
}

/// A file of JSON lines.
#[derive(Debug)]
pub(crate) struct Lines {
    path: PathBuf,
    file: File,
}

impl Lines {
    /// Starts the file anew.
    pub(crate) fn create(path: &Path) -> Result<Self, Failure> {
        let opened = OpenOptions::new().create(true).write(true).truncate(true).open(path);
        let file = opened.map_err(|error| Failure::file("write", path, &error))?;
        Ok(Self { path: path.to_owned(), file })
    }

    /// Appends a line in one write, so that a reader sees it whole.
    pub(crate) fn push(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        let mut line = serde_json::to_vec(value)
            .map_err(|error| Failure::file("write", &self.path, &std::io::Error::other(error)))?;
        line.push(b'\n');
        self.file.write_all(&line).map_err(|error| Failure::file("write", &self.path, &error))
    }
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn a_torn_last_line_is_left_out_and_a_damaged_one_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        assert!(read::<u32>(&path).unwrap().is_empty());
        std::fs::write(&path, "1\n2\n[3").unwrap();
        assert_eq!(read::<u32>(&path).unwrap(), [1, 2]);
        std::fs::write(&path, "1\n[2\n3\n").unwrap();
        let failure = read::<u32>(&path).unwrap_err();
        assert!(failure.message.starts_with("line 2 of "), "{}", failure.message);
    }
}
