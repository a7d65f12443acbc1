//! The Choice state.

use super::super::engine::{Core, Here, Work};
use super::super::failure::Failure;
use super::super::frame::Frame;
use serde_json::Value;
use stepgrad_asl::Payload;
use stepgrad_asl::expression::EvaluationError;
use stepgrad_asl::expression::jsonata::States;
use stepgrad_asl::program::{Choice, ChoiceRule, Condition, Outcome};

impl Core {
    pub(super) fn choose(
        &mut self,
        here: &Here,
        frame: &mut Frame,
        choice: &Choice,
        effective: &Payload,
    ) -> Result<Work, Failure> {
        let raw = frame.input.clone();
        for (place, rule) in choice.rules.iter().enumerate() {
            let holds = self.evaluate(here, frame, |_, scope| holds(rule, place, effective, scope))?;
            if holds {
                let produced = self.evaluate(here, frame, |_, scope| {
                    rule.flow.produce(&raw, Outcome::None(effective), scope)
                })?;
                return Ok(Work::Chosen(produced, rule.next));
            }
        }
        match choice.default {
            Some(default) => {
                let produced = self.evaluate(here, frame, |state, scope| {
                    state.flow.produce(&raw, Outcome::None(effective), scope)
                })?;
                Ok(Work::Chosen(produced, default))
            }
            None => {
                let state = here.state(frame)?;
                let cause =
                    "Failed to transition out of the state. The state does not point to a next state.";
                Err(Failure::of_state(state, frame, "States.NoChoiceMatched", cause))
            }
        }
    }
}

pub(crate) fn holds(
    rule: &ChoiceRule,
    place: usize,
    effective: &Payload,
    scope: &dyn stepgrad_asl::expression::Scope,
) -> Result<bool, EvaluationError> {
    match &rule.condition {
        Condition::Rule(rule) => rule.holds(effective.value(), scope),
        Condition::Constant(constant) => Ok(*constant),
        Condition::Expression(expression) => {
            let field = format!("Choices[{place}]/Condition");
            let value = expression
                .evaluate(&States::input(effective.value()), scope)
                .map_err(|failure| failure.describe(expression.text(), &field))?;
            match value {
                Value::Bool(holds) => Ok(holds),
                other => Err(unexpected(expression.text(), &field, "boolean", &other)),
            }
        }
    }
}

/// The error of an expression whose value has the wrong type, in AWS's words.
pub(super) fn unexpected(expression: &str, field: &str, expected: &str, value: &Value) -> EvaluationError {
    let found = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let message = format!(
        "The JSONata expression '{expression}' specified for the field '{field}' returned an unexpected result type. Expected '{expected}', but was '{found}' for value: {value}"
    );
    EvaluationError::Jsonata { message, location: field.to_owned() }
}
