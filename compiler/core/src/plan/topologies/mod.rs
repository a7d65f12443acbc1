//! The topologies, one file each: who computes, who exchanges with whom, who holds the model.
//!
//! To add one: a file here with a `plan` function, its name in `stepgrad_contract::training::Topology`, a
//! branch in [`super::plan`], a reference spec, a golden bundle. A new *dimension* needs a template as well.

pub mod parameter_server;
pub mod peer_to_peer;

use super::{Dimension, Failure, Guarded, Map, Object, Stage, Step};
use stepgrad_contract::{ErrorKind, Function, view};

/// Reads the data, then writes what every replica starts from.
fn setup() -> Vec<Stage> {
    vec![
        Stage {
            name: "Prepare",
            function: Function::Prepare,
            reads: &[Object::Source],
            writes: &[Object::Data],
            view: view::FIRST,
        },
        Stage {
            name: "Initialise",
            function: Function::Initialise,
            reads: &[Object::Source, Object::Data],
            writes: &[Object::ReplicaBefore, Object::OptimizerBefore],
            view: view::FIRST,
        },
    ]
}

/// Every peer's gradients of its batches, in parallel, and their average.
fn gradients() -> Step {
    let gradient = Stage {
        name: "Gradient",
        function: Function::Gradient,
        reads: &[Object::Data, Object::ReplicaBefore],
        writes: &[Object::BatchGradient],
        view: view::FIRST,
    };
    let combine = Stage {
        name: "Combine",
        function: Function::Combine,
        reads: &[Object::Data, Object::BatchGradient],
        writes: &[Object::Published],
        view: view::FIRST,
    };
    work(vec![
        Step::Map(Map {
            name: "Gradients",
            over: Dimension::Batches,
            steps: vec![Step::Task(gradient)],
            failure: Failure::Fatal,
            results: None,
        }),
        Step::Task(combine),
    ])
}

/// Every peer's local training.
fn local_training() -> Step {
    work(vec![Step::Task(Stage {
        name: "Train",
        function: Function::Train,
        reads: &[Object::Data, Object::ReplicaBefore, Object::OptimizerBefore],
        writes: &[Object::Published, Object::Optimizer],
        view: view::FIRST,
    })])
}

fn work(mut steps: Vec<Step>) -> Step {
    let heartbeat = Stage {
        name: "Heartbeat",
        function: Function::Heartbeat,
        reads: &[Object::ReplicaBefore],
        writes: &[],
        view: view::FIRST,
    };
    steps.insert(0, Step::Probe(heartbeat));
    Step::Map(Map {
        name: "Work",
        over: Dimension::Peers,
        steps,
        failure: Failure::Reported,
        results: Some("$.reports"),
    })
}

/// Who published takes part; too few end the run.
fn membership() -> [Step; 2] {
    let stage = Stage {
        name: "Membership",
        function: Function::Membership,
        reads: &[Object::Published],
        writes: &[Object::Members],
        view: view::FIRST,
    };
    [Step::Task(stage), Step::Quorum("Quorum")]
}

/// Who could not read all that the members published tells what it can read.
fn reach() -> Stage {
    Stage {
        name: "Reach",
        function: Function::Reach,
        reads: &[Object::Published, Object::Members],
        writes: &[],
        view: view::FIRST,
    }
}

/// The exchange of those members that reach one another, or that the server reaches.
fn second_view(exchange: Step) -> Vec<Step> {
    let decide = Stage {
        name: "View",
        function: Function::Membership,
        reads: &[Object::Members],
        writes: &[Object::Members],
        view: view::LAST,
    };
    vec![
        Step::Task(decide),
        Step::Quorum("ViewQuorum"),
        exchange,
        Step::Task(evaluate("Reevaluate", view::LAST)),
    ]
}

/// The evaluation; where there is no replica of the quorum, `then`.
fn evaluate_or(then: Vec<Step>) -> Step {
    Step::Guarded(Guarded { stage: evaluate("Evaluate", view::FIRST), from: ErrorKind::QuorumLost, then })
}

/// What was reached in a view of the members, and what comes next.
fn evaluate(name: &'static str, view: u32) -> Stage {
    Stage {
        name,
        function: Function::Evaluate,
        reads: &[Object::Data, Object::Published, Object::Members, Object::Replica],
        writes: &[Object::Progress],
        view,
    }
}

/// The trained model.
fn finish() -> Vec<Stage> {
    vec![Stage {
        name: "Finish",
        function: Function::Finish,
        reads: &[Object::Replica, Object::Progress],
        writes: &[Object::Model],
        view: view::FIRST,
    }]
}
