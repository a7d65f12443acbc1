//! What a training does, and what that costs, before it runs.
//!
//! Two figures, and nothing between them. The *expectation* is a run in which nothing fails: its transitions, executions and calls
//! are counted on the definitions for the very batches that each peer has, so that a run without faults, and which does
//! not stop early, comes to exactly these. The *worst case* is the one that a budget is held against
//! ([`stepgrad_contract::budget`]): every attempt of every call for all of its time limit, every transition with all retries.
//! How long calls take is not known before a run; whoever has measured them multiplies ([`Estimate::cost`]).

mod counts;
mod shards;
#[cfg(test)]
mod tests;
mod walk;

pub use counts::Counts;
pub use shards::shards;

use crate::compile::Compilation;
use crate::prices::{Prices, US_EAST_1};
use serde::Serialize;
use std::collections::BTreeMap;
use stepgrad_contract::budget::{Budget, Load, Rate};
use stepgrad_contract::fanout::{Batches, Choice, Fanout, Member};
use stepgrad_contract::manifest::Manifest;
use stepgrad_contract::schedule::Schedule;
use stepgrad_contract::training::{Algorithm, Every, MAX_CONCURRENCY, Training};
use stepgrad_contract::{Function, FunctionError};
use walk::Walker;

/// Peers times rounds of an epoch at the most that are looked at: some seconds' work.
const LOOKED_AT: u64 = 20_000_000;

/// What a training does and costs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Estimate {
    /// Rounds, if it makes all its epochs.
    pub rounds: u64,
    /// Executions of `segment`.
    pub segments: u64,
    /// The whole run, if nothing fails.
    pub run: Counts,
    /// The rounds of an epoch.
    pub epoch: Epoch,
    /// The whole run, if everything fails that may fail without ending it.
    pub worst: Worst,
    /// Whose prices it is counted with.
    pub prices: Prices,
    /// What a second and a request of each function cost.
    #[serde(skip)]
    rates: Budget,
}

/// The rounds of an epoch; where a round has several epochs, that round.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Epoch {
    /// Epochs that these rounds are.
    pub epochs: u32,
    /// The rounds.
    pub rounds: u64,
    /// What they do, without what `train` and `segment` do around them.
    #[serde(flatten)]
    pub counts: Counts,
}

/// The worst case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Worst {
    /// Transitions.
    pub transitions: u64,
    /// Requests of functions.
    pub invocations: u64,
    /// Seconds of functions, times their memory in MB.
    pub mb_seconds: u64,
    /// What all of it costs, in nano-dollars.
    pub cost: u64,
}

/// What counts come to, in nano-dollars.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Cost {
    /// Transitions.
    pub transitions: u64,
    /// Requests of functions.
    pub requests: u64,
    /// Time of functions.
    pub time: u64,
}

impl Cost {
    /// In all.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.transitions.saturating_add(self.requests).saturating_add(self.time)
    }
}

/// Why nothing can be counted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Uncounted {
    /// A Choice looks at what only a run tells.
    #[error("the Choice {state} looks at what only a run tells: {why}")]
    Choice {
        /// Machine and state.
        state: String,
        /// Why it cannot be told.
        why: String,
    },
    /// A state that is not of the kinds that are counted, or that calls something else.
    #[error("the state {0} is none that can be counted before a run")]
    State(String),
    /// A child that is not in the bundle.
    #[error("{0} is no state machine of the bundle")]
    Machine(String),
    /// No end was found.
    #[error("the way through {0} does not end")]
    Endless(String),
    /// The schedule means nothing, or no way carries its rounds.
    #[error("the rounds cannot be laid out: {0}")]
    Schedule(String),
    /// Too many rounds.
    #[error("{0} peers times rounds in an epoch are more than are counted before a run")]
    TooMany(u64),
}

impl From<FunctionError> for Uncounted {
    fn from(error: FunctionError) -> Self {
        Self::Schedule(error.message)
    }
}

/// What the training of `compiled` does with the batches of `manifest`.
///
/// # Errors
/// [`Uncounted`] where only a run can tell.
pub fn estimate(compiled: &Compilation, manifest: &Manifest) -> Result<Estimate, Uncounted> {
    let training = &compiled.bundle.training;
    let schedule = Schedule::new(training, manifest)?;
    let layout = Layout::new(training, &schedule)?;
    let mut walker = Walker::new(&compiled.bundle.machines);
    let mut epoch = Counts::default();
    for (batches, times) in &layout.loads {
        epoch.add(&walker.round(&layout.fanout(batches))?, *times);
    }
    let rounds = layout.rounds.saturating_mul(layout.times);
    let per_segment = u64::from(training.rounds_per_segment.max(1));
    let segments = rounds.div_ceil(per_segment).max(1);
    let mut run = Counts::default();
    run.add(&epoch, layout.times);
    let mut repeat = |name: &str, executions: u64, turns: u64| {
        let once = walker.around(name, 1)?;
        let more = walker.around(name, 2)?.since(&once);
        run.add(&once, executions);
        // An execution of one turn has gone once already.
        run.add(&Counts { executions: 0, ..more }, turns.saturating_sub(executions));
        Ok::<_, Uncounted>(())
    };
    repeat("train", 1, segments)?;
    repeat("segment", segments, rounds)?;
    Ok(Estimate {
        rounds,
        segments,
        run,
        epoch: Epoch { epochs: layout.epochs, rounds: layout.rounds, counts: epoch },
        worst: worst(compiled, &layout, segments),
        prices: US_EAST_1,
        rates: compiled.rates.clone(),
    })
}

impl Estimate {
    /// What `counts` come to where a call of each function takes `seconds` on average, the memory that it has as given; a function
    /// without a figure takes none.
    #[must_use]
    pub fn cost(&self, counts: &Counts, seconds: &BTreeMap<Function, f64>) -> Cost {
        let mut cost = Cost {
            transitions: counts.transitions.saturating_mul(self.rates.transition),
            requests: counts.invocations().saturating_mul(self.rates.request),
            time: 0,
        };
        for (function, calls) in &counts.calls {
            let second = self.rates.calls.get(function).map_or(0, |rate| rate.second);
            let each = seconds.get(function).copied().unwrap_or(0.0);
            #[expect(
                clippy::cast_precision_loss,
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "an amount that is an estimate"
            )]
            let time = (*calls as f64 * second as f64 * each.max(0.0)).ceil() as u64;
            cost.time = cost.time.saturating_add(time);
        }
        cost
    }

    /// The seconds that a call of each function can take at the most, without those of its initialisation.
    #[must_use]
    pub fn limits(&self) -> BTreeMap<Function, f64> {
        let limit = |rate: &Rate| f64::from(rate.longest_s.saturating_sub(crate::cost::INITIALISATION_S));
        self.rates.calls.iter().map(|(function, rate)| (*function, limit(rate))).collect()
    }
}

/// The rounds of a training by what they have to do.
struct Layout {
    choice: Choice,
    /// Epochs of the rounds that `loads` are.
    epochs: u32,
    /// Rounds that `loads` are.
    rounds: u64,
    /// How often those come.
    times: u64,
    /// Batches of each peer, and how many rounds have them.
    loads: BTreeMap<Vec<u32>, u64>,
}

impl Layout {
    fn new(training: &Training, schedule: &Schedule) -> Result<Self, Uncounted> {
        let averages = training.algorithm == Algorithm::GradientAveraging;
        let peers = training.peers;
        // All epochs have the same rounds; where a round has several, only a last, shorter one would be another.
        let (epochs, rounds, times) = match training.every {
            Every::Batches(_) => (1, u64::from(schedule.rounds_per_epoch()), u64::from(training.epochs)),
            Every::Epochs(epochs) => (epochs.min(training.epochs), 1, u64::from(schedule.last_round())),
        };
        let looked_at = rounds.saturating_mul(u64::from(peers));
        if averages && looked_at > LOOKED_AT {
            return Err(Uncounted::TooMany(looked_at));
        }
        let most =
            if averages { (1..=peers).map(|peer| schedule.work(1, peer).last).max().unwrap_or(0) } else { 0 };
        let choice = training.carriers.choose(peers, most);
        let choice =
            choice.ok_or_else(|| Uncounted::Schedule("they fit no execution's history".to_owned()))?;
        let mut loads = BTreeMap::new();
        if averages {
            for round in 1..=u32::try_from(rounds).unwrap_or(u32::MAX) {
                let batches = |peer| {
                    let work = schedule.work(round, peer);
                    work.last.saturating_add(1).saturating_sub(work.first)
                };
                *loads.entry((1..=peers).map(batches).collect()).or_insert(0) += 1;
            }
        } else {
            loads.insert(vec![0; peers as usize], rounds);
        }
        Ok(Self { choice, epochs, rounds, times, loads })
    }

    fn fanout(&self, batches: &[u32]) -> Fanout {
        let members = (1..).zip(batches).map(|(peer, batches)| Member {
            peer,
            probe: false,
            batches: Batches::carried(1, *batches, self.choice),
        });
        // How many of them are at work at once changes no count.
        Fanout::carried(members.collect(), self.choice, MAX_CONCURRENCY)
    }
}

/// The bound that a budget is held against, for the whole training; and the same bound of each unit alone, at a price of one.
fn worst(compiled: &Compilation, layout: &Layout, segments: u64) -> Worst {
    let (rates, carriers) = (&compiled.rates, &compiled.bundle.training.carriers);
    let loads: Vec<(Load, u64)> = layout
        .loads
        .iter()
        .map(|(batches, times)| {
            let load =
                Load { round: 2, opens_segment: false, batches: batches.clone(), choice: layout.choice };
            (load, times.saturating_mul(layout.times))
        })
        .collect();
    let only = |request: u64, transition: u64, second: &dyn Fn(Function) -> u64| {
        let rate =
            |(function, rate): (&Function, &Rate)| (*function, Rate { second: second(*function), ..*rate });
        let calls = rates.calls.iter().map(rate).collect();
        Budget { request, transition, calls, ..rates.clone() }.most(carriers, &loads, segments)
    };
    let memory: BTreeMap<&str, u64> = compiled
        .bundle
        .index
        .functions
        .iter()
        .map(|entry| (entry.handler.as_str(), u64::from(entry.memory_mb)))
        .collect();
    Worst {
        transitions: only(0, 1, &|_| 0),
        invocations: only(1, 0, &|_| 0),
        mb_seconds: only(0, 0, &|function| memory.get(function.name()).copied().unwrap_or(0)),
        cost: rates.most(carriers, &loads, segments),
    }
}
