//! How long calls take in virtual time: a pure function of the function's name, the size of its input, its memory and
//! a seed. A table gives each function its own figures.

use crate::integrations::lambda::{InvokeError, InvokeReply};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

/// Lambda gives a function one whole vCPU at so many MB (AWS: "Configure Lambda function memory").
pub const ONE_CPU_MB: u32 = 1_769;

/// A call as a model of durations sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call<'a> {
    /// The function's name, also where the definition has its ARN.
    pub function: &'a str,
    /// Of the event, as JSON text.
    pub input_bytes: usize,
    /// Different for each call, and the same in each run with the same seed.
    pub seed: u64,
}

/// A model of durations.
pub trait Durations {
    /// How long the call takes. The same call always takes as long.
    fn duration(&self, call: &Call<'_>) -> Duration;
}

impl<F: Fn(&Call<'_>) -> Duration> Durations for F {
    fn duration(&self, call: &Call<'_>) -> Duration {
        self(call)
    }
}

/// Figures of a function: a duration around a median, with a long tail to the right, like a log-normal one.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Profile {
    /// Half of the calls with an empty input take longer, with a whole vCPU; milliseconds.
    pub median_ms: f64,
    /// The standard deviation of the duration's logarithm; 0 for none.
    pub sigma: f64,
    /// What a megabyte of input adds to the median; milliseconds.
    pub per_megabyte_ms: f64,
    /// Below [`ONE_CPU_MB`] a function has a part of a vCPU, and takes longer in proportion.
    pub memory_mb: u32,
    /// What the function answers. Without it, it is really called, if it can be.
    pub answer: Option<Value>,
}

impl Default for Profile {
    fn default() -> Self {
        Self { median_ms: 20.0, sigma: 0.25, per_megabyte_ms: 10.0, memory_mb: ONE_CPU_MB, answer: None }
    }
}

impl Profile {
    /// Whether its figures make sense.
    fn fault(&self) -> Option<&'static str> {
        let is_figure = |figure: f64| figure.is_finite() && figure >= 0.0;
        if !is_figure(self.median_ms) || !is_figure(self.per_megabyte_ms) {
            return Some("median_ms and per_megabyte_ms have to be 0 or more");
        }
        if !(0.0..=4.0).contains(&self.sigma) {
            return Some("sigma has to be from 0 to 4");
        }
        (self.memory_mb == 0).then_some("memory_mb has to be more than 0")
    }
}

impl Durations for Profile {
    #[expect(clippy::cast_precision_loss, reason = "sizes of inputs stay below 2^53")]
    fn duration(&self, call: &Call<'_>) -> Duration {
        let megabytes = call.input_bytes as f64 / 1_048_576.0;
        let work = self.median_ms + self.per_megabyte_ms * megabytes;
        let share = (f64::from(self.memory_mb) / f64::from(ONE_CPU_MB)).min(1.0);
        let factor = if self.sigma == 0.0 { 1.0 } else { exp(self.sigma * normal(call.seed)) };
        // A whole number of microseconds, so that times add up without rounding.
        Duration::from_micros((work / share * factor * 1_000.0) as u64)
    }
}

/// A number of nearly normal distribution, from the four 16-bit parts of `seed`: a sum of four uniform ones has a
/// variance of a third.
fn normal(seed: u64) -> f64 {
    let sum: f64 = (0..4).map(|part| f64::from((seed >> (16 * part)) as u16) / 65_535.0).sum();
    (sum - 2.0) * 1.732_050_807_568_877_2
}

/// e to the power of `x`, nearly, by multiplication alone: the same on every machine, which the library's is not.
fn exp(x: f64) -> f64 {
    let mut power = 1.0 + x / 1_024.0;
    for _ in 0..10 {
        power *= power;
    }
    power
}

/// Figures by function: `{"default": {...}, "functions": {"NAME": {"median_ms": 250, ...}}}`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Table {
    /// Of functions that are not named.
    pub default: Profile,
    /// By name.
    pub functions: BTreeMap<String, Profile>,
}

/// A table that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// Its form is not that of a table.
    #[error(
        "not a table of durations: {0}; give {{\"default\": {{\"median_ms\": 20}}, \"functions\": {{\"NAME\": {{...}}}}}}"
    )]
    Form(#[from] serde_json::Error),
    /// A figure makes no sense.
    #[error("the durations of {function}: {fault}")]
    Figure {
        /// Whose.
        function: String,
        /// What is wrong.
        fault: &'static str,
    },
}

impl Table {
    /// Reads a table from JSON.
    ///
    /// # Errors
    /// [`TableError`], also for a field that is not known.
    pub fn from_json(text: &str) -> Result<Self, TableError> {
        let table: Self = serde_json::from_str(text)?;
        let named = table.functions.iter().map(|(name, profile)| (name.as_str(), profile));
        for (function, profile) in named.chain([("default", &table.default)]) {
            if let Some(fault) = profile.fault() {
                return Err(TableError::Figure { function: function.to_owned(), fault });
            }
        }
        Ok(table)
    }

    fn profile(&self, function: &str) -> &Profile {
        self.functions.get(function).unwrap_or(&self.default)
    }

    /// What the table says that the function answers, in the form of Lambda's Invoke.
    #[must_use]
    pub fn answer(&self, function: &str) -> Option<Result<InvokeReply, InvokeError>> {
        let answer = self.profile(function_name(function)).answer.as_ref()?;
        Some(Ok(InvokeReply {
            payload: Bytes::from(answer.to_string()),
            function_error: None,
            executed_version: "$LATEST".to_owned(),
            request_id: "virtual".to_owned(),
        }))
    }
}

impl Durations for Table {
    fn duration(&self, call: &Call<'_>) -> Duration {
        self.profile(call.function).duration(call)
    }
}

/// The function's name in its ARN, or the name itself.
pub(super) fn function_name(function: &str) -> &str {
    match function.split_once(":function:") {
        Some((_, name)) => name.split(':').next().unwrap_or(name),
        None => function,
    }
}

#[cfg(test)]
mod tests {
    use super::{Call, Durations, Profile, Table, TableError, exp, function_name, normal};
    use std::time::Duration;

    fn call(function: &str, input_bytes: usize, seed: u64) -> Call<'_> {
        Call { function, input_bytes, seed }
    }

    #[test]
    fn durations_lie_around_the_median_with_a_tail_to_the_right() {
        let profile = Profile { sigma: 0.5, ..Profile::default() };
        let mut all: Vec<Duration> = (0..10_001_u64)
            .map(|n| profile.duration(&call("f", 0, n.wrapping_mul(0x9E37_79B9_7F4A_7C15))))
            .collect();
        all.sort();
        let middle = all[5_000].as_secs_f64();
        assert!((middle - 0.020).abs() < 0.001, "{middle}");
        let mean = all.iter().sum::<Duration>().as_secs_f64() / all.len() as f64;
        assert!(mean > middle * 1.05, "{mean}");
        assert!((exp(0.5) - 0.5_f64.exp()).abs() < 1e-3 && normal(0) < -3.4);
    }

    #[test]
    fn memory_and_input_count() {
        let profile = |memory_mb| Profile { sigma: 0.0, memory_mb, ..Profile::default() };
        let at = |memory_mb, bytes| profile(memory_mb).duration(&call("f", bytes, 1)).as_micros();
        assert_eq!((at(1_769, 0), at(10_240, 0), at(1_769, 1_048_576)), (20_000, 20_000, 30_000));
        assert_eq!(at(128, 0), 276_406);
    }

    #[test]
    fn a_table_knows_its_functions_and_refuses_what_it_does_not_know() {
        let table = Table::from_json(
            r#"{"functions": {"slow": {"median_ms": 1000, "sigma": 0, "answer": {"a": 1}}}}"#,
        )
        .unwrap();
        assert_eq!(table.duration(&call("slow", 0, 1)), Duration::from_secs(1));
        assert!(table.duration(&call("other", 0, 1)) < Duration::from_millis(100));
        let reply = table.answer("arn:aws:lambda:us-east-1:1:function:slow:live").unwrap().unwrap();
        assert_eq!(&reply.payload[..], b"{\"a\":1}");
        assert!(table.answer("other").is_none());
        assert!(matches!(Table::from_json(r#"{"function": {}}"#), Err(TableError::Form(_))));
        let negative = Table::from_json(r#"{"default": {"median_ms": -1}}"#);
        assert!(matches!(negative, Err(TableError::Figure { .. })));
        assert_eq!(function_name("plain"), "plain");
    }
}
