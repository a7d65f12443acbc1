//! What is asked of TestState, as the API takes it (AWS API reference: TestState). What the API has as JSON in a string
//! may also be given as JSON itself.

use serde::Deserialize;
use serde_json::{Map, Value};

/// TestState refuses the request itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct ApiError {
    /// AWS's name of the error.
    pub code: &'static str,
    /// In AWS's words, where they are known.
    pub message: String,
}

impl ApiError {
    pub(super) fn validation(message: impl Into<String>) -> Self {
        Self { code: "ValidationException", message: message.into() }
    }

    pub(super) fn definition(message: impl Into<String>) -> Self {
        Self { code: "InvalidDefinition", message: message.into() }
    }
}

/// How much of the way is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Level {
    /// The outcome.
    #[default]
    Info,
    /// The steps of input and output processing too.
    Debug,
    /// And what went over HTTP: nothing more for the states that this engine knows.
    Trace,
}

/// A mocked reply.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Mock {
    /// JSON as text.
    pub(super) result: Option<String>,
    pub(super) error_output: Option<ErrorOutput>,
    #[serde(default)]
    pub(super) field_validation_mode: FieldValidation,
}

/// A mocked error.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct ErrorOutput {
    pub(super) error: Option<String>,
    pub(super) cause: Option<String>,
}

/// How a mocked result is compared with what the service replies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum FieldValidation {
    /// Types of fields, and that the required ones are there.
    #[default]
    Strict,
    /// Types of the fields that are there.
    Present,
    /// Not at all.
    None,
}

/// The situation the state is in.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Configuration {
    /// Retries of the retrier that the error goes to.
    #[serde(default)]
    pub(super) retrier_retry_count: u64,
    /// Iterations of a Map that failed.
    pub(super) map_iteration_failure_count: Option<u64>,
    /// The state inside that a mocked error comes from.
    pub(super) error_caused_by_state: Option<String>,
    /// What a Map's ItemReader has read.
    pub(super) map_item_reader_data: Option<String>,
}

/// A call of TestState. Members that the API does not have are not looked at: a case may say where it is from.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    pub(super) definition: Value,
    /// In a machine: the state to test.
    pub(super) state_name: Option<String>,
    #[serde(default = "empty")]
    pub(super) input: Value,
    #[serde(default)]
    pub(super) inspection_level: Level,
    pub(super) mock: Option<Mock>,
    #[serde(default)]
    pub(super) state_configuration: Configuration,
    /// In the context object's place.
    pub(super) context: Option<Value>,
    #[serde(default)]
    pub(super) variables: Value,
    pub(super) role_arn: Option<String>,
}

fn empty() -> Value {
    Value::Object(Map::new())
}

impl Request {
    /// Reads a call.
    ///
    /// # Errors
    /// [`ApiError`] as AWS gives it.
    pub fn read(request: &Value) -> Result<Self, ApiError> {
        let mut request: Self =
            Self::deserialize(request).map_err(|error| ApiError::validation(error.to_string()))?;
        if let Value::String(text) = &request.definition {
            request.definition = serde_json::from_str(text).map_err(|error| {
                ApiError::definition(format!(
                    "Invalid State Machine Definition: 'INVALID_JSON_DESCRIPTION: {error}'"
                ))
            })?;
        }
        for (name, part) in
            [("variables", Some(&mut request.variables)), ("context", request.context.as_mut())]
        {
            let Some(part) = part else { continue };
            if let Value::String(text) = part {
                *part = serde_json::from_str(text)
                    .map_err(|_| ApiError::validation(format!("{name} must be valid JSON")))?;
            }
            if !part.is_object() && !part.is_null() {
                return Err(ApiError::validation(format!("{name} must be a JSON object")));
            }
        }
        Ok(request)
    }
}
