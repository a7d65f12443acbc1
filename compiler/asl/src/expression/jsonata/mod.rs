//! JSONata: `{% … %}`. The language itself is jsonata-core's; here is what Step Functions makes of it: `$states`, the
//! workflow's variables, the functions it adds, and what counts as a result.

mod functions;
mod plain;
mod template;

pub use plain::{Answer, evaluate};
pub use template::JsonataTemplate;

use super::{EvaluationError, Scope, SyntaxError};
use jsonata_core::ast::AstNode;
use jsonata_core::evaluator::{Context, Evaluator, EvaluatorError, EvaluatorOptions};
use jsonata_core::value::JValue;
use serde_json::Value;
use std::collections::BTreeSet;

/// Bounds of one evaluation. Time is bounded too, so that an endless recursion ends; a value never depends on it.
const MAX_STACK: usize = 500;
const MAX_SEQUENCE: usize = 300_000;
const MAX_MILLISECONDS: u64 = 5_000;

/// A compiled expression.
#[derive(Debug, Clone)]
pub struct Jsonata {
    text: String,
    tree: Box<AstNode>,
    /// The names after a `$` in the text: variables to bind, if they are known.
    names: BTreeSet<String>,
}

/// What `$states` holds besides the context object.
#[derive(Debug, Clone, Copy)]
pub struct States<'a> {
    /// The state's raw input.
    pub input: &'a Value,
    /// The task's result, where there is one.
    pub result: Option<&'a Value>,
    /// The error, in a Catch.
    pub error_output: Option<&'a Value>,
}

impl<'a> States<'a> {
    /// Only an input.
    #[must_use]
    pub fn input(input: &'a Value) -> Self {
        Self { input, result: None, error_output: None }
    }
}

/// An expression gave nothing that the state can use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// It has no value.
    Undefined,
    /// It failed.
    Thrown(String),
    /// Its value is a function or a regular expression.
    Unsupported,
}

impl Failure {
    /// The error of `expression` in `field`, in AWS's words.
    #[must_use]
    pub fn describe(&self, expression: &str, field: &str) -> EvaluationError {
        let start = format!("The JSONata expression '{expression}' specified for the field '{field}'");
        let message = match self {
            Self::Undefined => format!("{start} returned nothing (undefined)."),
            Self::Thrown(message) => format!("{start} threw an error during evaluation. {message}"),
            Self::Unsupported => format!("{start} returned an unsupported result type."),
        };
        EvaluationError::Jsonata { message, location: field.to_owned() }
    }
}

/// The expression inside `{% … %}`, if `text` is one.
#[must_use]
pub fn unwrapped(text: &str) -> Option<&str> {
    text.strip_prefix("{%")?.strip_suffix("%}").map(str::trim)
}

impl Jsonata {
    /// Compiles an expression without its `{%` and `%}`.
    ///
    /// # Errors
    /// [`SyntaxError`] where `text` is not JSONata.
    pub fn parse(text: &str) -> Result<Self, SyntaxError> {
        let tree = jsonata_core::parser::parse(text)
            .map_err(|error| SyntaxError::new(format!("{text:?} is not JSONata: {error}")))?;
        Ok(Self { text: text.to_owned(), tree: Box::new(tree), names: names(text) })
    }

    /// The expression as written, without its `{%` and `%}`.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The names after a `$` anywhere in the expression: variables, functions, and its own.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// The value.
    ///
    /// # Errors
    /// [`Failure`], to be described with the field the expression stands in.
    pub fn evaluate(&self, states: &States<'_>, scope: &dyn Scope) -> Result<Value, Failure> {
        let mut context = Context::new();
        if self.names.contains("states") {
            context.bind("states".to_owned(), JValue::from(self.states(states, scope)));
        }
        for name in &self.names {
            if let Some(value) = scope.variable(name) {
                context.bind(name.clone(), JValue::from(value.clone()));
            }
        }
        let mut evaluator = Evaluator::with_options(context, options());
        functions::register(&mut evaluator, scope).map_err(|error| thrown(&error))?;
        let value = evaluator.evaluate(&self.tree, &JValue::Undefined).map_err(|error| thrown(&error))?;
        if value.is_undefined() {
            return Err(Failure::Undefined);
        }
        if value.is_function() || value.is_regex() {
            return Err(Failure::Unsupported);
        }
        to_value(&value)
    }

    /// `$states`, with the parts that the text can mean.
    fn states(&self, states: &States<'_>, scope: &dyn Scope) -> Value {
        let mut object = serde_json::Map::new();
        let whole = !self.text.contains("states.");
        if whole || self.text.contains("input") {
            object.insert("input".to_owned(), states.input.clone());
        }
        if let Some(result) = states.result {
            object.insert("result".to_owned(), result.clone());
        }
        if let Some(error) = states.error_output {
            object.insert("errorOutput".to_owned(), error.clone());
        }
        if whole || self.text.contains("context") {
            object.insert("context".to_owned(), scope.context(&[]).0.into_owned());
        }
        Value::Object(object)
    }
}

const NOT_A_FUNCTION: &str = "T1006: Attempted to invoke a non-function";

fn options() -> EvaluatorOptions {
    EvaluatorOptions {
        timeout_ms: Some(MAX_MILLISECONDS),
        max_stack_depth: Some(MAX_STACK),
        max_sequence_length: Some(MAX_SEQUENCE),
        ..EvaluatorOptions::default()
    }
}

fn thrown(error: &EvaluatorError) -> Failure {
    let message = error.message();
    // As recorded, without the name that the library adds.
    let message = if message.starts_with(NOT_A_FUNCTION) { NOT_A_FUNCTION } else { message };
    Failure::Thrown(message.to_owned())
}

fn to_value(value: &JValue) -> Result<Value, Failure> {
    serde_json::to_value(value).map_err(|error| Failure::Thrown(error.to_string()))
}

/// The names after a `$`, found without regard to strings: a name too many does no harm.
fn names(text: &str) -> BTreeSet<String> {
    text.split('$')
        .skip(1)
        .map(|rest| rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>())
        .filter(|name| !name.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Failure, Jsonata, States, unwrapped};
    use crate::expression::EmptyScope;
    use serde_json::{Value, json};

    fn value(text: &str, input: &Value) -> Result<Value, Failure> {
        Jsonata::parse(text).unwrap().evaluate(&States::input(input), &EmptyScope)
    }

    #[test]
    fn sees_the_states_object_and_adds_functions() {
        let input = json!({"a": [1, 2, 3], "s": "{\"x\":1}"});
        assert_eq!(value("$sum($states.input.a) + 1", &input), Ok(json!(7)));
        assert_eq!(value("$partition($states.input.a, 2)", &input), Ok(json!([[1, 2], [3]])));
        assert_eq!(value("$partition([0], 2)", &input), Ok(json!([[0]])));
        assert_eq!(value("$range(0, 10, 3)", &input), Ok(json!([0, 3, 6, 9])));
        assert_eq!(value("$parse($states.input.s)", &input), Ok(json!({"x": 1})));
        assert_eq!(
            value("$hash('input data', 'MD5')", &input),
            Ok(json!("812f45842bc6d66ee14572ce20db8e86"))
        );
        assert_eq!(value("$length($uuid())", &input), Ok(json!(36)));
        assert_eq!(value("$now()", &input), Ok(json!("1970-01-01T00:00:00.000Z")));
        assert_eq!(value("$now('[Y]-[M01]')", &input), Ok(json!("1970-01")));
        assert_eq!(value("$now('[H01]:[m01]', '+0230')", &input), Ok(json!("02:30")));
        assert_eq!(value("$type($random())", &input), Ok(json!("number")));
    }

    #[test]
    fn undefined_and_functions_are_failures() {
        assert_eq!(value("$nothing", &json!({})), Err(Failure::Undefined));
        assert_eq!(value("$f := function($x){$x}", &json!({})), Err(Failure::Unsupported));
        assert!(
            matches!(value("$randomSeeded(1)", &json!({})), Err(Failure::Thrown(message)) if message == super::NOT_A_FUNCTION)
        );
        assert!(matches!(value("$eval('1')", &json!({})), Err(Failure::Thrown(_))));
        // What a machine throws itself is told as it is.
        let own = "$error('this is a non-function: x')";
        assert_eq!(
            value(own, &json!({})),
            Err(Failure::Thrown("D3137: this is a non-function: x".to_owned()))
        );
    }

    #[test]
    fn is_unwrapped_strictly() {
        assert_eq!(unwrapped("{% 1 %}"), Some("1"));
        assert_eq!(unwrapped("{%1%}"), Some("1"));
        assert_eq!(unwrapped(" {% 1 %} "), None);
    }
}
