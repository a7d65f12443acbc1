//! Where the records go: the history is the log, a JSON line for each record.

#![expect(clippy::disallowed_methods, reason = "the history is a file")]

use crate::core::{Record, Recorded, RecoveryError, count_redrive};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Take, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// What every line of a record that redrives has in it.
const REDRIVEN: &[u8] = b"ExecutionRedriven";

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
    /// Where the first line goes, if a torn one is there yet.
    cut: Option<u64>,
}

/// Records read from JSON lines, one at a time. A last line that no newline ends is torn, and left out.
#[derive(Debug)]
pub struct Records<R> {
    lines: R,
    line: usize,
    bytes: Vec<u8>,
}

impl<R: BufRead> Records<R> {
    /// The records of `lines`.
    pub fn of(lines: R) -> Self {
        Self { lines, line: 0, bytes: Vec::new() }
    }
}

impl<R: BufRead> Iterator for Records<R> {
    type Item = Result<Record, RecoveryError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.bytes.clear();
        self.line += 1;
        match self.lines.read_until(b'\n', &mut self.bytes) {
            Ok(_) if !self.bytes.ends_with(b"\n") => None,
            Ok(_) => {
                Some(serde_json::from_slice(&self.bytes).map_err(|error| RecoveryError::NotARecord {
                    line: self.line,
                    message: error.to_string(),
                }))
            }
            Err(error) => Some(Err(RecoveryError::Unreadable(error.to_string()))),
        }
    }
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
        let file = BufWriter::new(file.map_err(|source| io_error(path, source))?);
        Ok(Self { file, cut: None })
    }

    /// The records of a killed run, and the file to go on writing to. The file is read as the records are taken, and
    /// once before that; a torn last line is cut off by the first write.
    ///
    /// # Errors
    /// [`HistoryError`] where the file cannot be read; records that are none are found when they are taken.
    pub fn reopen(path: &Path) -> Result<(Recorded, Self), HistoryError> {
        let failed = |source| io_error(path, source);
        let mut redrives = BTreeMap::new();
        let mut lines = BufReader::new(File::open(path).map_err(failed)?);
        let (mut end, mut bytes) = (0, Vec::new());
        loop {
            bytes.clear();
            lines.read_until(b'\n', &mut bytes).map_err(failed)?;
            // Bytes after the last newline are a torn line, which need not even be UTF-8.
            if !bytes.ends_with(b"\n") {
                break;
            }
            end += bytes.len() as u64;
            // A line that is no record is told of when the replay comes to it.
            if bytes.windows(REDRIVEN.len()).any(|part| part == REDRIVEN)
                && let Ok(record) = serde_json::from_slice(&bytes)
            {
                count_redrive(&mut redrives, &record);
            }
        }
        let file = OpenOptions::new().append(true).open(path).map_err(failed)?;
        let torn = !bytes.is_empty();
        let recorded = Recorded::new(redrives, Self::read(path, end)?);
        Ok((recorded, Self { file: BufWriter::new(file), cut: torn.then_some(end) }))
    }

    /// The records of the first `bytes` of a file.
    ///
    /// # Errors
    /// [`HistoryError::Io`].
    pub fn read(path: &Path, bytes: u64) -> Result<Records<Take<BufReader<File>>>, HistoryError> {
        let file = File::open(path).map_err(|source| io_error(path, source))?;
        Ok(Records::of(BufReader::new(file).take(bytes)))
    }
}

fn io_error(path: &Path, source: io::Error) -> HistoryError {
    HistoryError::Io { path: path.display().to_string(), source }
}

impl HistorySink for HistoryFile {
    fn write(&mut self, record: &Record) -> io::Result<()> {
        if let Some(end) = self.cut.take() {
            self.file.get_ref().set_len(end)?;
        }
        serde_json::to_writer(&mut self.file, record)?;
        self.file.write_all(b"\n")
    }
    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::{HistoryFile, HistorySink, Records};
    use crate::core::{Record, RecoveryError};
    use std::io::Write;
    use std::path::Path;

    fn records(path: &Path) -> Vec<Record> {
        HistoryFile::read(path, u64::MAX).unwrap().collect::<Result<_, _>>().unwrap()
    }

    #[test]
    fn a_torn_line_is_cut_off_by_the_first_write() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("history.jsonl");
        let mut file = HistoryFile::create(&path).unwrap();
        file.write(&Record::Resumed { timestamp: 1 }).unwrap();
        file.flush().unwrap();
        assert!(HistoryFile::create(&path).is_err());
        drop(file);
        std::fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"resum\xff").unwrap();
        let torn = std::fs::read(&path).unwrap();
        let (_, mut file) = HistoryFile::reopen(&path).unwrap();
        assert_eq!(records(&path), [Record::Resumed { timestamp: 1 }]);
        assert_eq!(std::fs::read(&path).unwrap(), torn, "a file that is only looked at stays as it is");
        file.write(&Record::Resumed { timestamp: 2 }).unwrap();
        file.flush().unwrap();
        assert_eq!(records(&path).len(), 2);
    }

    #[test]
    fn a_line_that_is_no_record_is_named() {
        let mut records = Records::of("{\"resumed\":\"2026-01-01T00:00:00.000Z\"}\n{}\n".as_bytes());
        assert!(records.next().unwrap().is_ok());
        let wrong = records.next().unwrap();
        assert!(matches!(wrong, Err(RecoveryError::NotARecord { line: 2, .. })), "{wrong:?}");
    }
}
