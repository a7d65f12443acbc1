//! The Amazon States Language: what a definition is, whether it is right, and what its expressions mean.
//!
//! - [`json`]: JSON with places
//! - [`document`]: the definition, typed, and its canonical form
//! - [`check`]: the checks, one file each
//! - [`expression`]: paths, intrinsic functions, templates, choice rules, JSONata
//! - [`program`]: a definition compiled, ready to run
//! - [`payload`]: shared JSON values
//!
//! No I/O, no clock, no randomness, and nothing of training: useful on its own.

pub mod check;
pub mod diagnostic;
pub mod document;
pub mod expression;
pub mod json;
pub mod payload;
pub mod program;

pub use check::validate;
pub use diagnostic::{Diagnostic, Severity};
pub use payload::Payload;
