//! Functions on strings.

use super::text;
use crate::expression::Scope;
use serde_json::Value;
use std::fmt::Write as _;

/// The separator is a set of characters, and empty parts are dropped, as recorded.
#[expect(clippy::needless_pass_by_value, reason = "one signature for all functions")]
pub(super) fn split(arguments: Vec<Value>, _: &dyn Scope) -> Result<Value, String> {
    let [data, separators] = &arguments[..] else { return Err("two arguments are needed".into()) };
    let separators = text(separators, "the separator")?;
    let parts = text(data, "the text")?.split(|c| separators.contains(c));
    Ok(Value::Array(parts.filter(|part| !part.is_empty()).map(Value::from).collect()))
}

#[expect(clippy::needless_pass_by_value, reason = "one signature for all functions")]
pub(super) fn format(arguments: Vec<Value>, _: &dyn Scope) -> Result<Value, String> {
    let [template, values @ ..] = &arguments[..] else { return Err("a template is needed".into()) };
    let template = text(template, "the template")?;
    let mut values = values.iter();
    let mut result = String::new();
    let mut chars = template.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.peek() {
                Some(escaped @ ('\'' | '\\' | '{' | '}')) => {
                    result.push(*escaped);
                    chars.next();
                }
                _ => result.push(c),
            },
            '{' if chars.peek() == Some(&'}') => {
                chars.next();
                match values.next() {
                    Some(Value::String(text)) => result.push_str(text),
                    Some(Value::Array(_)) => return Err("an array cannot be formatted".into()),
                    Some(value) => printed(value, &mut result),
                    None => return Err("there are more {} than values".into()),
                }
            }
            c => result.push(c),
        }
    }
    if values.next().is_some() {
        return Err("there are more values than {}".into());
    }
    Ok(Value::String(result))
}

/// As Java prints a map, which is how AWS was recorded: `{Arg1=1, Arg2=[]}`.
fn printed(value: &Value, result: &mut String) {
    match value {
        Value::String(text) => result.push_str(text),
        Value::Array(items) => {
            result.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    result.push_str(", ");
                }
                printed(item, result);
            }
            result.push(']');
        }
        Value::Object(members) => {
            result.push('{');
            for (index, (name, member)) in members.iter().enumerate() {
                if index > 0 {
                    result.push_str(", ");
                }
                result.push_str(name);
                result.push('=');
                printed(member, result);
            }
            result.push('}');
        }
        plain => {
            // Writing into a String cannot fail.
            let _ = write!(result, "{plain}");
        }
    }
}
