//! The Fail state.

use super::Common;
use serde::Deserialize;

/// Ends the scope with an error.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Fail {
    /// What most states have.
    #[serde(flatten)]
    pub common: Common,
    /// The error's name.
    pub error: Option<String>,
    /// A path or intrinsic function that gives the error's name.
    pub error_path: Option<String>,
    /// What happened.
    pub cause: Option<String>,
    /// A path or intrinsic function that gives what happened.
    pub cause_path: Option<String>,
}
