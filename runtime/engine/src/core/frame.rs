//! A frame: one line of control through one scope. A machine has one, each branch of a Parallel and each iteration of
//! a Map has its own while it runs.

use super::Time;
use super::arena::FrameId;
use super::execution::ExecutionId;
use super::map_run::MapRun;
use super::timers::TimerKey;
use std::collections::BTreeMap;
use std::sync::Arc;
use stepgrad_asl::Payload;
use stepgrad_asl::program::{Name, Program, Scope, StateId};

/// One line of control.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) state: StateId,
    /// The state's raw input.
    pub(super) input: Payload,
    pub(super) variables: Arc<Variables>,
    /// The frame that forked this one, and the place of its result there.
    pub(super) parent: Option<(FrameId, usize)>,
    /// Of the innermost Map around it.
    pub(super) item: Option<Item>,
    /// The last event of this line of control.
    pub(super) previous_event: u64,
    /// The event that entered the state.
    pub(super) entered_event: u64,
    pub(super) entered_at: Time,
    /// Retries of the state so far.
    pub(super) attempt: u32,
    /// Retries by each retrier; empty for none.
    pub(super) tries: Vec<u64>,
    /// Where the frame stands among all frames of the execution: a hash of the way to it, by states, visits and
    /// places, not by the order in which things happened. Chance is drawn from it.
    pub(super) coordinate: u64,
    /// States entered so far.
    pub(super) visits: u64,
    /// Random numbers drawn in the state so far.
    pub(super) draws: u64,
    pub(super) activity: Activity,
}

/// An item of a Map.
#[derive(Debug, Clone)]
pub(super) struct Item {
    pub(super) index: usize,
    pub(super) value: Payload,
    /// `$$.Map.Item.Source`, of a distributed Map.
    pub(super) source: Option<Name>,
}

/// What a frame does.
#[derive(Debug)]
pub(super) enum Activity {
    /// It is about to enter its state.
    Enter,
    /// It is about to do its state's work (again).
    Work,
    /// It waits until a time.
    Wait(TimerKey),
    /// It waits to try again.
    Retry(TimerKey),
    /// It waits for a service.
    Task(TaskRun),
    /// It waits for the frames it forked.
    Fork(Fork),
    /// It waits for the child executions of a distributed Map.
    Run(Box<MapRun>),
}

/// A task under way.
#[derive(Debug)]
pub(super) struct TaskRun {
    /// The event that scheduled it.
    pub(super) event: u64,
    pub(super) timeout: Option<TimerKey>,
    pub(super) timeout_seconds: Option<f64>,
    pub(super) heartbeat: Option<TimerKey>,
    pub(super) heartbeat_seconds: Option<f64>,
    /// For a task that waits for its token: whether the service has replied.
    pub(super) submitted: bool,
    /// The call, to be made again after a recovery.
    pub(super) invocation: Option<super::command::Invocation>,
    /// The call of S3, to be made again after a recovery.
    pub(super) object: Option<Box<super::objects::ObjectCall>>,
    /// The execution it waits for.
    pub(super) child: Option<ExecutionId>,
}

/// A Parallel or Map under way.
#[derive(Debug, Clone)]
pub(super) struct Fork {
    /// One for each branch or item.
    pub(super) results: Vec<Option<Payload>>,
    pub(super) running: BTreeMap<usize, FrameId>,
    /// Branches or items started so far.
    pub(super) started: usize,
    /// At a time.
    pub(super) limit: usize,
    pub(super) done: usize,
    pub(super) work: ForkWork,
}

#[derive(Debug, Clone)]
pub(super) enum ForkWork {
    Parallel {
        input: Payload,
    },
    Map {
        /// The array.
        items: Payload,
        /// What ItemSelector sees.
        effective: Payload,
    },
}

/// Variables by scope: a scope sees those around it and sets its own.
#[derive(Debug, Default, Clone)]
pub(super) struct Variables {
    pub(super) own: BTreeMap<Name, Payload>,
    pub(super) outer: Option<Arc<Variables>>,
}

impl Variables {
    pub(super) fn get(&self, name: &str) -> Option<&Payload> {
        let mut scope = Some(self);
        while let Some(variables) = scope {
            if let Some(value) = variables.own.get(name) {
                return Some(value);
            }
            scope = variables.outer.as_deref();
        }
        None
    }
}

impl Frame {
    pub(super) fn new(scope: &Scope, input: Payload, previous_event: u64) -> Self {
        Self {
            state: scope.start,
            input,
            variables: Arc::default(),
            parent: None,
            item: None,
            previous_event,
            entered_event: 0,
            entered_at: 0,
            attempt: 0,
            tries: Vec::new(),
            coordinate: 0,
            visits: 0,
            draws: 0,
            activity: Activity::Enter,
        }
    }

    /// The state it is in. Ids come from the program: a missing one is a fault of the engine's.
    pub(super) fn current<'p>(&self, program: &'p Program) -> Option<&'p stepgrad_asl::program::State> {
        program.state(self.state)
    }
}
