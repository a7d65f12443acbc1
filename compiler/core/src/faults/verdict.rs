//! The verdict on `expect`, from what is known of a rerun and of its baseline.

use super::Expect;
use serde::Serialize;
use std::collections::BTreeMap;
use stepgrad_contract::faults::{Range, Set};

/// What is known of a rerun and of its baseline.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Facts {
    /// How it ended, as Step Functions writes it.
    pub status: String,
    /// The error's name.
    pub error: Option<String>,
    /// SHA-256 of the trained weights.
    pub weights: Option<String>,
    /// The baseline's.
    pub baseline_weights: Option<String>,
    /// On the held-out set, or on the training's last epoch.
    pub accuracy: Option<f64>,
    /// The baseline's.
    pub baseline_accuracy: Option<f64>,
    /// Likewise.
    pub loss: Option<f64>,
    /// Seconds more than the baseline took.
    pub extra_seconds: f64,
    /// Firings by fault.
    pub fired: BTreeMap<String, u64>,
    /// The rounds in which each peer was lost.
    pub lost: BTreeMap<u32, Vec<u32>>,
    /// Members of the exchange with the fewest.
    pub fewest_members: Option<u32>,
    /// Whether all replicas were the same after the last round; `None` where it cannot be told.
    pub replicas_equal: Option<bool>,
    /// How the loss of each peer went.
    pub losses: Vec<LostPeer>,
}

/// How long it took to do without a peer and to have it back, in rounds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct LostPeer {
    /// The peer.
    pub peer: u32,
    /// The round of the first fault at it that was followed by its loss; `None` where it was lost by no fault.
    pub failed_round: Option<u32>,
    /// The first round that went on without it.
    pub excluded_round: u32,
    /// The last round without it.
    pub last_lost_round: u32,
    /// The first round after that with it as a member; `None` where the run ended before.
    pub rejoined_round: Option<u32>,
    /// The round of the last fault at it before it came back.
    pub healed_round: Option<u32>,
    /// From the fault to its last call having failed for good, or to its exclusion where none of its calls failed.
    pub detect_seconds: Option<f64>,
    /// From the fault to the decision of the round without it; where it was lost after that, in the exchange, to the round's
    /// evaluation.
    pub exclude_seconds: Option<f64>,
    /// From the last fault to the decision of the round with it again.
    pub rejoin_seconds: Option<f64>,
}

impl LostPeer {
    /// Rounds from its first fault to the one in which it was noticed. In that round it is left out.
    #[must_use]
    pub fn detect_rounds(&self) -> Option<u32> {
        self.exclude_rounds()
    }

    /// Rounds from its first fault to the first round without it.
    #[must_use]
    pub fn exclude_rounds(&self) -> Option<u32> {
        self.failed_round.map(|failed| self.excluded_round.saturating_sub(failed))
    }

    /// Rounds from its last fault, or its last round outside, to the first round with it again.
    #[must_use]
    pub fn rejoin_rounds(&self) -> Option<u32> {
        let healed = self.healed_round.unwrap_or(self.last_lost_round);
        self.rejoined_round.map(|rejoined| rejoined.saturating_sub(healed))
    }
}

/// One expectation, and whether it holds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verdict {
    /// Its key in the file.
    pub expectation: String,
    /// What the file says.
    pub expected: String,
    /// What was found.
    pub found: String,
    /// Whether it holds.
    pub holds: bool,
}

/// Every expectation in the order of the file's reference.
#[must_use]
pub fn verdict(expect: &Expect, facts: &Facts) -> Vec<Verdict> {
    let mut lines = Lines(Vec::new());
    let status = expect.status.value.name();
    lines.push("status", status.to_owned(), facts.status.clone(), facts.status == status);
    if let Some(error) = &expect.error {
        let found = facts.error.clone().unwrap_or_else(|| "no error".to_owned());
        let holds = found == error.value;
        lines.push("error", error.value.clone(), found, holds);
    }
    if expect.same_weights.is_some() {
        let found = match (&facts.weights, &facts.baseline_weights) {
            (None, _) | (_, None) => "no weights",
            (Some(own), Some(baseline)) if own == baseline => "baseline",
            _ => "other weights",
        };
        lines.push("same_weights_as", "baseline".to_owned(), found.to_owned(), found == "baseline");
    }
    lines.accuracy(expect, facts);
    if let Some(most) = &expect.loss_at_most {
        lines.number("loss_at_most", most.value, facts.loss, |found| found <= most.value);
    }
    if let Some(most) = &expect.max_extra_seconds {
        let holds = facts.extra_seconds <= most.value;
        lines.push("max_extra_seconds", most.value.to_string(), format!("{:.2}", facts.extra_seconds), holds);
    }
    for (id, range) in &expect.fired {
        let times = facts.fired.get(id).copied().unwrap_or(0);
        let holds = times >= u64::from(range.value.first)
            && (range.value.last == u32::MAX || times <= u64::from(range.value.last));
        lines.push(&format!("fired.{id}"), shown(&range.value), times.to_string(), holds);
    }
    if let Some(lost) = &expect.lost {
        let found = facts.lost.iter().map(|(peer, rounds)| (*peer, Set::of(rounds.iter().copied())));
        let found: BTreeMap<u32, Set> = found.collect();
        lines.push("lost", peers(&lost.value), peers(&found), found == lost.value);
    }
    if let Some(least) = &expect.members_at_least {
        let found = facts.fewest_members;
        let shown = found.map_or_else(|| "no round".to_owned(), |members| members.to_string());
        lines.push("members_at_least", least.value.to_string(), shown, found >= Some(least.value));
    }
    if let Some(equal) = &expect.replicas_equal {
        let found = facts.replicas_equal.map_or("not known", |equal| if equal { "true" } else { "false" });
        let holds = facts.replicas_equal == Some(equal.value);
        lines.push("replicas_equal", equal.value.to_string(), found.to_owned(), holds);
    }
    let rounds = [
        (
            "detected_within_rounds",
            &expect.detected_within_rounds,
            LostPeer::detect_rounds as fn(&LostPeer) -> Option<u32>,
        ),
        ("rejoined_within_rounds", &expect.rejoined_within_rounds, LostPeer::rejoin_rounds),
    ];
    for (key, most, of) in rounds {
        let Some(most) = most else { continue };
        let found: Vec<Option<u32>> = facts.losses.iter().map(of).collect();
        let shown: Vec<_> = found
            .iter()
            .map(|rounds| rounds.map_or_else(|| "never".to_owned(), |rounds| rounds.to_string()))
            .collect();
        let holds =
            !found.is_empty() && found.iter().all(|rounds| rounds.is_some_and(|rounds| rounds <= most.value));
        let shown = if shown.is_empty() { "no peer was lost".to_owned() } else { shown.join(", ") };
        lines.push(key, most.value.to_string(), shown, holds);
    }
    lines.0
}

struct Lines(Vec<Verdict>);

impl Lines {
    fn push(&mut self, expectation: &str, expected: String, found: String, holds: bool) {
        self.0.push(Verdict { expectation: expectation.to_owned(), expected, found, holds });
    }

    fn number(&mut self, key: &str, expected: f64, found: Option<f64>, holds: impl Fn(f64) -> bool) {
        let shown = found.map_or_else(|| "not measured".to_owned(), |found| format!("{found:.4}"));
        self.push(key, expected.to_string(), shown, found.is_some_and(holds));
    }

    fn accuracy(&mut self, expect: &Expect, facts: &Facts) {
        if let Some(within) = &expect.accuracy_within {
            let apart =
                facts.accuracy.zip(facts.baseline_accuracy).map(|(own, baseline)| (own - baseline).abs());
            self.number("accuracy_within", within.value, apart, |apart| apart <= within.value);
        }
        if let Some(least) = &expect.accuracy_at_least {
            self.number("accuracy_at_least", least.value, facts.accuracy, |found| found >= least.value);
        }
        if let Some(most) = &expect.accuracy_at_most {
            self.number("accuracy_at_most", most.value, facts.accuracy, |found| found <= most.value);
        }
    }
}

fn shown(range: &Range) -> String {
    match (range.first, range.last) {
        (first, u32::MAX) => format!("{first}.."),
        (first, last) if first == last => first.to_string(),
        (first, last) => format!("{first}..{last}"),
    }
}

fn peers(lost: &BTreeMap<u32, Set>) -> String {
    let each = |(peer, rounds): (&u32, &Set)| {
        let rounds: Vec<_> = rounds.ranges().iter().map(shown).collect();
        format!("{peer}: {}", rounds.join(" and "))
    };
    if lost.is_empty() { "nobody".to_owned() } else { lost.iter().map(each).collect::<Vec<_>>().join(", ") }
}
