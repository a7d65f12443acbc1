//! What the core asks of its driver.

use super::Time;
use super::event::TaskId;
use super::execution::{ExecutionId, ExecutionResult};
use super::history::Record;
use super::objects::ObjectCall;
use stepgrad_asl::Payload;
use stepgrad_asl::program::Name;

/// What the core asks of its driver.
#[derive(Debug, Clone)]
pub enum Command {
    /// Call a function; the reply comes back as [`super::Event::Replied`].
    Invoke(Invocation),
    /// Call S3; the outcome comes back as [`super::Event::Object`].
    Object(ObjectCall),
    /// The reply to this task is not wanted any more, nor that to any of its calls of S3.
    Cancel(TaskId),
    /// Write this down, in this order.
    Record(Record),
    /// An execution has ended.
    Finished {
        /// Which.
        execution: ExecutionId,
        /// `machine:name`.
        name: Name,
        /// How.
        result: ExecutionResult,
    },
}

/// A call of a function.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// Whose.
    pub task: TaskId,
    /// Name or ARN.
    pub function: String,
    /// The event.
    pub payload: Payload,
    /// What the task's output is made of.
    pub shape: ReplyShape,
    /// Whether the reply is not the outcome: that comes by the task's token.
    pub waits_for_token: bool,
    /// A random number of the call's own, by the way that leads to it and not by the order in which things happen: a
    /// model draws the call's duration from it.
    pub chance: u64,
    /// Retries of the state before this call.
    pub attempt: u32,
    /// When the task times out.
    pub deadline: Option<Time>,
}

/// What a task's output is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplyShape {
    /// The function's payload itself.
    Payload,
    /// The Invoke API's response, with the payload in it.
    Response,
}
