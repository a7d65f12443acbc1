//! How near a machine comes to each limit: its own figure beside what is allowed, where the definition alone tells it.
//! What the data decides is said to be so, with the reason.
//!
//! Figures are for definitions without errors; a definition may name services that are not built here. `scopes` is how
//! a definition is walked, `events` and `time` are the longest ways through it.

mod events;
mod scopes;
mod time;

use crate::core::limits::{LIMITS, Limit, Quantity};
use scopes::{Scope, State};
use serde::Serialize;
use serde_json::Value;
use stepgrad_asl::document::MachineType;

/// A limit and the machine's own figure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explained {
    /// The limit.
    pub limit: &'static Limit,
    /// The machine's figure.
    pub figure: Figure,
    /// What the figure is of, as a JSON pointer; empty for the whole definition.
    pub at: String,
}

/// How much of a limit a machine uses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Figure {
    /// Exactly this, always.
    Exactly {
        /// In the limit's unit.
        figure: u64,
    },
    /// This in the worst case, or less.
    AtMost {
        /// In the limit's unit.
        figure: u64,
    },
    /// It grows with the items of one Map.
    PerItem {
        /// In the limit's unit, without any item.
        figure: u64,
        /// In the limit's unit, for each item more.
        each: u64,
        /// Items with which it is still within the limit.
        most_items: u64,
    },
    /// The data decides.
    Depends {
        /// What in the data.
        on: String,
    },
    /// The machine has nothing that the limit is for.
    Nothing,
}

/// What is known of a machine's figure: the largest of several places.
#[derive(Default)]
struct Largest {
    known: Option<(u64, String)>,
    depends: Option<(String, String)>,
}

impl Largest {
    fn add(&mut self, figure: u64, at: &str) {
        if self.known.as_ref().is_none_or(|(largest, _)| figure > *largest) {
            self.known = Some((figure, at.to_owned()));
        }
    }

    fn depends(&mut self, on: impl Into<String>, at: &str) {
        if self.depends.is_none() {
            self.depends = Some((on.into(), at.to_owned()));
        }
    }

    fn explained(self, limit: &'static Limit) -> Explained {
        let (figure, at) = match (self.depends, self.known) {
            (Some((on, at)), _) => (Figure::Depends { on }, at),
            (None, Some((figure, at))) => (Figure::Exactly { figure }, at),
            (None, None) => (Figure::Nothing, String::new()),
        };
        Explained { limit, figure, at }
    }
}

/// Every limit, with the figure of the definition `text`. Nothing of it is known where the text is not JSON.
#[must_use]
pub fn explain(text: &str, machine_type: MachineType) -> Vec<Explained> {
    let definition: Value = serde_json::from_str(text).unwrap_or_default();
    let machine = Scope::of(&definition);
    let states = machine.all_states();
    let figure = |limit: &'static Limit| match limit.quantity {
        Quantity::Definition => {
            Explained { limit, figure: Figure::Exactly { figure: text.len() as u64 }, at: String::new() }
        }
        Quantity::Name => characters(limit, &states, |state| Some(state.name)),
        Quantity::Label => characters(limit, &states, |state| state.text("Label")),
        Quantity::Payload => payload(limit, &states),
        Quantity::Events => events::explained(limit, &machine, machine_type),
        Quantity::Iterations => concurrency(limit, &states, false),
        Quantity::Children => concurrency(limit, &states, true),
        Quantity::Express => time::explained(limit, &machine, machine_type),
        Quantity::Wait => time::waits(limit, &states),
    };
    LIMITS.iter().map(figure).collect()
}

fn characters<'a>(
    limit: &'static Limit,
    states: &[State<'a>],
    text: impl Fn(&State<'a>) -> Option<&'a str>,
) -> Explained {
    let mut largest = Largest::default();
    for state in states {
        if let Some(text) = text(state) {
            largest.add(text.chars().count() as u64, &state.pointer);
        }
    }
    largest.explained(limit)
}

/// The largest payload that the definition itself gives; what others come to is the data's.
fn payload(limit: &'static Limit, states: &[State<'_>]) -> Explained {
    let mut largest = Largest::default();
    for state in states {
        for field in ["Result", "Parameters", "Arguments", "ResultSelector", "ItemSelector", "Output"] {
            match state.node.get(field) {
                Some(value) if field == "Result" || !scopes::is_computed(value) => {
                    largest.add(value.to_string().len() as u64, &format!("{}/{field}", state.pointer));
                }
                _ => {}
            }
        }
    }
    let at = largest.known.as_ref().map_or("", |(_, at)| at).to_owned();
    let on = match &largest.known {
        Some((bytes, _)) => {
            format!("inputs and results; the largest that the definition gives has {bytes} bytes")
        }
        None => "inputs and results".to_owned(),
    };
    Explained { limit, figure: Figure::Depends { on }, at }
}

/// The largest MaxConcurrency.
fn concurrency(limit: &'static Limit, states: &[State<'_>], distributed: bool) -> Explained {
    let mut largest = Largest::default();
    for state in states.iter().filter(|state| state.kind() == "Map" && state.is_distributed() == distributed)
    {
        let at = format!("{}/MaxConcurrency", state.pointer);
        match (state.node.get("MaxConcurrency"), state.node.get("MaxConcurrencyPath")) {
            (_, Some(path)) => largest.depends(format!("MaxConcurrencyPath {path}"), &format!("{at}Path")),
            (Some(Value::String(text)), None) => largest.depends(format!("MaxConcurrency {text}"), &at),
            (Some(number), None) if number.as_u64().is_some_and(|number| number > 0) => {
                largest.add(number.as_u64().unwrap_or_default().min(limit.most), &at);
            }
            // 0 and nothing stand for as many as there can be.
            _ => largest.add(limit.most, &state.pointer),
        }
    }
    largest.explained(limit)
}

#[cfg(test)]
mod tests;
