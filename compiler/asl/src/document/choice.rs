//! The Choice state.

use super::Common;
use serde::Deserialize;
use serde_json::Value;

/// Goes one way or another.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Choice {
    /// What most states have; `assign` and `output` hold where the default is taken.
    #[serde(flatten)]
    pub common: Common,
    /// Tried in order. A rule's fields are data of their own: see [`crate::program`].
    pub choices: Vec<Value>,
    /// The state to go to where no rule matches.
    pub default: Option<String>,
}
