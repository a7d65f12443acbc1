//! What people see: tables and progress.

pub(crate) mod bounds;
pub(crate) mod progress;
pub(crate) mod summary;
