//! Which state machine calls which function and starts which state machine: read from the definitions themselves, so
//! that a changed template changes the policies too.

use crate::bundle::Index;
use crate::lower::Machine;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What every state machine uses, by its name.
pub type Graph = BTreeMap<String, Uses>;

/// What a state machine uses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Uses {
    /// Functions that it calls, by their names in the bundle.
    pub calls: BTreeSet<String>,
    /// State machines that it starts, by their names in the bundle.
    pub starts: BTreeSet<String>,
    /// Whether it waits for the end of some that it starts (`.sync`).
    pub waits: bool,
    /// Labels of its distributed Maps, which start executions of the machine itself.
    pub distributed: BTreeSet<String>,
    /// Tasks of which no permission can be derived.
    pub gaps: Vec<Gap>,
}

/// A task that calls what the bundle does not have; only a changed template can have one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// The state machine.
    pub machine: String,
    /// The state.
    pub state: String,
    /// What it calls.
    pub calls: String,
}

impl std::fmt::Display for Gap {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "state {} of the state machine {} calls {}", self.state, self.machine, self.calls)
    }
}

/// What the machines of a bundle use.
#[must_use]
pub fn graph(index: &Index, machines: &[Machine]) -> Graph {
    machines.iter().map(|machine| (machine.name.clone(), uses(index, machine))).collect()
}

fn uses(index: &Index, machine: &Machine) -> Uses {
    let mut reader = Reader { index, machine: &machine.name, uses: Uses::default() };
    reader.scope(&machine.definition);
    reader.uses
}

struct Reader<'a> {
    index: &'a Index,
    machine: &'a str,
    uses: Uses,
}

impl Reader<'_> {
    /// The states of a machine, of a Map's iterations or of a branch.
    fn scope(&mut self, scope: &Value) {
        for (name, state) in scope.get("States").and_then(Value::as_object).into_iter().flatten() {
            match state.get("Type").and_then(Value::as_str) {
                Some("Task") => self.task(name, state),
                Some("Map") => self.map(name, state),
                Some("Parallel") => {
                    let branches = state.get("Branches").and_then(Value::as_array);
                    branches.into_iter().flatten().for_each(|branch| self.scope(branch));
                }
                _ => {}
            }
        }
    }

    fn map(&mut self, name: &str, state: &Value) {
        let Some(body) = state.get("ItemProcessor").or_else(|| state.get("Iterator")) else { return };
        if body.pointer("/ProcessorConfig/Mode").and_then(Value::as_str) == Some("DISTRIBUTED") {
            let label = state.get("Label").and_then(Value::as_str).unwrap_or(name);
            self.uses.distributed.insert(label.to_owned());
            for part in ["ItemReader", "ResultWriter"] {
                if let Some(resource) = state.pointer(&format!("/{part}/Resource")).and_then(Value::as_str) {
                    self.gap(name, resource);
                }
            }
        }
        self.scope(body);
    }

    fn task(&mut self, name: &str, state: &Value) {
        let resource = state.get("Resource").and_then(Value::as_str).unwrap_or_default();
        let given = |key: &str| {
            let of = |field: &str| state.get(field)?.get(key)?.as_str().map(str::to_owned);
            of("Parameters").or_else(|| of("Arguments")).unwrap_or_default()
        };
        let service = resource.split_once(":::").map_or("", |(_, service)| service);
        if service.starts_with("lambda:invoke") {
            self.call(name, &given("FunctionName"));
        } else if service.starts_with("states:startExecution") {
            self.uses.waits |= service.contains(".sync");
            self.start(name, &given("StateMachineArn"));
        } else if self.index.functions.iter().any(|function| function.placeholder == resource) {
            self.call(name, resource);
        } else {
            self.gap(name, resource);
        }
    }

    fn call(&mut self, state: &str, placeholder: &str) {
        match self.index.functions.iter().find(|function| function.placeholder == placeholder) {
            Some(function) => drop(self.uses.calls.insert(function.name.clone())),
            None => self.gap(state, &format!("the function {placeholder:?}")),
        }
    }

    fn start(&mut self, state: &str, placeholder: &str) {
        match self.index.machines.iter().find(|machine| machine.placeholder == placeholder) {
            Some(machine) => drop(self.uses.starts.insert(machine.name.clone())),
            None => self.gap(state, &format!("the state machine {placeholder:?}")),
        }
    }

    fn gap(&mut self, state: &str, calls: &str) {
        let gap = Gap { machine: self.machine.to_owned(), state: state.to_owned(), calls: calls.to_owned() };
        self.uses.gaps.push(gap);
    }
}

/// The machines in an order in which each comes after those that it starts; those that start one another keep the
/// order they have.
#[must_use]
pub fn children_first(graph: &Graph, names: &[String]) -> Vec<String> {
    let mut done: Vec<String> = Vec::new();
    let mut open: Vec<&String> = names.iter().collect();
    while !open.is_empty() {
        let ready = |name: &&String| {
            let starts = graph.get(*name).map(|uses| &uses.starts);
            starts.is_none_or(|starts| starts.iter().all(|child| child == *name || done.contains(child)))
        };
        let place = open.iter().position(ready).unwrap_or(0);
        done.push(open.remove(place).clone());
    }
    done
}
