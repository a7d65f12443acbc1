//! The Wait state.

use super::{Common, Setting};
use serde::Deserialize;

/// Lets time pass: exactly one of its four fields is there.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Wait {
    /// What most states have.
    #[serde(flatten)]
    pub common: Common,
    /// So long.
    pub seconds: Option<Setting>,
    /// A path to so long.
    pub seconds_path: Option<String>,
    /// Until then (RFC 3339).
    pub timestamp: Option<String>,
    /// A path to the time.
    pub timestamp_path: Option<String>,
}
