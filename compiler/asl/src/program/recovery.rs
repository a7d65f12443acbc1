//! Retriers and catchers, compiled.

use super::{Flow, StateId};
use crate::document::{self, Jitter};

/// A retrier, with AWS's defaults filled in.
#[derive(Debug, Clone, PartialEq)]
pub struct Retrier {
    /// The errors it is for.
    pub errors: Vec<String>,
    /// Before the first retry, in seconds.
    pub interval: f64,
    /// Retries at the most.
    pub max_attempts: u64,
    /// The delay grows by this.
    pub backoff: f64,
    /// The delay does not grow beyond this, in seconds.
    pub max_delay: Option<f64>,
    /// Whether the delay is drawn between nothing and the full delay.
    pub jitter: bool,
}

impl Retrier {
    #[expect(clippy::cast_precision_loss, reason = "seconds, bounded by the checks")]
    pub(super) fn compile(retrier: &document::Retrier) -> Self {
        Self {
            errors: retrier.error_equals.clone(),
            interval: retrier.interval_seconds.unwrap_or(1) as f64,
            max_attempts: retrier.max_attempts.unwrap_or(3),
            backoff: retrier.backoff_rate.unwrap_or(2.0),
            max_delay: retrier.max_delay_seconds.map(|seconds| seconds as f64),
            jitter: retrier.jitter_strategy == Jitter::Full,
        }
    }

    /// The delay before retry `attempt` (0 for the first), in seconds, before jitter.
    #[must_use]
    pub fn delay(&self, attempt: u64) -> f64 {
        /// A year: no execution waits longer.
        const LONGEST: f64 = 31_536_000.0;
        let exponent = i32::try_from(attempt).unwrap_or(i32::MAX);
        let delay = self.interval * self.backoff.powi(exponent);
        delay.min(self.max_delay.unwrap_or(LONGEST)).min(LONGEST)
    }
}

/// A catcher.
#[derive(Debug, Clone)]
pub struct Catcher {
    /// The errors it is for.
    pub errors: Vec<String>,
    /// What becomes of the error.
    pub flow: Flow,
    /// The state to go on with.
    pub next: StateId,
}

/// Whether `names` are meant for `error` (AWS: "Handling errors in Step Functions workflows").
#[must_use]
pub(super) fn names_error(names: &[String], error: &str) -> bool {
    // Never caught, not even by name, as recorded.
    if error == "States.Runtime" {
        return false;
    }
    names.iter().any(|name| match name.as_str() {
        "States.ALL" => true,
        "States.TaskFailed" => error != "States.Timeout",
        "States.Timeout" => error == "States.Timeout" || error == "States.HeartbeatTimeout",
        name => name == error,
    })
}

impl Retrier {
    /// Whether it is for `error`.
    #[must_use]
    pub fn is_for(&self, error: &str) -> bool {
        names_error(&self.errors, error)
    }
}

impl Catcher {
    /// Whether it is for `error`.
    #[must_use]
    pub fn is_for(&self, error: &str) -> bool {
        names_error(&self.errors, error)
    }
}
