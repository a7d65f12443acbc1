//! `parameter_server`: the workers hold no model of their own. In every exchange each worker starts from the
//! global model, works on its shard and publishes; the server averages what all members published, weighted by
//! samples, updates the global model and evaluates it.
//!
//! Source: the AliCloud parameter-server study of serverless training (workers train `local_epochs` on their
//! shard, exchange every k epochs, the server averages and evaluates); under `gradient_averaging`, Li et al.,
//! "Scaling Distributed Machine Learning with the Parameter Server" (OSDI 2014), synchronous.

use super::{evaluate, finish, gradients, local_training, membership, setup};
use crate::plan::{Object, Plan, Stage, Step};
use stepgrad_contract::training::Algorithm;
use stepgrad_contract::{Function, view};

/// The plan of this topology.
#[must_use]
pub fn plan(algorithm: Algorithm) -> Plan {
    let work = match algorithm {
        Algorithm::GradientAveraging => gradients(),
        Algorithm::ModelAveraging => local_training(),
    };
    let aggregate = Step::Task(Stage {
        name: "Aggregate",
        function: Function::Aggregate,
        reads: &[Object::Published, Object::Members, Object::ReplicaBefore, Object::OptimizerBefore],
        writes: &[Object::Replica, Object::Optimizer],
        view: view::FIRST,
    });
    let mut round = vec![work];
    round.extend(membership());
    round.extend([aggregate, Step::Task(evaluate("Evaluate", view::FIRST))]);
    Plan {
        summary: "workers publish to a server, which updates the one model",
        setup: setup(),
        round,
        finish: finish(),
    }
}
