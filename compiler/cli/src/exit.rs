//! Exit codes: a contract that scripts can rely on.

use std::process::ExitCode;

/// How the command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done.
    Ok = 0,
    /// A defect or a failure of this machine (disk full, no permission).
    Internal = 1,
    /// The command line is wrong.
    Usage = 2,
    /// The spec or the definition is wrong.
    Invalid = 3,
    /// The run failed or was aborted.
    RunFailed = 4,
    /// AWS refused, or could not be reached.
    Aws = 5,
    /// A limit would be exceeded.
    Limit = 6,
    /// `plan --detailed-exitcode`: a deployment would change something.
    Changes = 7,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// What stands at the end of `--help`.
pub(crate) const HELP: &str = "\
Exit codes:
  0  ok
  1  internal error, or this machine failed (disk full, no permission)
  2  usage
  3  the spec or the definition is wrong
  4  the run failed or was aborted
  5  AWS refused, or could not be reached
  6  a limit would be exceeded
  7  plan --detailed-exitcode: deploy would change something";
