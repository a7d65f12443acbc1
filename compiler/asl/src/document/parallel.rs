//! The Parallel state.

use super::{Catcher, Common, PathField, Retrier, SubMachine};
use serde::Deserialize;
use serde_json::Value;

/// Runs branches at the same time.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Parallel {
    /// What most states have.
    #[serde(flatten)]
    pub common: Common,
    /// One for each element of the result.
    pub branches: Vec<SubMachine>,
    /// A payload template: every branch's input.
    pub parameters: Option<Value>,
    /// Every branch's input (JSONata).
    pub arguments: Option<Value>,
    /// A payload template over the raw result.
    pub result_selector: Option<Value>,
    /// Where the outcome goes in the raw input.
    #[serde(default)]
    pub result_path: PathField,
    /// Tried in order.
    #[serde(default)]
    pub retry: Vec<Retrier>,
    /// Tried in order, after the retriers.
    #[serde(default)]
    pub catch: Vec<Catcher>,
}
