//! Names of states: at most 80 characters, and each used once in the whole machine, or else histories and pictures
//! cannot tell them apart.

use super::findings::Findings;
use super::outline::Outline;
use std::collections::BTreeMap;

pub(super) const TOO_LONG: &str = "ASL025";
pub(super) const USED_TWICE: &str = "ASL026";
pub(super) const CODES: &[(&str, &str)] =
    &[(TOO_LONG, "a state's name has more than 80 characters"), (USED_TWICE, "a name is used in two scopes")];

const MAX_CHARACTERS: usize = 80;

pub(super) fn check(outline: &Outline<'_>, findings: &mut Findings<'_>) {
    let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
    for (_, state) in outline.states() {
        let characters = state.name.chars().count();
        if characters > MAX_CHARACTERS {
            let message = format!("the name has {characters} characters, more than {MAX_CHARACTERS}");
            findings.error(TOO_LONG, state.node, &state.pointer, message, None);
        }
        if let Some(other) = seen.insert(state.name, &state.pointer)
            && other != state.pointer
        {
            let message = format!("the name {:?} is also used at {other}", state.name);
            findings.warning(USED_TWICE, state.node, &state.pointer, message, None);
        }
    }
}
