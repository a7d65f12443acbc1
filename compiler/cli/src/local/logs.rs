//! The functions' logs, and what they say was moved and went wrong on purpose.

use super::costs::Costs;
use super::firings::Firings;
use std::sync::{Arc, Mutex, PoisonError};
use stepgrad_contract::call_log::{CallLog, Traffic};
use stepgrad_contract::faults::Fired;
use stepgrad_engine::host::{LogFolder, LogSink};

/// Writes the logs into the record, and adds up what the calls moved.
pub(super) struct Logs {
    folder: LogFolder,
    traffic: Mutex<Traffic>,
    costs: Arc<Costs>,
    firings: Arc<Firings>,
}

impl Logs {
    /// Logs into `folder`.
    pub(super) fn new(folder: LogFolder, costs: Arc<Costs>, firings: Arc<Firings>) -> Self {
        Self { folder, traffic: Mutex::default(), costs, firings }
    }

    /// What was moved so far.
    pub(super) fn traffic(&self) -> Traffic {
        *self.traffic.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LogSink for Logs {
    fn write(&self, function: &str, lines: &str) {
        for line in lines.lines() {
            if let Some(call) = CallLog::from_line(line) {
                self.traffic.lock().unwrap_or_else(PoisonError::into_inner).add(&call.traffic);
                self.costs.moved(&call);
            } else if let Some(fired) = Fired::from_line(line) {
                self.firings.fired(&fired);
            }
        }
        self.folder.write(function, lines);
    }
}
