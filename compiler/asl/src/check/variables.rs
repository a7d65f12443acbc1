//! A variable that is read and nowhere assigned, in this scope or one around it, has no value when the state runs.

use super::findings::Findings;
use super::outline::{Outline, State};
use crate::diagnostic::pointer_push;
use crate::document::QueryLanguage;
use crate::expression::jsonata::unwrapped;
use crate::expression::path::Root;
use crate::expression::{Jsonata, Query};
use crate::json::{Node, NodeKind};
use std::collections::BTreeSet;

pub(super) const NEVER_ASSIGNED: &str = "ASL062";
pub(super) const CODES: &[(&str, &str)] = &[(NEVER_ASSIGNED, "a variable is read and nowhere assigned")];

pub(super) fn check(outline: &Outline<'_>, findings: &mut Findings<'_>) {
    let assigned: Vec<BTreeSet<&str>> =
        outline.scopes.iter().map(|scope| scope.states.iter().flat_map(assigned).collect()).collect();
    for (index, scope) in outline.scopes.iter().enumerate() {
        let mut known = BTreeSet::new();
        let mut around = Some(index);
        while let Some(place) = around {
            known.extend(assigned.get(place).into_iter().flatten().copied());
            around = outline.scopes.get(place).and_then(|scope| scope.parent);
        }
        for state in &scope.states {
            let mut reader = Reader { known: &known, language: state.language, findings };
            for member in state.node.members().unwrap_or_default() {
                // Those of inner scopes are looked at with their own scope; a Result is a literal.
                if !matches!(
                    member.key.as_str(),
                    "Branches" | "ItemProcessor" | "Iterator" | "Result" | "Comment"
                ) {
                    reader.walk(&member.value, &member.key, &state.field(&member.key));
                }
            }
        }
    }
}

fn assigned<'a>(state: &State<'a>) -> Vec<&'a str> {
    let elements = ["Choices", "Catch"]
        .iter()
        .flat_map(|list| state.node.get(list).and_then(Node::items).unwrap_or_default());
    std::iter::once(state.node)
        .chain(elements)
        .filter_map(|node| node.get("Assign").and_then(Node::members))
        .flatten()
        .map(|member| member.key.strip_suffix(".$").unwrap_or(&member.key))
        .collect()
}

struct Reader<'r, 'f> {
    known: &'r BTreeSet<&'r str>,
    language: QueryLanguage,
    findings: &'r mut Findings<'f>,
}

impl Reader<'_, '_> {
    fn walk(&mut self, node: &Node, key: &str, pointer: &str) {
        match &node.kind {
            NodeKind::Object(members) => {
                for member in members {
                    self.walk(&member.value, &member.key, &pointer_push(pointer, &member.key));
                }
            }
            NodeKind::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.walk(item, key, &format!("{pointer}/{index}"));
                }
            }
            NodeKind::String(text) => {
                let names = match self.language {
                    QueryLanguage::JSONata => read_by_jsonata(text),
                    QueryLanguage::JSONPath
                        if key.ends_with(".$") || key.ends_with("Path") || key == "Variable" =>
                    {
                        read_by_path(text)
                    }
                    QueryLanguage::JSONPath => Vec::new(),
                };
                for name in names.iter().filter(|name| !self.known.contains(name.as_str())) {
                    let message = format!("the variable ${name} is nowhere assigned");
                    let hint = super::findings::did_you_mean(name, self.known.iter().copied());
                    self.findings.warning(NEVER_ASSIGNED, node, pointer, message, hint);
                }
            }
            NodeKind::Plain(_) => {}
        }
    }
}

fn read_by_path(text: &str) -> Vec<String> {
    let roots: Vec<Root> = match Query::parse(text) {
        Ok(Query::Path(path)) => vec![path.root().clone()],
        Ok(Query::Call(call)) => call.paths().into_iter().map(|path| path.root().clone()).collect(),
        Err(_) => Vec::new(),
    };
    roots
        .into_iter()
        .filter_map(|root| match root {
            Root::Variable(name) => Some(name),
            _ => None,
        })
        .collect()
}

/// Names that are read as values: not called, not bound by the expression itself.
fn read_by_jsonata(text: &str) -> Vec<String> {
    let Some(expression) = unwrapped(text).and_then(|text| Jsonata::parse(text).ok()) else {
        return Vec::new();
    };
    let text = expression.text();
    // A name that is bound, called or a parameter anywhere is left alone: this is a warning, it may miss some.
    let own = |name: &str| {
        text.match_indices(&format!("${name}")).any(|(at, found)| {
            let before = text.get(..at).unwrap_or_default().trim_end();
            let after = text.get(at + found.len()..).unwrap_or_default().trim_start();
            after.starts_with(":=")
                || after.starts_with('(')
                || (text.contains("function") && before.ends_with(['(', ',']))
        }) || text.contains("λ")
            || before_binding(text, name)
    };
    let strings = text.contains(['"', '\'', '/', '`']);
    expression
        .names()
        .filter(|name| *name != "states" && !own(name) && !is_function(name))
        .filter(|name| !strings || !quoted(text, name))
        .map(str::to_owned)
        .collect()
}

/// `@$name` and `#$name` bind a name to a context value or a position.
fn before_binding(text: &str, name: &str) -> bool {
    text.contains(&format!("@${name}")) || text.contains(&format!("#${name}"))
}

/// Whether the name may stand inside a string or a regular expression.
fn quoted(text: &str, name: &str) -> bool {
    text.match_indices(&format!("${name}")).any(|(at, _)| {
        let before = text.get(..at).unwrap_or_default();
        ['"', '\'', '`', '/'].iter().any(|quote| before.matches(*quote).count() % 2 == 1)
    })
}

/// A function passed as a value, as in `$map(x, $string)`.
fn is_function(name: &str) -> bool {
    Jsonata::parse(&format!("$type(${name})")).is_ok_and(|probe| {
        probe
            .evaluate(
                &crate::expression::jsonata::States::input(&serde_json::Value::Null),
                &crate::expression::EmptyScope,
            )
            .is_ok()
    })
}
