//! The Task state.

use super::{Catcher, Common, PathField, Retrier, Setting};
use serde::Deserialize;
use serde_json::Value;

/// Has a service do some work.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Task {
    /// What most states have.
    #[serde(flatten)]
    pub common: Common,
    /// The ARN of the service's action or of the function.
    pub resource: String,
    /// A payload template.
    pub parameters: Option<Value>,
    /// What the service is given (JSONata).
    pub arguments: Option<Value>,
    /// `RoleArn`: accepted, there are no accounts here.
    pub credentials: Option<Value>,
    /// A payload template over the raw result.
    pub result_selector: Option<Value>,
    /// Where the outcome goes in the raw input.
    #[serde(default)]
    pub result_path: PathField,
    /// The task fails with States.Timeout after so long.
    pub timeout_seconds: Option<Setting>,
    /// A path to so long.
    pub timeout_seconds_path: Option<String>,
    /// The longest time between two heartbeats.
    pub heartbeat_seconds: Option<Setting>,
    /// A path to it.
    pub heartbeat_seconds_path: Option<String>,
    /// Tried in order.
    #[serde(default)]
    pub retry: Vec<Retrier>,
    /// Tried in order, after the retriers.
    #[serde(default)]
    pub catch: Vec<Catcher>,
}
