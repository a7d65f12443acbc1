//! The run's history on its way to disk, and to whoever follows it.
#![expect(clippy::disallowed_methods, reason = "reads and writes the record")]

use super::watch::{Counts, Watch};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::show::progress::Progress;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Instant;
use stepgrad_contract::Training;
use stepgrad_engine::core::{EventType, Record};
use stepgrad_engine::driver::history::{HistoryFile, HistorySink};

/// The history's file and its follower.
pub(super) struct Journal {
    file: HistoryFile,
    watch: Watch,
    start: Instant,
}

impl Journal {
    /// Opens the history of a run, a new one or one that is gone on with; gives what was recorded.
    pub(super) fn open(
        runs: &Path,
        run: &str,
        training: &Training,
        progress: Arc<Progress>,
        start: Instant,
        resumed: bool,
    ) -> Result<(Self, Vec<Record>), Failure> {
        let path = runs.join(run).join("history.jsonl");
        let failed = |error: &dyn std::fmt::Display| Failure::new(Exit::Internal, error.to_string());
        // A command that was killed before its first event has no history yet.
        let (recorded, file) = if resumed && path.exists() {
            take_abort_back(&path)?;
            HistoryFile::reopen(&path).map_err(|error| failed(&error))?
        } else {
            (Vec::new(), HistoryFile::create(&path).map_err(|error| failed(&error))?)
        };
        let mut watch = Watch::new(runs, run, training.clone(), progress)?;
        for record in &recorded {
            watch.record(record, start.elapsed(), true)?;
        }
        Ok((Self { file, watch, start }, recorded))
    }

    /// What is counted of the run, readable after the journal is gone.
    pub(super) fn counts(&self) -> Arc<Mutex<Counts>> {
        self.watch.counts()
    }
}

impl HistorySink for Journal {
    fn write(&mut self, record: &Record) -> io::Result<()> {
        self.file.write(record)?;
        let followed = self.watch.record(record, self.start.elapsed(), false);
        followed.map_err(|failure| io::Error::other(failure.message))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Cuts an abort by the user off the end of a history, so that the run goes on as if it had been killed then.
/// An abort ends every execution at once, so from its first event on there is nothing else.
fn take_abort_back(path: &Path) -> Result<(), Failure> {
    let bytes = std::fs::read(path).map_err(|error| Failure::file("read", path, &error))?;
    let mut offset = 0;
    let mut cut = None;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let aborted = kind(line).is_some_and(|kind| kind.name().ends_with("Aborted"));
        match cut {
            // Iterations are aborted in a normal run too, when one of their Map fails; then other events follow.
            Some(_) if !aborted => cut = None,
            None if aborted => cut = Some(offset),
            _ => {}
        }
        offset += line.len() as u64;
    }
    let last = bytes.trim_ascii_end().rsplit(|byte| *byte == b'\n').next();
    let is_abort = last.and_then(kind) == Some(EventType::ExecutionAborted);
    let Some(cut) = cut.filter(|_| is_abort) else { return Ok(()) };
    let file = std::fs::OpenOptions::new().write(true).open(path);
    file.and_then(|file| file.set_len(cut)).map_err(|error| Failure::file("write", path, &error))
}

fn kind(line: &[u8]) -> Option<EventType> {
    match serde_json::from_slice(line).ok()? {
        Record::Event { event, .. } => Some(event.event_type),
        Record::Objects { .. } | Record::Resumed { .. } | Record::Fault { .. } => None,
    }
}
