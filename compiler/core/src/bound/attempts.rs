//! How often a call is made at the most: every retrier of a state counts for itself, and the number of attempts is that of
//! all of them together (AWS page "Handling errors in Step Functions workflows", `$$.State.RetryCount`).

use serde_json::Value;

/// Repetitions of a state's call, at the most.
pub(crate) fn retries(state: &Value) -> u32 {
    let retriers = state["Retry"].as_array().into_iter().flatten();
    retriers.fold(0, |all: u32, retrier| all.saturating_add(most(retrier)))
}

/// Repetitions that one retrier allows; three if it does not say.
pub(super) fn most(retrier: &Value) -> u32 {
    let given = retrier["MaxAttempts"].as_u64().unwrap_or(3);
    u32::try_from(given).unwrap_or(u32::MAX)
}

/// Repetitions of any call of one function in a definition, at the most; by the placeholder of its ARN.
#[must_use]
pub(crate) fn retries_of(definition: &Value, placeholder: &str) -> u32 {
    let is_it =
        super::calls_a_function(definition) && definition["Parameters"]["FunctionName"] == placeholder;
    let own = if is_it { retries(definition) } else { 0 };
    let inner = match definition {
        Value::Object(fields) => fields.values().map(|inner| retries_of(inner, placeholder)).max(),
        Value::Array(elements) => elements.iter().map(|inner| retries_of(inner, placeholder)).max(),
        _ => None,
    };
    own.max(inner.unwrap_or(0))
}

/// Repetitions of any call of a function in a definition, at the most.
#[must_use]
pub fn most_retries(definition: &Value) -> u32 {
    let own = if super::calls_a_function(definition) { retries(definition) } else { 0 };
    let inner = match definition {
        Value::Object(fields) => fields.values().map(most_retries).max(),
        Value::Array(elements) => elements.iter().map(most_retries).max(),
        _ => None,
    };
    own.max(inner.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::{most_retries, retries_of};
    use serde_json::json;

    #[test]
    fn all_retriers_of_a_call_count() {
        let call = json!({
            "Type": "Task",
            "Resource": "arn:aws:states:::lambda:invoke",
            "Parameters": {"FunctionName": "${AFunctionArn}"},
            "Retry": [{"ErrorEquals": ["A"], "MaxAttempts": 6}, {"ErrorEquals": ["B"]}],
        });
        let child = json!({
            "Type": "Task",
            "Resource": "arn:aws:states:::states:startExecution.sync:2",
            "Retry": [{"ErrorEquals": ["A"], "MaxAttempts": 60}],
        });
        let machine = json!({"States": {
            "Each": {"Type": "Map", "ItemProcessor": {"States": {"Call": call}}},
            "Child": child,
        }});
        assert_eq!(most_retries(&machine), 9);
        assert_eq!(retries_of(&machine, "${AFunctionArn}"), 9);
        assert_eq!(retries_of(&machine, "${BFunctionArn}"), 0);
        assert_eq!(most_retries(&json!({"States": {}})), 0);
    }
}
