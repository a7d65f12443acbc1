//! What a training costs on AWS at the most, so that its state machine can end it before that is more than its budget.
//!
//! No state machine learns what its calls are billed, so what was spent is not measured but bounded from above. Between two
//! looks at the machine's own clock (`$$.State.EnteredTime`) no more calls can have run at once than the round has, each for
//! all of that time; and a round never costs more than its *worst case*, in which every attempt of every call takes all of
//! its time limit. Before a round begins, its worst case and that of the training's end have to fit what is left.
//!
//! Counted are the time and the requests of Lambda, what its functions have in `/tmp` beyond what is free, and the
//! transitions of Step Functions, these always with all retries. Not counted are requests to and room in S3, logs, metrics,
//! traces, keys and traffic.
//!
//! Amounts are in nano-dollars. All of it is a function of the history, and of no clock: a reply that is lost is computed again
//! as it was.

use crate::fanout::{Carriers, Choice};
use crate::{ErrorKind, Function, FunctionError};
use chrono::DateTime;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Nano-dollars of a dollar.
pub const DOLLAR: u64 = 1_000_000_000;

/// The limit, and what things cost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// What a training may cost.
    pub limit: u64,
    /// What one request of a function costs beside its time.
    pub request: u64,
    /// What one state transition costs.
    pub transition: u64,
    /// Events of the history of `segment` for each of its rounds, with all retries.
    pub segment_events: u64,
    /// Events of the history of `train` for each segment, likewise.
    pub train_events: u64,
    /// The functions that the training calls.
    pub calls: BTreeMap<Function, Rate>,
}

/// What the calls of one function cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// A second of it.
    pub second: u64,
    /// Seconds that one attempt can be billed at the most.
    pub longest_s: u32,
    /// Attempts of one call at the most, those of the calls that it hands over to included.
    pub attempts: u32,
}

/// What the machines carry of it from round to round.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cost {
    /// What was spent at the most until `since`.
    pub spent: u64,
    /// What will have been spent at the most when the round to come is done and the training has ended after it.
    pub at_most: u64,
    /// When that was looked at, as the state machine's context tells it.
    pub since: String,
    /// Why the round to come does not fit the budget; empty where it does.
    pub cause: String,
}

/// What a round has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Load {
    /// The round.
    pub round: u32,
    /// Whether it is the first of its segment.
    pub opens_segment: bool,
    /// Batches of each peer that takes part.
    pub batches: Vec<u32>,
    /// How they are carried.
    pub choice: Choice,
}

impl Rate {
    /// What one call costs at the most, without its requests.
    const fn most(self) -> u64 {
        self.second.saturating_mul(self.longest_s as u64).saturating_mul(self.attempts as u64)
    }
}

impl Budget {
    /// Before the first round: it is looked at `since` the execution began.
    #[must_use]
    pub fn begin(&self, carriers: &Carriers, since: String, first: &Load) -> Cost {
        self.told(Cost { spent: 0, at_most: 0, since, cause: String::new() }, 0, carriers, Some(first))
    }

    /// After the round `past`, at `now`; before the round `next`, if there is one.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidEvent`] where a time is none (RFC 3339).
    pub fn after(
        &self,
        carriers: &Carriers,
        before: &Cost,
        now: String,
        past: &Load,
        next: Option<&Load>,
    ) -> Result<Cost, FunctionError> {
        let elapsed_ms = milliseconds(&now)?.saturating_sub(milliseconds(&before.since)?);
        let spent =
            before.spent.saturating_add(self.spent(carriers, u64::try_from(elapsed_ms).unwrap_or(0), past));
        let cost = Cost { spent, at_most: 0, since: now, cause: String::new() };
        // Whoever looks is a call itself, of which the end is not known yet.
        Ok(self.told(cost, self.calls([(Function::Evaluate, 1)]), carriers, next))
    }

    /// What a training of this first round costs at the least in the worst case: a budget below it holds none.
    #[must_use]
    pub fn least(&self, carriers: &Carriers, first: &Load) -> u64 {
        self.begin(carriers, String::new(), first).at_most
    }

    /// What a whole training costs at the most: its set-up, each of these rounds so often, its end, and the executions of
    /// `segment` that its rounds are in. The loads are those of rounds after the first which open no segment.
    #[must_use]
    pub fn most(&self, carriers: &Carriers, rounds: &[(Load, u64)], segments: u64) -> u64 {
        let around = self.train_events.div_ceil(2).saturating_mul(self.transition);
        let fixed = self.calls([(Function::Prepare, 1), (Function::Initialise, 1), (Function::Finish, 1)]);
        let all = rounds.iter().map(|(load, times)| self.worst(carriers, load).saturating_mul(*times));
        all.fold(fixed.saturating_add(around.saturating_mul(segments)), u64::saturating_add)
    }

    fn told(&self, cost: Cost, open: u64, carriers: &Carriers, next: Option<&Load>) -> Cost {
        let round = next.map_or(0, |next| self.worst(carriers, next));
        let to_come = open.saturating_add(round).saturating_add(self.calls([(Function::Finish, 1)]));
        let at_most = cost.spent.saturating_add(to_come);
        let cause = match next {
            Some(Load { round, .. }) if at_most > self.limit => format!(
                "round {round} was not begun: of the budget of {} USD up to {} USD are spent, and the round and the training's end can cost {} USD: raise budget.usd, or lower functions.<function>.timeout_s, by which calls to come are counted",
                dollars(self.limit),
                dollars(cost.spent),
                dollars(to_come)
            ),
            _ => String::new(),
        };
        Cost { at_most, cause, ..cost }
    }

    fn rate(&self, function: Function) -> Rate {
        self.calls.get(&function).copied().unwrap_or_default()
    }

    /// What these calls cost at the most.
    fn calls(&self, calls: impl IntoIterator<Item = (Function, u64)>) -> u64 {
        calls.into_iter().fold(0, |sum, (function, number)| {
            let rate = self.rate(function);
            let requests = self.request.saturating_mul(rate.attempts.into());
            sum.saturating_add(number.saturating_mul(rate.most().saturating_add(requests)))
        })
    }

    /// The calls of a round at the most: it may be exchanged, and looked at, twice.
    fn calls_of(load: &Load) -> [(Function, u64); 12] {
        let peers = load.batches.len() as u64;
        let batches: u64 = load.batches.iter().map(|batches| u64::from(*batches)).sum();
        let setup = u64::from(load.round <= 1);
        Function::ALL.map(|function| {
            let number = match function {
                Function::Prepare | Function::Initialise => setup,
                Function::Gradient => batches,
                Function::Train | Function::Combine | Function::Heartbeat | Function::Reach => peers,
                Function::Synchronise => peers.saturating_mul(2),
                Function::Membership | Function::Aggregate | Function::Evaluate => 2,
                Function::Finish => 0,
            };
            (function, number)
        })
    }

    /// What the transitions of a round cost at the most. Each leaves two events of a history at the least, and so does the
    /// start of each execution (AWS Step Functions, "Pricing": retries are transitions too).
    fn transitions(&self, carriers: &Carriers, load: &Load) -> u64 {
        let Choice { peers_per_execution, batches_per_execution } = load.choice;
        let child = carriers.child.saturating_add(carriers.child_fixed);
        let of_peer = |batches: &u32| {
            let ranges = batches_per_execution.map_or(0, |range| batches.div_ceil(range.max(1)));
            carriers
                .peer_fixed
                .saturating_add(u64::from(*batches).saturating_mul(carriers.batch))
                .saturating_add(u64::from(ranges).saturating_mul(child))
        };
        let peers = load.batches.iter().map(of_peer).fold(0, u64::saturating_add);
        let groups =
            peers_per_execution.map_or(0, |group| (load.batches.len() as u64).div_ceil(group.max(1).into()));
        let around = if load.opens_segment { self.train_events } else { 0 };
        [carriers.round_fixed, peers, groups.saturating_mul(child), self.segment_events, around]
            .into_iter()
            .fold(0, u64::saturating_add)
            .div_ceil(2)
            .saturating_mul(self.transition)
    }

    /// What a round costs at the most.
    fn worst(&self, carriers: &Carriers, load: &Load) -> u64 {
        self.calls(Self::calls_of(load)).saturating_add(self.transitions(carriers, load))
    }

    /// What a round has cost at the most that took so long.
    fn spent(&self, carriers: &Carriers, elapsed_ms: u64, load: &Load) -> u64 {
        let second = |function, number: u64| self.rate(function).second.saturating_mul(number);
        let peers = load.batches.len() as u64;
        // Of one peer, one thing after the other; peers beside each other, and batches.
        let works = |batches: &u32| {
            let all = [
                second(Function::Heartbeat, 1),
                second(Function::Gradient, u64::from(*batches)),
                second(Function::Combine, 1),
                second(Function::Train, 1),
            ];
            all.into_iter().fold(0, u64::max)
        };
        let at_once = [
            load.batches.iter().map(works).fold(0, u64::saturating_add),
            second(Function::Synchronise, peers),
            second(Function::Reach, peers),
            second(Function::Membership, 1),
            second(Function::Aggregate, 1),
            second(Function::Evaluate, 1),
            second(Function::Prepare, 1),
            second(Function::Initialise, 1),
        ];
        let at_once = at_once.into_iter().fold(0, u64::max);
        let time = u128::from(at_once).saturating_mul(u128::from(elapsed_ms)).div_ceil(1_000);
        let requests: u64 = Self::calls_of(load).into_iter().fold(0, |sum, (function, number)| {
            let attempts = u64::from(self.rate(function).attempts);
            sum.saturating_add(number.saturating_mul(attempts).saturating_mul(self.request))
        });
        // A run that was interrupted and went on later was at work for some of that time only.
        u64::try_from(time)
            .unwrap_or(u64::MAX)
            .saturating_add(requests)
            .saturating_add(self.transitions(carriers, load))
            .min(self.worst(carriers, load))
    }
}

/// An amount in dollars, rounded up to a hundredth of a cent.
#[must_use]
pub fn dollars(amount: u64) -> String {
    let parts = amount.div_ceil(DOLLAR / 10_000);
    format!("{}.{:04}", parts / 10_000, parts % 10_000)
}

fn milliseconds(time: &str) -> Result<i64, FunctionError> {
    DateTime::parse_from_rfc3339(time).map(|time| time.timestamp_millis()).map_err(|error| {
        FunctionError::new(
            ErrorKind::InvalidEvent,
            format!("{time:?} is no time as a context gives it: {error}"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::{Budget, Cost, DOLLAR, Load, Rate, dollars};
    use crate::fanout::{CARRIERS, Choice};
    use crate::{ErrorKind, Function};

    /// A second of any call costs a thousandth of a dollar, and lasts ten at the most in each of two attempts.
    fn budget(limit: u64) -> Budget {
        let rate = Rate { second: DOLLAR / 1_000, longest_s: 10, attempts: 2 };
        Budget {
            limit,
            request: 200,
            transition: 25_000,
            segment_events: 20,
            train_events: 40,
            calls: [
                Function::Prepare,
                Function::Gradient,
                Function::Synchronise,
                Function::Evaluate,
                Function::Finish,
            ]
            .map(|function| (function, rate))
            .into(),
        }
    }

    fn load(round: u32, batches: &[u32]) -> Load {
        Load {
            round,
            opens_segment: round == 1,
            batches: batches.to_vec(),
            choice: Choice { peers_per_execution: None, batches_per_execution: None },
        }
    }

    fn before(spent: u64) -> Cost {
        Cost { spent, at_most: 0, since: "2026-11-21T10:00:00.000Z".to_owned(), cause: String::new() }
    }

    #[test]
    fn the_worst_case_counts_every_attempt_for_all_its_time() {
        let call = 2 * (10 * DOLLAR / 1_000 + 200);
        let events = 100 + 2 * 60 + 5 * 24 + 20;
        // Five gradients, two peers that exchange twice, two evaluations.
        let worst = 11 * call + events / 2 * 25_000;
        assert_eq!(budget(0).worst(&CARRIERS, &load(2, &[3, 2])), worst);
        // The first round has the preparation before it, and `train` around it.
        let first = worst + call + 40 / 2 * 25_000;
        assert_eq!(budget(0).least(&CARRIERS, &load(1, &[3, 2])), first + call, "and the end");
        let children = Load {
            choice: Choice { peers_per_execution: Some(1), batches_per_execution: Some(2) },
            ..load(2, &[3, 2])
        };
        let executions = 2 + 2 + 1;
        assert_eq!(budget(0).worst(&CARRIERS, &children), worst + executions * 38 / 2 * 25_000);
    }

    #[test]
    fn a_whole_training_is_never_counted_with_less_than_its_rounds_one_by_one() {
        let (budget, load) =
            (budget(0), |round: u32, opens_segment| Load { opens_segment, ..load(round, &[3, 2]) });
        let one_by_one: u64 =
            (1..=7).map(|round| budget.worst(&CARRIERS, &load(round, [1, 4, 7].contains(&round)))).sum();
        let end = budget.calls([(Function::Finish, 1)]);
        let most = budget.most(&CARRIERS, &[(load(2, false), 7)], 3);
        // `initialise` has no rate here; a segment's events are halved by themselves.
        assert!((one_by_one + end..=one_by_one + end + 3 * 25_000).contains(&most), "{one_by_one} {most}");
    }

    #[test]
    fn what_was_spent_is_what_can_have_run_at_once_and_never_more_than_the_worst_case() {
        let (budget, past, next) = (budget(DOLLAR), load(2, &[3, 2]), load(3, &[3, 2]));
        let after = |now: &str| budget.after(&CARRIERS, &before(7), now.to_owned(), &past, Some(&next));
        let none = after("2026-11-21T10:00:00.000Z").unwrap();
        let two = after("2026-11-21T10:00:02+00:00").unwrap();
        // Five batches at once are more than two peers.
        assert_eq!(two.spent - none.spent, 2 * 5 * DOLLAR / 1_000);
        assert_eq!(two.since, "2026-11-21T10:00:02+00:00");
        let late = after("2027-11-21T10:00:00.000Z").unwrap();
        assert_eq!(late.spent, 7 + budget.worst(&CARRIERS, &past));
        assert_eq!(after("2026-11-21T09:00:00.000Z").unwrap().spent, none.spent, "a clock that was set back");
        assert_eq!(after("yesterday").unwrap_err().kind, ErrorKind::InvalidEvent);
        let open = 2 * (10 * DOLLAR / 1_000 + 200);
        assert_eq!(two.at_most, two.spent + budget.worst(&CARRIERS, &next) + 2 * open, "evaluate and finish");
    }

    #[test]
    fn a_round_that_does_not_fit_is_named_with_what_to_do() {
        let first = load(1, &[3, 2]);
        let least = budget(0).least(&CARRIERS, &first);
        assert_eq!(budget(least).begin(&CARRIERS, String::new(), &first).cause, "");
        let cause = budget(least - 1).begin(&CARRIERS, String::new(), &first).cause;
        assert!(cause.starts_with("round 1 was not begun") && cause.contains("raise budget.usd"), "{cause}");
        assert!(cause.contains(&format!("can cost {} USD", dollars(least))), "{cause}");
        // Who is done has nothing to begin.
        let now = "2026-11-21T10:00:00.000Z".to_owned();
        let done = budget(0).after(&CARRIERS, &before(DOLLAR), now, &first, None).unwrap();
        assert!(done.at_most > DOLLAR && done.cause.is_empty());
    }

    #[test]
    fn dollars_are_rounded_up() {
        assert_eq!(dollars(0), "0.0000");
        assert_eq!(dollars(1), "0.0001");
        assert_eq!(dollars(12_345 * (DOLLAR / 10_000)), "1.2345");
        assert_eq!(dollars(u64::MAX), "18446744073.7096");
    }

    #[test]
    fn nothing_overflows() {
        let rate = Rate { second: u64::MAX, longest_s: u32::MAX, attempts: u32::MAX };
        let calls = Function::ALL.map(|function| (function, rate)).into();
        let all = Budget {
            limit: 0,
            request: u64::MAX,
            transition: u64::MAX,
            segment_events: u64::MAX,
            train_events: u64::MAX,
            calls,
        };
        let load = load(1, &[u32::MAX, u32::MAX]);
        let now = "2027-11-21T10:00:00.000Z".to_owned();
        assert_eq!(all.after(&CARRIERS, &before(1), now, &load, Some(&load)).unwrap().at_most, u64::MAX);
    }
}
