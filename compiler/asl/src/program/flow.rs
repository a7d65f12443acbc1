//! How data goes into a state and out of it (AWS: "Processing input and output in Step Functions"): what a state sees
//! of its raw input, what its work is given, and what of the outcome goes on.

use super::place::Place;
use crate::expression::jsonata::{JsonataTemplate, States};
use crate::expression::{EvaluationError, Path, Scope, Template};
use crate::payload::Payload;
use serde_json::Value;
use std::sync::Arc;

/// How data goes in and out, in the state's language.
#[derive(Debug, Clone)]
pub struct Flow(pub(super) Language);

#[derive(Debug, Clone)]
pub(super) enum Language {
    Path(Box<PathFlow>),
    Jsonata(JsonataFlow),
}

#[derive(Debug, Clone)]
pub(super) struct PathFlow {
    pub(super) input: Selection,
    pub(super) parameters: Option<Template>,
    pub(super) result_selector: Option<Template>,
    pub(super) result: Place,
    pub(super) output: Selection,
    pub(super) assign: Vec<(Arc<str>, Template)>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct JsonataFlow {
    pub(super) arguments: Option<JsonataTemplate>,
    pub(super) output: Option<JsonataTemplate>,
    pub(super) assign: Vec<(Arc<str>, JsonataTemplate)>,
}

/// InputPath or OutputPath.
#[derive(Debug, Clone)]
pub(super) enum Selection {
    Whole,
    Nothing,
    Path(Path),
}

/// A variable and its new value.
pub type Assignment = (Arc<str>, Payload);

/// What a state's work came to.
#[derive(Debug, Clone, Copy)]
pub enum Outcome<'a> {
    /// It had none of its own: the effective input goes on.
    None(&'a Payload),
    /// A result.
    Result(&'a Payload),
    /// An error, in a Catch: an object of `Error` and `Cause`.
    Error(&'a Payload),
}

/// What goes on from a state.
#[derive(Debug, Clone)]
pub struct Produced {
    /// The output.
    pub output: Payload,
    /// Variables to set, all of them computed from what they were before.
    pub assigned: Vec<Assignment>,
}

/// The steps between a result and the output, for whoever wants to look at them (AWS: "TestState").
#[derive(Debug, Clone)]
pub struct Steps {
    /// After ResultSelector.
    pub selected: Payload,
    /// After ResultPath.
    pub merged: Payload,
}

impl Flow {
    /// Whether the state has Parameters or Arguments.
    #[must_use]
    pub fn has_arguments(&self) -> bool {
        match &self.0 {
            Language::Path(flow) => flow.parameters.is_some(),
            Language::Jsonata(flow) => flow.arguments.is_some(),
        }
    }

    /// What [`Flow::produce`] makes of a result on the way to the output. JSONata has no such steps.
    ///
    /// # Errors
    /// [`EvaluationError`] as from [`Flow::produce`].
    pub fn steps(
        &self,
        raw: &Payload,
        result: &Payload,
        scope: &dyn Scope,
    ) -> Result<Option<Steps>, EvaluationError> {
        let Language::Path(flow) = &self.0 else { return Ok(None) };
        let selected = flow.selected(result, scope)?;
        let merged = flow.result.put(raw, &selected)?;
        Ok(Some(Steps { selected, merged }))
    }

    /// Whether the state's language is JSONata.
    #[must_use]
    pub fn is_jsonata(&self) -> bool {
        matches!(self.0, Language::Jsonata(_))
    }

    /// What the state sees of its raw input: InputPath.
    ///
    /// # Errors
    /// [`EvaluationError`] where the path leads nowhere.
    pub fn effective(&self, raw: &Payload, scope: &dyn Scope) -> Result<Payload, EvaluationError> {
        match &self.0 {
            Language::Path(flow) => flow.input.of(raw, scope),
            Language::Jsonata(_) => Ok(raw.clone()),
        }
    }

    /// What the state's work is given: Parameters or Arguments, else the effective input.
    ///
    /// # Errors
    /// [`EvaluationError`] where something in it has no value.
    pub fn arguments(&self, effective: &Payload, scope: &dyn Scope) -> Result<Payload, EvaluationError> {
        let value = match &self.0 {
            Language::Path(flow) => match &flow.parameters {
                Some(parameters) => parameters.evaluate(effective.value(), scope)?,
                None => return Ok(effective.clone()),
            },
            Language::Jsonata(flow) => match &flow.arguments {
                Some(arguments) => arguments.evaluate(&States::input(effective.value()), scope)?,
                None => return Ok(effective.clone()),
            },
        };
        Ok(Payload::new(value))
    }

    /// What goes on: ResultSelector, ResultPath, OutputPath or Output, and Assign beside them. The output is computed
    /// from the variables' old values, as recorded.
    ///
    /// # Errors
    /// [`EvaluationError`] where something in it has no value.
    pub fn produce(
        &self,
        raw: &Payload,
        outcome: Outcome<'_>,
        scope: &dyn Scope,
    ) -> Result<Produced, EvaluationError> {
        match &self.0 {
            Language::Path(flow) => flow.produce(raw, outcome, scope),
            Language::Jsonata(flow) => flow.produce(raw, outcome, scope),
        }
    }
}

impl PathFlow {
    fn selected(&self, result: &Payload, scope: &dyn Scope) -> Result<Payload, EvaluationError> {
        match &self.result_selector {
            Some(selector) => selector.evaluate(result.value(), scope).map(Payload::new),
            None => Ok(result.clone()),
        }
    }

    fn produce(
        &self,
        raw: &Payload,
        outcome: Outcome<'_>,
        scope: &dyn Scope,
    ) -> Result<Produced, EvaluationError> {
        let (merged, seen) = match outcome {
            Outcome::None(effective) => (effective.clone(), effective.clone()),
            Outcome::Error(error) => (self.result.put(raw, error)?, error.clone()),
            Outcome::Result(result) => {
                let selected = self.selected(result, scope)?;
                (self.result.put(raw, &selected)?, result.clone())
            }
        };
        let output = self.output.of(&merged, scope)?;
        let mut assigned = Vec::with_capacity(self.assign.len());
        for (name, template) in &self.assign {
            assigned.push((Arc::clone(name), Payload::new(template.evaluate(seen.value(), scope)?)));
        }
        Ok(Produced { output, assigned })
    }
}

impl JsonataFlow {
    fn produce(
        &self,
        raw: &Payload,
        outcome: Outcome<'_>,
        scope: &dyn Scope,
    ) -> Result<Produced, EvaluationError> {
        let mut states = States::input(raw.value());
        let default = match outcome {
            Outcome::None(_) => raw,
            Outcome::Result(result) => {
                states.result = Some(result.value());
                result
            }
            Outcome::Error(error) => {
                states.error_output = Some(error.value());
                error
            }
        };
        let mut assigned = Vec::with_capacity(self.assign.len());
        for (name, template) in &self.assign {
            assigned.push((Arc::clone(name), Payload::new(template.evaluate(&states, scope)?)));
        }
        let output = match &self.output {
            Some(output) => Payload::new(output.evaluate(&states, scope)?),
            None => default.clone(),
        };
        Ok(Produced { output, assigned })
    }
}

impl Selection {
    fn of(&self, payload: &Payload, scope: &dyn Scope) -> Result<Payload, EvaluationError> {
        match self {
            Self::Whole => Ok(payload.clone()),
            Self::Nothing => Ok(Payload::empty()),
            Self::Path(path) => match path.find(payload.value(), scope)? {
                Some(found) => Ok(Payload::new(found.into_owned())),
                None => Err(EvaluationError::Selection {
                    path: path.text().to_owned(),
                    steps: bracketed(path.text()),
                }),
            },
        }
    }
}

/// A path in the notation of Jayway's messages: `$['a']['b']`.
fn bracketed(path: &str) -> String {
    let mut parts = path.split('.');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (name, rest) = part.split_at(part.find('[').unwrap_or(part.len()));
        text.push_str(&format!("['{name}']{rest}"));
    }
    text
}

impl Produced {
    /// An output and no variables.
    #[must_use]
    pub fn plain(output: Payload) -> Self {
        Self { output, assigned: Vec::new() }
    }

    /// The output's value.
    #[must_use]
    pub fn value(&self) -> &Value {
        self.output.value()
    }
}
