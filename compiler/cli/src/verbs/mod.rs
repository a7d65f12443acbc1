//! The verbs, one file each: what it takes, and what it does.

pub(crate) mod asl;
pub(crate) mod chaos;
pub(crate) mod check;
pub(crate) mod compile;
pub(crate) mod completions;
pub(crate) mod explain;
pub(crate) mod functions;
pub(crate) mod init;
pub(crate) mod keys;
pub(crate) mod rerun;
pub(crate) mod run;
pub(crate) mod runs;
pub(crate) mod schema;
