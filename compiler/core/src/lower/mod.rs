//! From a plan to state machines: the templates rendered, parsed back, checked and printed canonically.
//!
//! Placeholders such as `${GradientFunctionArn}` and `${RoundStateMachineArn}` stand for what is known only at
//! deployment, in the manner of SAM's DefinitionSubstitutions; the engine fills them too.

mod context;
mod templates;

pub use templates::Templates;

use crate::plan::Plan;
use serde_json::Value;
use std::collections::BTreeMap;
use stepgrad_asl::Severity;
use stepgrad_asl::document::MachineType;
use stepgrad_contract::Function;

/// What lowering needs to know beside the plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Seconds that each function may take.
    pub timeouts: BTreeMap<Function, u32>,
    /// Times that a failed call is made again.
    pub max_attempts: u32,
    /// Times that one piece of work is handed over from call to call.
    pub hand_overs: u32,
    /// Seconds after which a run is given up; `None` for as long as AWS lets it take.
    pub longest_run_s: Option<u32>,
    /// What the training may cost, in nano-dollars.
    pub budget: Option<u64>,
}

/// A state machine.
#[derive(Debug, Clone, PartialEq)]
pub struct Machine {
    /// Its name, e.g. `round`.
    pub name: String,
    /// The definition as JSON text, canonical.
    pub text: String,
    /// The definition.
    pub definition: Value,
}

/// Why a plan could not be lowered; with the templates of the binary a defect, with the user's own their error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LowerError {
    /// A template is not one, or asks for what is not there.
    #[error("template {template} cannot be rendered: {reason}")]
    Template {
        /// The template.
        template: String,
        /// What minijinja says, with its line.
        reason: String,
    },
    /// What a template gave is not JSON.
    #[error("template {template} does not give JSON for the state machine {machine}: {reason}")]
    NotJson {
        /// The template.
        template: String,
        /// The machine.
        machine: String,
        /// What the parser says.
        reason: String,
    },
    /// What a template gave is JSON, but no state machine.
    #[error("template {template} gives a state machine {machine} that is not valid: {reason}")]
    Invalid {
        /// The template.
        template: String,
        /// The machine.
        machine: String,
        /// The findings.
        reason: String,
    },
}

/// The placeholder of a state machine's ARN, e.g. `${RoundStateMachineArn}`.
#[must_use]
pub fn machine_placeholder(name: &str) -> String {
    let mut letters = name.chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase());
    format!("${{{}{}StateMachineArn}}", first.map(String::from).unwrap_or_default(), letters.as_str())
}

/// The state machines of a plan: `train` first, then `segment`, `round`, and one for each map.
///
/// # Errors
/// Where a template cannot be rendered or gives no valid state machine.
pub fn lower(plan: &Plan, settings: &Settings, templates: &Templates) -> Result<Vec<Machine>, LowerError> {
    context::machines(plan, settings)
        .into_iter()
        .map(|machine| {
            let text = templates.render(machine.template, &machine.variables)?;
            let definition: Value = serde_json::from_str(&text).map_err(|error| LowerError::NotJson {
                template: machine.template.to_owned(),
                machine: machine.name.clone(),
                reason: error.to_string(),
            })?;
            let text = canonical(&definition);
            let findings = invalid(&text);
            if !findings.is_empty() {
                return Err(LowerError::Invalid {
                    template: machine.template.to_owned(),
                    machine: machine.name,
                    reason: findings,
                });
            }
            Ok(Machine { name: machine.name, text, definition })
        })
        .collect()
}

/// What keeps a text from being a state machine; empty for one that is.
fn invalid(text: &str) -> String {
    let findings: Vec<_> = stepgrad_asl::validate(text, MachineType::Standard)
        .into_iter()
        .filter(|finding| finding.severity == Severity::Error)
        .map(|finding| format!("{} at {}: {}", finding.code, finding.pointer, finding.message))
        .collect();
    findings.join("; ")
}

/// JSON as the bundle holds it: two spaces, the templates' order of keys, a newline at the end.
fn canonical(value: &Value) -> String {
    format!("{value:#}\n")
}
