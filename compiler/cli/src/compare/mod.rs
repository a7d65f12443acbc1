//! Two runs side by side: what each round came to and cost, who was lost and came back, what work was lost, which
//! invariants held, and the verdict on what was expected.
//!
//! `told` reads a record, `losses` follows the peers, `invariants` checks, `show` is for people.

mod invariants;
mod losses;
mod show;
mod told;

pub(crate) use show::text;
pub(crate) use told::Told;

use crate::record::Status;
use invariants::Invariants;
use serde::Serialize;
use std::collections::BTreeMap;
use stepgrad_compiler::faults::{Facts, FaultFile, LostPeer, Verdict, verdict};
use stepgrad_contract::faults::{Fault, Plan, Set};
use told::Round;

/// The version of the document.
const VERSION: u32 = 1;

/// Two runs side by side.
#[derive(Debug, Serialize)]
pub(crate) struct Comparison {
    version: u32,
    /// The first run.
    baseline: Side,
    /// The second one.
    rerun: Side,
    /// Whether both were compiled from the same spec.
    same_spec: bool,
    /// By round; a run that did not come so far has none.
    rounds: Vec<Pair>,
    /// Of the second run: how long it took to go on without a peer, and to have it back.
    lost_peers: Vec<Lost>,
    invariants: Invariants,
    /// Of the second run: firings by fault.
    fired: BTreeMap<String, u64>,
    /// Faults that never fired although the run came to where they are.
    never_fired: Vec<String>,
    /// On the fault file's expectations; empty where there is none.
    pub(crate) verdict: Vec<Verdict>,
    /// Whether every expectation holds and every fault fired.
    pub(crate) holds: bool,
}

/// One run in short.
#[derive(Debug, Serialize)]
struct Side {
    run: String,
    status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    weights_sha256: Option<String>,
    loss: Option<f64>,
    accuracy: Option<f64>,
    seconds: f64,
    /// `None` where it is not known.
    gb_seconds: Option<f64>,
    /// Calls of functions, those after a resumption included.
    calls: u64,
    /// Those whose result was not used: they failed, or were made again.
    lost_calls: u64,
}

/// A round of both runs.
#[derive(Debug, Serialize)]
struct Pair {
    round: u32,
    baseline: Option<Round>,
    rerun: Option<Round>,
}

/// How the loss of a peer went, with what follows from it.
#[derive(Debug, Serialize)]
struct Lost {
    #[serde(flatten)]
    peer: LostPeer,
    detect_rounds: Option<u32>,
    exclude_rounds: Option<u32>,
    rejoin_rounds: Option<u32>,
}

impl Comparison {
    /// Compares `rerun` with `baseline`, by the expectations of `file`, where there is one.
    pub(crate) fn of(baseline: &Told, rerun: &Told, file: Option<&FaultFile>) -> Self {
        let last = [baseline, rerun].iter().filter_map(|told| told.rounds.keys().next_back()).max().copied();
        let pair = |round| Pair {
            round,
            baseline: baseline.rounds.get(&round).cloned(),
            rerun: rerun.rounds.get(&round).cloned(),
        };
        let losses = losses::of(rerun);
        let invariants = Invariants::of(baseline, rerun);
        let never_fired = rerun.plan.as_ref().map(|plan| never_fired(plan, rerun)).unwrap_or_default();
        let facts = facts(baseline, rerun, &losses, &invariants);
        let verdict = file.map(|file| verdict(&file.expect, &facts)).unwrap_or_default();
        let holds = never_fired.is_empty() && verdict.iter().all(|line| line.holds);
        Self {
            version: VERSION,
            baseline: side(baseline),
            rerun: side(rerun),
            same_spec: baseline.run.spec_sha256 == rerun.run.spec_sha256,
            rounds: last.map(|last| (1..=last).map(pair).collect()).unwrap_or_default(),
            lost_peers: losses
                .into_iter()
                .map(|peer| Lost {
                    detect_rounds: peer.detect_rounds(),
                    exclude_rounds: peer.exclude_rounds(),
                    rejoin_rounds: peer.rejoin_rounds(),
                    peer,
                })
                .collect(),
            invariants,
            fired: rerun.run.fired.clone(),
            never_fired,
            verdict,
            holds,
        }
    }
}

fn side(told: &Told) -> Side {
    let run = &told.run;
    Side {
        run: run.run.clone(),
        status: run.status,
        error: run.error.clone(),
        weights_sha256: run.result.as_ref().map(|result| result.weights_sha256.clone()),
        loss: told.loss(),
        accuracy: told.accuracy(),
        seconds: run.totals.seconds,
        gb_seconds: run.costs_are_known().then_some(run.totals.gb_seconds),
        calls: told.calls,
        lost_calls: told.calls.saturating_sub(told.used),
    }
}

fn facts(baseline: &Told, rerun: &Told, losses: &[LostPeer], invariants: &Invariants) -> Facts {
    let mut lost: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for metrics in rerun.rounds.values().filter_map(|round| round.metrics.as_ref()) {
        for peer in &metrics.lost {
            lost.entry(peer.peer).or_default().push(metrics.round);
        }
    }
    let weights = |told: &Told| told.run.result.as_ref().map(|result| result.weights_sha256.clone());
    let metrics = rerun.rounds.values().filter_map(|round| round.metrics.as_ref());
    Facts {
        status: rerun.run.status.name().to_owned(),
        error: rerun.run.error.clone(),
        weights: weights(rerun),
        baseline_weights: weights(baseline),
        accuracy: rerun.accuracy(),
        baseline_accuracy: baseline.accuracy(),
        loss: rerun.loss(),
        extra_seconds: rerun.run.totals.seconds - baseline.run.totals.seconds,
        fired: rerun.run.fired.clone(),
        lost,
        fewest_members: metrics.map(|metrics| metrics.members).min(),
        replicas_equal: invariants.replicas_equal,
        losses: losses.to_vec(),
    }
}

/// Faults that did not fire, but for those whose window a failed run never came to.
fn never_fired(plan: &Plan, rerun: &Told) -> Vec<String> {
    let succeeded = rerun.run.status == Status::Succeeded;
    let reached = rerun.reached();
    let due = |fault: &&Fault| {
        let first = fault.at.round.as_ref().and_then(Set::first);
        succeeded || first.is_none_or(|first| first <= reached)
    };
    let silent = |fault: &&Fault| !rerun.run.fired.contains_key(&fault.id);
    plan.faults.iter().filter(silent).filter(due).map(|fault| fault.id.clone()).collect()
}
