//! The most events that an execution can write: those of the longest way through its states, with every retry.

use super::scopes::{Length, Scope, State, Unbounded};
use super::{Explained, Figure};
use crate::core::limits::Limit;
use stepgrad_asl::document::MachineType;

/// ExecutionStarted, and the event of its end.
const BOTH_ENDS: u64 = 2;

/// Events: so many, and so many more for each item of one inline Map.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Events {
    fixed: u64,
    /// The Map, and events for each of its items.
    items: Option<(String, u64)>,
}

impl Events {
    const fn of(fixed: u64) -> Self {
        Self { fixed, items: None }
    }

    fn times(self, count: u64) -> Self {
        let items = self.items.map(|(at, each)| (at, each.saturating_mul(count)));
        Self { fixed: self.fixed.saturating_mul(count), items }
    }
}

impl Length for Events {
    fn and(self, after: &Self) -> Result<Self, Unbounded> {
        let items = match (self.items, &after.items) {
            (Some((at, each)), Some((other, more))) if at == *other => Some((at, each.max(*more))),
            (Some((at, _)), Some((other, _))) => {
                return Err((format!("the items of the Maps {at} and {other}"), at));
            }
            (items, other) => items.or_else(|| other.clone()),
        };
        Ok(Self { fixed: self.fixed.saturating_add(after.fixed), items })
    }

    fn or(self, other: Self) -> Result<Self, Unbounded> {
        let fixed = self.fixed.max(other.fixed);
        let both = Self { fixed: 0, ..self }.and(&Self { fixed: 0, ..other })?;
        Ok(Self { fixed, ..both })
    }
}

/// The figure of the machine's own executions, and of no child execution.
pub(super) fn explained(limit: &'static Limit, machine: &Scope<'_>, machine_type: MachineType) -> Explained {
    if machine_type == MachineType::Express {
        return Explained { limit, figure: Figure::Nothing, at: String::new() };
    }
    let (figure, at) = match longest(machine).and_then(|events| events.and(&Events::of(BOTH_ENDS))) {
        Ok(Events { fixed, items: None }) => (Figure::AtMost { figure: fixed }, String::new()),
        Ok(Events { fixed, items: Some((at, each)) }) => {
            let most_items = limit.most.saturating_sub(fixed) / each.max(1);
            (Figure::PerItem { figure: fixed, each, most_items }, at)
        }
        Err((on, at)) => (Figure::Depends { on }, at),
    };
    Explained { limit, figure, at }
}

fn longest(scope: &Scope<'_>) -> Result<Events, Unbounded> {
    scope.longest(of)
}

/// The most events of one visit: entered and exited around the work, which every retry does again.
fn of(state: &State<'_>) -> Result<Events, Unbounded> {
    // A JSONata expression that fails has an event of its own, in any attempt.
    let work = match state.kind() {
        // Scheduled, started, submitted, ended.
        "Task" => Events::of(4),
        "Parallel" => {
            // Started and ended, and an event for what each branch was doing when another one failed.
            let mut events = Events::of(2);
            for branch in state.scopes() {
                events = events.and(&longest(&branch)?)?.and(&Events::of(1))?;
            }
            events
        }
        // The Map's own start and end, and the Map Run's; its child executions have histories of their own.
        "Map" if state.is_distributed() => Events::of(4),
        "Map" => {
            let mut each = Events::of(3);
            for processor in state.scopes() {
                each = each.and(&longest(&processor)?)?;
            }
            if let Some((inner, _)) = each.items {
                return Err((format!("the items of the Maps {} and {inner}", state.pointer), inner));
            }
            Events { fixed: 2, items: Some((state.pointer.clone(), each.fixed)) }
        }
        _ => Events::default(),
    };
    let (retries, _) = state.retries();
    work.and(&Events::of(1))?.times(retries.saturating_add(1)).and(&Events::of(2))
}
