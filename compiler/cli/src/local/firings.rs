//! The firings of faults on their way into the run's history, where they stand beside the events they led to.

use crate::local::now;
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use stepgrad_contract::faults::Fired;
use stepgrad_engine::core::Record;
use stepgrad_engine::driver::history::{HistoryFile, HistorySink};

/// The history's file: the engine writes its events into it, and everything that fires a fault tells it there.
pub(super) type SharedHistory = Arc<Mutex<HistoryFile>>;

/// Where firings go.
pub(super) struct Firings {
    history: SharedHistory,
    counts: Mutex<BTreeMap<String, u64>>,
    failure: Mutex<Option<io::Error>>,
}

impl Firings {
    /// Into `history`.
    pub(super) fn new(history: SharedHistory) -> Self {
        Self { history, counts: Mutex::default(), failure: Mutex::default() }
    }

    /// Takes a firing; it is safe when this returns.
    pub(super) fn fired(&self, fired: &Fired) {
        self.count(&fired.fault);
        let record = Record::Fault {
            timestamp: now().timestamp_millis(),
            fired: serde_json::to_value(fired).unwrap_or_default(),
        };
        let mut history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = history.write(&record).and_then(|()| history.flush()) {
            // Whoever fires cannot stop the run; the next event does.
            *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        }
    }

    /// Counts a firing that stands in the history already.
    pub(super) fn recorded(&self, fired: &serde_json::Value) {
        if let Some(fault) = fired.get("fault").and_then(serde_json::Value::as_str) {
            self.count(fault);
        }
    }

    fn count(&self, fault: &str) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry(fault.to_owned()).or_default() += 1;
    }

    /// Firings by fault.
    pub(super) fn counts(&self) -> BTreeMap<String, u64> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What kept a firing from being written, if anything did.
    pub(super) fn failure(&self) -> Option<io::Error> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
