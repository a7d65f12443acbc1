//! `peer_to_peer`: no peer is special. In every round each peer maps its batches to gradient invocations in
//! parallel, averages them weighted by samples, publishes the average, collects those of all other members and
//! updates its own replica; the replicas stay equal because all add the same numbers in the same order.
//!
//! Where members cannot read what others published, they tell whom they reach. If the quorum has no replica for that
//! reason, those that reach one another exchange once more, as a second view of the members; what the others
//! published does not count in this round.
//!
//! Source: Barrak, Petrillo and Jaafar, "Serverless on Machine Learning" and "Architecting Peer-to-Peer
//! Serverless Distributed Machine Learning Training for Improved Fault Tolerance" (IC2E 2023), Algorithm 1.
//! Under `model_averaging` each peer trains locally and the members average their parameters (LambdaML,
//! Jiang et al., SIGMOD 2021, section 3.2.1).

use super::{evaluate_or, finish, gradients, local_training, membership, reach, second_view, setup};
use crate::plan::{Dimension, Failure, Guarded, Map, Object, Plan, Stage, Step};
use stepgrad_contract::training::Algorithm;
use stepgrad_contract::{ErrorKind, Function, view};

/// The plan of this topology.
#[must_use]
pub fn plan(algorithm: Algorithm) -> Plan {
    let work = match algorithm {
        Algorithm::GradientAveraging => gradients(),
        Algorithm::ModelAveraging => local_training(),
    };
    let first = Step::Guarded(Guarded {
        stage: update("Update", view::FIRST),
        from: ErrorKind::ObjectUnavailable,
        then: vec![Step::Task(reach())],
    });
    let mut round = vec![work];
    round.extend(membership());
    round.push(synchronise("Synchronise", first));
    let again = synchronise("Resynchronise", Step::Task(update("Reupdate", view::LAST)));
    round.push(evaluate_or(second_view(again)));
    Plan {
        summary: "peers exchange with all others, each updates its own replica",
        setup: setup(),
        round,
        finish: finish(),
    }
}

fn synchronise(name: &'static str, update: Step) -> Step {
    Step::Map(Map {
        name,
        over: Dimension::Peers,
        steps: vec![update],
        failure: Failure::Reported,
        results: Some("$.replicas"),
    })
}

fn update(name: &'static str, view: u32) -> Stage {
    Stage {
        name,
        function: Function::Synchronise,
        reads: &[Object::Published, Object::Members, Object::ReplicaBefore, Object::OptimizerBefore],
        writes: &[Object::Replica, Object::Optimizer],
        view,
    }
}
