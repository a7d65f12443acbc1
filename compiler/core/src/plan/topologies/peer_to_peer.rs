//! `peer_to_peer`: no peer is special. In every round each peer maps its batches to gradient invocations in
//! parallel, averages them weighted by samples, publishes the average, collects those of all other members and
//! updates its own replica; the replicas stay equal because all add the same numbers in the same order.
//!
//! Source: Barrak, Petrillo and Jaafar, "Serverless on Machine Learning" and "Architecting Peer-to-Peer
//! Serverless Distributed Machine Learning Training for Improved Fault Tolerance" (IC2E 2023), Algorithm 1.
//! Under `model_averaging` each peer trains locally and the members average their parameters (LambdaML,
//! Jiang et al., SIGMOD 2021, section 3.2.1).

use super::{evaluate, finish, gradients, local_training, membership, setup};
use crate::plan::{Dimension, Failure, Map, Object, Plan, Stage, Step};
use stepgrad_contract::Function;
use stepgrad_contract::training::Algorithm;

/// The plan of this topology.
#[must_use]
pub fn plan(algorithm: Algorithm) -> Plan {
    let work = match algorithm {
        Algorithm::GradientAveraging => gradients(),
        Algorithm::ModelAveraging => local_training(),
    };
    let update = Stage {
        name: "Update",
        function: Function::Synchronise,
        reads: &[Object::Published, Object::Members, Object::ReplicaBefore, Object::OptimizerBefore],
        writes: &[Object::Replica, Object::Optimizer],
    };
    let synchronise = Step::Map(Map {
        name: "Synchronise",
        over: Dimension::Peers,
        steps: vec![Step::Task(update)],
        failure: Failure::Reported,
        results: Some("$.replicas"),
    });
    let mut round = vec![work];
    round.extend(membership());
    round.extend([synchronise, evaluate()]);
    Plan {
        summary: "peers exchange with all others, each updates its own replica",
        setup: setup(),
        round,
        finish: finish(),
    }
}
