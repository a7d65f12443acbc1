//! The language's document, typed: a [`StateMachine`] is what is left of a definition that passed the checks.
//! Expressions are still text here; [`crate::program`] compiles them.

mod canonical;
mod choice;
mod fail;
mod map;
mod parallel;
mod pass;
mod recovery;
mod setting;
mod state;
mod states;
mod succeed;
mod task;
mod wait;

pub use canonical::{canonical, canonical_text};
pub use choice::Choice;
pub use fail::Fail;
pub use map::{Map, ProcessorConfig, ProcessorMode};
pub use parallel::Parallel;
pub use pass::Pass;
pub use recovery::{Catcher, Jitter, Retrier};
pub use setting::{PathField, Setting};
pub use state::{Common, State};
pub use states::States;
pub use succeed::Succeed;
pub use task::Task;
pub use wait::Wait;

use serde::Deserialize;

/// The language of a state's expressions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub enum QueryLanguage {
    /// Paths and intrinsic functions.
    #[default]
    JSONPath,
    /// `{% … %}`.
    JSONata,
}

/// Standard or Express.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MachineType {
    /// Exactly once, up to a year, at most 25,000 events.
    #[default]
    Standard,
    /// At least once, up to five minutes.
    Express,
}

impl MachineType {
    /// `STANDARD` or `EXPRESS`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "STANDARD" => Some(Self::Standard),
            "EXPRESS" => Some(Self::Express),
            _ => None,
        }
    }
}

/// A whole definition.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct StateMachine {
    /// For people.
    pub comment: Option<String>,
    /// Of all states that name none.
    #[serde(default)]
    pub query_language: QueryLanguage,
    /// The first state.
    pub start_at: String,
    /// `1.0`.
    pub version: Option<String>,
    /// An execution that runs longer times out.
    pub timeout_seconds: Option<u64>,
    /// In the document's order.
    pub states: States,
}

/// A branch of a Parallel state or the processor of a Map state.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct SubMachine {
    /// For people.
    pub comment: Option<String>,
    /// Of a Map's processor.
    pub processor_config: Option<ProcessorConfig>,
    /// The first state.
    pub start_at: String,
    /// In the document's order.
    pub states: States,
}

impl StateMachine {
    /// Checks and reads a definition.
    ///
    /// # Errors
    /// All findings, if one of them is an error.
    pub fn parse(text: &str, machine_type: MachineType) -> Result<Self, Vec<crate::Diagnostic>> {
        crate::check::parse(text, machine_type).map(|(machine, _)| machine)
    }
}
