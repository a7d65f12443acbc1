//! The Fail state.

use super::super::engine::{Core, Here};
use super::super::failure::Failure;
use super::super::frame::Frame;
use serde_json::Value;
use stepgrad_asl::Payload;
use stepgrad_asl::expression::{EvaluationError, Scope};
use stepgrad_asl::program::{Fail, Text};

impl Core {
    /// The error that the state fails with.
    pub(super) fn failed(
        &mut self,
        here: &Here,
        frame: &mut Frame,
        fail: &Fail,
        effective: &Payload,
    ) -> Result<Failure, Failure> {
        let (error, cause) =
            self.evaluate(here, frame, |_, scope| error_and_cause(fail, effective.value(), scope))?;
        Ok(Failure::of(error, cause))
    }
}

/// The error's name and what happened, as the state gives them.
pub(crate) fn error_and_cause(
    fail: &Fail,
    effective: &Value,
    scope: &dyn Scope,
) -> Result<(Option<String>, Option<String>), EvaluationError> {
    let text = |text: &Option<Text>, field: &str| match text {
        None => Ok(None),
        Some(text) => match text.evaluate(effective, scope)? {
            Value::String(text) => Ok(Some(text)),
            other => Err(wrong_type(text, field, &other)),
        },
    };
    Ok((text(&fail.error, "Error")?, text(&fail.cause, "Cause")?))
}

fn wrong_type(text: &Text, field: &str, value: &Value) -> EvaluationError {
    match text {
        Text::Expression(expression, _) => {
            super::choice::unexpected(expression.text(), field, "string", value)
        }
        Text::Fixed(_) | Text::Query(_) => EvaluationError::Unfit(format!(
            "The {field}Path parameter does not reference a string value: {value}"
        )),
    }
}
