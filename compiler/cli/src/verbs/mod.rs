//! The verbs, one file each: what it takes, and what it does.

pub(crate) mod asl;
pub(crate) mod chaos;
pub(crate) mod check;
pub(crate) mod compile;
pub(crate) mod completions;
pub(crate) mod deploy;
pub(crate) mod destroy;
pub(crate) mod explain;
pub(crate) mod functions;
pub(crate) mod init;
pub(crate) mod keys;
pub(crate) mod logs;
pub(crate) mod plan;
pub(crate) mod redrive;
pub(crate) mod rerun;
pub(crate) mod run;
pub(crate) mod runs;
pub(crate) mod schema;
pub(crate) mod status;
pub(crate) mod stop;
