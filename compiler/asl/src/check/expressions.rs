//! Every path, template, intrinsic function, choice rule and JSONata expression can be compiled.

use super::findings::Findings;
use super::outline::{Outline, State};
use super::shape::fields::{Field, Kind};
use super::shape::tables;
use crate::diagnostic::pointer_push;
use crate::document::QueryLanguage;
use crate::expression::jsonata::{Jsonata, JsonataTemplate, unwrapped};
use crate::expression::template::TemplateError;
use crate::expression::{Path, Query, ReferencePath, Rule, Template};
use crate::json::Node;

pub(super) const BAD_EXPRESSION: &str = "ASL030";
pub(super) const BAD_RULE: &str = "ASL031";
pub(super) const CODES: &[(&str, &str)] = &[
    (BAD_EXPRESSION, "a path, intrinsic function or JSONata expression that cannot be compiled"),
    (BAD_RULE, "a choice rule that cannot be compiled"),
];

pub(super) fn check(outline: &Outline<'_>, findings: &mut Findings<'_>) {
    for (_, state) in outline.states() {
        for table in tables(state.kind()).unwrap_or_default() {
            fields(state.node, &state.pointer, table, state.language, findings);
        }
        rules(state, findings);
    }
}

fn fields(node: &Node, pointer: &str, table: &[Field], language: QueryLanguage, findings: &mut Findings<'_>) {
    for field in table {
        if field.language.is_some_and(|other| other != language) {
            continue;
        }
        let Some(value) = node.get(field.name) else { continue };
        let pointer = pointer_push(pointer, field.name);
        match field.kind {
            Kind::Object(inner) => fields(value, &pointer, inner, language, findings),
            Kind::Objects(inner) => {
                for (index, item) in value.items().unwrap_or_default().iter().enumerate() {
                    fields(item, &format!("{pointer}/{index}"), inner, language, findings);
                }
            }
            kind => expression(value, &pointer, field.name, kind, language, findings),
        }
    }
}

fn expression(
    value: &Node,
    pointer: &str,
    name: &str,
    kind: Kind,
    language: QueryLanguage,
    findings: &mut Findings<'_>,
) {
    let jsonata = language == QueryLanguage::JSONata;
    let one = |result: Result<(), String>, findings: &mut Findings<'_>| {
        if let Err(message) = result {
            findings.error(BAD_EXPRESSION, value, pointer, message, None);
        }
    };
    match (kind, value.text()) {
        (Kind::NullablePath | Kind::Path, Some(text)) => {
            one(Path::parse(text).map(drop).map_err(|error| error.message), findings);
        }
        (Kind::NullableReference, Some(text)) => {
            one(ReferencePath::parse(text).map(drop).map_err(|error| error.message), findings);
        }
        (Kind::Query, Some(text)) => {
            one(Query::parse(text).map(drop).map_err(|error| error.message), findings);
        }
        (Kind::Setting(..) | Kind::Timestamp | Kind::TextOrJsonata, Some(text)) if jsonata => {
            if let Some(text) = unwrapped(text) {
                one(Jsonata::parse(text).map(drop).map_err(|error| error.message), findings);
            }
        }
        (Kind::Jsonata, _) => {
            template(JsonataTemplate::compile(&value.to_value(), name).err(), value, pointer, findings);
        }
        (Kind::Assign, _) if jsonata => {
            template(JsonataTemplate::compile(&value.to_value(), name).err(), value, pointer, findings);
        }
        (Kind::Template | Kind::Assign, _) => {
            template(Template::compile(&value.to_value()).err(), value, pointer, findings);
        }
        _ => {}
    }
}

fn template(errors: Option<Vec<TemplateError>>, value: &Node, pointer: &str, findings: &mut Findings<'_>) {
    for error in errors.into_iter().flatten() {
        let node = descend(value, &error.pointer);
        findings.error(BAD_EXPRESSION, node, &format!("{pointer}{}", error.pointer), error.message, None);
    }
}

fn descend<'a>(node: &'a Node, pointer: &str) -> &'a Node {
    pointer.split('/').skip(1).fold(node, |node, token| {
        let key = token.replace("~1", "/").replace("~0", "~");
        match node.items() {
            Some(items) => token.parse().ok().and_then(|index: usize| items.get(index)),
            None => node.get(&key),
        }
        .unwrap_or(node)
    })
}

fn rules(state: &State<'_>, findings: &mut Findings<'_>) {
    for (pointer, rule) in state.items("Choices") {
        if rule.members().is_none() {
            continue;
        }
        match state.language {
            QueryLanguage::JSONPath => {
                if let Err(error) = Rule::compile(&rule.to_value()) {
                    findings.error(BAD_RULE, rule, &pointer, error.message, None);
                }
            }
            QueryLanguage::JSONata => {
                if let Some(condition) = rule.get("Condition") {
                    let message = match condition.text() {
                        Some(text) => match unwrapped(text).map(Jsonata::parse) {
                            Some(Ok(_)) => None,
                            Some(Err(error)) => Some(error.message),
                            None => {
                                Some("Condition has to be an expression in {% %}, true or false".to_owned())
                            }
                        },
                        None if condition.boolean().is_some() => None,
                        None => Some("Condition has to be an expression in {% %}, true or false".to_owned()),
                    };
                    if let Some(message) = message {
                        findings.error(
                            BAD_EXPRESSION,
                            condition,
                            &format!("{pointer}/Condition"),
                            message,
                            None,
                        );
                    }
                }
            }
        }
        for (name, kind) in [("Assign", Kind::Assign), ("Output", Kind::Jsonata)] {
            if let Some(value) = rule.get(name) {
                expression(value, &pointer_push(&pointer, name), name, kind, state.language, findings);
            }
        }
    }
}
