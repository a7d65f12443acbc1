//! `parameter_server`: the workers hold no model of their own. In every exchange each worker starts from the
//! global model, works on its shard and publishes; the server averages what all members published, weighted by
//! samples, updates the global model and evaluates it.
//!
//! Where the server cannot read what some members published, those that it reaches are a second view of the members, if
//! they hold the quorum; what the others published does not count in this round.
//!
//! Source: the AliCloud parameter-server study of serverless training (workers train `local_epochs` on their
//! shard, exchange every k epochs, the server averages and evaluates); under `gradient_averaging`, Li et al.,
//! "Scaling Distributed Machine Learning with the Parameter Server" (OSDI 2014), synchronous.

use super::{evaluate_or, finish, gradients, local_training, membership, reach, second_view, setup};
use crate::plan::{Guarded, Object, Plan, Stage, Step};
use stepgrad_contract::training::Algorithm;
use stepgrad_contract::{ErrorKind, Function, view};

/// The plan of this topology.
#[must_use]
pub fn plan(algorithm: Algorithm) -> Plan {
    let work = match algorithm {
        Algorithm::GradientAveraging => gradients(),
        Algorithm::ModelAveraging => local_training(),
    };
    let mut round = vec![work];
    round.extend(membership());
    round.push(Step::Guarded(Guarded {
        stage: aggregate("Aggregate", view::FIRST),
        from: ErrorKind::ObjectUnavailable,
        then: vec![Step::Task(reach())],
    }));
    let again = Step::Task(aggregate("Reaggregate", view::LAST));
    round.push(evaluate_or(second_view(again)));
    Plan {
        summary: "workers publish to a server, which updates the one model",
        setup: setup(),
        round,
        finish: finish(),
    }
}

fn aggregate(name: &'static str, view: u32) -> Stage {
    Stage {
        name,
        function: Function::Aggregate,
        reads: &[Object::Published, Object::Members, Object::ReplicaBefore, Object::OptimizerBefore],
        writes: &[Object::Replica, Object::Optimizer],
        view,
    }
}
