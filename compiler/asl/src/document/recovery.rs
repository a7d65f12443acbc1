//! Retry and Catch.

use super::PathField;
use serde::Deserialize;
use serde_json::Value;

/// One element of `Retry`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Retrier {
    /// The errors it is for.
    pub error_equals: Vec<String>,
    /// Before the first retry; 1 if absent.
    pub interval_seconds: Option<u64>,
    /// Retries at the most; 3 if absent, 0 for none.
    pub max_attempts: Option<u64>,
    /// The delay grows by this; 2 if absent.
    pub backoff_rate: Option<f64>,
    /// The delay does not grow beyond this.
    pub max_delay_seconds: Option<u64>,
    /// Whether delays are drawn at random.
    #[serde(default)]
    pub jitter_strategy: Jitter,
}

/// Whether delays are drawn at random.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Jitter {
    /// They are not.
    #[default]
    None,
    /// Between nothing and the full delay.
    Full,
}

/// One element of `Catch`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Catcher {
    /// The errors it is for.
    pub error_equals: Vec<String>,
    /// The state to go on with.
    pub next: String,
    /// Where the error goes in the raw input (JSONPath).
    #[serde(default)]
    pub result_path: PathField,
    /// Variables to set.
    pub assign: Option<Value>,
    /// The output (JSONata).
    pub output: Option<Value>,
}
