//! The state that is tested: found by name in a machine, or put into a machine of its own.

use super::request::{ApiError, Request};
use serde_json::{Map, Value, json};
use stepgrad_asl::Severity;
use stepgrad_asl::document::MachineType;
use stepgrad_asl::program::{Program, Resource, State};

/// The name of a state that is given without a machine, as recorded.
pub(super) const NAME: &str = "StateName";

/// The state, with the machine it is in.
#[derive(Debug)]
pub(super) struct Located {
    pub(super) name: String,
    /// As it was given.
    pub(super) document: Map<String, Value>,
    program: Program,
}

impl Located {
    /// The compiled state.
    ///
    /// # Errors
    /// None in practice: the machine was compiled from the document.
    pub(super) fn state(&self) -> Result<&State, ApiError> {
        let id = self.program.find(&self.name);
        id.and_then(|id| self.program.state(id)).ok_or_else(|| missing(&self.name))
    }

    pub(super) fn program(&self) -> &Program {
        &self.program
    }

    /// A field that is text.
    pub(super) fn text(&self, field: &str) -> &str {
        self.document.get(field).and_then(Value::as_str).unwrap_or_default()
    }

    /// Whether a state inside this one has that name.
    pub(super) fn contains(&self, name: &str) -> bool {
        inner(&self.document).any(|scope| find(scope, name).is_some())
    }
}

fn missing(name: &str) -> ApiError {
    ApiError::validation(format!("State not found in the state machine definition: {name}"))
}

/// Finds the state, checks the definition as AWS does and compiles it.
///
/// # Errors
/// InvalidDefinition with the first finding, ValidationException where there is no such state.
pub(super) fn locate(request: &Request) -> Result<Located, ApiError> {
    let (machine, name) = match &request.state_name {
        Some(name) => (request.definition.clone(), name.clone()),
        None => (around(&request.definition), NAME.to_owned()),
    };
    refuse_errors(stepgrad_asl::validate(&machine.to_string(), MachineType::Standard))?;
    let document = find(&machine, &name).cloned().ok_or_else(|| missing(&name))?;
    let mut runnable = machine;
    stand_in(&mut runnable);
    match Program::load(&runnable.to_string(), MachineType::Standard) {
        Ok(program) => Ok(Located { name, document, program }),
        Err(findings) => {
            refuse_errors(findings)?;
            Err(ApiError::definition("Invalid State Machine Definition"))
        }
    }
}

fn refuse_errors(findings: Vec<stepgrad_asl::Diagnostic>) -> Result<(), ApiError> {
    match findings.into_iter().find(|finding| finding.severity == Severity::Error) {
        None => Ok(()),
        Some(finding) => Err(ApiError::definition(format!(
            "Invalid State Machine Definition: 'SCHEMA_VALIDATION_FAILED: {} at {}'",
            finding.message, finding.pointer
        ))),
    }
}

/// A machine of this state, and of states that it can go to.
fn around(state: &Value) -> Value {
    let mut states = Map::new();
    states.insert(NAME.to_owned(), state.clone());
    let elements = ["Choices", "Catch"].iter().filter_map(|list| state.get(list)?.as_array()).flatten();
    for holder in std::iter::once(state).chain(elements) {
        for field in ["Next", "Default"] {
            if let Some(name) = holder.get(field).and_then(Value::as_str)
                && name != NAME
            {
                states.insert(name.to_owned(), json!({"Type": "Succeed"}));
            }
        }
    }
    json!({"StartAt": NAME, "States": states})
}

/// The scopes inside a state.
fn inner(state: &Map<String, Value>) -> impl Iterator<Item = &Value> {
    let branches = state.get("Branches").and_then(Value::as_array).into_iter().flatten();
    branches.chain(["ItemProcessor", "Iterator"].iter().filter_map(|field| state.get(*field)))
}

/// The state of that name, the outermost where scopes share it.
fn find<'a>(scope: &'a Value, name: &str) -> Option<&'a Map<String, Value>> {
    let states = scope.get("States")?.as_object()?;
    if let Some(state) = states.get(name) {
        return state.as_object();
    }
    states.values().filter_map(Value::as_object).flat_map(inner).find_map(|scope| find(scope, name))
}

/// Mocks stand for any service: what the engine itself could not run is taken out before compiling. The tested state's
/// own document keeps it.
fn stand_in(scope: &mut Value) {
    let Some(states) = scope.get_mut("States").and_then(Value::as_object_mut) else { return };
    for state in states.values_mut().filter_map(Value::as_object_mut) {
        if let Some(Value::String(resource)) = state.get_mut("Resource")
            && Resource::parse(resource).is_err()
        {
            "arn:aws:lambda:us-east-1:111111111111:function:mocked".clone_into(resource);
        }
        for field in ["ItemReader", "ItemBatcher", "ResultWriter"] {
            state.remove(field);
        }
        for field in ["ItemProcessor", "Iterator"] {
            state.get_mut(field).into_iter().for_each(stand_in);
        }
        let branches = state.get_mut("Branches").and_then(Value::as_array_mut);
        branches.into_iter().flatten().for_each(stand_in);
    }
}
