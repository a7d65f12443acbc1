//! The kinds of things on AWS, one file each: how one is looked at, compared, made, changed and removed.

pub(crate) mod bucket;
pub(crate) mod function;
pub(crate) mod key;
pub(crate) mod log_group;
pub(crate) mod object;
pub(crate) mod role;
pub(crate) mod state_machine;
