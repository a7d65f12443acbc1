//! A placeholder `${Name}` is filled in when a machine is deployed (AWS: "DefinitionSubstitutions"). In a Resource, one
//! that does not end cannot be filled in, and what stays is no ARN.

use super::findings::Findings;
use super::outline::Outline;

pub(super) const OPEN: &str = "ASL046";
pub(super) const CODES: &[(&str, &str)] = &[(OPEN, "a placeholder in a Resource that does not end")];

pub(super) fn check(outline: &Outline<'_>, findings: &mut Findings<'_>) {
    for (_, state) in outline.states() {
        let Some(node) = state.node.get("Resource") else { continue };
        let Some(resource) = node.text() else { continue };
        if let Some((_, rest)) = resource.rsplit_once("${")
            && !rest.contains('}')
        {
            let message = format!("the placeholder ${{{rest} has no }} at its end");
            let hint = Some(format!("write ${{{rest}}}"));
            findings.error(OPEN, node, &state.field("Resource"), message, hint);
        }
    }
}
