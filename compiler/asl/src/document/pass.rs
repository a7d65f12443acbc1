//! The Pass state.

use super::{Common, PathField};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// Passes its input on, or puts something in its place.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Pass {
    /// What most states have.
    #[serde(flatten)]
    pub common: Common,
    /// A literal outcome; `.$` keys in it stay as they are.
    #[serde(default, deserialize_with = "present")]
    pub result: Option<Value>,
    /// A payload template.
    pub parameters: Option<Value>,
    /// Where the outcome goes in the raw input.
    #[serde(default)]
    pub result_path: PathField,
}

/// A null that is there is a value.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}
