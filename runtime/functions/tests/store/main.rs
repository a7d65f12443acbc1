//! The store: one body of tests on a folder and on real servers of S3, and what only a network can do to a store.
//! The servers are moto and ministack, which `make setup` installs; where they cannot be had, the tests that need them are
//! skipped by name.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests start processes and damage objects"
)]

#[path = "../driver/mod.rs"]
mod driver;
mod network;
mod objects;
mod permissions;
mod proxy;
mod server;
mod sources;
mod training;
