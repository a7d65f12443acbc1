//! A definition compiled: states by number, expressions parsed, what is not built refused by name. The loaded form
//! that engines run; it is never changed and can be shared between threads.

mod amount;
mod compile;
mod flow;
mod objects;
mod place;
mod recovery;
mod resource;
mod state;

pub use amount::{Amount, Text};
pub use compile::{NOT_BUILT, substitute};
pub use flow::{Assignment, Flow, Outcome, Produced, Steps};
pub use objects::{Batcher, Csv, Format, Pointer, Reader, S3Action, Transformation, Writer};
pub use recovery::{Catcher, Retrier};
pub use resource::{Pattern, Resource};
pub use state::{
    Choice, ChoiceRule, Condition, Distributed, Fail, Items, Kind, Map, Selector, State, Task, Until, Wait,
};

use crate::document::MachineType;
use std::sync::Arc;

/// A state, by its place in [`Program::states`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct StateId(pub u32);

/// A scope, by its place in [`Program::scopes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ScopeId(pub u32);

/// A machine, a branch or a Map's processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scope {
    /// Where it starts.
    pub start: StateId,
}

/// A definition, compiled.
#[derive(Debug, Clone)]
pub struct Program {
    /// Standard or Express.
    pub machine_type: MachineType,
    /// An execution that runs longer times out.
    pub timeout_seconds: Option<u64>,
    /// The machine's own scope is the first.
    pub scopes: Vec<Scope>,
    /// Of all scopes.
    pub states: Vec<State>,
}

impl Program {
    /// Checks and compiles a definition.
    ///
    /// # Errors
    /// All findings, if one of them is an error: those of [`crate::check`], and [`NOT_BUILT`] for what is right but
    /// cannot be run.
    pub fn load(text: &str, machine_type: MachineType) -> Result<Self, Vec<crate::Diagnostic>> {
        compile::load(text, machine_type)
    }

    /// The machine's own scope.
    #[must_use]
    pub const fn root(&self) -> ScopeId {
        ScopeId(0)
    }

    /// A state; ids come from the program itself.
    #[must_use]
    pub fn state(&self, id: StateId) -> Option<&State> {
        self.states.get(id.0 as usize)
    }

    /// A scope; ids come from the program itself.
    #[must_use]
    pub fn scope(&self, id: ScopeId) -> Option<&Scope> {
        self.scopes.get(id.0 as usize)
    }

    /// The state of that name, the outermost where scopes share it.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<StateId> {
        let place = self.states.iter().position(|state| &*state.name == name)?;
        u32::try_from(place).ok().map(StateId)
    }
}

/// A name that many events carry.
pub type Name = Arc<str>;
