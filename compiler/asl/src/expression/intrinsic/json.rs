//! Functions between JSON and text, and the merge.

use super::text;
use crate::expression::Scope;
use serde_json::Value;

pub(super) fn merge(arguments: Vec<Value>, _: &dyn Scope) -> Result<Value, String> {
    let Ok([first, second, deep]) = <[Value; 3]>::try_from(arguments) else {
        return Err("three arguments are needed".into());
    };
    match deep {
        Value::Bool(false) => {}
        Value::Bool(true) => {
            return Err("a deep merge is not supported: the third argument has to be false".into());
        }
        other => return Err(format!("the third argument has to be a boolean, not {other}")),
    }
    match (first, second) {
        (Value::Object(mut first), Value::Object(second)) => {
            first.extend(second);
            Ok(Value::Object(first))
        }
        _ => Err("both values have to be objects".into()),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "one signature for all functions")]
pub(super) fn from_string(arguments: Vec<Value>, _: &dyn Scope) -> Result<Value, String> {
    let [data] = &arguments[..] else { return Err("one argument is needed".into()) };
    let data = text(data, "the text")?;
    if data.trim().is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_str(data).map_err(|error| format!("not JSON: {error}"))
}

#[expect(clippy::needless_pass_by_value, reason = "one signature for all functions")]
pub(super) fn to_string(arguments: Vec<Value>, _: &dyn Scope) -> Result<Value, String> {
    let [data] = &arguments[..] else { return Err("one argument is needed".into()) };
    Ok(Value::String(data.to_string()))
}
