//! The functions' logs, and what they say was moved.

use std::sync::{Mutex, PoisonError};
use stepgrad_contract::call_log::{CallLog, Traffic};
use stepgrad_engine::host::{LogFolder, LogSink};

/// Writes the logs into the record, and adds up what the calls moved.
pub(super) struct Logs {
    folder: LogFolder,
    traffic: Mutex<Traffic>,
}

impl Logs {
    /// Logs into `folder`.
    pub(super) fn new(folder: LogFolder) -> Self {
        Self { folder, traffic: Mutex::default() }
    }

    /// What was moved so far.
    pub(super) fn traffic(&self) -> Traffic {
        *self.traffic.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LogSink for Logs {
    fn write(&self, function: &str, lines: &str) {
        for call in lines.lines().filter_map(CallLog::from_line) {
            self.traffic.lock().unwrap_or_else(PoisonError::into_inner).add(&call.traffic);
        }
        self.folder.write(function, lines);
    }
}
