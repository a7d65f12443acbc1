//! Every state has to be reachable from its scope's StartAt, and the scope has to have an end.

use super::findings::Findings;
use super::outline::{Outline, Scope};
use crate::json::Node;
use std::collections::BTreeSet;

pub(super) const UNREACHABLE: &str = "ASL021";
pub(super) const NO_END: &str = "ASL022";
pub(super) const CODES: &[(&str, &str)] =
    &[(UNREACHABLE, "a state that nothing leads to"), (NO_END, "a scope without a state that ends it")];

pub(super) fn check(outline: &Outline<'_>, findings: &mut Findings<'_>) {
    for scope in &outline.scopes {
        unreachable(scope, findings);
        let ends = scope.states.iter().any(|state| {
            matches!(state.kind(), "Succeed" | "Fail")
                || state.node.get("End").and_then(Node::boolean) == Some(true)
        });
        if !ends && !scope.states.is_empty() {
            let hint = Some("give a state \"End\": true, or add a Succeed or Fail state".to_owned());
            findings.error(NO_END, scope.node, &scope.pointer, "no state ends this scope", hint);
        }
    }
}

fn unreachable(scope: &Scope<'_>, findings: &mut Findings<'_>) {
    let Some(start) = scope.node.get("StartAt").and_then(Node::text) else { return };
    if !scope.states.iter().any(|state| state.name == start) {
        return;
    }
    let mut reached = BTreeSet::from([start]);
    let mut open = vec![start];
    while let Some(name) = open.pop() {
        for state in scope.states.iter().filter(|state| state.name == name) {
            for (_, _, target) in state.targets() {
                if reached.insert(target) {
                    open.push(target);
                }
            }
        }
    }
    for state in &scope.states {
        if !reached.contains(state.name) {
            let message = format!("the state {:?} cannot be reached", state.name);
            let hint = Some("lead to it by a Next, Default, Choices or Catch, or remove it".to_owned());
            findings.error(UNREACHABLE, state.node, &state.pointer, message, hint);
        }
    }
}
