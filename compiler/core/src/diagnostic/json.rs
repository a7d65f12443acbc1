//! Diagnostics as data, for `-o json` and for editors.

use super::{Diagnostic, Position, Source};
use serde_json::{Value, json};
use std::ops::Range;

/// The diagnostics as an array of objects: `code`, `severity`, `message`, `label`, `file`, `line`, `column`,
/// `end_line`, `end_column` (from 1; null without a place in the source), `span` (bytes, `[start, end]`),
/// `argument` (the command-line argument it is about, or null), `hints`, `suggestion`
/// (`{span, replacement}` or null) and `related` (`[{span, line, column, label}]`).
#[must_use]
pub fn to_json(diagnostics: &[Diagnostic], source: &Source<'_>) -> Value {
    diagnostics.iter().map(|diagnostic| object(diagnostic, source)).collect()
}

fn object(diagnostic: &Diagnostic, source: &Source<'_>) -> Value {
    let position = |offset: usize| Position::of(source.text, offset);
    let start = diagnostic.span.as_ref().map(|span| position(span.start));
    let end = diagnostic.span.as_ref().map(|span| position(span.end));
    let related: Vec<_> = diagnostic
        .related
        .iter()
        .map(|(span, label)| {
            let place = position(span.start);
            json!({"span": pair(span), "line": place.line, "column": place.column, "label": label})
        })
        .collect();
    json!({
        "code": diagnostic.code.name(),
        "severity": diagnostic.severity.name(),
        "message": diagnostic.message,
        "label": diagnostic.label,
        "file": source.name,
        "line": start.map(|place| place.line),
        "column": start.map(|place| place.column),
        "end_line": end.map(|place| place.line),
        "end_column": end.map(|place| place.column),
        "span": diagnostic.span.as_ref().map(pair),
        "argument": diagnostic.argument.as_ref().map(|argument| argument.text.to_string()),
        "hints": diagnostic.hints,
        "suggestion": diagnostic.suggestion.as_ref().map(|suggestion| {
            json!({"span": pair(&suggestion.span), "replacement": suggestion.replacement})
        }),
        "related": related,
    })
}

fn pair(span: &Range<usize>) -> [usize; 2] {
    [span.start, span.end]
}
