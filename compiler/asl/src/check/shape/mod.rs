//! Every object has the fields it needs, none that it cannot have, and each has a value of its kind. The language
//! that a field belongs to counts too: `Parameters` is JSONPath's, `Arguments` JSONata's.

pub(super) mod fields;

use super::findings::{Findings, did_you_mean};
use super::outline::{Outline, ScopeKind, State};
use crate::diagnostic::{Severity, pointer_push};
use crate::document::QueryLanguage;
use crate::expression::jsonata::unwrapped;
use crate::expression::timestamp;
use crate::json::{Member, Node};
use fields::{Field, Kind};

pub(super) const UNKNOWN_FIELD: &str = "ASL010";
pub(super) const MISSING_FIELD: &str = "ASL011";
pub(super) const WRONG_VALUE: &str = "ASL012";
pub(super) const WRONG_LANGUAGE: &str = "ASL013";
pub(super) const CODES: &[(&str, &str)] = &[
    (UNKNOWN_FIELD, "a field that cannot be here"),
    (MISSING_FIELD, "a field that has to be here"),
    (WRONG_VALUE, "a value of the wrong kind or out of range"),
    (WRONG_LANGUAGE, "a field of the other query language"),
];

pub(super) fn check(outline: &Outline<'_>, findings: &mut Findings<'_>) {
    for scope in &outline.scopes {
        let table = match scope.kind {
            ScopeKind::Machine => fields::MACHINE,
            ScopeKind::Branch => fields::BRANCH,
            ScopeKind::Processor => fields::PROCESSOR,
        };
        object(scope.node, &scope.pointer, &[table], None, findings);
        states(scope.node, &scope.pointer, findings);
        for item in &scope.states {
            state(item, findings);
        }
    }
}

/// The tables of a state's type.
pub(super) fn tables(kind: &str) -> Option<&'static [&'static [Field]]> {
    fields::STATES.iter().find(|(name, _)| *name == kind).map(|(_, tables)| *tables)
}

fn states(scope: &Node, pointer: &str, findings: &mut Findings<'_>) {
    let Some(node) = scope.get("States") else { return };
    let pointer = pointer_push(pointer, "States");
    let Some(members) = node.members() else { return };
    if members.is_empty() {
        findings.error(MISSING_FIELD, node, &pointer, "there has to be a state", None);
    }
    for member in members {
        if member.value.members().is_none() {
            let message = format!("a state has to be an object, not {}", member.value.describe());
            findings.error(WRONG_VALUE, &member.value, &pointer_push(&pointer, &member.key), message, None);
        }
    }
}

fn state(state: &State<'_>, findings: &mut Findings<'_>) {
    match state.node.get("Type") {
        None => {
            let message = format!("the state {:?} needs a Type", state.name);
            findings.error(MISSING_FIELD, state.node, &state.pointer, message, None);
            return;
        }
        Some(node) if tables(state.kind()).is_none() => {
            let hint = did_you_mean(state.kind(), fields::STATES.iter().map(|(name, _)| *name));
            let message =
                format!("{} is not a type of state", node.text().unwrap_or_else(|| node.describe()));
            findings.error(WRONG_VALUE, node, &state.field("Type"), message, hint);
            return;
        }
        Some(_) => {}
    }
    object(
        state.node,
        &state.pointer,
        tables(state.kind()).unwrap_or_default(),
        Some(state.language),
        findings,
    );
    if let Some(branches) = state.node.get("Branches").and_then(Node::items) {
        elements(branches, &state.field("Branches"), "a branch", findings);
    }
}

fn elements(items: &[Node], pointer: &str, what: &str, findings: &mut Findings<'_>) {
    for (index, item) in items.iter().enumerate() {
        if item.members().is_none() {
            let message = format!("{what} has to be an object, not {}", item.describe());
            findings.error(WRONG_VALUE, item, &format!("{pointer}/{index}"), message, None);
        }
    }
}

fn object(
    node: &Node,
    pointer: &str,
    tables: &[&[Field]],
    language: Option<QueryLanguage>,
    findings: &mut Findings<'_>,
) {
    let Some(members) = node.members() else { return };
    let fields = || tables.iter().copied().flatten();
    for member in members {
        let pointer = pointer_push(pointer, &member.key);
        let mut named = fields().filter(|field| field.name == member.key).peekable();
        if named.peek().is_none() {
            unknown(member, &pointer, fields().map(|field| field.name), findings);
            continue;
        }
        let fits =
            |field: &&Field| language.is_none() || field.language.is_none() || field.language == language;
        match named.find(fits) {
            Some(field) => value(&member.value, &pointer, field, language, findings),
            None => {
                let language = if language == Some(QueryLanguage::JSONata) { "JSONata" } else { "JSONPath" };
                let message = format!("{} cannot be in a {language} state", member.key);
                findings.at(WRONG_LANGUAGE, Severity::Error, member.key_span, &pointer, message, None);
            }
        }
    }
    for field in fields().filter(|field| field.required && node.get(field.name).is_none()) {
        let message = format!("the field {} has to be here", field.name);
        findings.error(MISSING_FIELD, node, pointer, message, None);
    }
}

fn unknown<'a>(
    member: &Member,
    pointer: &str,
    known: impl Iterator<Item = &'a str>,
    findings: &mut Findings<'_>,
) {
    let hint = did_you_mean(&member.key, known);
    let message = format!("the field {:?} cannot be here", member.key);
    findings.at(UNKNOWN_FIELD, Severity::Error, member.key_span, pointer, message, hint);
}

#[expect(clippy::cast_precision_loss, reason = "the bounds are far below 2^53")]
fn value(
    node: &Node,
    pointer: &str,
    field: &Field,
    language: Option<QueryLanguage>,
    findings: &mut Findings<'_>,
) {
    let jsonata = language == Some(QueryLanguage::JSONata);
    let expression = jsonata && node.text().and_then(unwrapped).is_some();
    let mut expect = |ok: bool, what: &str| {
        if !ok {
            let message = format!("{} has to be {what}, not {}", field.name, short(node));
            findings.error(WRONG_VALUE, node, pointer, message, None);
        }
    };
    let whole = |from: i64, to: i64| {
        node.number().is_some_and(|n| n.fract() == 0.0 && n >= from as f64 && n <= to as f64)
    };
    match field.kind {
        Kind::Text | Kind::Path | Kind::Query | Kind::StateName | Kind::TextOrJsonata => {
            expect(node.text().is_some(), "a string");
        }
        Kind::Boolean => expect(node.boolean().is_some(), "true or false"),
        Kind::Integer(from, to) => expect(whole(from, to), &format!("a whole number from {from} to {to}")),
        Kind::Number(from, to) => {
            expect(node.number().is_some_and(|n| n >= from && n <= to), &format!("a number from {from}"));
        }
        Kind::Setting(from, to) => {
            expect(expression || whole(from, to), &format!("a whole number from {from} to {to}"));
        }
        Kind::Timestamp => {
            let time = node.text().is_some_and(|text| timestamp::parse(text).is_some());
            expect(expression || time, "a time such as 2016-03-14T01:59:00Z");
        }
        Kind::OneOf(allowed) => {
            expect(
                node.text().is_some_and(|text| allowed.contains(&text)),
                &format!("one of {}", allowed.join(", ")),
            );
        }
        Kind::NullablePath | Kind::NullableReference => {
            expect(node.is_null() || node.text().is_some(), "a path or null");
        }
        Kind::Assign => expect(node.members().is_some(), "an object of variables"),
        Kind::Texts => {
            expect(
                node.items().is_some_and(|items| items.iter().all(|item| item.text().is_some())),
                "an array of strings",
            );
        }
        Kind::AnyObject => expect(node.members().is_some(), "an object"),
        Kind::AnyArray => {
            expect(node.items().is_some_and(|items| !items.is_empty()), "an array that is not empty");
        }
        Kind::Rules => {
            expect(
                node.items().is_some_and(|items| !items.is_empty()),
                "an array of rules that is not empty",
            );
            rules(node, pointer, jsonata, findings);
        }
        Kind::Object(table) => {
            expect(node.members().is_some(), "an object");
            object(node, pointer, &[table], language, findings);
            if field.name == "Credentials" {
                credentials(node, pointer, findings);
            }
        }
        Kind::Objects(table) => match node.items() {
            Some(items) => {
                for (index, item) in items.iter().enumerate() {
                    let pointer = format!("{pointer}/{index}");
                    if item.members().is_none() {
                        let message = format!("an element of {} has to be an object", field.name);
                        findings.error(WRONG_VALUE, item, &pointer, message, None);
                    }
                    object(item, &pointer, &[table], language, findings);
                }
            }
            None => expect(false, "an array"),
        },
        Kind::Template | Kind::Jsonata | Kind::Any => {}
    }
}

fn short(node: &Node) -> String {
    match node.to_value() {
        value @ (serde_json::Value::Number(_) | serde_json::Value::Bool(_)) => value.to_string(),
        serde_json::Value::String(text) if text.chars().count() <= 60 => format!("{text:?}"),
        _ => node.describe().to_owned(),
    }
}

fn credentials(node: &Node, pointer: &str, findings: &mut Findings<'_>) {
    if node.members().is_some() && node.get("RoleArn").is_none() && node.get("RoleArn.$").is_none() {
        findings.error(MISSING_FIELD, node, pointer, "the field RoleArn has to be here", None);
    }
}

/// The fields beside a rule's operator; the operator itself is the expressions' business.
fn rules(node: &Node, pointer: &str, jsonata: bool, findings: &mut Findings<'_>) {
    for (index, rule) in node.items().unwrap_or_default().iter().enumerate() {
        let pointer = format!("{pointer}/{index}");
        if rule.members().is_none() {
            let message = format!("a choice rule has to be an object, not {}", rule.describe());
            findings.error(WRONG_VALUE, rule, &pointer, message, None);
            continue;
        }
        match rule.get("Next") {
            None => findings.error(MISSING_FIELD, rule, &pointer, "the field Next has to be here", None),
            Some(next) if next.text().is_none() => {
                findings.error(
                    WRONG_VALUE,
                    next,
                    &format!("{pointer}/Next"),
                    "Next has to be a string",
                    None,
                );
            }
            Some(_) => {}
        }
        if let Some(assign) = rule.get("Assign")
            && assign.members().is_none()
        {
            let message = "Assign has to be an object of variables";
            findings.error(WRONG_VALUE, assign, &format!("{pointer}/Assign"), message, None);
        }
        if jsonata {
            if rule.get("Condition").is_none() {
                findings.error(MISSING_FIELD, rule, &pointer, "the field Condition has to be here", None);
            }
            for member in rule.members().unwrap_or_default() {
                if !matches!(member.key.as_str(), "Condition" | "Next" | "Assign" | "Output" | "Comment") {
                    let pointer = pointer_push(&pointer, &member.key);
                    unknown(member, &pointer, ["Condition", "Next"].into_iter(), findings);
                }
            }
        } else {
            for field in ["Condition", "Output"] {
                if let Some(member) = rule.member(field) {
                    let pointer = pointer_push(&pointer, field);
                    let message = format!("{field} cannot be in a JSONPath state");
                    findings.at(WRONG_LANGUAGE, Severity::Error, member.key_span, &pointer, message, None);
                }
            }
        }
    }
}
