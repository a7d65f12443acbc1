//! `evaluate`: checks the replicas, measures loss and accuracy, decides what comes next, and deletes what no
//! later step reads.

use super::exchange::anomalies;
use super::lineage::Made;
use super::progress::{Measured, decide};
use super::run::Run;
use super::{Environment, cost, fanout, invalid_event, retention};
use crate::data::Batch;
use crate::models::Replica;
use crate::torch;
use std::collections::{BTreeMap, BTreeSet};
use stepgrad_contract::anomaly::NAMED;
use stepgrad_contract::digest::sha256;
use stepgrad_contract::events::{
    Action, EvaluateEvent, EvaluateReply, LOST_NAMED, Next, Replicas, Reports, RoundMetrics,
};
use stepgrad_contract::fanout::Fanout;
use stepgrad_contract::progress::{Lost, Members, Sums};
use stepgrad_contract::tensors::TensorFile;
use stepgrad_contract::training::Topology;
use stepgrad_contract::view::Reached;
use stepgrad_contract::{ErrorKind, FunctionError, keys};

pub(super) async fn handle(
    environment: &Environment,
    event: EvaluateEvent,
) -> Result<EvaluateReply, FunctionError> {
    let run = environment.run(&event.run).await?;
    let (round, view, store) = (event.round, event.view, &environment.store);
    run.check_round(round)?;
    let members = run.members(store, round, view).await?;
    let exchanged = exchanged(&run, &event, &members)?;
    let (digest, file) = agreed(&run, environment, &members, &exchanged).await?;
    let before = run.before(store, round).await?;

    let mut training = Sums::default();
    let amiss = anomalies(&run, environment, &members).await?;
    let caught = |peer: u32| amiss.anomalous.iter().any(|other| other.peer == peer && other.why.is_caught());
    for peer in members.members.iter().filter(|peer| !caught(**peer)) {
        // The exchange has verified the file.
        training.add(&Made::Published { round, peer: *peer }.sums(environment, &run).await?);
    }
    check_finite(round, before.learning_rate, &training, &file)?;
    let ends_epoch = run.schedule.ends_epoch(round);
    let validation = match ends_epoch {
        true => validate(&run, environment, file).await?.metrics(),
        false => None,
    };
    if validation.is_some_and(|metrics| !metrics.loss.is_finite()) {
        return Err(not_finite(round, before.learning_rate, "the loss on the held-out set"));
    }
    let measured = Measured {
        round,
        epochs: run.schedule.epochs_after(round),
        starts_epoch: run.schedule.ends_epoch(round - 1),
        ends_epoch,
        is_last: run.schedule.is_last(round),
        training,
        validation,
        replica: digest,
        holders: exchanged.holders,
        view,
        lost: members.lost.iter().chain(&exchanged.lost).cloned().collect(),
    };
    let after = decide(&run.training, &before, measured);
    store.put_document(&keys::progress(&run.id, round), &after).await?;
    if let Some(retain) = run.training.retain_rounds {
        retention::sweep(store, &run.id, round, retain).await?;
    }

    let next = match after.stop {
        Some(_) => Next { round, next: Action::Finish, fanout: Fanout::nobody() },
        None => Next {
            round: round + 1,
            next: match round % run.training.rounds_per_segment.max(1) {
                0 => Action::Segment,
                _ => Action::Round,
            },
            fanout: fanout::of_round(&run, round + 1, &after)?,
        },
    };
    let cost = cost::after(&run, &event, &before, &after)?;
    let metrics = RoundMetrics {
        round,
        epochs: after.epochs,
        learning_rate: before.learning_rate,
        members: u32::try_from(members.members.len()).unwrap_or(u32::MAX),
        view,
        lost: members.lost.into_iter().chain(exchanged.lost).take(LOST_NAMED).collect(),
        gone: before.gone.into_iter().take(LOST_NAMED).collect(),
        anomalous: amiss.anomalous.into_iter().take(NAMED).collect(),
        skipped: amiss.skipped,
        samples: training.samples,
        training: after.training,
        validation,
        replica: after.replica,
        stop: after.stop,
    };
    Ok(EvaluateReply { next, metrics, cost })
}

/// The replica that stands for all, where `holders` have one each.
pub(super) fn replica_of(run: &Run, round: u32, view: u32, holders: &[u32]) -> Result<Made, FunctionError> {
    match (run.training.topology, holders.first()) {
        (Topology::ParameterServer, _) => Ok(Made::ServerReplica { round, view }),
        (Topology::PeerToPeer, Some(peer)) => Ok(Made::Replica { round, view, peer: *peer }),
        (Topology::PeerToPeer, None) => Err(invalid_event(format!("nobody has a replica of round {round}"))),
    }
}

/// What came of an exchange.
struct Exchanged {
    /// Peers that have the new replica, ascending; none where a server has the only one.
    holders: Vec<u32>,
    /// Members that have not, ascending.
    lost: Vec<Lost>,
    /// The digest that all report.
    digests: BTreeSet<String>,
}

/// What is reported of the members' replicas.
fn exchanged(run: &Run, event: &EvaluateEvent, members: &Members) -> Result<Exchanged, FunctionError> {
    let mut reports = BTreeMap::new();
    let (mut lost, mut digests, mut servers) = (Vec::new(), BTreeSet::new(), 0);
    for replicas in &event.replicas {
        match replicas {
            Replicas::Server(digest) => {
                servers += 1;
                digests.insert(digest.clone());
            }
            Replicas::Reported(Reports::Server { reached }) => {
                return Err(unreached(members, *reached, run.training.quorum));
            }
            Replicas::Reported(peers) => {
                reports.extend(peers.each().into_iter().map(|report| (report.peer, report)));
            }
        }
    }
    let peers: &[u32] = match run.training.topology {
        Topology::PeerToPeer => &members.members,
        Topology::ParameterServer => &[],
    };
    if !reports.keys().eq(peers) || servers != u32::from(run.training.topology == Topology::ParameterServer) {
        return Err(invalid_event(format!(
            "{} peers and {servers} servers report a replica, and the round has {} members that hold one",
            reports.len(),
            peers.len()
        )));
    }
    let mut holders = Vec::new();
    for (peer, report) in reports {
        match (report.loss(), report.replica) {
            (None, Some(digest)) => {
                holders.push(peer);
                digests.insert(digest);
            }
            (error, _) => {
                lost.push(Lost { peer, error: error.unwrap_or_else(|| "States.TaskFailed".to_owned()) });
            }
        }
    }
    Ok(Exchanged { holders, lost, digests })
}

/// The server has no replica, because it does not reach all members.
fn unreached(members: &Members, reached: Reached, quorum: u32) -> FunctionError {
    let reached = reached.of_members(&members.members).len();
    let message = format!(
        "the server reaches what {reached} of {} members of round {} published, the quorum is {quorum}",
        members.members.len(),
        members.round
    );
    FunctionError::new(ErrorKind::QuorumLost, message)
}

/// The replica, if as many peers as the quorum have it, and all the same.
async fn agreed(
    run: &Run,
    environment: &Environment,
    members: &Members,
    exchanged: &Exchanged,
) -> Result<(String, TensorFile), FunctionError> {
    let (round, view) = (members.round, members.view);
    let (here, quorum) = (exchanged.holders.len(), run.training.quorum.max(1) as usize);
    if run.training.topology == Topology::PeerToPeer && here < quorum {
        let named: Vec<_> = exchanged.lost.iter().take(LOST_NAMED).map(ToString::to_string).collect();
        let message = format!(
            "{here} peers finished the exchange of round {round}, the quorum is {quorum}; lost: {}",
            named.join(", ")
        );
        return Err(FunctionError::new(ErrorKind::QuorumLost, message));
    }
    let (bytes, file) = replica_of(run, round, view, &exchanged.holders)?.read(environment, run).await?;
    let digest = sha256(&bytes);
    let others: Vec<&String> = exchanged.digests.iter().filter(|other| **other != digest).collect();
    match others.first() {
        None => Ok((digest, file)),
        Some(other) => {
            let message = format!(
                "replicas differ after round {round}: {other} and {digest}; a synchronous exchange keeps them equal, so run all functions from one build on one instruction set"
            );
            Err(FunctionError::new(ErrorKind::ReplicasDiverged, message))
        }
    }
}

fn check_finite(
    round: u32,
    learning_rate: f64,
    training: &Sums,
    replica: &TensorFile,
) -> Result<(), FunctionError> {
    if !training.loss.is_finite() {
        return Err(not_finite(round, learning_rate, "the loss"));
    }
    let infinite = replica.tensors.iter().find(|(_, tensor)| !tensor.is_finite());
    match infinite {
        Some((name, _)) => Err(not_finite(round, learning_rate, &format!("parameter {name}"))),
        None => Ok(()),
    }
}

fn not_finite(round: u32, learning_rate: f64, what: &str) -> FunctionError {
    let message = format!(
        "{what} is not a finite number after round {round} at learning rate {learning_rate:?}: lower training.optimizer.sgd.learning_rate, or scale the data with data.preprocess"
    );
    FunctionError::new(ErrorKind::NotFinite, message)
}

/// The sums over the held-out set, one batch in memory at a time.
async fn validate(run: &Run, environment: &Environment, file: TensorFile) -> Result<Sums, FunctionError> {
    let mut sums = Sums::default();
    if run.manifest.validation.batches == 0 {
        return Ok(sums);
    }
    let replica: Replica = run.replica(&file)?;
    drop(file);
    for batch in 1..=run.manifest.validation.batches {
        let raw = Made::ValidationBatch { batch }.get(environment, run).await?;
        let measured = torch::deterministic(0, || {
            replica.measure(&Batch::load(&raw, &run.manifest)?, run.training.model.loss)
        });
        sums.add(&measured?);
    }
    Ok(sums)
}
