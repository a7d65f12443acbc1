//! `at`: which place in a run a fault is about.
//!
//! A number can be given as itself, as a range with both ends (`5..8`, `5..`), as a list of those, or as a share that
//! is drawn with the file's seed: `{percent: 25}`, `{count: 2}`, `one`, `minority`, `majority`, `all`.

use super::names;
use crate::diagnostic::{Code, Diagnostic};
use crate::spec::Spanned;
use crate::spec::decode::{Expected, Fields, Findings, Value, whole};
use crate::spec::tree::{Kind, shown};
use std::ops::RangeInclusive;
use stepgrad_contract::Function;
use stepgrad_contract::faults::{Channel, ObjectKind, Operation, Range};

/// Which place in a run a fault is about; what is absent is not asked for.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct At {
    /// The functions.
    pub function: Option<Spanned<Vec<Function>>>,
    /// The peers.
    pub peer: Option<Spanned<Wanted>>,
    /// The rounds.
    pub round: Option<Spanned<Wanted>>,
    /// The epochs.
    pub epoch: Option<Spanned<Wanted>>,
    /// The batches, by their place in the epoch's order.
    pub batch: Option<Spanned<Wanted>>,
    /// The attempts; 0 is the first call.
    pub attempt: Option<Spanned<Wanted>>,
    /// What is done to an object.
    pub operation: Option<Spanned<Operation>>,
    /// What the object is.
    pub object: Option<Spanned<Vec<ObjectKind>>>,
    /// Whose the object is.
    pub owner: Option<Spanned<Wanted>>,
    /// Where the object travels.
    pub channel: Option<Spanned<Channel>>,
}

/// The numbers that a coordinate asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum Wanted {
    /// These; a range without an end reaches to `u32::MAX`.
    Numbers(Vec<Range>),
    /// As many as this, drawn.
    Drawn(Share),
}

/// How many are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// Of all, rounded up.
    Percent(u32),
    /// So many.
    Count(u32),
    /// One.
    One,
    /// The most that are fewer than half.
    Minority,
    /// The fewest that are more than half.
    Majority,
    /// All.
    All,
}

const WORDS: [(&str, Share); 4] =
    [("one", Share::One), ("minority", Share::Minority), ("majority", Share::Majority), ("all", Share::All)];

impl Share {
    /// As a file writes it.
    pub(super) fn text(self) -> String {
        match self {
            Self::Percent(percent) => format!("{{percent: {percent}}}"),
            Self::Count(count) => format!("{{count: {count}}}"),
            word => WORDS
                .iter()
                .find(|(_, share)| *share == word)
                .map_or(String::new(), |(word, _)| (*word).to_owned()),
        }
    }

    /// How many of `all`.
    #[must_use]
    pub fn of(self, all: u32) -> u32 {
        match self {
            Self::Percent(percent) => {
                let share = (u64::from(all) * u64::from(percent)).div_ceil(100);
                u32::try_from(share).unwrap_or(all)
            }
            Self::Count(count) => count,
            Self::One => 1,
            Self::Minority => all.saturating_sub(1) / 2,
            Self::Majority => all / 2 + 1,
            Self::All => all,
        }
    }
}

/// A coordinate of numbers: its key, the key that some people would write, the smallest number, and what it is.
#[derive(Debug)]
pub(super) struct Numbers {
    pub(super) key: &'static str,
    pub(super) plural: &'static str,
    pub(super) first: u32,
    pub(super) doc: &'static str,
}

pub(super) const PEER: Numbers =
    Numbers { key: "peer", plural: "peers", first: 1, doc: "The peers in whose name is called." };
pub(super) const ROUND: Numbers = Numbers { key: "round", plural: "rounds", first: 1, doc: "The rounds." };
pub(super) const EPOCH: Numbers = Numbers {
    key: "epoch",
    plural: "epochs",
    first: 1,
    doc: "The epochs: all rounds in which they are worked on.",
};
pub(super) const BATCH: Numbers = Numbers {
    key: "batch",
    plural: "batches",
    first: 1,
    doc: "The batches, by their place in the epoch's order.",
};
pub(super) const ATTEMPT: Numbers = Numbers {
    key: "attempt",
    plural: "attempts",
    first: 0,
    doc: "The attempts: 0 is the first call, 1 its first repetition. Without it every attempt is meant.",
};
pub(super) const OWNER: Numbers =
    Numbers { key: "owner", plural: "owners", first: 1, doc: "The peers whose object it is." };

pub(super) const OPERATIONS: [&str; 2] = ["get", "put"];
pub(super) const CHANNELS: [&str; 1] = ["object_store"];

impl At {
    pub(super) fn read(value: &Value<'_>, cx: &mut Findings) -> Self {
        let mut fields = Fields::open_optional(value, cx);
        let function_value = either(&mut fields, "function", "functions", cx);
        let names: Vec<_> = Function::ALL.iter().map(|function| function.name()).collect();
        let function = read_names(&function_value, &names, "function", cx)
            .map(|all| all.map(|all| all.into_iter().filter_map(Function::from_name).collect()));
        let mut numbers = |which: &Numbers| {
            let value = either(&mut fields, which.key, which.plural, cx);
            value.is_given().then(|| read_wanted(&value, which.first, cx))
        };
        let (peer, round, epoch) = (numbers(&PEER), numbers(&ROUND), numbers(&EPOCH));
        let (batch, attempt, owner) = (numbers(&BATCH), numbers(&ATTEMPT), numbers(&OWNER));
        let operation_value = fields.take("operation");
        let operation = operation_value.is_given().then(|| {
            let found = names::read(&operation_value, &OPERATIONS, "operation", cx);
            let operation = if found == Some("put") { Operation::Put } else { Operation::Get };
            Spanned::read(operation, &operation_value.place())
        });
        let kinds: Vec<_> = ObjectKind::ALL.iter().map(|kind| kind.name()).collect();
        let object_value = either(&mut fields, "object", "objects", cx);
        let object = read_names(&object_value, &kinds, "kind of object", cx).map(|all| {
            all.map(|all| ObjectKind::ALL.into_iter().filter(|kind| all.contains(&kind.name())).collect())
        });
        let channel_value = fields.take("channel");
        let channel = channel_value.is_given().then(|| {
            names::read(&channel_value, &CHANNELS, "channel", cx);
            Spanned::read(Channel::ObjectStore, &channel_value.place())
        });
        // Topologies that cut tensors into shards come later.
        fields.not_built("shard", cx);
        fields.not_built("shards", cx);
        fields.finish(cx);
        if let (Some(round), Some(epoch)) = (&round, &epoch) {
            cx.report(
                Diagnostic::error(Code::OneOf, "a window is given in rounds and in epochs")
                    .at(&epoch.place(), "either this one")
                    .also(&round.place(), "or this one")
                    .hint("remove one of the two"),
            );
        }
        Self { function, peer, round, epoch, batch, attempt, operation, object, owner, channel }
    }

    /// The keys that are given, each with its place.
    pub(super) fn given(&self) -> Vec<(&'static str, crate::diagnostic::Place)> {
        let wanted =
            |key, wanted: &Option<Spanned<Wanted>>| wanted.as_ref().map(|wanted| (key, wanted.place()));
        [
            self.function.as_ref().map(|function| ("function", function.place())),
            wanted("peer", &self.peer),
            wanted("round", &self.round),
            wanted("epoch", &self.epoch),
            wanted("batch", &self.batch),
            wanted("attempt", &self.attempt),
            self.operation.as_ref().map(|operation| ("operation", operation.place())),
            self.object.as_ref().map(|object| ("object", object.place())),
            wanted("owner", &self.owner),
            self.channel.as_ref().map(|channel| ("channel", channel.place())),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

/// Takes the value under one of two names of a key.
pub(super) fn either<'a>(
    fields: &mut Fields<'a>,
    key: &'static str,
    alias: &'static str,
    cx: &mut Findings,
) -> Value<'a> {
    let (one, other) = (fields.take(key), fields.take(alias));
    if one.is_given() && other.is_given() {
        cx.report(
            Diagnostic::error(Code::OneOf, format!("`{key}` and `{alias}` are the same"))
                .at(&other.key_place(), "either this one")
                .also(&one.key_place(), "or this one")
                .hint("remove one of the two"),
        );
    }
    if one.is_given() { one } else { other }
}

/// One name or a list of them; `None` where the key is absent.
fn read_names(
    value: &Value<'_>,
    known: &[&'static str],
    what: &str,
    cx: &mut Findings,
) -> Option<Spanned<Vec<&'static str>>> {
    let node = value.node?;
    let mut found = match &node.kind {
        Kind::List(items) => {
            let items = items.iter().enumerate();
            let values = items.map(|(index, item)| Value::element(&value.path, index, item));
            values.filter_map(|value| names::read(&value, known, what, cx)).collect()
        }
        _ => Vec::from_iter(names::read(value, known, what, cx)),
    };
    if matches!(&node.kind, Kind::List(items) if items.is_empty()) {
        report_nothing(value, cx);
    }
    found.dedup();
    Some(Spanned::read(found, &node.place))
}

fn report_nothing(value: &Value<'_>, cx: &mut Findings) {
    cx.report(
        Diagnostic::error(Code::FaultNever, format!("`{}` names nothing", value.path))
            .at(&value.place(), "an empty list")
            .hint("remove the key to mean all"),
    );
}

/// The numbers that a value asks for.
pub(super) fn read_wanted(value: &Value<'_>, first: u32, cx: &mut Findings) -> Spanned<Wanted> {
    let unknown = Spanned::unknown(Wanted::Drawn(Share::All));
    let Some(node) = value.node else { return unknown };
    let place = &node.place;
    match &node.kind {
        Kind::Map(_) => {
            let mut fields = Fields::open(value, cx);
            let (percent, count) = (fields.take("percent"), fields.take("count"));
            fields.finish(cx);
            let share = match (percent.is_given(), count.is_given()) {
                (true, false) => whole(&percent, &(1..=100), cx).known().copied().map(Share::Percent),
                (false, true) => whole(&count, &(1..=1_000_000), cx).known().copied().map(Share::Count),
                _ => {
                    cx.report(
                        Diagnostic::error(
                            Code::OneOf,
                            format!("`{}` needs `percent` or `count`", value.path),
                        )
                        .at(&value.key_place(), "one of the two")
                        .hint("e.g. {percent: 25} or {count: 2}"),
                    );
                    None
                }
            };
            share.map_or(unknown, |share| Spanned::read(Wanted::Drawn(share), place))
        }
        Kind::List(items) => {
            if items.is_empty() {
                report_nothing(value, cx);
            }
            let items = items.iter().enumerate();
            let ranges =
                items.map(|(index, item)| read_range(&Value::element(&value.path, index, item), first, cx));
            match ranges.collect::<Option<Vec<_>>>() {
                Some(ranges) => Spanned::read(Wanted::Numbers(ranges), place),
                None => unknown,
            }
        }
        Kind::Text { text, .. } if !text.contains("..") => {
            let words: Vec<_> = WORDS.iter().map(|(word, _)| *word).collect();
            names::one(text, &words, "share", place, Code::UnknownValue, cx);
            let found = WORDS.iter().find(|(word, _)| word == text);
            found.map_or(unknown, |(_, share)| Spanned::read(Wanted::Drawn(*share), place))
        }
        _ => match read_range(value, first, cx) {
            Some(range) => Spanned::read(Wanted::Numbers(vec![range]), place),
            None => unknown,
        },
    }
}

/// A number, or a range with both ends.
pub(super) fn read_range(value: &Value<'_>, first: u32, cx: &mut Findings) -> Option<Range> {
    let node = value.node?;
    let Kind::Text { text, .. } = &node.kind else {
        if !matches!(node.kind, Kind::Integer(_)) {
            value.wrong_type(
                &Expected::Other(format!(
                    "a number from {first}, a range such as `{first}..8`, a list of those, or a share"
                )),
                cx,
            );
            return None;
        }
        let number = whole(value, &(first..=u32::MAX - 1), cx);
        return number.known().map(|number| Range { first: *number, last: *number });
    };
    let numbers: RangeInclusive<u32> = first..=u32::MAX - 1;
    let end = |text: &str| text.trim().parse::<u32>().ok().filter(|number| numbers.contains(number));
    let range = text.split_once("..").and_then(|(from, to)| {
        let to = to.strip_prefix('=').unwrap_or(to);
        let last = if to.trim().is_empty() { Some(u32::MAX) } else { end(to) };
        Some(Range { first: end(from)?, last: last? })
    });
    let complain = |message: String| {
        Diagnostic::error(Code::OutOfRange, message)
            .at(&node.place, format!("expected e.g. `{first}..8`, both ends included, or `{first}..`"))
    };
    match range {
        Some(range) if range.first <= range.last => Some(range),
        Some(range) => {
            let turned = format!("{}..{}", range.last, range.first);
            let message = format!("the range `{}` ends before it begins", shown(text));
            cx.report(complain(message).suggest(&node.place, turned));
            None
        }
        None => {
            cx.report(complain(format!("`{}` is no range of numbers from {first}", shown(text))));
            None
        }
    }
}
