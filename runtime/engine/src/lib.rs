//! Runs a state machine on this machine.
//!
//! - [`core`]: the interpreter, without I/O
//! - [`driver`]: who drives it: functions, timers, the history's file
//! - [`explain`]: how near a machine comes to each limit
//! - [`faults`]: calls that go wrong on purpose
//! - [`mocks`]: mocked service integrations
//! - [`run`]: one machine from start to end, its history in a [`log`]
//! - [`test_state`]: one state by itself
//! - [`integrations`]: the services a Task can call, and what is asked of whoever provides them
//! - [`host`]: a provider of Lambda functions that starts real processes
//!
//! Knows nothing of training.

pub mod core;
pub mod driver;
pub mod explain;
pub mod faults;
pub mod host;
pub mod integrations;
pub mod log;
pub mod mocks;
pub mod run;
pub mod test_state;
