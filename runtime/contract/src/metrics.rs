//! The line of a call with metrics in it: CloudWatch makes metrics of such lines of a log, and nobody has to call it.
//!
//! Source: Amazon CloudWatch, "Specification: Embedded metric format". Each metric of each training and function is
//! charged, so the lines have this only where the spec asks for it.

use crate::call_log::CallLog;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Where metrics of calls go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metrics {
    /// Nowhere; what is in the log can still be searched.
    #[default]
    None,
    /// To CloudWatch, with the log.
    Cloudwatch,
}

impl Metrics {
    /// Whether there are none.
    #[must_use]
    pub const fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }
}

/// The namespace of the metrics.
pub const NAMESPACE: &str = "stepgrad";
/// What tells one series from another. Not the run: each would be a series of its own, to be paid for.
pub const DIMENSIONS: [&str; 2] = ["training", "function"];
/// The metrics and their units.
pub const METRICS: [(&str, &str); 6] = [
    ("duration_ms", "Milliseconds"),
    ("objects_read", "Count"),
    ("bytes_read", "Bytes"),
    ("objects_written", "Count"),
    ("bytes_written", "Bytes"),
    ("errors", "Count"),
];

/// The line of a call of the training named `training` that ended at `unix_ms`, milliseconds since 1970.
#[must_use]
pub fn embedded(call: &CallLog, training: &str, unix_ms: u64) -> Value {
    let metrics = METRICS.map(|(name, unit)| json!({"Name": name, "Unit": unit}));
    let mut line = serde_json::to_value(call).unwrap_or_else(|_| json!({}));
    line["training"] = training.into();
    line["errors"] = u64::from(call.error.is_some()).into();
    line["_aws"] = json!({
        "Timestamp": unix_ms,
        "CloudWatchMetrics": [{"Namespace": NAMESPACE, "Dimensions": [DIMENSIONS], "Metrics": metrics}],
    });
    line
}

#[cfg(test)]
mod tests {
    use super::embedded;
    use crate::call_log::CallLog;
    use serde_json::Value;

    /// What the specification asks of a line: each dimension is a text of the line's own, not empty and of 1,024
    /// characters at the most, thirty of them; each metric a number; a hundred of them.
    #[test]
    fn a_line_is_as_the_specification_has_it() {
        let text = r#"{"kind":"call","function":"train","request_id":"i","round":3,"peer":2,"objects_read":2,"bytes_read":10,"objects_written":1,"bytes_written":5,"error":"Stepgrad.OutOfTime"}"#;
        let line = embedded(&CallLog::from_line(text).unwrap(), "digits", 1_700_000_000_000);
        let aws = line["_aws"].as_object().unwrap();
        assert_eq!(aws["Timestamp"], 1_700_000_000_000_u64);
        let directives = aws["CloudWatchMetrics"].as_array().unwrap();
        assert!(aws.len() == 2 && directives.len() == 1);
        for directive in directives {
            assert!(directive["Namespace"].as_str().is_some_and(|name| !name.is_empty()));
            for set in directive["Dimensions"].as_array().unwrap() {
                let set = set.as_array().unwrap();
                assert!(set.len() <= 30);
                for dimension in set {
                    let value = line[dimension.as_str().unwrap()].as_str().unwrap();
                    assert!(!value.is_empty() && value.len() <= 1_024);
                }
            }
            let metrics = directive["Metrics"].as_array().unwrap();
            assert!(metrics.len() <= 100);
            for metric in metrics {
                assert!(line[metric["Name"].as_str().unwrap()].is_number(), "{metric}");
                let units = ["Milliseconds", "Bytes", "Count"];
                assert!(metric["Unit"].as_str().is_some_and(|unit| units.contains(&unit)));
            }
        }
        let found = [&line["training"], &line["function"], &line["errors"], &line["peer"]];
        assert_eq!(found, [&Value::from("digits"), &Value::from("train"), &Value::from(1), &Value::from(2)]);
    }
}
