//! The core by itself: what it asks for, what it writes down, and that a history becomes the same core again.

mod history;
mod limits;
pub(crate) mod machines;
mod map_run;
mod recovery;
mod redrive;
mod simulation;
mod tasks;
