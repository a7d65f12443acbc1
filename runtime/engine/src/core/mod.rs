//! The interpreter: events in, commands out. It does no I/O, reads no clock and draws no chance of its own: whoever
//! drives it says what happened and when, and does what it asks for. So the same core runs live, in virtual time, and
//! when a killed run is replayed from its history.
//!
//! - [`Event`]s come in by [`Core::step`], [`Command`]s go out, among them the [`Record`]s of the history
//! - `execution`, `frame`: what a running machine consists of
//! - `states`: what each type of state does
//! - [`recovery`]: a recorded history becomes a core again; [`redrive`]: also one that ended badly

mod abort;
mod arena;
mod arn;
mod child;
mod command;
mod engine;
mod event;
mod execution;
mod failure;
mod fork;
mod frame;
pub mod history;
pub mod limits;
mod map_run;
mod objects;
mod recorded;
pub mod recovery;
pub mod redrive;
mod results;
mod scope;
pub(crate) mod states;
mod tasks;
mod timers;

pub use arn::Settings;
pub use command::{Command, Invocation, ReplyShape};
pub use engine::{Core, Stats};
pub use event::{Event, TaskError, TaskId};
pub use execution::{ExecutionId, ExecutionResult, Status};
pub(crate) use failure::too_large;
pub use history::{Details, EventType, HistoryEvent, Record};
pub use objects::{Cursor, ObjectCall, ObjectReply, ObjectRequest, ObjectResult, Page};
pub use recorded::{Recorded, count_redrive};
pub use recovery::{RecoveryError, recover};
pub(crate) use scope::chance;

/// A time: milliseconds since 1970, UTC.
pub type Time = i64;

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) use tests::machines;
