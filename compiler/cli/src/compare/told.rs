//! What a run's record tells of it, round by round: from its history, its metrics and its costs.

use crate::exit::Exit;
use crate::failure::Failure;
use crate::local::{costs, read_json};
use crate::record::{self, Run};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use stepgrad_asl::Payload;
use stepgrad_contract::events::RoundMetrics;
use stepgrad_contract::faults::{Fired, Plan};
use stepgrad_contract::manifest::Manifest;
use stepgrad_contract::schedule::Schedule;
use stepgrad_contract::{Training, keys};
use stepgrad_engine::core::{EventType, HistoryEvent, Record};
use stepgrad_engine::driver::history::HistoryFile;

/// The states whose end decides who takes part in a round; the last of them counts.
const DECIDING: [&str; 2] = ["Membership", "View"];
/// The states whose end settles who took part in its exchange.
const SETTLING: [&str; 2] = ["Evaluate", "Reevaluate"];

/// What a record tells.
#[derive(Debug)]
pub(crate) struct Told {
    /// Where it is.
    pub(super) folder: PathBuf,
    /// Its `run.json`.
    pub(crate) run: Run,
    /// Its configuration.
    pub(super) training: Training,
    /// What goes wrong in it.
    pub(super) plan: Option<Plan>,
    /// When which peer works on how much; `None` where the run ended before its data was read.
    pub(super) schedule: Option<Schedule>,
    /// By number.
    pub(super) rounds: BTreeMap<u32, Round>,
    /// Every firing, in order, with its time in milliseconds.
    pub(super) firings: Vec<(i64, Fired)>,
    /// Calls whose result was used.
    pub(super) used: u64,
    /// Calls that were made, those after a resumption included; by the history, where it knows of more than what was
    /// kept of the costs.
    pub(super) calls: u64,
}

/// A round.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Round {
    /// Of the clock, from its start to its end.
    pub(super) seconds: Option<f64>,
    /// Calls of functions.
    pub(super) invocations: u64,
    /// Of which repetitions.
    pub(super) retries: u64,
    /// Of which failed.
    pub(super) failures: u64,
    /// Memory reserved × time billed; `None` where it is not known.
    pub(super) gb_seconds: Option<f64>,
    /// Bytes that functions read and wrote, likewise.
    pub(super) bytes: Option<u64>,
    /// What was measured; `None` of a round that did not come to its end.
    pub(super) metrics: Option<RoundMetrics>,
    #[serde(skip)]
    started: Option<i64>,
    /// When it was decided who takes part, in milliseconds.
    #[serde(skip)]
    pub(super) decided: Option<i64>,
    /// When it was settled who took part in the exchange as well, likewise.
    #[serde(skip)]
    pub(super) evaluated: Option<i64>,
    /// When each lost peer's calls had failed for good, likewise.
    #[serde(skip)]
    pub(super) noticed: BTreeMap<u32, i64>,
}

impl Told {
    /// Reads the record of `folder`.
    pub(crate) fn read(folder: &Path) -> Result<Self, Failure> {
        let run = record::read(folder)?;
        let training: Training = read_json(&folder.join("bundle/training.json"))?;
        let object = |key: String| folder.join(record::below(&run.run, key));
        let manifest = object(keys::manifest(&run.run));
        let schedule = match manifest.is_file() {
            true => Schedule::new(&training, &read_json::<Manifest>(&manifest)?).ok(),
            false => None,
        };
        let plan = match &training.faults {
            Some(_) => Some(read_json(&object(keys::faults(&run.run)))?),
            None => None,
        };
        let mut told = Self {
            folder: folder.to_owned(),
            run,
            training,
            plan,
            schedule,
            rounds: BTreeMap::new(),
            firings: Vec::new(),
            used: 0,
            calls: 0,
        };
        told.read_history()?;
        told.read_metrics()?;
        let mut made = 0;
        for costs in costs::read(folder) {
            made += costs.calls;
            if let Some(round) = told.rounds.get_mut(&costs.round).filter(|_| told.run.costs_are_known()) {
                round.gb_seconds = Some(costs.gb_seconds);
                round.bytes = Some(costs.bytes_read + costs.bytes_written);
            }
        }
        told.calls = told.calls.max(made);
        Ok(told)
    }

    fn read_history(&mut self) -> Result<(), Failure> {
        let path = self.folder.join("history.jsonl");
        let damaged = |error: &dyn std::fmt::Display| Failure::new(Exit::Internal, error.to_string());
        for record in HistoryFile::read(&path, u64::MAX).map_err(|error| damaged(&error))? {
            match record.map_err(|error| damaged(&error))? {
                Record::Event { execution, event, attempt } => self.event(&execution, &event, attempt),
                Record::Fault { timestamp, fired } => {
                    if let Ok(fired) = serde_json::from_value(fired) {
                        self.firings.push((timestamp, fired));
                    }
                }
                Record::Objects { .. } | Record::Resumed { .. } => {}
            }
        }
        Ok(())
    }

    fn event(&mut self, execution: &str, event: &HistoryEvent, attempt: Option<u32>) {
        let is_call = event.details.resource_type == Some("lambda");
        let kind = event.event_type;
        if is_call && kind == EventType::TaskSucceeded {
            self.used += 1;
        }
        self.calls += u64::from(is_call && kind == EventType::TaskScheduled);
        let Some(round) = round_of(execution, &self.run.run) else { return };
        let entry = self.rounds.entry(round).or_default();
        let is_whole = execution.starts_with("round:");
        match kind {
            EventType::TaskScheduled if is_call => {
                entry.invocations += 1;
                entry.retries += u64::from(attempt.unwrap_or(0) > 0);
            }
            EventType::TaskFailed | EventType::TaskTimedOut if is_call => entry.failures += 1,
            EventType::ExecutionStarted if is_whole => entry.started = Some(event.timestamp),
            EventType::TaskStateExited
                if event.details.name.as_deref().is_some_and(|name| DECIDING.contains(&name)) =>
            {
                entry.decided = Some(event.timestamp);
            }
            EventType::TaskStateExited
                if event.details.name.as_deref().is_some_and(|name| SETTLING.contains(&name)) =>
            {
                entry.evaluated = Some(event.timestamp);
            }
            EventType::PassStateExited => {
                for peer in lost(event) {
                    let _ = entry.noticed.entry(peer).or_insert(event.timestamp);
                }
            }
            kind if kind.is_end() && is_whole => {
                entry.seconds = entry.started.map(|started| (event.timestamp - started) as f64 / 1_000.0);
            }
            _ => {}
        }
    }

    fn read_metrics(&mut self) -> Result<(), Failure> {
        for metrics in record::lines::<RoundMetrics>(&self.folder.join("metrics.jsonl"))? {
            let round = metrics.round;
            self.rounds.entry(round).or_default().metrics = Some(metrics);
        }
        Ok(())
    }

    /// The last round that began.
    pub(super) fn reached(&self) -> u32 {
        self.rounds.keys().next_back().copied().unwrap_or(0)
    }

    /// On the held-out set, else on the training's last epoch.
    pub(super) fn accuracy(&self) -> Option<f64> {
        let result = self.run.result.as_ref()?;
        result.validation.or(result.training).map(|metrics| metrics.accuracy)
    }

    /// Likewise.
    pub(super) fn loss(&self) -> Option<f64> {
        let result = self.run.result.as_ref()?;
        result.validation.or(result.training).map(|metrics| metrics.loss)
    }
}

/// The peers that a state reports as lost: one, or all of a group whose execution failed.
fn lost(event: &HistoryEvent) -> Vec<u32> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Report {
        One { peer: u32, status: String },
        Group { lost: Vec<u32> },
    }
    let output = event.details.output.as_ref().map(Payload::value);
    match output.and_then(|output| Report::deserialize(output).ok()) {
        Some(Report::One { peer, status }) if status == "LOST" => vec![peer],
        Some(Report::Group { lost }) => lost,
        _ => Vec::new(),
    }
}

/// The round of an execution: `round:<run>-r<round>`, and for its parts more behind it.
fn round_of(execution: &str, run: &str) -> Option<u32> {
    let (_, name) = execution.split_once(':')?;
    let rest = name.strip_prefix(run)?.strip_prefix("-r")?;
    let end = rest.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len());
    rest.get(..end)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::round_of;

    #[test]
    fn the_names_of_executions_tell_their_rounds() {
        assert_eq!(round_of("round:digits-1-r12", "digits-1"), Some(12));
        assert_eq!(round_of("peers:digits-1-r3-synchronise-g10", "digits-1"), Some(3));
        assert_eq!(round_of("segment:digits-1-s1", "digits-1"), None);
        assert_eq!(round_of("train:digits-1", "digits-1"), None);
    }
}
