//! The function host with real processes: a script that speaks the Runtime API stands for `bootstrap`.
#![expect(clippy::disallowed_methods, reason = "real processes and files")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod bench;
mod endpoint;
mod failures;
mod faults;
mod lifecycle;
mod queue;
mod replies;
