//! The function handlers and what they are made of: the store of objects, the models and their losses, the
//! data and how it is shared out, the optimiser, the averages, and the schedule of rounds.
//!
//! A handler is a pure step: it reads immutable objects named by (run, round, peer, batch), writes objects
//! under keys that do not depend on the attempt, and replies with a small summary. Nothing here knows whether
//! it runs on AWS or on this machine; what differs is the [`store`] that the environment names.

pub mod aggregation;
pub mod data;
pub mod faults;
pub mod handlers;
pub mod losses;
pub mod models;
pub mod optimizers;
pub mod private_keys;
pub mod seeds;
pub mod serve;
pub mod store;
pub mod torch;
