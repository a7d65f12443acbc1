//! JSONata by itself, without Step Functions: for trying expressions, and for the language's own reference suite.

use super::options;
use jsonata_core::evaluator::{Context, Evaluator};
use jsonata_core::value::JValue;
use serde::Serialize;
use serde_json::{Map, Value};

/// What an expression came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// A value.
    Result(Value),
    /// None: always true.
    Undefined(bool),
    /// JSONata's code of the error, e.g. `D1001`, or its text where it has none.
    Error(String),
}

/// Evaluates `expression` on `data` (undefined, if absent) with variables.
#[must_use]
pub fn evaluate(expression: &str, data: Option<&Value>, bindings: &Map<String, Value>) -> Answer {
    let tree = match jsonata_core::parser::parse(expression) {
        Ok(tree) => tree,
        Err(error) => return Answer::Error(code(&error.to_string())),
    };
    let mut context = Context::new();
    for (name, value) in bindings {
        context.bind(name.clone(), JValue::from(value.clone()));
    }
    let data = data.map_or(JValue::Undefined, |data| JValue::from(data.clone()));
    match Evaluator::with_options(context, options()).evaluate(&tree, &data) {
        Ok(value) if value.is_undefined() => Answer::Undefined(true),
        Ok(value) => match serde_json::to_value(&value) {
            Ok(value) => Answer::Result(value),
            Err(error) => Answer::Error(error.to_string()),
        },
        Err(error) => Answer::Error(error.code().map_or_else(|| error.message().to_owned(), str::to_owned)),
    }
}

/// The code that a parser's message starts with or carries, e.g. `S0201`.
fn code(message: &str) -> String {
    let is_code = |word: &&str| {
        word.len() == 5
            && word.starts_with(|c: char| c.is_ascii_uppercase())
            && word.bytes().skip(1).all(|b| b.is_ascii_digit())
    };
    let words = message.split(|c: char| !c.is_ascii_alphanumeric());
    words.into_iter().find(is_code).unwrap_or(message).to_owned()
}

#[cfg(test)]
mod tests {
    use super::{Answer, evaluate};
    use serde_json::{Map, json};

    #[test]
    fn answers_in_three_ways() {
        let bindings = Map::from_iter([("x".to_owned(), json!(2))]);
        assert_eq!(evaluate("a + $x", Some(&json!({"a": 1})), &bindings), Answer::Result(json!(3)));
        assert_eq!(evaluate("b", Some(&json!({"a": 1})), &bindings), Answer::Undefined(true));
        assert_eq!(evaluate("1 + 'a'", None, &bindings), Answer::Error("T2002".to_owned()));
        assert!(matches!(evaluate("1 +", None, &bindings), Answer::Error(_)));
        assert_eq!(serde_json::to_value(Answer::Undefined(true)).unwrap(), json!({"undefined": true}));
    }
}
