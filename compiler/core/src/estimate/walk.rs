//! The way that the machines go when nothing fails, counted on the definitions themselves, so that the figures hold for
//! changed templates too.
//!
//! No handler is called: what the Choices of the machines look at is known. Every call succeeds at its first attempt and
//! hands nothing over, every peer is there, the quorum holds and the budget does. A Choice that looks at anything else is
//! [`Uncounted`], and no number is made up for it.

use super::Uncounted;
use super::counts::Counts;
use crate::lower::{Machine, machine_placeholder};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use stepgrad_asl::expression::{EmptyScope, Rule};
use stepgrad_contract::Function;
use stepgrad_contract::fanout::{Batches, Fanout, Member};

/// States that one scope is followed through at the most: a machine whose way does not end is not counted.
const STEPS: u32 = 10_000;

/// Machines, and what was counted of them already.
pub(super) struct Walker<'a> {
    machines: BTreeMap<String, &'a Machine>,
    functions: BTreeMap<String, Function>,
    /// What a member of so many batches does in a Map over peers, by the Map's place in memory and how it is carried.
    members: BTreeMap<(usize, Carried), Counts>,
}

/// How many batches a member has, and how they are carried.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Carried {
    None,
    Inline(u64),
    Ranges(Vec<u64>),
}

impl Carried {
    fn of(batches: &Batches) -> Self {
        let length = |first: u32, last: u32| u64::from(last.saturating_sub(first)).saturating_add(1);
        match batches {
            Batches::None => Self::None,
            Batches::Inline { first, last } => Self::Inline(length(*first, *last)),
            Batches::Child { ranges } => {
                Self::Ranges(ranges.iter().map(|range| length(range.first, range.last)).collect())
            }
        }
    }

    const fn name(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Inline(_) => "inline",
            Self::Ranges(_) => "child",
        }
    }
}

/// What a scope works on.
#[derive(Debug, Clone, Copy, Default)]
struct Data<'a> {
    fanout: Option<&'a Fanout>,
    members: &'a [Member],
    member: Option<&'a Carried>,
    /// Batches of the list that is mapped over next.
    batches: u64,
    /// How often a machine that goes round in circles does so, beyond the first time.
    again: u64,
    /// Whether what it starts is counted by whoever asks.
    alone: bool,
}

impl<'a> Walker<'a> {
    pub(super) fn new(machines: &'a [Machine]) -> Self {
        Self {
            machines: machines.iter().map(|machine| (machine_placeholder(&machine.name), machine)).collect(),
            functions: Function::ALL.map(|function| (function.placeholder(), function)).into(),
            members: BTreeMap::new(),
        }
    }

    /// One execution of `round`, with everything that it starts.
    pub(super) fn round(&mut self, fanout: &Fanout) -> Result<Counts, Uncounted> {
        self.execution(&machine_placeholder("round"), Data { fanout: Some(fanout), ..Data::default() })
    }

    /// One execution of `train` or `segment` alone, that starts its child `times` times.
    pub(super) fn around(&mut self, name: &str, times: u64) -> Result<Counts, Uncounted> {
        self.execution(
            &machine_placeholder(name),
            Data { again: times.saturating_sub(1), alone: true, ..Data::default() },
        )
    }

    fn execution(&mut self, placeholder: &str, data: Data<'_>) -> Result<Counts, Uncounted> {
        let machine = self.machines.get(placeholder).copied();
        let machine = machine.ok_or_else(|| Uncounted::Machine(placeholder.to_owned()))?;
        let mut counts = self.scope(&machine.name, &machine.definition, data)?;
        counts.executions += 1;
        Ok(counts)
    }

    fn scope(&mut self, machine: &str, scope: &'a Value, data: Data<'_>) -> Result<Counts, Uncounted> {
        let (mut counts, mut again) = (Counts::default(), data.again);
        let mut at = scope["StartAt"].as_str();
        for _ in 0..STEPS {
            let Some(name) = at else { return Ok(counts) };
            let state = &scope["States"][name];
            let here = || format!("{machine}.{name}");
            counts.transitions += 1;
            at = state["Next"].as_str();
            match state["Type"].as_str().unwrap_or_default() {
                "Pass" | "Wait" | "Succeed" => {}
                "Task" => self.task(state, data, &here(), &mut counts)?,
                "Map" => self.map(machine, state, data, &here(), &mut counts)?,
                "Choice" => {
                    let (next, turned) = choose(state, data, again, &here())?;
                    again = again.saturating_sub(u64::from(turned));
                    at = next;
                }
                _ => return Err(Uncounted::State(here())),
            }
        }
        Err(Uncounted::Endless(machine.to_owned()))
    }

    fn task(
        &mut self,
        state: &Value,
        data: Data<'_>,
        here: &str,
        counts: &mut Counts,
    ) -> Result<(), Uncounted> {
        let parameters = &state["Parameters"];
        if let Some(child) = parameters["StateMachineArn"].as_str() {
            if !data.alone {
                counts.add(&self.execution(child, data)?, 1);
            }
            return Ok(());
        }
        let function = parameters["FunctionName"].as_str().and_then(|name| self.functions.get(name));
        let function = function.ok_or_else(|| Uncounted::State(here.to_owned()))?;
        *counts.calls.entry(*function).or_default() += 1;
        Ok(())
    }

    fn map(
        &mut self,
        machine: &str,
        state: &'a Value,
        data: Data<'_>,
        here: &str,
        counts: &mut Counts,
    ) -> Result<(), Uncounted> {
        let processor = &state["ItemProcessor"];
        let unknown = || Uncounted::State(here.to_owned());
        let path = state["ItemsPath"].as_str().unwrap_or_default();
        match (path.rsplit('.').next().unwrap_or_default(), data) {
            ("members", Data { fanout, members, .. }) => {
                let members = match fanout {
                    Some(Fanout::Inline { members, .. }) => members,
                    Some(Fanout::Child { .. }) => return Err(unknown()),
                    None => members,
                };
                let mut alike: BTreeMap<Carried, u64> = BTreeMap::new();
                for member in members {
                    *alike.entry(Carried::of(&member.batches)).or_default() += 1;
                }
                for (carried, times) in alike {
                    let each = self.member(machine, processor, carried)?;
                    counts.add(&each, times);
                }
            }
            ("groups", Data { fanout: Some(Fanout::Child { groups, .. }), .. }) => {
                for group in groups {
                    let data = Data { members: &group.members, ..Data::default() };
                    counts.add(&self.scope(machine, processor, data)?, 1);
                }
            }
            ("batches", _) => {
                let batches = match data.member {
                    Some(Carried::Inline(batches)) => *batches,
                    _ => data.batches,
                };
                let each = self.scope(machine, processor, Data::default())?;
                counts.add(&each, batches);
            }
            ("ranges", Data { member: Some(Carried::Ranges(ranges)), .. }) => {
                let mut alike: BTreeMap<u64, u64> = BTreeMap::new();
                for batches in ranges {
                    *alike.entry(*batches).or_default() += 1;
                }
                for (batches, times) in alike {
                    let each = self.scope(machine, processor, Data { batches, ..Data::default() })?;
                    counts.add(&each, times);
                }
            }
            _ => return Err(unknown()),
        }
        Ok(())
    }

    fn member(&mut self, machine: &str, processor: &'a Value, carried: Carried) -> Result<Counts, Uncounted> {
        let key = (std::ptr::from_ref(processor) as usize, carried);
        if let Some(known) = self.members.get(&key) {
            return Ok(known.clone());
        }
        let counts = self.scope(machine, processor, Data { member: Some(&key.1), ..Data::default() })?;
        self.members.insert(key, counts.clone());
        Ok(counts)
    }
}

/// Where a Choice leads, and whether that was because another turn was wanted.
fn choose<'a>(
    state: &'a Value,
    data: Data<'_>,
    again: u64,
    here: &str,
) -> Result<(Option<&'a str>, bool), Uncounted> {
    let carrier = data.fanout.map(|fanout| match fanout {
        Fanout::Inline { .. } => "inline",
        Fanout::Child { .. } => "child",
    });
    let mut input = json!({
        "quorum": true,
        "work": {"handed_over": null},
        // What the machine that started a child says of what comes next is "round" to `segment` and "segment" to `train`.
        "state": {"handed_over": null, "cost": {"at_most": 0}, "next": "finish"},
    });
    if let Some(carrier) = carrier {
        input["fanout"] = json!({"carrier": carrier});
    }
    if let Some(member) = data.member {
        input["member"] = json!({"batches": member.name()});
    }
    let rules = state["Choices"].as_array().into_iter().flatten();
    for rule in rules {
        let next = rule["Next"].as_str();
        if rule["Variable"] == "$.state.next" {
            if again > 0 {
                return Ok((next, true));
            }
            continue;
        }
        let unknown = |why: String| Uncounted::Choice { state: here.to_owned(), why };
        let compiled = Rule::compile(rule).map_err(|error| unknown(error.to_string()))?;
        if compiled.holds(&input, &EmptyScope).map_err(|error| unknown(error.to_string()))? {
            return Ok((next, false));
        }
    }
    match state["Default"].as_str() {
        Some(next) => Ok((Some(next), false)),
        None => Err(Uncounted::Choice { state: here.to_owned(), why: "none of its rules holds".to_owned() }),
    }
}
