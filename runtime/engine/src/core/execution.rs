//! An execution of a machine.

use super::Time;
use super::arena::{Arena, FrameId};
use super::event::TaskId;
use super::timers::TimerKey;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use stepgrad_asl::Payload;
use stepgrad_asl::document::MachineType;
use stepgrad_asl::program::{Name, Program};

/// An execution, by the order in which they started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ExecutionId(pub u32);

/// How an execution ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    /// With an output.
    Succeeded,
    /// With an error.
    Failed,
    /// It ran longer than it may.
    TimedOut,
    /// It was told to.
    Aborted,
}

impl Status {
    /// As AWS writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::TimedOut => "TIMED_OUT",
            Self::Aborted => "ABORTED",
        }
    }
}

/// How an execution ended, and with what.
#[derive(Debug, Clone, PartialEq)]
pub struct ExecutionResult {
    /// How.
    pub status: Status,
    /// Of one that succeeded.
    pub output: Option<Value>,
    /// The error's name.
    pub error: Option<String>,
    /// What happened.
    pub cause: Option<String>,
}

/// A machine and its names.
#[derive(Debug)]
pub(super) struct Machine {
    pub(super) name: String,
    pub(super) arn: String,
    pub(super) program: Program,
}

/// What of an execution does not change while it runs.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    /// `machine:name`, in records.
    pub(super) key: Name,
    pub(super) name: String,
    pub(super) arn: String,
    pub(super) machine: Arc<Machine>,
    /// The machine's own, or what the distributed Map says.
    pub(super) machine_type: MachineType,
    pub(super) input: Payload,
    pub(super) started_at: Time,
    pub(super) role: String,
    /// How often it was redriven, and when last.
    pub(super) redrives: u32,
    pub(super) redriven_at: Option<Time>,
}

impl Identity {
    /// When the execution's timeout began to count.
    pub(super) fn runs_since(&self) -> Time {
        self.redriven_at.unwrap_or(self.started_at)
    }
}

/// Who waits for an execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Awaiter {
    /// A task of another execution.
    Task(TaskId),
    /// A distributed Map of another execution, for the item with this index.
    Map(ExecutionId, FrameId, usize),
}

/// A running execution.
#[derive(Debug)]
pub(super) struct Execution {
    pub(super) identity: Arc<Identity>,
    pub(super) frames: Arena,
    pub(super) root: Option<FrameId>,
    pub(super) last_event: u64,
    /// An event would have been one too many.
    pub(super) overflowed: bool,
    /// Frames that wait for a task, by the event that scheduled it.
    pub(super) tasks: BTreeMap<u64, FrameId>,
    /// Frames that have a Map Run under way, by the event that started it.
    pub(super) runs: BTreeMap<u64, FrameId>,
    /// Who waits for this one.
    pub(super) awaited_by: Option<Awaiter>,
    /// Tasks that asked for it when it ran already, and wait for it too.
    pub(super) awaited_again: Vec<TaskId>,
    /// It has ended, and stands only for its redrive.
    pub(super) closed: bool,
    /// When it times out.
    pub(super) deadline: Option<Time>,
    pub(super) timer: Option<TimerKey>,
}
