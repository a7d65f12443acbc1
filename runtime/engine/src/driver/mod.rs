//! Who drives the core: they say what happens and when, and do what the core asks for.
//!
//! - [`live`]: real functions, real time
//! - [`history`]: where the records go

pub mod history;
pub mod live;
mod order;
