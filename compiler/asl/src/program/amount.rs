//! Numbers and texts that a definition gives, or says where to find.

use crate::expression::jsonata::{Jsonata, States};
use crate::expression::{EvaluationError, Path, Query, Scope};
use serde_json::Value;

/// A number, or where it comes from.
#[derive(Debug, Clone)]
pub enum Amount {
    /// The definition gives it.
    Fixed(f64),
    /// At a path of the effective input.
    Path(Path),
    /// By an expression, in this field.
    Expression(Jsonata, &'static str),
}

impl Amount {
    /// The value, of whatever type it is: what the field accepts is its own business. `None` where a path leads
    /// nowhere.
    ///
    /// # Errors
    /// [`EvaluationError`] of an expression or a variable.
    pub fn evaluate(&self, input: &Value, scope: &dyn Scope) -> Result<Option<Value>, EvaluationError> {
        match self {
            Self::Fixed(number) => Ok(Some(number_value(*number))),
            Self::Path(path) => Ok(path.find(input, scope)?.map(std::borrow::Cow::into_owned)),
            Self::Expression(expression, field) => expression
                .evaluate(&States::input(input), scope)
                .map(Some)
                .map_err(|failure| failure.describe(expression.text(), field)),
        }
    }

    /// The path or expression as written, for messages.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Fixed(number) => number_value(*number).to_string(),
            Self::Path(path) => path.text().to_owned(),
            Self::Expression(expression, _) => expression.text().to_owned(),
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "checked: a whole number within i64")]
fn number_value(number: f64) -> Value {
    if number.fract() == 0.0 && number.abs() < 9e15 {
        Value::from(number as i64)
    } else {
        Value::from(number)
    }
}

/// A text, or where it comes from.
#[derive(Debug, Clone)]
pub enum Text {
    /// The definition gives it.
    Fixed(String),
    /// By a path or intrinsic function of the input.
    Query(Query),
    /// By an expression, in this field.
    Expression(Jsonata, &'static str),
}

impl Text {
    /// The value, of whatever type it is.
    ///
    /// # Errors
    /// [`EvaluationError`] of the path, function or expression.
    pub fn evaluate(&self, input: &Value, scope: &dyn Scope) -> Result<Value, EvaluationError> {
        match self {
            Self::Fixed(text) => Ok(Value::String(text.clone())),
            Self::Query(query) => query.evaluate(input, scope),
            Self::Expression(expression, field) => expression
                .evaluate(&States::input(input), scope)
                .map_err(|failure| failure.describe(expression.text(), field)),
        }
    }
}
