//! The document.

use super::{Action, Call, Object, Target, Where};
use crate::draw::draw;
use serde::{Deserialize, Serialize};

/// The version of the document.
pub const VERSION: u32 = 1;

/// What goes wrong in a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// [`VERSION`].
    pub version: u32,
    /// Where every random choice of the faults starts.
    pub seed: u64,
    /// In the file's order.
    pub faults: Vec<Fault>,
}

/// One thing that goes wrong.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Its name in the file.
    pub id: String,
    /// Where.
    pub at: Target,
    /// What.
    #[serde(rename = "do")]
    pub action: Action,
}

impl Plan {
    /// The first fault at `place` that is about `call`.
    #[must_use]
    pub fn first(&self, place: Where, call: &Call) -> Option<&Fault> {
        self.first_beside(place, call, 0)
    }

    /// The first fault at `place` that is about `call` while `at_work` others are at work. A function that runs was not
    /// throttled for their number, so for itself there is none.
    #[must_use]
    pub fn first_beside(&self, place: Where, call: &Call, at_work: usize) -> Option<&Fault> {
        self.faults.iter().find(|fault| {
            fault.action.acts() == place && fault.at.matches(call) && self.is_due(fault, call, at_work)
        })
    }

    /// Whether the call is of the share, or beyond the concurrency, that the fault is about.
    fn is_due(&self, fault: &Fault, call: &Call, at_work: usize) -> bool {
        match fault.action {
            Action::Throttle { above, percent } => {
                above.is_none_or(|above| at_work >= above as usize)
                    && percent
                        .is_none_or(|percent| self.draw(fault, &call.numbers()) % 100 < u64::from(percent))
            }
            _ => true,
        }
    }

    /// The first fault about an operation of `call` on an object.
    #[must_use]
    pub fn first_object(&self, call: &Call, object: &Object) -> Option<&Fault> {
        self.faults.iter().find(|fault| {
            fault.action.acts() == Where::Object
                && fault.at.matches(call)
                && fault.at.matches_object(object)
                && fault.action.fits(object)
        })
    }

    /// A number that depends on the plan's seed, the fault and `coordinates` and on nothing else.
    #[must_use]
    pub fn draw(&self, fault: &Fault, coordinates: &[u64]) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = draw(self.seed, &fault.id, coordinates);
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }
}

impl Fault {
    /// Whether a fault of [`Where::Gradient`] changes this. One that names a batch, or `gradient`, is about the gradient of a
    /// batch; one that names no function, or another one, about what the peer publishes.
    #[must_use]
    pub fn lies_about(&self, lie: Lie) -> bool {
        let names = |of_batches: bool| {
            let of_batch = |function: &crate::Function| *function == crate::Function::Gradient;
            let mut functions = self.at.function.iter().flatten();
            functions.any(|function| of_batch(function) == of_batches)
        };
        match (&self.action, lie) {
            (Action::LabelFlip {}, lie) => lie == Lie::Labels,
            (_, Lie::Labels) => false,
            (_, Lie::Batch) => names(true) || (self.at.function.is_none() && self.at.batch.is_some()),
            (_, Lie::Published) => self.at.batch.is_none() && (self.at.function.is_none() || names(false)),
        }
    }
}

/// What a peer lies about. Of each kind the first match wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lie {
    /// The labels of its data.
    Labels,
    /// The gradient of a batch.
    Batch,
    /// What it publishes.
    Published,
}

impl Action {
    /// Whether the action can happen to such an operation: only a write can be dropped, only a read be stale.
    #[must_use]
    pub fn fits(&self, object: &Object) -> bool {
        match self {
            Self::Drop {} => object.operation == super::Operation::Put,
            Self::Stale { .. } => object.operation == super::Operation::Get,
            _ => true,
        }
    }
}

impl Call {
    /// The coordinates as numbers, for [`Plan::draw`].
    #[must_use]
    pub fn numbers(&self) -> [u64; 5] {
        let number = |value: Option<u32>| value.map_or(0, u64::from);
        [
            self.function as u64,
            number(self.peer),
            number(self.round),
            number(self.batch),
            u64::from(self.attempt),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::{Fault, Lie, Plan};
    use crate::Function;
    use crate::faults::{Action, Call, Object, ObjectKind, Operation, Set, Target, When, Where};

    fn fault(id: &str, peer: u32, action: Action) -> Fault {
        Fault { id: id.to_owned(), at: Target { peer: Some(Set::of([peer])), ..Target::default() }, action }
    }

    #[test]
    fn the_first_match_of_a_place_wins() {
        let plan = Plan {
            version: super::VERSION,
            seed: 1,
            faults: vec![
                fault("a", 1, Action::Kill { when: When::Before }),
                fault("b", 2, Action::ColdStart {}),
                fault("c", 2, Action::Exit { code: 3 }),
                fault("d", 2, Action::Pause { ms: 1 }),
                fault("e", 2, Action::Drop {}),
            ],
        };
        let call =
            Call { function: Function::Combine, peer: Some(2), round: Some(1), batch: None, attempt: 0 };
        let id = |fault: Option<&Fault>| fault.map(|fault| fault.id.clone());
        assert_eq!(id(plan.first(Where::Process, &call)).as_deref(), Some("c"));
        assert_eq!(id(plan.first(Where::Invocation, &call)).as_deref(), Some("b"));
        assert_eq!(plan.first(Where::Peer, &call), None);
        let put = Object { operation: Operation::Put, kind: ObjectKind::Published, owner: Some(2) };
        assert_eq!(id(plan.first_object(&call, &put)).as_deref(), Some("e"));
        assert_eq!(plan.first_object(&call, &Object { operation: Operation::Get, ..put }), None);
        let draws = [1, 2].map(|peer| plan.draw(&plan.faults[0], &[peer]));
        assert_ne!(draws[0], draws[1]);
    }

    #[test]
    fn a_throttle_below_its_concurrency_leaves_the_call_to_the_next() {
        let throttle = Action::Throttle { above: Some(2), percent: None };
        let faults = vec![fault("t", 2, throttle), fault("d", 2, Action::ColdStart {})];
        let plan = Plan { version: super::VERSION, seed: 1, faults };
        let call =
            Call { function: Function::Combine, peer: Some(2), round: Some(1), batch: None, attempt: 0 };
        let first = |at_work| plan.first_beside(Where::Invocation, &call, at_work).map(|fault| &*fault.id);
        assert_eq!([0, 1, 2, 3].map(first), [Some("d"), Some("d"), Some("t"), Some("t")]);
        assert_eq!(plan.first(Where::Invocation, &call).map(|fault| &*fault.id), Some("d"));
    }

    #[test]
    fn a_share_of_the_calls_is_drawn_one_by_one() {
        let throttle = Action::Throttle { above: None, percent: Some(20) };
        let plan = Plan { version: super::VERSION, seed: 1, faults: vec![fault("t", 2, throttle)] };
        let drawn = |plan: &Plan| -> Vec<u32> {
            let hit = |round: &u32| {
                let call = Call {
                    function: Function::Gradient,
                    peer: Some(2),
                    round: Some(*round),
                    batch: Some(1),
                    attempt: 0,
                };
                plan.first(Where::Invocation, &call).is_some()
            };
            (1..=1_000).filter(hit).collect()
        };
        assert!((150..250).contains(&drawn(&plan).len()), "{}", drawn(&plan).len());
        assert_eq!(drawn(&plan), drawn(&plan.clone()));
        assert_ne!(drawn(&plan), drawn(&Plan { seed: 2, ..plan }));
    }

    #[test]
    fn who_lies_in_several_functions_lies_about_what_each_makes() {
        let lies = |function: Option<Vec<Function>>, batch: Option<Set>, action: Action| {
            let at = Target { function, batch, ..Target::default() };
            let fault = Fault { id: "x".to_owned(), at, action };
            [Lie::Labels, Lie::Batch, Lie::Published].map(|lie| fault.lies_about(lie))
        };
        use Function::{Combine, Gradient, Train};
        assert_eq!(lies(None, None, Action::Nan {}), [false, false, true]);
        assert_eq!(lies(None, Some(Set::of([1])), Action::Nan {}), [false, true, false]);
        assert_eq!(lies(Some(vec![Gradient]), None, Action::Nan {}), [false, true, false]);
        assert_eq!(lies(Some(vec![Gradient, Train]), None, Action::Nan {}), [false, true, true]);
        assert_eq!(lies(Some(vec![Combine]), None, Action::Nan {}), [false, false, true]);
        let of_batch = lies(Some(vec![Gradient, Combine]), Some(Set::of([1])), Action::Nan {});
        assert_eq!(of_batch, [false, true, false]);
        assert_eq!(lies(None, None, Action::LabelFlip {}), [true, false, false]);
    }

    #[test]
    fn a_plan_comes_back_as_it_was_written() {
        let at = Target { object: Some(vec![ObjectKind::Gradient]), ..Target::default() };
        let torn = Fault { id: "torn".to_owned(), at, action: Action::Truncate { bytes: 16 } };
        let plan = Plan { version: 1, seed: 42, faults: vec![fault("k", 4, Action::Outage {}), torn] };
        let text = serde_json::to_string(&plan).unwrap();
        assert_eq!(
            text,
            r#"{"version":1,"seed":42,"faults":[{"id":"k","at":{"peer":[{"first":4,"last":4}]},"do":{"outage":{}}},{"id":"torn","at":{"object":["gradient"]},"do":{"truncate":{"bytes":16}}}]}"#
        );
        assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), plan);
        assert!(serde_json::from_str::<Plan>(&text.replace("bytes", "byte")).is_err());
    }
}
