//! The Amazon States Language.

pub mod diagnostic;
pub mod document;
pub mod expression;
pub mod json;

pub use diagnostic::{Diagnostic, Severity};
