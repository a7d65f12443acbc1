//! A key twice in one object: JSON parsers disagree on which one counts, and AWS refuses or ignores one of them.

use super::findings::Findings;
use super::outline::Outline;
use crate::diagnostic::{Severity, pointer_push};
use crate::json::{Node, NodeKind};
use std::collections::BTreeSet;

pub(super) const DUPLICATE: &str = "ASL002";
pub(super) const CODES: &[(&str, &str)] = &[(DUPLICATE, "a key stands twice in one object")];

pub(super) fn check(outline: &Outline<'_>, findings: &mut Findings<'_>) {
    walk(outline.root, "", findings);
}

fn walk(node: &Node, pointer: &str, findings: &mut Findings<'_>) {
    match &node.kind {
        NodeKind::Object(members) => {
            let mut seen = BTreeSet::new();
            for member in members {
                let pointer = pointer_push(pointer, &member.key);
                if !seen.insert(member.key.as_str()) {
                    let message = format!("the key {:?} stands twice in this object", member.key);
                    let hint = Some("remove one of them".to_owned());
                    findings.at(DUPLICATE, Severity::Error, member.key_span, &pointer, message, hint);
                }
                walk(&member.value, &pointer, findings);
            }
        }
        NodeKind::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                walk(item, &format!("{pointer}/{index}"), findings);
            }
        }
        NodeKind::Plain(_) | NodeKind::String(_) => {}
    }
}
