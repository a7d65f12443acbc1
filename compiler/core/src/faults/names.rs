//! Names out of a list that is known when the file is read.

use crate::diagnostic::{Code, Diagnostic, Place};
use crate::spec::decode::{Expected, Findings, Value};
use crate::spec::suggest::{nearest, one_of};
use crate::spec::tree::{Kind, shown};

/// Names that a message lists.
const LISTED: usize = 12;

/// Whether `name` is one of `known`; reports it if not.
pub(super) fn one(
    name: &str,
    known: &[&str],
    what: &str,
    place: &Place,
    code: Code,
    cx: &mut Findings,
) -> bool {
    if known.contains(&name) {
        return true;
    }
    let finding = Diagnostic::error(code, format!("there is no {what} `{}`", shown(name)));
    let listed = one_of(known.iter().take(LISTED).copied());
    cx.report(match nearest(name, known.iter().copied()) {
        Some(near) => {
            finding.at(place, "no such name").hint(format!("did you mean `{near}`?")).suggest(place, near)
        }
        None if known.is_empty() => finding.at(place, "there is none"),
        None => finding.at(place, format!("expected {listed}")),
    });
    false
}

/// The text of `value`, if it is one of `known`; reports whatever it is if not.
pub(super) fn read(
    value: &Value<'_>,
    known: &[&'static str],
    what: &str,
    cx: &mut Findings,
) -> Option<&'static str> {
    let Some(Kind::Text { text, .. }) = value.node.map(|node| &node.kind) else {
        value.wrong_type(&Expected::Text(one_of(known.iter().copied())), cx);
        return None;
    };
    one(text, known, what, &value.place(), Code::UnknownValue, cx);
    known.iter().find(|name| *name == text).copied()
}
