//! Where the records go: the history is the log, a JSON line for each record.

#![expect(clippy::disallowed_methods, reason = "the history is a file")]

use crate::core::Record;
use crate::core::recovery::{RecoveryError, read_records};
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// Takes records in order.
pub trait HistorySink {
    /// Takes a record; it need not be safe yet.
    ///
    /// # Errors
    /// Whatever keeps it from being written.
    fn write(&mut self, record: &Record) -> io::Result<()>;

    /// Afterwards, what was written survives the end of this process.
    ///
    /// # Errors
    /// Whatever keeps it from being written.
    fn flush(&mut self) -> io::Result<()>;
}

/// Nobody reads the history.
#[derive(Debug, Clone, Copy, Default)]
pub struct Discard;

impl HistorySink for Discard {
    fn write(&mut self, _: &Record) -> io::Result<()> {
        Ok(())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Keeps the records in memory; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Collect(Arc<Mutex<Vec<Record>>>);

impl Collect {
    /// The records so far.
    #[must_use]
    pub fn records(&self) -> Vec<Record> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl HistorySink for Collect {
    fn write(&mut self, record: &Record) -> io::Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(record.clone());
        Ok(())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Gives the records to two others.
#[derive(Debug)]
pub struct Both<A, B>(pub A, pub B);

impl<A: HistorySink, B: HistorySink> HistorySink for Both<A, B> {
    fn write(&mut self, record: &Record) -> io::Result<()> {
        self.0.write(record)?;
        self.1.write(record)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()?;
        self.1.flush()
    }
}

/// A file of JSON lines.
#[derive(Debug)]
pub struct HistoryFile {
    file: BufWriter<File>,
}

/// The history cannot be gone on with.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The file cannot be read or written.
    #[error("the history {path:?} cannot be opened: {source}")]
    Io {
        /// Where.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// What is in it is not a history.
    #[error(transparent)]
    Recovery(#[from] RecoveryError),
}

impl HistoryFile {
    /// A new history; one that is there already is an error, for it may be the record of a run.
    ///
    /// # Errors
    /// [`HistoryError::Io`].
    pub fn create(path: &Path) -> Result<Self, HistoryError> {
        let file = OpenOptions::new().write(true).create_new(true).open(path);
        Ok(Self { file: BufWriter::new(file.map_err(|source| io_error(path, source))?) })
    }

    /// The records of a killed run, and the file to go on writing to. A torn last line is cut off.
    ///
    /// # Errors
    /// [`HistoryError`] where the file cannot be read, or is not a history.
    pub fn reopen(path: &Path) -> Result<(Vec<Record>, Self), HistoryError> {
        let text = std::fs::read(path).map_err(|source| io_error(path, source))?;
        // Bytes after the last newline are a torn line, which need not even be UTF-8.
        let end = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
        let lines = String::from_utf8_lossy(text.get(..end).unwrap_or_default()).into_owned();
        let records = read_records(&lines)?;
        let file = OpenOptions::new().append(true).open(path).map_err(|source| io_error(path, source))?;
        file.set_len(end as u64).map_err(|source| io_error(path, source))?;
        Ok((records, Self { file: BufWriter::new(file) }))
    }
}

fn io_error(path: &Path, source: io::Error) -> HistoryError {
    HistoryError::Io { path: path.display().to_string(), source }
}

impl HistorySink for HistoryFile {
    fn write(&mut self, record: &Record) -> io::Result<()> {
        serde_json::to_writer(&mut self.file, record)?;
        self.file.write_all(b"\n")
    }
    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::{HistoryFile, HistorySink};
    use crate::core::Record;
    use std::io::Write;

    #[test]
    fn a_torn_line_is_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("history.jsonl");
        let mut file = HistoryFile::create(&path).unwrap();
        file.write(&Record::Resumed { timestamp: 1 }).unwrap();
        file.flush().unwrap();
        assert!(HistoryFile::create(&path).is_err());
        drop(file);
        std::fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"resum\xff").unwrap();
        let (records, mut file) = HistoryFile::reopen(&path).unwrap();
        assert_eq!(records, [Record::Resumed { timestamp: 1 }]);
        file.write(&Record::Resumed { timestamp: 2 }).unwrap();
        file.flush().unwrap();
        assert_eq!(HistoryFile::reopen(&path).unwrap().0.len(), 2);
    }
}
