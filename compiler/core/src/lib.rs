//! From a training spec to Step Functions state machines: spec → plan → lower → bundle.

pub mod diagnostic;
pub mod spec;
