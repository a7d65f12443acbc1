//! What is counted of a run.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;
use stepgrad_contract::Function;

/// What a run, or a part of it, does.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// States entered, those of child executions included: what Step Functions bills.
    pub transitions: u64,
    /// Executions started.
    pub executions: u64,
    /// Calls by function, those that are never made left out.
    #[serde(serialize_with = "by_name")]
    pub calls: BTreeMap<Function, u64>,
}

fn by_name<S: Serializer>(calls: &BTreeMap<Function, u64>, serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(calls.len()))?;
    for (function, number) in calls {
        map.serialize_entry(function.name(), number)?;
    }
    map.end()
}

impl Counts {
    /// Calls in all.
    #[must_use]
    pub fn invocations(&self) -> u64 {
        self.calls.values().fold(0, |sum, number| sum.saturating_add(*number))
    }

    /// Adds `other`, `times` over.
    pub(super) fn add(&mut self, other: &Self, times: u64) {
        let more = |sum: u64, each: u64| sum.saturating_add(each.saturating_mul(times));
        self.transitions = more(self.transitions, other.transitions);
        self.executions = more(self.executions, other.executions);
        for (function, number) in &other.calls {
            if *number > 0 && times > 0 {
                let sum = self.calls.entry(*function).or_default();
                *sum = more(*sum, *number);
            }
        }
    }

    /// What comes on top of `less`.
    pub(super) fn since(&self, less: &Self) -> Self {
        let calls = self.calls.iter().map(|(function, number)| {
            (*function, number.saturating_sub(less.calls.get(function).copied().unwrap_or(0)))
        });
        Self {
            transitions: self.transitions.saturating_sub(less.transitions),
            executions: self.executions.saturating_sub(less.executions),
            calls: calls.collect(),
        }
    }
}
