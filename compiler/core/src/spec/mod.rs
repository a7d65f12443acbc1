//! The spec.
