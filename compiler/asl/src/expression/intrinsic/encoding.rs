//! Base64.

use super::text;
use crate::expression::Scope;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// AWS: "up to 10,000 characters".
const MAX_CHARACTERS: usize = 10_000;

#[expect(clippy::needless_pass_by_value, reason = "one signature for all functions")]
pub(super) fn encode(arguments: Vec<Value>, _: &dyn Scope) -> Result<Value, String> {
    Ok(Value::String(STANDARD.encode(bounded(&arguments)?)))
}

#[expect(clippy::needless_pass_by_value, reason = "one signature for all functions")]
pub(super) fn decode(arguments: Vec<Value>, _: &dyn Scope) -> Result<Value, String> {
    let bytes = STANDARD.decode(bounded(&arguments)?).map_err(|error| format!("not Base64: {error}"))?;
    String::from_utf8(bytes).map(Value::String).map_err(|_| "the decoded bytes are not text".into())
}

fn bounded(arguments: &[Value]) -> Result<&str, String> {
    let [data] = arguments else { return Err("one argument is needed".into()) };
    let data = text(data, "the data")?;
    if data.chars().count() > MAX_CHARACTERS {
        return Err(format!("the data has more than {MAX_CHARACTERS} characters"));
    }
    Ok(data)
}
