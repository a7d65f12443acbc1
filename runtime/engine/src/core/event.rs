//! What happens to the core.

use super::execution::ExecutionId;
use super::objects::ObjectResult;
use stepgrad_asl::Payload;

/// A task: the execution, and the event that scheduled it in its history. So a replayed run has the same tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TaskId {
    /// The execution.
    pub execution: ExecutionId,
    /// The id of its TaskScheduled or LambdaFunctionScheduled event.
    pub event: u64,
}

impl TaskId {
    /// The token of `$$.Task.Token`.
    #[must_use]
    pub fn token(self) -> String {
        format!("stepgrad-{:08x}-{:08x}", self.execution.0, self.event)
    }

    /// The task of a token.
    #[must_use]
    pub fn from_token(token: &str) -> Option<Self> {
        let (execution, event) = token.strip_prefix("stepgrad-")?.split_once('-')?;
        Some(Self {
            execution: ExecutionId(u32::from_str_radix(execution, 16).ok()?),
            event: u64::from_str_radix(event, 16).ok()?,
        })
    }
}

/// How a task failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskError {
    /// The error's name, for Retry and Catch.
    pub error: String,
    /// What happened, if that is known.
    pub cause: Option<String>,
}

/// What happens to the core.
#[derive(Debug, Clone)]
pub enum Event {
    /// An execution is to start.
    Start {
        /// The machine, by its name or ARN.
        machine: String,
        /// The execution's name, unique for the machine.
        name: String,
        /// Its input.
        input: Payload,
    },
    /// A service replied to an invocation.
    Replied {
        /// Whose.
        task: TaskId,
        /// The task's output, or how it failed.
        result: Result<Payload, TaskError>,
    },
    /// S3 answered a call.
    Object {
        /// Whose.
        task: TaskId,
        /// Which of the task's calls.
        call: u32,
        /// What it answered, or how the call failed.
        result: ObjectResult,
    },
    /// A call has to wait for its turn: a driver's queue is not the function's time, so its timeout is off.
    Queued {
        /// Whose.
        task: TaskId,
    },
    /// A call that had to wait is made now: its timeout counts from here.
    Begun {
        /// Whose.
        task: TaskId,
    },
    /// Somebody sent the outcome of a task that waits for its token.
    Callback {
        /// Whose.
        task: TaskId,
        /// The task's output, or how it failed.
        result: Result<Payload, TaskError>,
    },
    /// Somebody sent a heartbeat of a task that waits for its token.
    Heartbeat {
        /// Whose.
        task: TaskId,
    },
    /// Time has passed: [`super::Core::next_timer`] is due.
    TimersDue,
    /// The last step stopped before it was done: [`super::Core::is_ready`].
    Continue,
    /// Executions are to end as ABORTED.
    Abort {
        /// Which; all that run, if absent.
        execution: Option<ExecutionId>,
        /// The error's name.
        error: Option<String>,
        /// Why.
        cause: Option<String>,
    },
}
