//! The Succeed state.

use super::Common;
use serde::Deserialize;

/// Ends the scope well.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
pub struct Succeed {
    /// What most states have.
    #[serde(flatten)]
    pub common: Common,
}
