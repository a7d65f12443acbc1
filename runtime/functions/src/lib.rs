//! The function handlers.
