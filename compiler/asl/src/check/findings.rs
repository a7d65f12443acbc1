//! Collects what the checks find.

use crate::diagnostic::{Diagnostic, Severity};
use crate::json::{Node, Position, Span};

/// Findings so far.
pub(super) struct Findings<'a> {
    text: &'a str,
    found: Vec<Diagnostic>,
}

impl<'a> Findings<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, found: Vec::new() }
    }

    pub(super) fn has_errors(&self) -> bool {
        self.found.iter().any(|finding| finding.severity == Severity::Error)
    }

    /// By place, then by code; a finding that two checks made is there once.
    pub(super) fn sorted(mut self) -> Vec<Diagnostic> {
        self.found.sort_by(|a, b| {
            (a.span.start, a.code, &a.pointer, &a.message).cmp(&(
                b.span.start,
                b.code,
                &b.pointer,
                &b.message,
            ))
        });
        self.found.dedup();
        self.found
    }

    pub(super) fn error(
        &mut self,
        code: &'static str,
        node: &Node,
        pointer: &str,
        message: impl Into<String>,
        hint: Option<String>,
    ) {
        self.at(code, Severity::Error, node.span, pointer, message, hint);
    }

    pub(super) fn warning(
        &mut self,
        code: &'static str,
        node: &Node,
        pointer: &str,
        message: impl Into<String>,
        hint: Option<String>,
    ) {
        self.at(code, Severity::Warning, node.span, pointer, message, hint);
    }

    pub(super) fn at(
        &mut self,
        code: &'static str,
        severity: Severity,
        span: Span,
        pointer: &str,
        message: impl Into<String>,
        hint: Option<String>,
    ) {
        self.found.push(Diagnostic {
            code,
            severity,
            message: message.into(),
            pointer: pointer.to_owned(),
            span,
            position: Position::of(self.text, span.start),
            hint,
        });
    }
}

/// The name among `known` that `name` may have been meant as.
pub(super) fn did_you_mean<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    known
        .map(|other| (strsim::damerau_levenshtein(name, other), other))
        .filter(|(distance, other)| *distance <= 1 + other.chars().count() / 4)
        .min()
        .map(|(_, other)| format!("did you mean {other:?}?"))
}
