//! The checks: each in its file, with what it asks, why, and its code. [`CHECKS`] is the whole list.
//!
//! They work on the tree with places, not on the typed document, so that one wrong field does not hide the findings
//! elsewhere. An error is what AWS refuses; what AWS accepts is a warning at most.

mod duplicate_keys;
mod error_names;
mod exclusive_fields;
mod express;
mod expressions;
mod findings;
mod label;
mod names;
mod outline;
mod placeholders;
mod query_language;
mod reachability;
pub mod reference;
mod secrets;
mod shape;
mod size;
mod timeouts;
mod transitions;
mod variables;

use crate::diagnostic::{Diagnostic, Severity};
use crate::document::{MachineType, StateMachine};
use crate::json;
use findings::Findings;
use outline::Outline;

pub use outline::Place;

/// The text is not a JSON object: nothing else can be checked.
pub const SYNTAX: &str = "ASL001";

/// One check.
#[derive(Debug, Clone, Copy)]
pub struct Check {
    /// Its codes, with one line each for people.
    pub codes: &'static [(&'static str, &'static str)],
    /// Its own text: what it asks and why stands at its head.
    source: &'static str,
    run: fn(&Outline<'_>, &mut Findings<'_>),
}

macro_rules! checks {
    ($($module:ident $file:literal,)+) => {
        &[$(Check { codes: $module::CODES, source: include_str!($file), run: $module::check }),+]
    };
}

/// All checks, in the order in which they run.
pub const CHECKS: &[Check] = checks! {
    duplicate_keys "duplicate_keys.rs",
    size "size.rs",
    shape "shape/mod.rs",
    exclusive_fields "exclusive_fields.rs",
    query_language "query_language.rs",
    transitions "transitions.rs",
    reachability "reachability.rs",
    names "names.rs",
    expressions "expressions.rs",
    error_names "error_names.rs",
    timeouts "timeouts.rs",
    label "label.rs",
    placeholders "placeholders.rs",
    express "express.rs",
    variables "variables.rs",
    secrets "secrets.rs",
};

/// Every finding of a definition, errors and warnings, in the order of the text. Empty for a definition without
/// fault.
#[must_use]
pub fn validate(text: &str, machine_type: MachineType) -> Vec<Diagnostic> {
    let mut findings = Findings::new(text);
    if let Some(root) = read(text, &mut findings) {
        run(&root, text, machine_type, &mut findings);
    }
    findings.sorted()
}

/// What `asl validate` prints: `{"valid": …, "diagnostics": […]}`. Warnings leave a definition valid.
#[must_use]
pub fn verdict(diagnostics: &[Diagnostic]) -> serde_json::Value {
    let valid = diagnostics.iter().all(|finding| finding.severity != Severity::Error);
    serde_json::json!({"valid": valid, "diagnostics": diagnostics})
}

/// Checks a definition and reads it.
///
/// # Errors
/// All findings, if one of them is an error.
pub fn parse(text: &str, machine_type: MachineType) -> Result<(StateMachine, Place), Vec<Diagnostic>> {
    let mut findings = Findings::new(text);
    let Some(root) = read(text, &mut findings) else { return Err(findings.sorted()) };
    run(&root, text, machine_type, &mut findings);
    if findings.has_errors() {
        return Err(findings.sorted());
    }
    match serde_json::from_value(root.to_value()) {
        Ok(machine) => Ok((machine, Place::new(text, root))),
        Err(error) => {
            // The checks ask for more than the types do: this is a gap in them.
            findings.error(
                shape::WRONG_VALUE,
                &root,
                "",
                format!("the definition cannot be read: {error}"),
                None,
            );
            Err(findings.sorted())
        }
    }
}

fn read(text: &str, findings: &mut Findings<'_>) -> Option<json::Node> {
    if text.len() > size::MAX_BYTES {
        findings.at(
            size::TOO_LARGE,
            Severity::Error,
            json::Span::default(),
            "",
            size::message(text.len()),
            None,
        );
        return None;
    }
    match json::read(text) {
        Ok(root) if root.members().is_some() => Some(root),
        Ok(root) => {
            let message = format!("a definition has to be a JSON object, not {}", root.describe());
            findings.error(SYNTAX, &root, "", message, None);
            None
        }
        Err(error) => {
            let span = json::Span { start: error.offset, end: error.offset };
            findings.at(SYNTAX, Severity::Error, span, "", error.message, None);
            None
        }
    }
}

fn run(root: &json::Node, text: &str, machine_type: MachineType, findings: &mut Findings<'_>) {
    let outline = Outline::of(root, text, machine_type);
    for check in CHECKS {
        (check.run)(&outline, findings);
    }
}

#[cfg(test)]
mod tests;
