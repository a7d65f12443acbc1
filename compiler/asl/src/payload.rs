//! A JSON value that is passed on without being copied, and remembers its text.

use serde_json::Value;
use std::sync::{Arc, OnceLock};

/// A JSON value, shared.
#[derive(Debug, Clone)]
pub struct Payload(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    value: Value,
    text: OnceLock<Box<str>>,
}

impl Payload {
    /// Shares `value`.
    #[must_use]
    pub fn new(value: Value) -> Self {
        Self(Arc::new(Inner { value, text: OnceLock::new() }))
    }

    /// `{}`.
    #[must_use]
    pub fn empty() -> Self {
        Self::new(Value::Object(serde_json::Map::new()))
    }

    /// The value.
    #[must_use]
    pub fn value(&self) -> &Value {
        &self.0.value
    }

    /// The value as compact JSON; made once.
    #[must_use]
    pub fn text(&self) -> &str {
        self.0.text.get_or_init(|| self.0.value.to_string().into_boxed_str())
    }

    /// Whether the text has at most `bytes` bytes. The text of a value that is far smaller is not made for this.
    #[must_use]
    pub fn is_within(&self, bytes: usize) -> bool {
        match self.0.text.get() {
            Some(text) => text.len() <= bytes,
            None => rest(&self.0.value, bytes).is_some() || self.text().len() <= bytes,
        }
    }

    /// The value itself; copied where it is shared.
    #[must_use]
    pub fn into_value(self) -> Value {
        match Arc::try_unwrap(self.0) {
            Ok(inner) => inner.value,
            Err(shared) => shared.value.clone(),
        }
    }
}

/// What is left of `bytes` after the longest text that the value can have; `None` if that is too long.
fn rest(value: &Value, bytes: usize) -> Option<usize> {
    /// A character that has to be escaped: `\u0000`.
    const ESCAPED: usize = 6;
    /// No number is written longer than `-1.7976931348623157e+308`.
    const NUMBER: usize = 24;
    let text = |bytes: usize, text: &str| bytes.checked_sub(text.len().checked_mul(ESCAPED)?.checked_add(2)?);
    match value {
        Value::Null | Value::Bool(_) => bytes.checked_sub("false".len()),
        Value::Number(_) => bytes.checked_sub(NUMBER),
        Value::String(string) => text(bytes, string),
        Value::Array(items) => {
            let brackets = bytes.checked_sub(2)?;
            items.iter().try_fold(brackets, |bytes, item| rest(item, bytes)?.checked_sub(1))
        }
        Value::Object(members) => {
            let braces = bytes.checked_sub(2)?;
            members
                .iter()
                .try_fold(braces, |bytes, (name, value)| rest(value, text(bytes, name)?)?.checked_sub(2))
        }
    }
}

impl From<Value> for Payload {
    fn from(value: Value) -> Self {
        Self::new(value)
    }
}

impl PartialEq for Payload {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.value == other.0.value
    }
}

#[cfg(test)]
mod tests {
    use super::Payload;
    use serde_json::{Value, json};

    #[test]
    fn sizes_are_exact_whether_the_text_was_made_or_not() {
        let values = [
            json!(null),
            json!(false),
            json!(f64::MIN),
            json!(u64::MAX),
            json!("\u{1}\"ä\\"),
            json!([]),
            json!({}),
            json!([1, [2, "x"], {"a": {"b\n": [true]}, "c": "d"}]),
            Value::from("\u{0}".repeat(1_000)),
            Value::from("a".repeat(100_000)),
        ];
        for value in values {
            let bytes = value.to_string().len();
            for (limit, expected) in [(bytes - 1, false), (bytes, true), (10 * bytes + 100, true)] {
                assert_eq!(Payload::new(value.clone()).is_within(limit), expected, "{value} in {limit}");
                let with_text = Payload::new(value.clone());
                assert_eq!(with_text.text().len(), bytes);
                assert_eq!(with_text.is_within(limit), expected, "{value} in {limit}");
            }
        }
    }
}
