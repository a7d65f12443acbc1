//! Follows a run's history: what is shown, what stands in `metrics.jsonl`, and what is counted, all come from
//! its events, recorded ones and new ones alike.

use crate::failure::Failure;
use crate::record::Lines;
use crate::show::progress::{Progress, State};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use stepgrad_asl::Payload;
use stepgrad_contract::events::RoundMetrics;
use stepgrad_contract::manifest::Manifest;
use stepgrad_contract::{Training, keys};
use stepgrad_engine::core::{EventType, Record};

/// Follows a run's history.
pub(crate) struct Watch {
    state: State,
    training: Training,
    manifest: PathBuf,
    metrics: Lines,
    recorded: BTreeSet<u32>,
    progress: Arc<Progress>,
    counts: Arc<Mutex<Counts>>,
}

/// What is counted of a run.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    /// States entered, which is what Step Functions bills.
    pub(crate) transitions: u64,
    /// Executions started.
    pub(crate) executions: u64,
    /// Calls of functions.
    pub(crate) invocations: u64,
}

impl Watch {
    /// For a run below `runs`; starts `metrics.jsonl` anew, from the recorded events that it is given first.
    pub(crate) fn new(
        runs: &std::path::Path,
        run: &str,
        training: Training,
        progress: Arc<Progress>,
    ) -> Result<Self, Failure> {
        Ok(Self {
            state: State { epochs: training.epochs, ..State::default() },
            training,
            manifest: runs.join(keys::manifest(run)),
            metrics: Lines::create(&runs.join(run).join("metrics.jsonl"))?,
            recorded: BTreeSet::new(),
            progress,
            counts: Arc::default(),
        })
    }

    /// What is counted, readable after the watch is gone.
    pub(crate) fn counts(&self) -> Arc<Mutex<Counts>> {
        Arc::clone(&self.counts)
    }

    /// Takes the next record, at `elapsed` since this process began.
    pub(crate) fn record(
        &mut self,
        record: &Record,
        elapsed: Duration,
        replayed: bool,
    ) -> Result<(), Failure> {
        let Record::Event { execution, event, .. } = record else { return Ok(()) };
        self.state.elapsed = elapsed;
        let kind = event.event_type;
        match kind {
            EventType::ExecutionStarted => self.count(|counts| counts.executions += 1),
            EventType::TaskScheduled if event.details.resource_type == Some("lambda") => {
                self.state.invocations += 1;
                self.count(|counts| counts.invocations += 1);
            }
            EventType::ExecutionSucceeded if execution.starts_with("round:") => {
                let output = event.details.output.as_ref().map(Payload::value);
                let metrics =
                    output.and_then(|output| serde_json::from_value(output["metrics"].clone()).ok());
                if let Some(metrics) = metrics {
                    self.round(metrics, replayed)?;
                }
            }
            _ if kind.name().ends_with("StateEntered") => self.count(|counts| counts.transitions += 1),
            _ => return Ok(()),
        }
        if !replayed {
            self.progress.show(&self.state, false);
        }
        Ok(())
    }

    /// Shows where the run stands at `elapsed`, for the clock; where that was not shown yet, as after a round.
    pub(crate) fn stands(&mut self, elapsed: Duration, is_news: bool) {
        self.state.elapsed = elapsed;
        self.progress.show(&self.state, is_news && self.state.last.is_some());
    }

    fn count(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut self.counts.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn round(&mut self, metrics: RoundMetrics, replayed: bool) -> Result<(), Failure> {
        if self.state.rounds.is_none() {
            self.state.rounds = self.rounds();
        }
        if !self.recorded.insert(metrics.round) {
            return Ok(());
        }
        self.metrics.push(&metrics)?;
        if let Some(validation) = metrics.validation {
            self.state.accuracy = Some(validation.accuracy);
        }
        if replayed {
            self.state.resumed_from = self.state.resumed_from.max(metrics.round);
        }
        self.state.last = Some(metrics);
        if !replayed {
            self.progress.show(&self.state, true);
        }
        Ok(())
    }

    /// Rounds at the most, from what `prepare` found out.
    #[expect(clippy::disallowed_methods, reason = "reads the record")]
    fn rounds(&self) -> Option<u64> {
        let manifest: Manifest = serde_json::from_slice(&std::fs::read(&self.manifest).ok()?).ok()?;
        Some(self.training.rounds(manifest.largest_shard()))
    }
}
