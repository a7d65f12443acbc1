//! Every state that is named has to be in the same scope: a branch cannot jump out of itself.

use super::findings::{Findings, did_you_mean};
use super::outline::{Outline, Scope};
use crate::diagnostic::pointer_push;
use crate::json::Node;

pub(super) const NO_SUCH_STATE: &str = "ASL020";
pub(super) const CODES: &[(&str, &str)] = &[(NO_SUCH_STATE, "a state is named that is not in this scope")];

pub(super) fn check(outline: &Outline<'_>, findings: &mut Findings<'_>) {
    for scope in &outline.scopes {
        if let Some(start) = scope.node.get("StartAt")
            && let Some(name) = start.text()
        {
            target(outline, scope, start, &pointer_push(&scope.pointer, "StartAt"), name, findings);
        }
        for state in &scope.states {
            for (pointer, node, name) in state.targets() {
                target(outline, scope, node, &pointer, name, findings);
            }
        }
    }
}

fn target(
    outline: &Outline<'_>,
    scope: &Scope<'_>,
    node: &Node,
    pointer: &str,
    name: &str,
    findings: &mut Findings<'_>,
) {
    // Without States there is another finding already.
    if scope
        .node
        .get("States")
        .and_then(Node::members)
        .is_none_or(|states| states.iter().any(|s| s.key == name))
    {
        return;
    }
    if outline.states().any(|(_, state)| state.name == name) {
        let message = format!("the state {name:?} is in another scope: a transition cannot leave its own");
        findings.error(NO_SUCH_STATE, node, pointer, message, None);
    } else {
        let hint = did_you_mean(name, scope.states.iter().map(|state| state.name));
        findings.error(NO_SUCH_STATE, node, pointer, format!("there is no state {name:?}"), hint);
    }
}
