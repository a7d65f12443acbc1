//! `budget`: what a training may cost.

use super::decode::{Bound, Fields, Findings, Interval, Value, number};
use super::spanned::Spanned;
use schemars::JsonSchema;
use serde::Serialize;
use stepgrad_contract::budget::DOLLAR;

/// What nobody pays for a training by mistake.
const MOST_USD: f64 = 1_000_000.0;
const USD: Interval = Interval { low: Bound::Excluded(0.0), high: Bound::Included(MOST_USD) };

/// What a training may cost. The state machine looks at it before each round, on AWS and on this computer alike, and ends
/// the run before it could cost more.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Budget {
    /// US dollars for Lambda and Step Functions at the list prices of us-east-1.
    #[schemars(with = "f64", extend("exclusiveMinimum" = 0.0, "maximum" = MOST_USD))]
    pub usd: Spanned<f64>,
}

impl Budget {
    pub(super) fn read(value: &Value<'_>, cx: &mut Findings) -> Self {
        let mut fields = Fields::open(value, cx);
        let budget = Self { usd: fields.required("usd", cx, |value, cx| number(value, &USD, cx)) };
        fields.finish(cx);
        budget
    }

    /// In nano-dollars, rounded down.
    #[must_use]
    pub fn limit(&self) -> u64 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "between 0 and 10^15"
        )]
        let limit = (self.usd.value * DOLLAR as f64) as u64;
        limit
    }
}
