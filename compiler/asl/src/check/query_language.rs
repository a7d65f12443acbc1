//! A machine that is JSONata as a whole cannot have JSONPath states; the other way round is how machines are moved
//! over, state by state.

use super::findings::Findings;
use super::outline::Outline;
use crate::json::Node;

pub(super) const NO_WAY_BACK: &str = "ASL024";
pub(super) const CODES: &[(&str, &str)] = &[(NO_WAY_BACK, "a JSONPath state in a JSONata machine")];

pub(super) fn check(outline: &Outline<'_>, findings: &mut Findings<'_>) {
    if outline.root.get("QueryLanguage").and_then(Node::text) != Some("JSONata") {
        return;
    }
    for (_, state) in outline.states() {
        if let Some(node) = state.node.get("QueryLanguage")
            && node.text() == Some("JSONPath")
        {
            let message = "QueryLanguage cannot be JSONPath where the whole machine's is JSONata";
            let hint = Some("leave it out, or set it for each state instead of the machine".to_owned());
            findings.error(NO_WAY_BACK, node, &state.field("QueryLanguage"), message, hint);
        }
    }
}
