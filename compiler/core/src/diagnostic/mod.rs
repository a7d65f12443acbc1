//! What the compiler has to say about a spec: one type for every finding of every phase, its code with a page
//! that explains it, and the two ways of showing it (text for people, JSON for programs).
//!
//! Not for errors of a run or of AWS, and it prints nothing: the cli does.

mod code;
mod json;
mod place;
mod render;

pub use code::{Code, Example, UnknownCode};
pub use json::to_json;
pub use place::{Argument, Place, Position};
pub use render::render;

use std::ops::Range;

/// The text that spans count in.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// What to call it, e.g. the file's path as the user gave it.
    pub name: &'a str,
    /// The whole text.
    pub text: &'a str,
}

/// Whether a finding stops the compilation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It does.
    Error,
    /// It does not.
    Warning,
}

impl Severity {
    /// `error` or `warning`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// A replacement of a part of the source that would mend the finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suggestion {
    /// Bytes of the source.
    pub span: Range<usize>,
    /// What to put there.
    pub replacement: String,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// What kind of finding; `stepgrad explain` shows its page.
    pub code: Code,
    /// Error or warning.
    pub severity: Severity,
    /// Lower-case, without a full stop.
    pub message: String,
    /// Bytes of the source that it is about.
    pub span: Option<Range<usize>>,
    /// Stands beside the marked span; may be empty.
    pub label: String,
    /// What to do.
    pub hints: Vec<String>,
    /// A replacement to offer.
    pub suggestion: Option<Suggestion>,
    /// Other places involved, each with its label.
    pub related: Vec<(Range<usize>, String)>,
    /// The command-line argument that it is about, where the value came from there; then `span` is `None`.
    pub argument: Option<Argument>,
}

impl Diagnostic {
    /// An error without a place yet.
    #[must_use]
    pub fn error(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            severity: Severity::Error,
            message: message.into(),
            span: None,
            label: String::new(),
            hints: Vec::new(),
            suggestion: None,
            related: Vec::new(),
            argument: None,
        }
    }

    /// A warning without a place yet.
    #[must_use]
    pub fn warning(code: Code, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, message) }
    }

    /// The place it is about, and what stands beside it.
    #[must_use]
    pub fn at(mut self, place: &Place, label: impl Into<String>) -> Self {
        self.label = label.into();
        match place {
            Place::Source(span) => self.span = Some(span.clone()),
            Place::Argument(argument) => self.argument = Some(argument.clone()),
            Place::Nowhere => {}
        }
        self
    }

    /// Another place involved, and what stands beside it.
    #[must_use]
    pub fn also(mut self, place: &Place, label: impl Into<String>) -> Self {
        match place {
            Place::Source(span) => self.related.push((span.clone(), label.into())),
            Place::Argument(argument) => self.hints.push(format!("`{}`: {}", argument.text, label.into())),
            Place::Nowhere => {}
        }
        self
    }

    /// What to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// A replacement to offer; kept only where `place` lies in the source.
    #[must_use]
    pub fn suggest(mut self, place: &Place, replacement: impl Into<String>) -> Self {
        if let Place::Source(span) = place {
            self.suggestion = Some(Suggestion { span: span.clone(), replacement: replacement.into() });
        }
        self
    }

    /// Orders findings by place: the source first, then the command line, then those without a place.
    #[must_use]
    pub fn order(&self) -> (u8, usize, usize, Code) {
        match (&self.span, &self.argument) {
            (Some(span), _) => (0, span.start, span.end, self.code),
            (None, Some(argument)) => (1, argument.index, argument.span.start, self.code),
            (None, None) => (2, 0, 0, self.code),
        }
    }
}

#[cfg(test)]
mod tests;
