//! The tables of the checks for people: the page of a code, the fields of the states. The reference in `docs` is
//! written from them.

use super::shape::fields::{Field, Kind, STATES};
use super::{CHECKS, Check, SYNTAX};
use crate::document::QueryLanguage;
use crate::program::NOT_BUILT;

/// A field of a state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldRow {
    /// As in the definition.
    pub name: &'static str,
    /// What its value has to be.
    pub value: String,
    /// Whether it has to be there.
    pub required: bool,
    /// The only query language it belongs to, if there is one.
    pub language: Option<QueryLanguage>,
}

/// The fields of every type of state.
#[must_use]
pub fn state_fields() -> Vec<(&'static str, Vec<FieldRow>)> {
    let row = |field: &Field| FieldRow {
        name: field.name,
        value: describe(field.kind),
        required: field.required,
        language: field.language,
    };
    let rows = |tables: &[&[Field]]| tables.iter().copied().flatten().map(row).collect();
    STATES.iter().map(|(name, tables)| (*name, rows(tables))).collect()
}

/// Every code with its line, in order.
#[must_use]
pub fn codes() -> Vec<(&'static str, &'static str)> {
    let mut codes: Vec<_> = CHECKS.iter().flat_map(|check| check.codes).copied().collect();
    codes.push((SYNTAX, "the text is not a JSON object"));
    codes.push((NOT_BUILT, "right, and not built in this engine"));
    codes.sort_unstable();
    codes
}

/// The page of a code, Markdown; `None` for a code that there is not.
#[must_use]
pub fn page(code: &str) -> Option<String> {
    let (code, title) = codes().into_iter().find(|(name, _)| *name == code)?;
    let about = match CHECKS.iter().find(|check| check.codes.iter().any(|(name, _)| *name == code)) {
        Some(check) => about(check),
        None if code == SYNTAX => "Nothing else can be checked before this is mended.".to_owned(),
        None => "AWS accepts the definition. `stepgrad asl run` refuses it before anything is started, so that it cannot stop half-way; a mock (`--mocks`) can stand for the service.".to_owned(),
    };
    Some(format!("# {code}: {title}\n\n{about}\n"))
}

/// What the check's own file says at its head.
fn about(check: &Check) -> String {
    let lines = check.source.lines().map_while(|line| line.strip_prefix("//!"));
    lines.map(|line| line.strip_prefix(' ').unwrap_or(line)).collect::<Vec<_>>().join("\n")
}

fn describe(kind: Kind) -> String {
    match kind {
        Kind::Text => "text".to_owned(),
        Kind::Boolean => "true or false".to_owned(),
        Kind::Integer(from, to) => format!("whole number, {from} to {to}"),
        Kind::Number(from, _) => format!("number from {from}"),
        Kind::Setting(from, to) => format!("whole number, {from} to {to}; in JSONata also an expression"),
        Kind::Timestamp => "time; in JSONata also an expression".to_owned(),
        Kind::OneOf(names) => names.join(", "),
        Kind::StateName => "name of a state in the same scope".to_owned(),
        Kind::NullablePath => "path or null".to_owned(),
        Kind::NullableReference => "reference path or null".to_owned(),
        Kind::Path => "path".to_owned(),
        Kind::Query => "path or intrinsic function".to_owned(),
        Kind::Template => "payload template".to_owned(),
        Kind::Jsonata => "any value, with expressions in it".to_owned(),
        Kind::Assign => "object of variables".to_owned(),
        Kind::TextOrJsonata => "text; in JSONata also an expression".to_owned(),
        Kind::Texts => "array of texts".to_owned(),
        Kind::Object(fields) => format!("object of {}", names(fields)),
        Kind::Objects(fields) => format!("array of objects of {}", names(fields)),
        Kind::Rules => "array of rules".to_owned(),
        Kind::AnyObject => "object".to_owned(),
        Kind::AnyArray => "array".to_owned(),
        Kind::Any => "any value".to_owned(),
    }
}

fn names(fields: &[Field]) -> String {
    let mut names: Vec<&str> = fields.iter().map(|field| field.name).collect();
    names.dedup();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::{codes, page, state_fields};

    #[test]
    fn every_code_has_a_page() {
        for (code, title) in codes() {
            let page = page(code).unwrap();
            assert!(
                page.starts_with(&format!("# {code}: {title}\n\n")) && page.lines().count() >= 3,
                "{page}"
            );
        }
        assert_eq!(page("ASL999"), None);
    }

    #[test]
    fn every_state_has_its_fields() {
        assert_eq!(state_fields().len(), 8);
        let (_, pass) = &state_fields()[0];
        assert!(pass.iter().any(|row| row.name == "Type" && row.required));
    }
}
