//! The parts of a plan.

use stepgrad_contract::{ErrorKind, Function};

/// One call of a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// The state's name.
    pub name: &'static str,
    /// What is called.
    pub function: Function,
    /// Objects it reads.
    pub reads: &'static [Object],
    /// Objects it writes.
    pub writes: &'static [Object],
    /// The view of the round's members that it is about (`stepgrad_contract::view`); the first where that does not
    /// matter.
    pub view: u32,
}

/// A step of a round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A single call.
    Task(Stage),
    /// The same steps for every element of a dimension, in parallel; its end is a barrier.
    Map(Map),
    /// A single call, with other steps for one way to fail.
    Guarded(Guarded),
    /// A single call, without repetitions, for an element of the map around it that was left out of the round before.
    /// If it fails, so does the element.
    Probe(Stage),
    /// Ends the run unless the membership decided before reaches the quorum; with the state's name.
    Quorum(&'static str),
}

/// A single call, and the steps that are taken in its place where it fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guarded {
    /// The call.
    pub stage: Stage,
    /// How it has to fail, after all its retries.
    pub from: ErrorKind,
    /// What is done then, one after the other; afterwards it goes on as after the call.
    pub then: Vec<Step>,
}

/// The same steps for every element of a dimension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Map {
    /// The state's name; in lower case, the name of the machine that carries a part of it as a child execution.
    pub name: &'static str,
    /// What it maps over.
    pub over: Dimension,
    /// What is done for each element, one after the other.
    pub steps: Vec<Step>,
    /// What the failure of one element means.
    pub failure: Failure,
    /// Where the results of all elements go in the round's state; `None` drops them.
    pub results: Option<&'static str>,
}

/// What a stage maps over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dimension {
    /// The members of the round.
    Peers,
    /// One peer's batches of the round.
    Batches,
}

/// What the failure of one element means, after all its retries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The element is reported as lost; the membership decides.
    Reported,
    /// The whole map fails.
    Fatal,
}

/// An object, by what it is; the keys are in `stepgrad_contract::keys`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Object {
    /// The data source and the training configuration, there before the run.
    Source,
    /// Batches and the manifest.
    Data,
    /// The replica before this round (of the round before, or the initial one).
    ReplicaBefore,
    /// The optimiser's state and the learning rate before this round.
    OptimizerBefore,
    /// One batch's gradient.
    BatchGradient,
    /// What a peer publishes.
    Published,
    /// Who takes part.
    Members,
    /// The replica after this round.
    Replica,
    /// The optimiser's state after this round.
    Optimizer,
    /// What was measured and decided.
    Progress,
    /// The trained model.
    Model,
}
