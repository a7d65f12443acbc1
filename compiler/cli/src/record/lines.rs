//! A file of JSON lines that grows with the run.
#![expect(clippy::disallowed_methods, reason = "writes the record")]

use crate::failure::Failure;
use serde::Serialize;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

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
