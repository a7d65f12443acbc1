//! The run's history on its way to disk, and to whoever follows it.
#![expect(clippy::disallowed_methods, reason = "reads and writes the record")]

use super::watch::{Counts, Watch};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::show::progress::Progress;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Instant;
use stepgrad_contract::Training;
use stepgrad_engine::core::{EventType, Record, Recorded};
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
    ) -> Result<(Self, Option<Recorded>), Failure> {
        let path = runs.join(run).join("history.jsonl");
        let failed = |error: &dyn std::fmt::Display| Failure::new(Exit::Internal, error.to_string());
        let mut watch = Watch::new(runs, run, training.clone(), progress)?;
        // A command that was killed before its first event has no history yet.
        if !(resumed && path.exists()) {
            let file = HistoryFile::create(&path).map_err(|error| failed(&error))?;
            return Ok((Self { file, watch, start }, None));
        }
        take_abort_back(&path)?;
        let (recorded, file) = HistoryFile::reopen(&path).map_err(|error| failed(&error))?;
        let mut is_empty = true;
        for record in HistoryFile::read(&path, u64::MAX).map_err(|error| failed(&error))? {
            watch.record(&record.map_err(|error| failed(&error))?, start.elapsed(), true)?;
            is_empty = false;
        }
        Ok((Self { file, watch, start }, (!is_empty).then_some(recorded)))
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
    let failed = |error: io::Error| Failure::file("read", path, &error);
    let mut lines = BufReader::new(File::open(path).map_err(failed)?);
    let (mut offset, mut cut, mut line) = (0, None, Vec::new());
    let mut is_abort = false;
    loop {
        line.clear();
        if lines.read_until(b'\n', &mut line).map_err(failed)? == 0 {
            break;
        }
        let kind = kind(&line);
        let aborted = kind.is_some_and(|kind| kind.name().ends_with("Aborted"));
        match cut {
            // Iterations are aborted in a normal run too, when one of their Map fails; then other events follow.
            Some(_) if !aborted => cut = None,
            None if aborted => cut = Some(offset),
            _ => {}
        }
        if !line.trim_ascii().is_empty() {
            is_abort = kind == Some(EventType::ExecutionAborted);
        }
        offset += line.len() as u64;
    }
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
