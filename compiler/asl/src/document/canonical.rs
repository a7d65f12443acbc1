//! The canonical form of a definition: AWS's conventional order of keys, two spaces, a newline at the end.

use serde_json::{Map, Value};

/// Keys in front, in this order; the others follow in the order of the document.
const MACHINE: &[&str] =
    &["Comment", "QueryLanguage", "Version", "TimeoutSeconds", "ProcessorConfig", "StartAt", "States"];
const STATE: &[&str] = &[
    "Type",
    "Comment",
    "QueryLanguage",
    "Resource",
    "Credentials",
    "InputPath",
    "Parameters",
    "Arguments",
    "ItemReader",
    "ItemsPath",
    "Items",
    "ItemSelector",
    "ItemBatcher",
    "MaxConcurrency",
    "MaxConcurrencyPath",
    "ToleratedFailureCount",
    "ToleratedFailureCountPath",
    "ToleratedFailurePercentage",
    "ToleratedFailurePercentagePath",
    "Label",
    "Branches",
    "ItemProcessor",
    "Iterator",
    "Choices",
    "Default",
    "Seconds",
    "SecondsPath",
    "Timestamp",
    "TimestampPath",
    "Error",
    "ErrorPath",
    "Cause",
    "CausePath",
    "TimeoutSeconds",
    "TimeoutSecondsPath",
    "HeartbeatSeconds",
    "HeartbeatSecondsPath",
    "Result",
    "ResultSelector",
    "ResultWriter",
    "Assign",
    "ResultPath",
    "Output",
    "OutputPath",
    "Retry",
    "Catch",
    "Next",
    "End",
];
const RETRIER: &[&str] =
    &["ErrorEquals", "IntervalSeconds", "MaxAttempts", "BackoffRate", "MaxDelaySeconds", "JitterStrategy"];
const CATCHER: &[&str] = &["ErrorEquals", "Assign", "Output", "ResultPath", "Next"];

/// `definition` with its keys in the conventional order. States, and whatever is the user's own (payloads), keep
/// the order of the document; nothing is added or left out.
#[must_use]
pub fn canonical(definition: &Value) -> Value {
    machine(definition)
}

/// [`canonical`], as text.
#[must_use]
pub fn canonical_text(definition: &Value) -> String {
    format!("{:#}\n", canonical(definition))
}

fn machine(value: &Value) -> Value {
    ordered(value, MACHINE, &|key, value| match (key, value) {
        ("States", Value::Object(states)) => {
            Value::Object(states.iter().map(|(name, value)| (name.clone(), state(value))).collect())
        }
        _ => value.clone(),
    })
}

fn state(value: &Value) -> Value {
    ordered(value, STATE, &|key, value| match key {
        "Branches" => each(value, &machine),
        "ItemProcessor" | "Iterator" => machine(value),
        "Retry" => each(value, &|retrier| ordered(retrier, RETRIER, &|_, value| value.clone())),
        "Catch" => each(value, &|catcher| ordered(catcher, CATCHER, &|_, value| value.clone())),
        _ => value.clone(),
    })
}

fn each(value: &Value, change: &dyn Fn(&Value) -> Value) -> Value {
    match value {
        Value::Array(items) => Value::Array(items.iter().map(change).collect()),
        _ => value.clone(),
    }
}

fn ordered(value: &Value, first: &[&str], change: &dyn Fn(&str, &Value) -> Value) -> Value {
    let Value::Object(object) = value else { return value.clone() };
    let mut result = Map::new();
    for key in first {
        if let Some(value) = object.get(*key) {
            result.insert((*key).to_owned(), change(key, value));
        }
    }
    for (key, value) in object {
        if !first.contains(&key.as_str()) {
            result.insert(key.clone(), change(key, value));
        }
    }
    Value::Object(result)
}

#[cfg(test)]
mod tests {
    use super::canonical_text;

    #[test]
    fn orders_what_is_the_languages_and_leaves_what_is_the_users() {
        let definition = serde_json::json!({
            "States": {"Z": {"Next": "A", "Parameters": {"z": 1, "a": 2}, "Type": "Pass"}, "A": {"Type": "Succeed"}},
            "StartAt": "Z",
            "Comment": "c"
        });
        let expected = "{\n  \"Comment\": \"c\",\n  \"StartAt\": \"Z\",\n  \"States\": {\n    \"Z\": {\n      \"Type\": \"Pass\",\n      \"Parameters\": {\n        \"z\": 1,\n        \"a\": 2\n      },\n      \"Next\": \"A\"\n    },\n    \"A\": {\n      \"Type\": \"Succeed\"\n    }\n  }\n}\n";
        assert_eq!(canonical_text(&definition), expected);
        let again: serde_json::Value = serde_json::from_str(expected).unwrap();
        assert_eq!(canonical_text(&again), expected);
    }
}
