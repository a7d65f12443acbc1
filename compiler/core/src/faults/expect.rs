//! `expect`: what a rerun has to come to, all of it checked at its end.

use super::coordinates::read_range;
use super::names;
use crate::diagnostic::{Code, Diagnostic, Place};
use crate::spec::Spanned;
use crate::spec::decode::{
    Expected, Fields, Findings, Interval, NOT_NEGATIVE, Value, boolean, number, text, whole,
};
use crate::spec::tree::{Kind, shown};
use std::collections::BTreeMap;
use stepgrad_contract::faults::{Range, Set};

/// What a rerun has to come to.
#[derive(Debug, Clone, PartialEq)]
pub struct Expect {
    /// How it ends; that it succeeds, where the file does not say.
    pub status: Spanned<RunStatus>,
    /// The name of the error that it ends with.
    pub error: Option<Spanned<String>>,
    /// Whether the weights are those of the baseline, byte for byte.
    pub same_weights: Option<Spanned<bool>>,
    /// How far the accuracy may be from the baseline's, from 0 to 1.
    pub accuracy_within: Option<Spanned<f64>>,
    /// The lowest accuracy, from 0 to 1.
    pub accuracy_at_least: Option<Spanned<f64>>,
    /// The highest accuracy: what an attack brings about.
    pub accuracy_at_most: Option<Spanned<f64>>,
    /// The highest loss.
    pub loss_at_most: Option<Spanned<f64>>,
    /// How much longer it may take than the baseline.
    pub max_extra_seconds: Option<Spanned<f64>>,
    /// How often faults fire.
    pub fired: BTreeMap<String, Spanned<Range>>,
    /// Just these peers are lost, in just these rounds.
    pub lost: Option<Spanned<BTreeMap<u32, Set>>>,
    /// Members of every exchange at the least.
    pub members_at_least: Option<Spanned<u32>>,
    /// Whether all replicas are the same after the last round.
    pub replicas_equal: Option<Spanned<bool>>,
    /// Rounds from the first firing at a peer to the first without it.
    pub detected_within_rounds: Option<Spanned<u32>>,
    /// Rounds from the end of a peer's faults to the first with it again.
    pub rejoined_within_rounds: Option<Spanned<u32>>,
}

/// How a run ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunStatus {
    /// With a model.
    Succeeded,
    /// With an error.
    Failed,
    /// It took too long.
    TimedOut,
}

impl RunStatus {
    pub(super) const ALL: [(&'static str, Self); 3] =
        [("SUCCEEDED", Self::Succeeded), ("FAILED", Self::Failed), ("TIMED_OUT", Self::TimedOut)];

    /// As Step Functions writes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, status)| *status == self).map_or("", |(name, _)| name)
    }
}

/// From 0 to 1.
const SHARE: Interval = Interval {
    low: crate::spec::decode::Bound::Included(0.0),
    high: crate::spec::decode::Bound::Included(1.0),
};

/// The keys with their descriptions, for the schema and the reference.
pub(super) const KEYS: [(&str, &str); 14] = [
    ("status", "How the run ends; SUCCEEDED if not given."),
    ("error", "The name of the error that it ends with."),
    (
        "same_weights_as",
        "`baseline`: the trained weights are those of the run without faults, byte for byte.",
    ),
    ("accuracy_within", "How far the accuracy may be from the baseline's, from 0 to 1."),
    ("accuracy_at_least", "The lowest accuracy, from 0 to 1."),
    ("accuracy_at_most", "The highest accuracy: what an attack brings about."),
    ("loss_at_most", "The highest loss."),
    ("max_extra_seconds", "How much longer than the baseline it may take."),
    ("fired", "How often each of these faults fires: a number, or a range such as `1..`."),
    ("lost", "Just these peers are lost, in just these rounds, e.g. `{4: 5..8}`; `{}` for none."),
    ("members_at_least", "Members of every exchange at the least."),
    ("replicas_equal", "Whether all replicas are the same after the last round."),
    (
        "detected_within_rounds",
        "Rounds from the first fault of a lost peer to the first round without it, at the most; 0 is the same round.",
    ),
    (
        "rejoined_within_rounds",
        "Rounds from the last fault of a lost peer to the first round with it again, at the most; 1 is the next round.",
    ),
];

impl Expect {
    pub(super) fn read(value: &Value<'_>, cx: &mut Findings) -> Self {
        let mut fields = Fields::open_optional(value, cx);
        let share = |value: &Value<'_>, cx: &mut Findings| number(value, &SHARE, cx);
        let positive = |value: &Value<'_>, cx: &mut Findings| number(value, &NOT_NEGATIVE, cx);
        let count = |value: &Value<'_>, cx: &mut Findings| whole(value, &(0..=1_000_000), cx);
        let expect = Self {
            status: fields.or("status", RunStatus::Succeeded, cx, |value, cx| {
                let known = RunStatus::ALL.map(|(name, _)| name);
                let name = names::read(value, &known, "status", cx);
                let found = RunStatus::ALL.iter().find(|(known, _)| Some(*known) == name);
                match found {
                    Some((_, status)) => Spanned::read(*status, &value.place()),
                    None => Spanned::unknown(RunStatus::Succeeded),
                }
            }),
            error: fields.optional("error", cx, |value, cx| text(value, "an error's name", cx)),
            same_weights: fields.optional("same_weights_as", cx, |value, cx| {
                names::read(value, &["baseline"], "run to compare with", cx);
                Spanned::read(true, &value.place())
            }),
            accuracy_within: fields.optional("accuracy_within", cx, share),
            accuracy_at_least: fields.optional("accuracy_at_least", cx, share),
            accuracy_at_most: fields.optional("accuracy_at_most", cx, share),
            loss_at_most: fields.optional("loss_at_most", cx, positive),
            max_extra_seconds: fields.optional("max_extra_seconds", cx, positive),
            fired: fields.optional("fired", cx, read_fired).unwrap_or_default(),
            lost: fields.optional("lost", cx, read_lost),
            members_at_least: fields.optional("members_at_least", cx, count),
            replicas_equal: fields.optional("replicas_equal", cx, boolean),
            detected_within_rounds: fields.optional("detected_within_rounds", cx, count),
            rejoined_within_rounds: fields.optional("rejoined_within_rounds", cx, count),
        };
        fields.finish(cx);
        expect
    }

    /// Whether the expectations go with one another and with the faults `ids`.
    pub(super) fn check(&self, ids: &[&str], cx: &mut Findings) {
        for (id, count) in &self.fired {
            names::one(id, ids, "fault", &count.place(), Code::Expectation, cx);
        }
        let Some(status) = self.status.known() else { return };
        let contradiction = |what: &str, place: &Place, cx: &mut Findings| {
            cx.report(
                Diagnostic::error(Code::Expectation, format!("{what} of a run that is {}", status.name()))
                    .at(place, "cannot hold")
                    .also(&self.status.place(), "the status")
                    .hint("change one of the two"),
            );
        };
        if let (Some(error), RunStatus::Succeeded) = (&self.error, status) {
            let finding = Diagnostic::error(Code::Expectation, "an error is expected of a run that succeeds")
                .at(&error.place(), "cannot hold")
                .hint("set `status: FAILED`");
            cx.report(finding);
        }
        if *status != RunStatus::Succeeded {
            if let Some(same) = &self.same_weights {
                contradiction("trained weights are expected", &same.place(), cx);
            }
            let measures =
                [&self.accuracy_within, &self.accuracy_at_least, &self.accuracy_at_most, &self.loss_at_most];
            for measured in measures.into_iter().flatten() {
                contradiction("a trained model is expected", &measured.place(), cx);
            }
        }
        if let (Some(least), Some(most)) = (&self.accuracy_at_least, &self.accuracy_at_most)
            && least.known().zip(most.known()).is_some_and(|(least, most)| least > most)
        {
            cx.report(
                Diagnostic::error(Code::Expectation, "the lowest accuracy is above the highest")
                    .at(&least.place(), "the lowest")
                    .also(&most.place(), "the highest"),
            );
        }
    }
}

fn entries<'a>(value: &Value<'a>, what: &str, cx: &mut Findings) -> Vec<(&'a str, Value<'a>)> {
    let Some(Kind::Map(entries)) = value.node.map(|node| &node.kind) else {
        value.wrong_type(&Expected::Other(what.to_owned()), cx);
        return Vec::new();
    };
    entries.iter().map(|entry| (entry.key.as_str(), Value::entry(&value.path, entry))).collect()
}

fn read_fired(value: &Value<'_>, cx: &mut Findings) -> BTreeMap<String, Spanned<Range>> {
    let mut fired = BTreeMap::new();
    for (id, value) in entries(value, "a mapping of ids to numbers, e.g. `{lost-ack: 1}`", cx) {
        if let Some(range) = read_range(&value, 0, cx) {
            fired.insert(id.to_owned(), Spanned::read(range, &value.key_place()));
        }
    }
    fired
}

fn read_lost(value: &Value<'_>, cx: &mut Findings) -> Spanned<BTreeMap<u32, Set>> {
    let mut lost = BTreeMap::new();
    for (peer, value) in entries(value, "a mapping of peers to rounds, e.g. `{4: 5..8}`", cx) {
        let Some(number) = peer.parse().ok().filter(|peer| *peer > 0) else {
            cx.report(
                Diagnostic::error(Code::WrongType, format!("`{}` is no peer", shown(peer)))
                    .at(&value.key_place(), "expected a peer's number, from 1"),
            );
            continue;
        };
        let ranges = match value.node.map(|node| &node.kind) {
            Some(Kind::List(items)) => {
                let items = items.iter().enumerate();
                items
                    .filter_map(|(index, item)| read_range(&Value::element(&value.path, index, item), 1, cx))
                    .collect()
            }
            _ => Vec::from_iter(read_range(&value, 1, cx)),
        };
        lost.insert(number, Set::new(ranges));
    }
    Spanned::read(lost, &value.place())
}
