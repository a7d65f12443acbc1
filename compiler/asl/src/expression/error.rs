//! What can go wrong with an expression: when it is compiled, and when it is evaluated.

/// The text is not an expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SyntaxError {
    /// What is wrong with it.
    pub message: String,
}

impl SyntaxError {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into() }
    }
}

/// The expression has no value for this input. The texts are those that AWS gives as an error's cause.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EvaluationError {
    /// A definite path leads nowhere.
    #[error("The JSONPath '{path}' could not be found in the input '{input}'")]
    PathNotFound {
        /// The path as written.
        path: String,
        /// The input, shortened.
        input: String,
    },
    /// The same, in a field of a payload template.
    #[error(
        "The JSONPath '{path}' specified for the field '{field}' could not be found in the input '{input}'"
    )]
    FieldNotFound {
        /// The path as written.
        path: String,
        /// The field's name with its `.$`.
        field: String,
        /// The input, shortened.
        input: String,
    },
    /// The same, of InputPath or OutputPath.
    #[error("Invalid path '{path}' : No results for path: {steps}")]
    Selection {
        /// The path as written.
        path: String,
        /// The path in brackets.
        steps: String,
    },
    /// A variable without a value.
    #[error("The variable '{0}' has no value")]
    VariableNotFound(String),
    /// An intrinsic function refuses its arguments.
    #[error("The function '{function}' had the following error: {message}")]
    Intrinsic {
        /// With its prefix `States.`.
        function: &'static str,
        /// What is wrong with the arguments.
        message: String,
    },
    /// A result cannot be put where ResultPath says.
    #[error("Unable to apply step \"{step}\" to input {input}")]
    ResultPath {
        /// The path that cannot be followed.
        step: String,
        /// The input, shortened.
        input: String,
    },
    /// A JSONata expression has no value, or none that can be used.
    #[error("{message}")]
    Jsonata {
        /// What is wrong.
        message: String,
        /// The field that the expression stands in, as `Output/total`.
        location: String,
    },
    /// A value of the input is not what the state needs: a rule's operand, a time, a count.
    #[error("{0}")]
    Unfit(String),
}

impl EvaluationError {
    /// The error's name in a Catch (AWS: "Handling errors in Step Functions workflows"). States.Runtime is never
    /// caught.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Intrinsic { .. } => "States.IntrinsicFailure",
            Self::ResultPath { .. } => "States.ResultPathMatchFailure",
            // The documentation has States.ParameterPathFailure for a template's field; executions have States.Runtime.
            Self::FieldNotFound { .. }
            | Self::PathNotFound { .. }
            | Self::Selection { .. }
            | Self::VariableNotFound(_)
            | Self::Unfit(_) => "States.Runtime",
            Self::Jsonata { .. } => "States.QueryEvaluationError",
        }
    }

    /// The field that a JSONata expression without a usable value stands in.
    #[must_use]
    pub fn location(&self) -> Option<&str> {
        match self {
            Self::Jsonata { location, .. } => Some(location),
            _ => None,
        }
    }
}

/// `value` as text, cut to what a message can carry.
#[must_use]
pub(crate) fn shortened(value: &serde_json::Value) -> String {
    const LIMIT: usize = 1_000;
    let mut text = value.to_string();
    if text.len() > LIMIT {
        let end = (0..=LIMIT).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
        text.push_str("...");
    }
    text
}
