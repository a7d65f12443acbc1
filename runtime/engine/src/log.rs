//! The file that a run's history is kept in, and how a run goes on from it: one that was killed, or one that ended
//! badly and is redriven.

#![expect(clippy::disallowed_methods, reason = "a redrive is told when it happens")]

use crate::core::redrive::{RedriveError, redriven};
use crate::core::{Record, Recorded, RecoveryError, Settings, Time, recover};
use crate::driver::history::{Both, Collect, Discard, HistoryError, HistoryFile, HistorySink};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};
use stepgrad_asl::program::Program;

/// Where a run's history is kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Log {
    /// In no file.
    #[default]
    Nowhere,
    /// In a new file.
    New(PathBuf),
    /// In this file, which is of a run that was killed: it goes on.
    Resume(PathBuf),
    /// In this file, which is of a run that ended badly: it goes on from the states that failed.
    Redrive(PathBuf),
}

/// The log is not what it was said to be.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The file cannot be read or written, or is not a history.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// The run cannot be redriven.
    #[error(transparent)]
    Redrive(#[from] RedriveError),
    /// Nor by what its machines are.
    #[error(transparent)]
    Recovery(#[from] RecoveryError),
    /// The event of the redrive could not be written.
    #[error("the history cannot be written: {0}")]
    Write(#[from] std::io::Error),
}

/// An open log.
pub(crate) struct Opened {
    /// What a run goes on from.
    pub(crate) recover: Option<Recorded>,
    /// Where its records go.
    pub(crate) sink: Box<dyn HistorySink + Send>,
    /// All records, if they were asked for.
    pub(crate) trace: Option<Trace>,
}

/// The records before and after the point that a run goes on from; those before are the execution's own alone.
#[derive(Default)]
pub(crate) struct Trace {
    before: Vec<Record>,
    after: Collect,
}

impl Trace {
    /// The records of one execution, `machine:name`.
    pub(crate) fn of(self, key: &str) -> Vec<Record> {
        let after = self.after.records().into_iter().filter(|record| is_of(record, key));
        self.before.into_iter().chain(after).collect()
    }
}

/// Whether it is an event of the execution `key`.
fn is_of(record: &Record, key: &str) -> bool {
    matches!(record, Record::Event { execution, .. } if **execution == *key)
}

impl Log {
    /// Opens the log of the execution `key`; without `now`, a redrive happens by the computer's clock. Nothing is
    /// written where the machines do not go with it.
    pub(crate) fn open(
        &self,
        machines: &BTreeMap<String, Program>,
        seed: u64,
        key: &str,
        trace: bool,
        now: Option<Time>,
    ) -> Result<Opened, LogError> {
        let (recover, file) = match self {
            Self::Nowhere => (None, None),
            Self::New(path) => (None, Some(HistoryFile::create(path)?)),
            Self::Resume(path) => {
                let (records, file) = HistoryFile::reopen(path)?;
                (Some(records), Some(file))
            }
            Self::Redrive(path) => {
                let now = now.unwrap_or_else(clock);
                let event = redriven(HistoryFile::read(path, u64::MAX)?, key, now)?;
                // First see whether it can be done.
                let (records, mut file) = HistoryFile::reopen(path)?;
                drop(recover(machines.clone(), seed, Settings::default(), records.and(event.clone()), now)?);
                file.write(&event)?;
                file.flush()?;
                (Some(HistoryFile::reopen(path)?.0), Some(file))
            }
        };
        let trace = match (trace, self) {
            (false, _) => None,
            (true, Self::Nowhere | Self::New(_)) => Some(Trace::default()),
            (true, Self::Resume(path) | Self::Redrive(path)) => Some(Trace {
                before: HistoryFile::read(path, u64::MAX)?
                    .filter(|record| record.as_ref().map_or(true, |record| is_of(record, key)))
                    .collect::<Result<_, _>>()?,
                after: Collect::default(),
            }),
        };
        let sink: Box<dyn HistorySink + Send> = match (file, &trace) {
            (None, None) => Box::new(Discard),
            (None, Some(trace)) => Box::new(trace.after.clone()),
            (Some(file), None) => Box::new(file),
            (Some(file), Some(trace)) => Box::new(Both(file, trace.after.clone())),
        };
        Ok(Opened { recover, sink, trace })
    }
}

fn clock() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time::try_from(since.as_millis()).unwrap_or(Time::MAX)
}
