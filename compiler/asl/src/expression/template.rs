//! Payload templates: a field whose name ends in `.$` has a path or an intrinsic function for its value.

use super::{Call, EvaluationError, Path, Scope, SyntaxError};
use serde_json::{Map, Value};

/// A path or a call of an intrinsic function.
#[derive(Debug, Clone)]
pub enum Query {
    /// `$…`.
    Path(Path),
    /// `States.…(…)`.
    Call(Box<Call>),
}

impl Query {
    /// Compiles what may stand as the value of a `.$` field.
    ///
    /// # Errors
    /// [`SyntaxError`] where `text` is neither a path nor a call.
    pub fn parse(text: &str) -> Result<Self, SyntaxError> {
        if super::path::is_path(text) {
            Path::parse(text).map(Self::Path)
        } else if text.starts_with("States.") {
            Call::parse(text).map(|call| Self::Call(Box::new(call)))
        } else {
            Err(SyntaxError::new(format!("{text:?} is neither a path nor an intrinsic function")))
        }
    }

    /// The value.
    ///
    /// # Errors
    /// [`EvaluationError`] as the path or the function has it.
    pub fn evaluate(&self, input: &Value, scope: &dyn Scope) -> Result<Value, EvaluationError> {
        match self {
            Self::Path(path) => path.evaluate(input, scope).map(std::borrow::Cow::into_owned),
            Self::Call(call) => call.evaluate(input, scope),
        }
    }

    /// As written.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Self::Path(path) => path.text(),
            Self::Call(call) => call.text(),
        }
    }
}

/// A compiled payload template.
#[derive(Debug, Clone)]
pub enum Template {
    /// Nothing in it is computed.
    Literal(Value),
    /// A path or call, with the field it stands in.
    Query {
        /// The field's name with its `.$`.
        field: String,
        /// What is computed.
        query: Query,
    },
    /// An array with something computed in it.
    Array(Vec<Self>),
    /// An object with something computed in it; the names without their `.$`.
    Object(Vec<(String, Self)>),
}

/// Where in a template something is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateError {
    /// The way to the field, from the template's root.
    pub pointer: String,
    /// What is wrong with its value.
    pub message: String,
}

impl Template {
    /// Compiles a template.
    ///
    /// # Errors
    /// Every field that ends in `.$` and whose value is neither path nor call.
    pub fn compile(template: &Value) -> Result<Self, Vec<TemplateError>> {
        let mut errors = Vec::new();
        let compiled = compile(template, "", &mut errors);
        if errors.is_empty() { Ok(compiled) } else { Err(errors) }
    }

    /// The payload.
    ///
    /// # Errors
    /// [`EvaluationError`] of the first field that has no value.
    pub fn evaluate(&self, input: &Value, scope: &dyn Scope) -> Result<Value, EvaluationError> {
        match self {
            Self::Literal(value) => Ok(value.clone()),
            Self::Query { field, query } => query.evaluate(input, scope).map_err(|error| match error {
                EvaluationError::PathNotFound { path, input } => {
                    EvaluationError::FieldNotFound { path, field: field.clone(), input }
                }
                error => error,
            }),
            Self::Array(items) => items
                .iter()
                .map(|item| item.evaluate(input, scope))
                .collect::<Result<_, _>>()
                .map(Value::Array),
            Self::Object(members) => {
                let mut object = Map::with_capacity(members.len());
                for (name, member) in members {
                    object.insert(name.clone(), member.evaluate(input, scope)?);
                }
                Ok(Value::Object(object))
            }
        }
    }
}

fn compile(template: &Value, pointer: &str, errors: &mut Vec<TemplateError>) -> Template {
    match template {
        Value::Array(items) => {
            let items: Vec<_> = items
                .iter()
                .enumerate()
                .map(|(index, item)| compile(item, &format!("{pointer}/{index}"), errors))
                .collect();
            if items.iter().all(|item| matches!(item, Template::Literal(_))) {
                Template::Literal(template.clone())
            } else {
                Template::Array(items)
            }
        }
        Value::Object(members) => {
            let members: Vec<_> =
                members.iter().map(|(name, value)| member(name, value, pointer, errors)).collect();
            if members.iter().all(|(_, member)| matches!(member, Template::Literal(_))) {
                Template::Literal(template.clone())
            } else {
                Template::Object(members)
            }
        }
        _ => Template::Literal(template.clone()),
    }
}

fn member(name: &str, value: &Value, pointer: &str, errors: &mut Vec<TemplateError>) -> (String, Template) {
    let pointer = crate::diagnostic::pointer_push(pointer, name);
    let Some(plain) = name.strip_suffix(".$") else {
        return (name.to_owned(), compile(value, &pointer, errors));
    };
    let query = match value {
        Value::String(text) => Query::parse(text).map_err(|error| error.message),
        _ => Err("the value of a field that ends in .$ has to be a path or an intrinsic function".to_owned()),
    };
    match query {
        Ok(query) => (plain.to_owned(), Template::Query { field: name.to_owned(), query }),
        Err(message) => {
            errors.push(TemplateError { pointer, message });
            (plain.to_owned(), Template::Literal(Value::Null))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Template;
    use crate::expression::EmptyScope;
    use serde_json::json;

    #[test]
    fn computes_fields_anywhere() {
        let template =
            json!({"a": 1, "b.$": "$.x", "c": [{"d.$": "States.ArrayLength($.l)"}, 2], "e": "$.x"});
        let input = json!({"x": {"y": 1}, "l": [1, 2]});
        let payload = Template::compile(&template).unwrap().evaluate(&input, &EmptyScope).unwrap();
        assert_eq!(payload, json!({"a": 1, "b": {"y": 1}, "c": [{"d": 2}, 2], "e": "$.x"}));
    }

    #[test]
    fn names_the_field_that_is_wrong() {
        let errors = Template::compile(&json!({"a": {"b.$": "x", "c.$": 1}})).unwrap_err();
        assert_eq!(
            errors.iter().map(|error| error.pointer.as_str()).collect::<Vec<_>>(),
            ["/a/b.$", "/a/c.$"]
        );
        let error =
            Template::compile(&json!({"a.$": "$.x"})).unwrap().evaluate(&json!({}), &EmptyScope).unwrap_err();
        assert_eq!(error.name(), "States.Runtime");
    }
}
