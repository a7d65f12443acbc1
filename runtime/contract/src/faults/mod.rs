//! Faults: what goes wrong where, in one document that the command, the engine and the functions all read.
//!
//! A [`Plan`] is what a user's fault file becomes once every share, count and word in it has been drawn with the
//! file's seed: coordinates are sets of numbers. It travels as an object of the run
//! ([`crate::keys::faults`]), which the run's `training.json` names by its digest; so a function finds it in the
//! same way on AWS and here. Coordinates are logical (function, peer, round, epoch, batch, attempt), never counters of
//! calls: the same fault fires at the same place whatever the order in which calls happen to come.
//!
//! The words are those of AWS Fault Injection Service ("AWS FIS Actions reference", `aws:lambda:invocation-error`,
//! `invocation-add-delay`) and of Jepsen's nemeses (`kill`, `pause`, `partition`).

mod action;
mod fired;
mod plan;
mod set;
mod target;

pub use crate::fanout::Range;
pub use action::{Action, Channel, Groups, When, Where};
pub use fired::{Fired, Firing};
pub use plan::{Fault, Lie, Plan, VERSION};
pub use set::Set;
pub use target::{Call, Object, ObjectKind, Operation, Target};
