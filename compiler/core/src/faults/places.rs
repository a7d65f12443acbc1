//! Which action can act where: a coordinate that an action does not have would never match, so it is refused.

use super::{Act, Entry};
use crate::diagnostic::{Code, Diagnostic, Place};
use crate::spec::decode::Findings;
use crate::spec::suggest::one_of;
use stepgrad_contract::Function;
use stepgrad_contract::faults::{Action, ObjectKind, Operation, Where};

/// The keys of `at` that an action knows.
pub(super) const fn known(acts: Where) -> &'static [&'static str] {
    match acts {
        Where::Invocation | Where::Process => &["function", "peer", "round", "epoch", "batch", "attempt"],
        Where::Object => &[
            "function",
            "peer",
            "round",
            "epoch",
            "batch",
            "attempt",
            "operation",
            "object",
            "owner",
            "channel",
        ],
        Where::Peer => &["peer", "round", "epoch"],
        Where::Gradient => &["function", "peer", "round", "epoch", "batch"],
        Where::Workflow => &[],
    }
}

/// Why an action of this place has no other keys.
const fn because(acts: Where) -> &'static str {
    match acts {
        Where::Invocation | Where::Process => "it is about a call, not about an object",
        Where::Object => "it is about an object on its way",
        Where::Peer => "it is about a peer as a whole",
        Where::Gradient => "every attempt publishes the same, and it is about no other object",
        Where::Workflow => "it is about the engine: its place is given by `events`",
    }
}

/// Whether the event of `function` has the coordinate.
pub(super) fn has(function: Function, key: &str) -> bool {
    match key {
        "peer" => matches!(
            function,
            Function::Gradient
                | Function::Train
                | Function::Combine
                | Function::Heartbeat
                | Function::Synchronise
                | Function::Reach
        ),
        "batch" => matches!(function, Function::Gradient),
        "round" | "epoch" => !matches!(function, Function::Prepare | Function::Initialise),
        _ => true,
    }
}

/// Whether objects of the kind belong to a peer.
const fn has_owner(kind: ObjectKind) -> bool {
    !matches!(kind, ObjectKind::Members | ObjectKind::Progress | ObjectKind::Model)
}

/// Checks that the action can act at what `at` names.
pub(super) fn check(entry: &Entry, cx: &mut Findings) {
    let Some(act) = entry.act.known() else { return };
    let keys = known(act.acts());
    let partition = matches!(act, Act::Fixed(Action::Partition { .. }));
    for (key, place) in entry.at.given() {
        if partition && key == "peer" {
            cx.report(
                finding("`partition` has no `peer`".to_owned(), &place, act)
                    .hint("name the peers in its groups"),
            );
        } else if !keys.contains(&key) {
            let message = format!("`{}` has no `{key}`: {}", act.name(), because(act.acts()));
            let hint = match keys {
                [] => "remove `at`".to_owned(),
                keys => format!("it can be at {}", one_of(keys.iter().copied())),
            };
            cx.report(finding(message, &place, act).hint(hint));
        }
    }
    windows(entry, act, cx);
    functions(entry, cx);
    if act.acts() == Where::Gradient {
        gradients(entry, act, cx);
    }
    objects(entry, act, cx);
    peers(entry, act, cx);
}

fn finding(message: String, place: &Place, act: &Act) -> Diagnostic {
    Diagnostic::error(Code::FaultPlace, message).at(place, format!("not a coordinate of `{}`", act.name()))
}

/// Whether what is to start after another fault has rounds at all.
fn windows(entry: &Entry, act: &Act, cx: &mut Findings) {
    let Some(after) = &entry.start_after else { return };
    if act.acts() == Where::Workflow {
        cx.report(
            Diagnostic::error(Code::FaultPlace, format!("`{}` has no `start_after`", act.name()))
                .at(&after.place(), "its place is given by events, not by rounds")
                .hint("remove it, and give the events that come after that fault"),
        );
    } else if let Some(functions) = &entry.at.function
        && !functions.value.is_empty()
        && !functions.value.iter().any(|function| has(*function, "round"))
    {
        let names = one_of(functions.value.iter().map(|function| function.name()));
        cx.report(
            Diagnostic::error(Code::FaultPlace, format!("{names} is called before the first round"))
                .at(&after.place(), "can never come after it")
                .also(&functions.place(), "this function")
                .hint("remove `start_after`"),
        );
    }
}

/// Whether some function that is asked for has the coordinates that are asked for.
fn functions(entry: &Entry, cx: &mut Findings) {
    let at = &entry.at;
    let Some(functions) = &at.function else { return };
    for (key, place) in at.given() {
        if functions.value.is_empty() || functions.value.iter().any(|function| has(*function, key)) {
            continue;
        }
        let with: Vec<_> = Function::ALL
            .iter()
            .filter(|function| has(**function, key))
            .map(|function| function.name())
            .collect();
        let names = one_of(functions.value.iter().map(|function| function.name()));
        cx.report(
            Diagnostic::error(Code::FaultPlace, format!("{names} is called without a `{key}`"))
                .at(&place, "can never match")
                .also(&functions.place(), "this function")
                .hint(format!("a `{key}` have the calls of {}", one_of(with))),
        );
    }
}

/// Whether what a peer computes comes from a function that is asked for.
fn gradients(entry: &Entry, act: &Act, cx: &mut Findings) {
    let Some(functions) = &entry.at.function else { return };
    let flips = matches!(act, Act::Fixed(Action::LabelFlip {}));
    let makes: &[Function] = if flips {
        &[Function::Gradient, Function::Train]
    } else {
        &[Function::Gradient, Function::Train, Function::Combine]
    };
    if functions.value.is_empty() || functions.value.iter().any(|function| makes.contains(function)) {
        return;
    }
    let names = one_of(makes.iter().map(|function| function.name()));
    cx.report(finding(format!("`{}` happens in {names}", act.name()), &functions.place(), act));
}

fn objects(entry: &Entry, act: &Act, cx: &mut Findings) {
    let at = &entry.at;
    let only = match act {
        Act::Fixed(Action::Drop {}) => Some((Operation::Put, "only a write can be dropped")),
        Act::Fixed(Action::Stale { .. }) => Some((Operation::Get, "only a read can be stale")),
        _ => None,
    };
    if let (Some((wanted, why)), Some(operation)) = (only, &at.operation)
        && operation.value != wanted
    {
        cx.report(
            finding(why.to_owned(), &operation.place(), act)
                .hint("remove `operation`, it goes without saying"),
        );
    }
    if let (Some(owner), Some(kinds)) = (&at.owner, &at.object)
        && !kinds.value.is_empty()
        && !kinds.value.iter().any(|kind| has_owner(*kind))
    {
        cx.report(
            Diagnostic::error(Code::FaultPlace, "such objects belong to no peer")
                .at(&owner.place(), "can never match")
                .also(&kinds.place(), "these objects")
                .hint("remove `owner`"),
        );
    }
}

/// What an action of a peer cannot do without.
fn peers(entry: &Entry, act: &Act, cx: &mut Findings) {
    let at = &entry.at;
    let needs_peer = matches!(act, Act::Fixed(Action::Outage {} | Action::Leave {} | Action::Join {}));
    let needs_round = matches!(act, Act::Fixed(Action::Leave {} | Action::Join {}));
    let mut missing = Vec::new();
    if needs_peer && at.peer.is_none() {
        missing.push("peer");
    }
    if needs_round && at.round.is_none() && at.epoch.is_none() && entry.start_after.is_none() {
        missing.push("round");
    }
    for key in missing {
        cx.report(
            Diagnostic::error(Code::MissingKey, format!("`{}` needs to know at which {key}", act.name()))
                .at(&entry.place, format!("needs `{key}`"))
                .hint(format!("add it, e.g. at: {{{key}: 2}}")),
        );
    }
}
