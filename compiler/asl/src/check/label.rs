//! A Map's Label becomes part of ARNs: up to 40 characters, none of those that ARNs and paths need.

use super::findings::Findings;
use super::outline::Outline;

pub(super) const BAD_LABEL: &str = "ASL044";
pub(super) const CODES: &[(&str, &str)] = &[(BAD_LABEL, "a Label that cannot be part of an ARN")];

const MAX_CHARACTERS: usize = 40;

pub(super) fn check(outline: &Outline<'_>, findings: &mut Findings<'_>) {
    for (_, state) in outline.states() {
        let Some(node) = state.node.get("Label") else { continue };
        let Some(label) = node.text() else { continue };
        let message = if label.is_empty() {
            "Label cannot be empty".to_owned()
        } else if let Some(bad) = label
            .chars()
            .find(|c| c.is_whitespace() || c.is_control() || "?*<>{}[]:;,\\|^~$#%&`\"/".contains(*c))
        {
            format!("Label contains the character {bad:?}, which ARNs and paths need")
        } else if label.chars().count() > MAX_CHARACTERS {
            format!("Label has more than {MAX_CHARACTERS} characters")
        } else {
            continue;
        };
        findings.error(BAD_LABEL, node, &state.field("Label"), message, None);
    }
}
