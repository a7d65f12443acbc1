//! The function handlers and what they are made of: the store of objects, the models and their losses, the
//! data and how it is shared out, the optimiser, the averages, and the schedule of rounds.
//!
//! A handler is a pure step: it reads immutable objects named by (run, round, peer, batch), writes objects
//! under keys that do not depend on the attempt, and replies with a small summary. Nothing here knows whether
//! it runs on AWS or on this machine; what differs is the [`store`] that the environment names.
//!
//! Without the feature `torch` only the functions are here that never compute the model
//! ([`stepgrad_contract::Function::needs_torch`]), in a binary that is small and starts at once.

#![cfg_attr(
    not(feature = "torch"),
    allow(dead_code, reason = "what only the functions use that are left out")
)]

pub mod aggregation;
mod aws;
pub mod data;
pub mod faults;
pub mod handlers;
#[cfg(feature = "torch")]
pub mod losses;
#[cfg(feature = "torch")]
pub mod models;
#[cfg(feature = "torch")]
pub mod optimizers;
pub mod private_keys;
pub mod seeds;
pub mod serve;
pub mod store;
#[cfg(feature = "torch")]
pub mod torch;
pub mod unpack;
pub mod wrapper;
