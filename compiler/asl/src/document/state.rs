//! One state.

use super::{Choice, Fail, Map, Parallel, Pass, PathField, QueryLanguage, Succeed, Task, Wait};
use serde::Deserialize;
use serde_json::Value;

/// One state, by its `Type`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "Type")]
pub enum State {
    /// Passes its input on, or puts something in its place.
    Pass(Box<Pass>),
    /// Has a service do some work.
    Task(Box<Task>),
    /// Goes one way or another.
    Choice(Box<Choice>),
    /// Lets time pass.
    Wait(Box<Wait>),
    /// Ends the scope well.
    Succeed(Box<Succeed>),
    /// Ends the scope with an error.
    Fail(Box<Fail>),
    /// Runs branches at the same time.
    Parallel(Box<Parallel>),
    /// Runs the same states for every item of an array.
    Map(Box<Map>),
}

/// Fields that most states share. Which state may have which is the checks' business.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Common {
    /// For people.
    pub comment: Option<String>,
    /// Of this state; the machine's, if absent.
    pub query_language: Option<QueryLanguage>,
    /// What of the raw input the state sees (JSONPath).
    #[serde(default)]
    pub input_path: PathField,
    /// What of the outcome goes on (JSONPath).
    #[serde(default)]
    pub output_path: PathField,
    /// Variables to set: a payload template, or JSONata.
    pub assign: Option<Value>,
    /// The output (JSONata).
    pub output: Option<Value>,
    /// The state after this one.
    pub next: Option<String>,
    /// Whether the scope ends here.
    #[serde(default)]
    pub end: bool,
}

impl State {
    /// The name of the type, e.g. `Pass`.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Pass(_) => "Pass",
            Self::Task(_) => "Task",
            Self::Choice(_) => "Choice",
            Self::Wait(_) => "Wait",
            Self::Succeed(_) => "Succeed",
            Self::Fail(_) => "Fail",
            Self::Parallel(_) => "Parallel",
            Self::Map(_) => "Map",
        }
    }

    /// The fields that most states share.
    #[must_use]
    pub fn common(&self) -> &Common {
        match self {
            Self::Pass(state) => &state.common,
            Self::Task(state) => &state.common,
            Self::Choice(state) => &state.common,
            Self::Wait(state) => &state.common,
            Self::Succeed(state) => &state.common,
            Self::Fail(state) => &state.common,
            Self::Parallel(state) => &state.common,
            Self::Map(state) => &state.common,
        }
    }
}
