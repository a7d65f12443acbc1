//! The comparison that the cases lay down: wildcards, optional keys, numbers by value, JSON inside strings as JSON.

use serde_json::Value;

/// What differs between a case's `expected` and a run's line.
pub(super) fn compare(expected: &Value, actual: &Value) -> Vec<String> {
    if expected["status"] != actual["status"] {
        return vec![format!(
            "status {} not {} ({}: {})",
            actual["status"], expected["status"], actual["error"], actual["cause"]
        )];
    }
    let key = if expected["status"] == "SUCCEEDED" { "output" } else { "error" };
    let Some(wanted) = expected.get(key) else { return Vec::new() };
    differs(wanted, &actual[key], key).into_iter().collect()
}

/// The first difference, if there is one.
pub(super) fn differs(expected: &Value, actual: &Value, path: &str) -> Option<String> {
    let wrong = || Some(format!("{path}: {actual} not {expected}"));
    match expected {
        Value::String(text) if text == "__ANY__" => None,
        Value::String(text) => match actual {
            Value::String(found) if text == found || matches(text, found) => None,
            Value::String(found) => match (document(text), document(found)) {
                (Some(wanted), Some(found)) => differs(&wanted, &found, path),
                _ => wrong(),
            },
            _ => wrong(),
        },
        Value::Object(members) if members.len() == 1 && members.contains_key("__OPT__") => {
            differs(&members["__OPT__"], actual, path)
        }
        Value::Object(members) if members.len() == 1 && members.contains_key("__RANGE__") => {
            let bound = |place: usize| members["__RANGE__"][place].as_f64().unwrap();
            match actual.as_f64() {
                Some(number) if (bound(0)..=bound(1)).contains(&number) => None,
                _ => wrong(),
            }
        }
        Value::Object(members) if members.len() == 1 && members.contains_key("__NUM__") => {
            match (members["__NUM__"].as_f64(), actual.as_f64()) {
                (Some(wanted), Some(found)) if (wanted - found).abs() <= 1e-9 * wanted.abs() => None,
                _ => wrong(),
            }
        }
        Value::Object(members) => {
            let Value::Object(found) = actual else { return wrong() };
            for (key, wanted) in members {
                match found.get(key) {
                    None if wanted.get("__OPT__").is_some() => {}
                    None => return Some(format!("{path}: {key} is missing")),
                    // A cause for people is not compared.
                    Some(Value::String(_))
                        if key == "Cause"
                            && members.contains_key("Error")
                            && wanted.as_str().is_some_and(|text| document(text).is_none()) => {}
                    Some(found) => {
                        if let Some(difference) = differs(wanted, found, &format!("{path}.{key}")) {
                            return Some(difference);
                        }
                    }
                }
            }
            found
                .keys()
                .find(|key| !members.contains_key(*key))
                .map(|key| format!("{path}: {key} is too much"))
        }
        Value::Array(items) => match actual {
            Value::Array(found) if found.len() == items.len() => items
                .iter()
                .zip(found)
                .enumerate()
                .find_map(|(place, (wanted, found))| differs(wanted, found, &format!("{path}[{place}]"))),
            _ => wrong(),
        },
        Value::Number(number) => match actual {
            Value::Number(found) if found.as_f64() == number.as_f64() => None,
            _ => wrong(),
        },
        plain => {
            if plain == actual {
                None
            } else {
                wrong()
            }
        }
    }
}

fn document(text: &str) -> Option<Value> {
    text.starts_with(['{', '[']).then(|| serde_json::from_str(text).ok()).flatten()
}

/// Whether `text` goes with a pattern of wildcards; times and UUIDs are taken for what they look like.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((at, mark)) = ["__ANY__", "__TS__", "__UUID__"]
        .iter()
        .filter_map(|mark| pattern.find(mark).map(|at| (at, *mark)))
        .min()
    else {
        return pattern == text;
    };
    let (before, after) = (&pattern[..at], &pattern[at + mark.len()..]);
    let Some(rest) = text.strip_prefix(before) else { return false };
    (0..=rest.len()).filter(|end| rest.is_char_boundary(*end)).any(|end| {
        let fits = match mark {
            "__TS__" => {
                rest[..end].len() >= 20 && stepgrad_asl::expression::timestamp::parse(&rest[..end]).is_some()
            }
            "__UUID__" => end == 36,
            _ => true,
        };
        fits && matches(after, &rest[end..])
    })
}
