//! What each round costs, as far as its history does not tell: calls made, memory times time, bytes moved. Kept in
//! `costs.jsonl`, a line for each round; round 0 is what happens outside of rounds.
#![expect(clippy::disallowed_methods, reason = "reads and writes the record")]

use crate::failure::Failure;
use crate::record::{Totals, keep_file};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use stepgrad_contract::call_log::CallLog;
use stepgrad_engine::host::InvocationRecord;

/// The file.
pub(crate) const FILE: &str = "costs.jsonl";

/// What a round cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct RoundCosts {
    /// The round.
    pub(crate) round: u32,
    /// Calls that were made, those after a resumption included.
    pub(crate) calls: u64,
    /// Memory reserved × time billed, in GB seconds.
    pub(crate) gb_seconds: f64,
    /// Bytes that functions read.
    pub(crate) bytes_read: u64,
    /// Bytes that functions wrote.
    pub(crate) bytes_written: u64,
}

#[derive(Debug, Default)]
struct Books {
    rounds: BTreeMap<u32, RoundCosts>,
    /// What calls were billed whose round is not known yet, by request id.
    billed: BTreeMap<String, f64>,
    /// The rounds of calls that are not billed yet, from their own logs, likewise.
    logged: BTreeMap<String, u32>,
}

impl Books {
    fn round(&mut self, round: u32) -> &mut RoundCosts {
        self.rounds.entry(round).or_insert(RoundCosts { round, ..RoundCosts::default() })
    }
}

/// The costs of all rounds so far.
#[derive(Debug, Default)]
pub(super) struct Costs {
    books: Mutex<Books>,
    /// Held by whoever writes the file.
    writing: Mutex<()>,
}

/// The rounds of a record's file; those of a torn last line are left out.
pub(crate) fn read(folder: &Path) -> Vec<RoundCosts> {
    let text = std::fs::read_to_string(folder.join(FILE)).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

impl Costs {
    /// Goes on from what earlier processes spent.
    pub(super) fn of(folder: &Path) -> Self {
        let rounds = read(folder).into_iter().map(|costs| (costs.round, costs)).collect();
        Self { books: Mutex::new(Books { rounds, ..Books::default() }), writing: Mutex::default() }
    }

    /// Brings totals that were kept a little earlier, by a process that was killed, up to what it has spent.
    pub(super) fn complete(&self, totals: &mut Totals) {
        let books = self.books();
        let sum = |of: fn(&RoundCosts) -> u64| books.rounds.values().map(of).fold(0, u64::saturating_add);
        totals.gb_seconds = totals.gb_seconds.max(books.rounds.values().map(|costs| costs.gb_seconds).sum());
        totals.bytes_read = totals.bytes_read.max(sum(|costs| costs.bytes_read));
        totals.bytes_written = totals.bytes_written.max(sum(|costs| costs.bytes_written));
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A call of the round is made.
    pub(super) fn called(&self, round: u32) {
        self.books().round(round).calls += 1;
    }

    /// The host's record of a call, which comes before its caller is told.
    pub(super) fn billed(&self, record: &InvocationRecord) {
        let cost = f64::from(record.memory_mb) / 1024.0 * record.billed_ms as f64 / 1000.0;
        let mut books = self.books();
        match books.logged.remove(&record.request_id) {
            Some(round) => books.round(round).gb_seconds += cost,
            None => drop(books.billed.insert(record.request_id.clone(), cost)),
        }
    }

    /// The caller is told, and knows the round: of a call that died without a word, nobody else does.
    pub(super) fn told(&self, round: u32, request_id: &str) {
        let mut books = self.books();
        books.logged.remove(request_id);
        if let Some(cost) = books.billed.remove(request_id) {
            books.round(round).gb_seconds += cost;
        }
    }

    /// What a call says of itself and of what it moved.
    pub(super) fn moved(&self, call: &CallLog) {
        let round = call.round.and_then(|round| u32::try_from(round).ok()).unwrap_or(0);
        let mut books = self.books();
        match books.billed.remove(&call.request_id) {
            Some(cost) => books.round(round).gb_seconds += cost,
            None => drop(books.logged.insert(call.request_id.clone(), round)),
        }
        let costs = books.round(round);
        costs.bytes_read += call.traffic.bytes_read;
        costs.bytes_written += call.traffic.bytes_written;
    }

    /// Writes the file of the record in `folder` anew.
    pub(super) fn keep(&self, folder: &Path) -> Result<(), Failure> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let rounds = self.books().rounds.clone();
        keep_file(folder, FILE, text(rounds.values()).as_bytes())
    }
}

/// The file's content.
pub(crate) fn text<'a>(rounds: impl Iterator<Item = &'a RoundCosts>) -> String {
    let mut text = String::new();
    for costs in rounds {
        text.push_str(&serde_json::to_string(costs).unwrap_or_default());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{Costs, read};
    use crate::record::{Record, Totals};
    use stepgrad_contract::call_log::CallLog;

    #[test]
    fn costs_go_on_from_those_of_the_process_before() {
        let runs = tempfile::tempdir().unwrap();
        let record = Record::create(runs.path(), "r").unwrap();
        for expected in 1..=2 {
            let costs = Costs::of(&record.folder);
            costs.called(3);
            let line = r#"{"kind":"call","function":"gradient","request_id":"i","round":3,"objects_read":1,"bytes_read":10,"objects_written":1,"bytes_written":5}"#;
            costs.moved(&CallLog::from_line(line).unwrap());
            costs.keep(&record.folder).unwrap();
            let mut totals = Totals { bytes_read: 3, bytes_written: 100, ..Totals::default() };
            costs.complete(&mut totals);
            assert_eq!((totals.bytes_read, totals.bytes_written), (10 * expected, 100));
            let rounds = read(&record.folder);
            assert_eq!(rounds.len(), 1);
            assert_eq!(
                (rounds[0].round, rounds[0].calls, rounds[0].bytes_read),
                (3, expected, 10 * expected)
            );
        }
    }
}
