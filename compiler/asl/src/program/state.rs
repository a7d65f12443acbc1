//! The states, compiled.

use super::{
    Amount, Batcher, Catcher, Flow, Name, Reader, Resource, Retrier, ScopeId, StateId, Text, Writer,
};
use crate::document::MachineType;
use crate::expression::jsonata::{Jsonata, JsonataTemplate};
use crate::expression::{Path, Rule, Template};
use crate::payload::Payload;
use chrono::{DateTime, Utc};

/// A state.
#[derive(Debug, Clone)]
pub struct State {
    /// The name.
    pub name: Name,
    /// The names of the states around it and its own, with `/` between: unique in the program.
    pub path: Name,
    /// How data goes in and out.
    pub flow: Flow,
    /// Tried in order.
    pub retry: Vec<Retrier>,
    /// Tried in order, after the retriers.
    pub catch: Vec<Catcher>,
    /// The state after it; `None` where the scope ends.
    pub next: Option<StateId>,
    /// What it does.
    pub kind: Kind,
}

/// What a state does.
#[derive(Debug, Clone)]
pub enum Kind {
    /// Passes its input on, or this in its place.
    Pass(Option<Payload>),
    /// Has a service do some work.
    Task(Box<Task>),
    /// Goes one way or another.
    Choice(Choice),
    /// Lets time pass.
    Wait(Wait),
    /// Ends the scope well.
    Succeed,
    /// Ends the scope with an error.
    Fail(Fail),
    /// Runs these scopes at the same time.
    Parallel(Vec<ScopeId>),
    /// Runs a scope for every item.
    Map(Box<Map>),
}

impl Kind {
    /// `Pass`, `Task` and so on.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Pass(_) => "Pass",
            Self::Task(_) => "Task",
            Self::Choice(_) => "Choice",
            Self::Wait(_) => "Wait",
            Self::Succeed => "Succeed",
            Self::Fail(_) => "Fail",
            Self::Parallel(_) => "Parallel",
            Self::Map(_) => "Map",
        }
    }
}

/// A Task.
#[derive(Debug, Clone)]
pub struct Task {
    /// What it calls.
    pub resource: Resource,
    /// In seconds.
    pub timeout: Option<Amount>,
    /// In seconds.
    pub heartbeat: Option<Amount>,
}

/// A Choice.
#[derive(Debug, Clone)]
pub struct Choice {
    /// Tried in order.
    pub rules: Vec<ChoiceRule>,
    /// Where no rule holds.
    pub default: Option<StateId>,
}

/// A rule of a Choice.
#[derive(Debug, Clone)]
pub struct ChoiceRule {
    /// When it holds.
    pub condition: Condition,
    /// What goes on, with the rule's own Assign and Output.
    pub flow: Flow,
    /// The state to go to.
    pub next: StateId,
}

/// When a rule of a Choice holds.
#[derive(Debug, Clone)]
pub enum Condition {
    /// JSONPath.
    Rule(Rule),
    /// JSONata.
    Expression(Jsonata),
    /// Always or never.
    Constant(bool),
}

/// A Wait.
#[derive(Debug, Clone)]
pub enum Wait {
    /// So many seconds.
    Seconds(Amount),
    /// Until a time.
    Until(Until),
}

/// The time a Wait ends at.
#[derive(Debug, Clone)]
pub enum Until {
    /// The definition gives it.
    Fixed(DateTime<Utc>),
    /// At a path.
    Path(Path),
    /// By an expression.
    Expression(Jsonata),
}

/// A Fail.
#[derive(Debug, Clone)]
pub struct Fail {
    /// The error's name.
    pub error: Option<Text>,
    /// What happened.
    pub cause: Option<Text>,
}

/// A Map.
#[derive(Debug, Clone)]
pub struct Map {
    /// For a distributed Map: what its child executions are. An inline Map has none.
    pub distributed: Option<Distributed>,
    /// Where a distributed Map's items are read from, in the place of [`Map::items`].
    pub reader: Option<Reader>,
    /// How a distributed Map groups its items.
    pub batcher: Option<Batcher>,
    /// What becomes of a distributed Map's results.
    pub writer: Option<Writer>,
    /// The scope that runs for each item.
    pub processor: ScopeId,
    /// Where the items are.
    pub items: Items,
    /// Each iteration's input; the item itself, if absent.
    pub selector: Option<Selector>,
    /// Iterations at a time.
    pub max_concurrency: Option<Amount>,
    /// Iterations that may fail.
    pub tolerated_count: Option<Amount>,
    /// Percentage of iterations that may fail.
    pub tolerated_percentage: Option<Amount>,
}

/// The child executions of a distributed Map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Distributed {
    /// Part of their names.
    pub label: String,
    /// Standard or Express.
    pub machine_type: MachineType,
}

/// Where a Map's items are.
#[derive(Debug, Clone)]
pub enum Items {
    /// The effective input is the array.
    Input,
    /// At a path.
    Path(Path),
    /// By a value with expressions.
    Jsonata(JsonataTemplate),
}

/// ItemSelector.
#[derive(Debug, Clone)]
pub enum Selector {
    /// A payload template.
    Template(Template),
    /// A value with expressions.
    Jsonata(JsonataTemplate),
}
