//! What the checks have to say.

use crate::json::{Position, Span};
use serde::Serialize;

/// Whether a finding keeps a definition from being used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// AWS refuses the definition, or it cannot run.
    Error,
    /// AWS accepts it, and it is likely not what was meant.
    Warning,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// Stable: `ASL001` and so on; see [`crate::check::CHECKS`].
    pub code: &'static str,
    /// Whether the definition can be used in spite of it.
    pub severity: Severity,
    /// What is wrong, lower-case, without a full stop.
    pub message: String,
    /// The JSON pointer (RFC 6901) of the value in question.
    pub pointer: String,
    /// Bytes of the text.
    #[serde(skip)]
    pub span: Span,
    /// Where the span starts.
    #[serde(flatten)]
    pub position: Position,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl std::fmt::Display for Diagnostic {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let Position { line, column } = self.position;
        write!(formatter, "{severity}[{}] {line}:{column} at {}: {}", self.code, self.pointer, self.message)?;
        match &self.hint {
            Some(hint) => write!(formatter, " ({hint})"),
            None => Ok(()),
        }
    }
}

/// Appends `token` to a JSON pointer, escaped.
#[must_use]
pub fn pointer_push(pointer: &str, token: &str) -> String {
    format!("{pointer}/{}", token.replace('~', "~0").replace('/', "~1"))
}
