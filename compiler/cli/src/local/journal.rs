//! The run's history on its way to disk, and to whoever follows it.
#![expect(clippy::disallowed_methods, reason = "reads and writes the record")]

use super::firings::{Firings, SharedHistory};
use super::watch::{Counts, Watch};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::show::progress::Progress;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use stepgrad_contract::Training;
use stepgrad_contract::faults::{Action, Fired, Plan};
use stepgrad_engine::core::{EventType, Record, Recorded};
use stepgrad_engine::driver::history::{HistoryFile, HistorySink};

/// The history's file and its follower.
pub(super) struct Journal {
    file: SharedHistory,
    watch: Watch,
    start: Instant,
    firings: Arc<Firings>,
    /// Events of the whole history, the recorded part included.
    events: u64,
    /// The events after which the engine ends, each with what is told then.
    deaths: BTreeMap<u64, Fired>,
    last_words: LastWords,
}

/// Done before the engine ends by a fault: what is only kept now and then must not be missing for it.
type LastWords = Box<dyn Fn() -> Result<(), Failure> + Send>;

/// How a history is opened.
pub(super) struct Opening<'a> {
    /// What goes wrong in the run.
    pub(super) plan: Option<&'a Plan>,
    /// Where it is shown.
    pub(super) progress: Arc<Progress>,
    /// When this process began.
    pub(super) start: Instant,
    /// Whether another one began the run.
    pub(super) resumed: bool,
    /// Done before the engine ends by a fault.
    pub(super) last_words: LastWords,
}

impl Journal {
    /// Opens the history of a run, a new one or one that is gone on with; gives what was recorded.
    pub(super) fn open(
        runs: &Path,
        run: &str,
        training: &Training,
        opening: Opening<'_>,
    ) -> Result<(Self, Option<Recorded>), Failure> {
        let Opening { plan, progress, start, resumed, last_words } = opening;
        let path = runs.join(run).join("history.jsonl");
        let failed = |error: &dyn std::fmt::Display| Failure::new(Exit::Internal, error.to_string());
        let watch = Watch::new(runs, run, training.clone(), progress)?;
        let deaths = plan.map(deaths).unwrap_or_default();
        let journal = |file: HistoryFile, watch| {
            let file = Arc::new(Mutex::new(file));
            let firings = Arc::new(Firings::new(Arc::clone(&file)));
            Self { file, watch, start, firings, events: 0, deaths, last_words }
        };
        // A command that was killed before its first event has no history yet.
        if !(resumed && path.exists()) {
            let file = HistoryFile::create(&path).map_err(|error| failed(&error))?;
            return Ok((journal(file, watch), None));
        }
        take_abort_back(&path)?;
        let (recorded, file) = HistoryFile::reopen(&path).map_err(|error| failed(&error))?;
        let mut journal = journal(file, watch);
        for record in HistoryFile::read(&path, u64::MAX).map_err(|error| failed(&error))? {
            let record = record.map_err(|error| failed(&error))?;
            match &record {
                Record::Event { .. } => journal.events += 1,
                Record::Fault { fired, .. } => journal.firings.recorded(fired),
                Record::Objects { .. } | Record::Resumed { .. } => {}
            }
            journal.watch.record(&record, start.elapsed(), true)?;
        }
        let is_empty = journal.events == 0;
        Ok((journal, (!is_empty).then_some(recorded)))
    }

    /// Where the firings of faults go.
    pub(super) fn firings(&self) -> Arc<Firings> {
        Arc::clone(&self.firings)
    }

    /// What is counted of the run, readable after the journal is gone.
    pub(super) fn counts(&self) -> Arc<Mutex<Counts>> {
        self.watch.counts()
    }
}

impl HistorySink for Journal {
    fn write(&mut self, record: &Record) -> io::Result<()> {
        if let Some(error) = self.firings.failure() {
            return Err(error);
        }
        self.file.lock().unwrap_or_else(PoisonError::into_inner).write(record)?;
        let followed = self.watch.record(record, self.start.elapsed(), false);
        followed.map_err(|failure| io::Error::other(failure.message))?;
        if matches!(record, Record::Event { .. }) {
            self.events += 1;
            // What was recorded before a resumption is not counted again, so each fires once.
            if let Some(fired) = self.deaths.remove(&self.events) {
                self.flush()?;
                self.firings.fired(&fired);
                (self.last_words)().map_err(|failure| io::Error::other(failure.message))?;
                kill(Pid::this(), Signal::SIGKILL)?;
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner).flush()
    }
}

/// The events after which the engine ends; the first fault that names one is it.
fn deaths(plan: &Plan) -> BTreeMap<u64, Fired> {
    let mut deaths = BTreeMap::new();
    for fault in &plan.faults {
        let Action::KillEngine { events } = &fault.action else { continue };
        for event in events.ranges().iter().flat_map(|range| range.first..=range.last) {
            let fired = || Fired::of_workflow(&fault.id, &fault.action);
            deaths.entry(u64::from(event)).or_insert_with(fired);
        }
    }
    deaths
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
        // Functions that were at work may have told of a fault while the executions ended.
        if let Some(kind) = kind(&line) {
            let aborted = kind.name().ends_with("Aborted");
            match cut {
                // Iterations are aborted in a normal run too, when one of their Map fails; then other events follow.
                Some(_) if !aborted => cut = None,
                None if aborted => cut = Some(offset),
                _ => {}
            }
            is_abort = kind == EventType::ExecutionAborted;
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

#[cfg(test)]
mod tests {
    use super::take_abort_back;
    use serde_json::json;

    const TIME: &str = "2026-01-01T00:00:00.000Z";

    fn event(id: u64, kind: &str) -> String {
        let event =
            json!({"execution": "e", "timestamp": TIME, "type": kind, "id": id, "previousEventId": 0});
        event.to_string()
    }

    #[test]
    fn an_abort_is_taken_back_whatever_functions_told_meanwhile() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("history.jsonl");
        let fault = json!({"timestamp": TIME, "fired": {"fault": "f"}}).to_string();
        let (begun, aborted) = (event(1, "ExecutionStarted"), event(2, "ExecutionAborted"));
        assert!(super::kind(begun.as_bytes()).is_some() && super::kind(fault.as_bytes()).is_none());
        let inner = event(2, "MapIterationAborted");
        for tail in [
            vec![&aborted],
            vec![&aborted, &fault],
            vec![&inner, &fault, &aborted],
            vec![&inner, &fault, &aborted, &fault],
        ] {
            let lines = std::iter::once(&begun).chain(tail).map(|line| format!("{line}\n"));
            std::fs::write(&path, lines.collect::<String>()).unwrap();
            take_abort_back(&path).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{begun}\n"));
        }
        let text = format!("{begun}\n{inner}\n{fault}\n{begun}\n");
        std::fs::write(&path, &text).unwrap();
        take_abort_back(&path).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    }
}
