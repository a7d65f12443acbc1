//! Values in which any string may be an expression: Arguments, Output, Assign, Items.

use super::{Jsonata, States, unwrapped};
use crate::expression::template::TemplateError;
use crate::expression::{EvaluationError, Scope};
use serde_json::{Map, Value};

/// A compiled value with expressions in it.
#[derive(Debug, Clone)]
pub enum JsonataTemplate {
    /// Nothing in it is computed.
    Literal(Value),
    /// An expression, with the way to it for messages, e.g. `Output/result`.
    Expression {
        /// The way.
        field: String,
        /// What is computed.
        expression: Jsonata,
    },
    /// An array with something computed in it.
    Array(Vec<Self>),
    /// An object with something computed in it.
    Object(Vec<(String, Self)>),
}

impl JsonataTemplate {
    /// Compiles the value of the field `field`.
    ///
    /// # Errors
    /// Every string that is an expression and not JSONata.
    pub fn compile(value: &Value, field: &str) -> Result<Self, Vec<TemplateError>> {
        let mut errors = Vec::new();
        let compiled = compile(value, field, "", &mut errors);
        if errors.is_empty() { Ok(compiled) } else { Err(errors) }
    }

    /// The value.
    ///
    /// # Errors
    /// [`EvaluationError::Jsonata`] of the first expression without a usable value.
    pub fn evaluate(&self, states: &States<'_>, scope: &dyn Scope) -> Result<Value, EvaluationError> {
        match self {
            Self::Literal(value) => Ok(value.clone()),
            Self::Expression { field, expression } => expression
                .evaluate(states, scope)
                .map_err(|failure| failure.describe(expression.text(), field)),
            Self::Array(items) => items
                .iter()
                .map(|item| item.evaluate(states, scope))
                .collect::<Result<_, _>>()
                .map(Value::Array),
            Self::Object(members) => {
                let mut object = Map::with_capacity(members.len());
                for (name, member) in members {
                    object.insert(name.clone(), member.evaluate(states, scope)?);
                }
                Ok(Value::Object(object))
            }
        }
    }

    /// Every expression in it.
    pub fn expressions(&self) -> Vec<&Jsonata> {
        match self {
            Self::Literal(_) => Vec::new(),
            Self::Expression { expression, .. } => vec![expression],
            Self::Array(items) => items.iter().flat_map(Self::expressions).collect(),
            Self::Object(members) => members.iter().flat_map(|(_, member)| member.expressions()).collect(),
        }
    }
}

fn compile(value: &Value, field: &str, pointer: &str, errors: &mut Vec<TemplateError>) -> JsonataTemplate {
    match value {
        Value::String(text) => match unwrapped(text).map(Jsonata::parse) {
            Some(Ok(expression)) => JsonataTemplate::Expression { field: field.to_owned(), expression },
            Some(Err(error)) => {
                errors.push(TemplateError { pointer: pointer.to_owned(), message: error.message });
                JsonataTemplate::Literal(Value::Null)
            }
            None => JsonataTemplate::Literal(value.clone()),
        },
        Value::Array(items) => {
            let items: Vec<_> = items
                .iter()
                .enumerate()
                .map(|(index, item)| {
                    compile(item, &format!("{field}[{index}]"), &format!("{pointer}/{index}"), errors)
                })
                .collect();
            if items.iter().all(|item| matches!(item, JsonataTemplate::Literal(_))) {
                JsonataTemplate::Literal(value.clone())
            } else {
                JsonataTemplate::Array(items)
            }
        }
        Value::Object(members) => {
            let members: Vec<_> = members
                .iter()
                .map(|(name, member)| {
                    let pointer = crate::diagnostic::pointer_push(pointer, name);
                    (name.clone(), compile(member, &format!("{field}/{name}"), &pointer, errors))
                })
                .collect();
            if members.iter().all(|(_, member)| matches!(member, JsonataTemplate::Literal(_))) {
                JsonataTemplate::Literal(value.clone())
            } else {
                JsonataTemplate::Object(members)
            }
        }
        _ => JsonataTemplate::Literal(value.clone()),
    }
}
