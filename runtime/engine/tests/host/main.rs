//! The function host with real processes: a script that speaks the Runtime API stands for `bootstrap`.
#![expect(clippy::disallowed_methods, reason = "real processes and files")]

mod bench;
mod endpoint;
mod failures;
mod lifecycle;
mod measure;
mod queue;
mod replies;
