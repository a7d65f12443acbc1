//! The Map state, inline and distributed. ToleratedFailureCount and ToleratedFailurePercentage are a distributed Map's:
//! an inline one checks them, as AWS does, and tolerates nothing.

use super::super::engine::{Core, Here, Work};
use super::super::failure::Failure;
use super::super::frame::{Activity, Fork, ForkWork, Frame, MapRun, Tolerance};
use super::super::history::{Details, EventType};
use super::super::limits;
use serde_json::Value;
use std::collections::BTreeMap;
use stepgrad_asl::Payload;
use stepgrad_asl::expression::jsonata::{JsonataTemplate, States};
use stepgrad_asl::expression::{EvaluationError, Scope};
use stepgrad_asl::program::{Amount, Items, Map};

impl Core {
    pub(super) fn map(
        &mut self,
        here: &Here,
        frame: &mut Frame,
        map: &Map,
        effective: Payload,
    ) -> Result<Work, Failure> {
        let jsonata = here.state(frame)?.flow.is_jsonata();
        let items = self.evaluate(here, frame, |_, scope| items(map, &effective, jsonata, scope))?;
        let limit = self.evaluate(here, frame, |_, scope| concurrency(map, effective.value(), scope))?;
        let length = items.value().as_array().map_or(0, Vec::len);
        let details = Details { length: Some(length), ..Details::default() };
        self.record(here, frame, EventType::MapStateStarted, details);
        let tolerated = self.evaluate(here, frame, |_, scope| tolerance(map, effective.value(), scope))?;
        let run = match &map.distributed {
            None => None,
            Some(distributed) => {
                let path = here.state(frame)?.path.clone();
                let id = frame.chance(self.seed, &here.identity.key, &path, u64::MAX - 2);
                let machine = &here.identity.machine.name;
                let arn = self.settings.map_run(machine, &distributed.label, &format!("{id:016x}"));
                let details = Details { map_run_arn: Some(arn), ..Details::default() };
                self.record(here, frame, EventType::MapRunStarted, details);
                Some(MapRun { failures: 0, tolerated })
            }
        };
        if length == 0 {
            if run.is_some() {
                self.record(here, frame, EventType::MapRunSucceeded, Details::default());
            }
            self.record(here, frame, EventType::MapStateSucceeded, Details::default());
            return Ok(Work::Result(Payload::new(Value::Array(Vec::new()))));
        }
        let mut fork = Fork {
            results: vec![None; length],
            running: BTreeMap::new(),
            started: 0,
            limit,
            done: 0,
            work: ForkWork::Map { items, effective, run },
        };
        self.start_more(here, frame, &mut fork)?;
        frame.activity = Activity::Fork(fork);
        Ok(Work::Suspended)
    }
}

pub(crate) fn items(
    map: &Map,
    effective: &Payload,
    jsonata: bool,
    scope: &dyn Scope,
) -> Result<Payload, EvaluationError> {
    let found = match &map.items {
        Items::Input => effective.clone(),
        Items::Path(path) => match path.find(effective.value(), scope)? {
            Some(found) => Payload::new(found.into_owned()),
            None => {
                return Err(EvaluationError::Unfit(format!(
                    "Invalid path '{}': The Map state's ItemsPath leads nowhere.",
                    path.text()
                )));
            }
        },
        Items::Jsonata(template) => {
            Payload::new(template.evaluate(&States::input(effective.value()), scope)?)
        }
    };
    if found.value().is_array() {
        return Ok(found);
    }
    Err(match &map.items {
        Items::Path(path) => {
            EvaluationError::Unfit(format!("Reference path \"{}\" must point to array.", path.text()))
        }
        Items::Input if jsonata => {
            EvaluationError::Jsonata(format!("Map state input must be an array but was: {}", found.text()))
        }
        Items::Input => EvaluationError::Unfit("Reference path \"$\" must point to array.".to_owned()),
        Items::Jsonata(JsonataTemplate::Expression { expression, .. }) => {
            super::choice::unexpected(expression.text(), "Items", "array", found.value())
        }
        Items::Jsonata(_) => EvaluationError::Jsonata("Map state Items must be an array".to_owned()),
    })
}

/// Iterations at a time; 0 and nothing stand for as many as the Map can have.
fn concurrency(map: &Map, input: &Value, scope: &dyn Scope) -> Result<usize, EvaluationError> {
    let most = match map.distributed {
        None => limits::MAX_INLINE_CONCURRENCY,
        Some(_) => limits::MAX_DISTRIBUTED_CONCURRENCY,
    };
    let Some(amount) = &map.max_concurrency else { return Ok(most) };
    let count = integer(amount, "MaxConcurrency", input, scope)?;
    match usize::try_from(count) {
        Ok(0) => Ok(most),
        Ok(count) => Ok(count.min(most)),
        Err(_) => Err(EvaluationError::Unfit("MaxConcurrency cannot be negative.".to_owned())),
    }
}

pub(crate) fn tolerance(map: &Map, input: &Value, scope: &dyn Scope) -> Result<Tolerance, EvaluationError> {
    let mut tolerance = Tolerance::default();
    if let Some(amount) = &map.tolerated_count {
        let count = integer(amount, "ToleratedFailureCount", input, scope)?;
        let count = usize::try_from(count)
            .map_err(|_| EvaluationError::Unfit("ToleratedFailureCount cannot be negative.".to_owned()))?;
        tolerance.count = Some(count);
    }
    if let Some(amount) = &map.tolerated_percentage {
        let value = amount.evaluate(input, scope)?.unwrap_or(Value::Null);
        let percentage = value.as_f64().or_else(|| value.as_str().and_then(|text| text.parse().ok()));
        match percentage {
            None => return Err(refers_to(amount, "ToleratedFailurePercentage", &value, "float")),
            Some(percentage) if !(0.0..=100.0).contains(&percentage) => {
                let message = "ToleratedFailurePercentage must be between 0 and 100.";
                return Err(EvaluationError::Unfit(message.to_owned()));
            }
            Some(percentage) => tolerance.percentage = Some(percentage),
        }
    }
    Ok(tolerance)
}

/// A whole number, or the text of one.
pub(crate) fn integer(
    amount: &Amount,
    field: &str,
    input: &Value,
    scope: &dyn Scope,
) -> Result<i64, EvaluationError> {
    let value = amount.evaluate(input, scope)?.unwrap_or(Value::Null);
    value
        .as_i64()
        .or_else(|| value.as_str().and_then(|text| text.parse().ok()))
        .ok_or_else(|| refers_to(amount, field, &value, "integer"))
}

fn refers_to(amount: &Amount, field: &str, value: &Value, expected: &str) -> EvaluationError {
    let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match amount {
        Amount::Expression(expression, field) => {
            super::choice::unexpected(expression.text(), field, expected, value)
        }
        Amount::Path(_) | Amount::Fixed(_) => EvaluationError::Unfit(format!(
            "The {field}Path field refers to value \"{shown}\" which is not a valid {expected}: {}",
            amount.text()
        )),
    }
}
