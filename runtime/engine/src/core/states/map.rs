//! The Map state, inline and distributed. ToleratedFailureCount and ToleratedFailurePercentage are a distributed Map's:
//! an inline one checks them, as AWS does, and tolerates nothing.

use super::super::engine::{Core, Here, Work};
use super::super::failure::Failure;
use super::super::frame::{Activity, Fork, ForkWork, Frame};
use super::super::history::{Details, EventType};
use super::super::limits;
use super::super::map_run::{Batch, MapRun, Next, Supply, Tolerance, selected};
use super::super::results::Results;
use super::super::scope::{chance, uuid};
use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};
use stepgrad_asl::Payload;
use stepgrad_asl::expression::jsonata::{JsonataTemplate, States};
use stepgrad_asl::expression::{EvaluationError, Scope};
use stepgrad_asl::program::{Amount, Distributed, Format, Items, Map, Selector, Transformation};

impl Core {
    pub(super) fn map(
        &mut self,
        here: &Here,
        frame: &mut Frame,
        map: &Map,
        effective: Payload,
    ) -> Result<Work, Failure> {
        if let Some(distributed) = &map.distributed {
            return self.map_run(here, frame, map, distributed, effective);
        }
        let jsonata = here.state(frame)?.flow.is_jsonata();
        let items = self.evaluate(here, frame, |_, scope| items(map, &effective, jsonata, scope))?;
        let limit = self.evaluate(here, frame, |_, scope| concurrency(map, effective.value(), scope))?;
        let length = items.value().as_array().map_or(0, Vec::len);
        let details = Details { length: Some(length), ..Details::default() };
        self.record(here, frame, EventType::MapStateStarted, details);
        self.evaluate(here, frame, |_, scope| tolerance(map, effective.value(), scope))?;
        if length == 0 {
            self.record_beside(here, frame, EventType::MapStateSucceeded, Details::default());
            return Ok(Work::Result(Payload::new(Value::Array(Vec::new()))));
        }
        let mut fork = Fork {
            results: vec![None; length],
            running: BTreeMap::new(),
            started: 0,
            limit,
            done: 0,
            work: ForkWork::Map { items, effective },
        };
        self.start_more(here, frame, &mut fork)?;
        frame.activity = Activity::Fork(fork);
        Ok(Work::Suspended)
    }

    /// A distributed Map: its settings are evaluated, and its Map Run goes on from there.
    fn map_run(
        &mut self,
        here: &Here,
        frame: &mut Frame,
        map: &Map,
        distributed: &Distributed,
        effective: Payload,
    ) -> Result<Work, Failure> {
        let jsonata = here.state(frame)?.flow.is_jsonata();
        let arguments = |selector: Option<&Selector>, scope: &dyn Scope| match selector {
            None => Ok(effective.clone()),
            Some(selector) => selected(selector, &effective, scope),
        };
        let (supply, source) = match &map.reader {
            None => {
                let items = self.evaluate(here, frame, |_, scope| items(map, &effective, jsonata, scope))?;
                (Supply::Array(items), "STATE_DATA".to_owned())
            }
            Some(reader) => {
                let arguments =
                    self.evaluate(here, frame, |_, scope| arguments(reader.arguments.as_ref(), scope))?;
                let text = |name: &str| arguments.value().get(name).and_then(Value::as_str);
                let bucket = text("Bucket").unwrap_or_default();
                let source = match (&reader.format, text("Key")) {
                    (Format::Listing | Format::Flattened(_), _) | (_, None) => format!("S3://{bucket}"),
                    (_, Some(key)) => format!("S3://{bucket}/{key}"),
                };
                let format = reader.format.clone();
                let next = Next::From(None);
                (Supply::Reader { format, arguments, queue: VecDeque::new(), next }, source)
            }
        };
        let limit = self.evaluate(here, frame, |_, scope| concurrency(map, effective.value(), scope))?;
        let batch = self.evaluate(here, frame, |_, scope| batch(map, &effective, scope))?;
        let length = match &supply {
            Supply::Array(items) => items.value().as_array().map_or(0, Vec::len),
            // It is not known yet.
            Supply::Reader { .. } => 0,
        };
        let details = Details { length: Some(length), ..Details::default() };
        self.record(here, frame, EventType::MapStateStarted, details);
        let tolerated = self.evaluate(here, frame, |_, scope| tolerance(map, effective.value(), scope))?;
        let writer = map.writer.as_ref();
        let export = match writer.and_then(|writer| writer.export.as_ref()) {
            None => None,
            Some(export) => Some(self.evaluate(here, frame, |_, scope| arguments(Some(export), scope))?),
        };
        let max_items = match map.reader.as_ref().and_then(|reader| reader.max_items.as_ref()) {
            None => 0,
            Some(amount) => {
                self.evaluate(here, frame, |_, scope| integer(amount, "MaxItems", effective.value(), scope))?
            }
        };
        let path = here.state(frame)?.path.clone();
        let id = frame.chance(self.seed, &here.identity.key, &path, u64::MAX - 2);
        let id = uuid(id, chance(id, &[], &[1]));
        let arn = self.settings.map_run(&here.identity.machine.name, &distributed.label, &id);
        let details = Details { map_run_arn: Some(arn.clone()), ..Details::default() };
        let event = self.record(here, frame, EventType::MapRunStarted, details);
        let transformation = writer.map_or(Transformation::Compact, |writer| writer.transformation);
        let bucket =
            |export: &Payload| export.value().get("Bucket").and_then(Value::as_str).map(str::to_owned);
        let results = match (&export, export.as_ref().and_then(bucket)) {
            (None, _) => Ok(Results::kept(transformation)),
            (Some(export), Some(bucket)) => {
                let prefix = export.value().get("Prefix").and_then(Value::as_str).unwrap_or_default();
                let lines = writer.is_some_and(|writer| writer.lines);
                Ok(Results::exported(transformation, lines, bucket, prefix, &id))
            }
            (Some(_), None) => Err(Failure::new(
                "States.ResultWriterFailed",
                "the arguments of ResultWriter need a Bucket that is a string",
            )),
        };
        let run = MapRun {
            event,
            arn,
            effective,
            tolerated,
            limit,
            source: source.into(),
            supply,
            // Nought is for all of them.
            max_items: usize::try_from(max_items).ok().filter(|max| *max > 0).unwrap_or(usize::MAX),
            taken: 0,
            batch,
            running: BTreeMap::new(),
            started: 0,
            failures: 0,
            pending: BTreeMap::new(),
            calls: 0,
            results: Results::kept(transformation),
            kept: BTreeMap::new(),
            failed: Vec::new(),
            result: None,
            again: VecDeque::new(),
            redrives: 0,
        };
        // A redrive of a run that could not begin begins it.
        let refuse = |core: &mut Self, frame: &mut Frame, run: MapRun, failure: Failure| {
            let failure = core.run_failed(here, frame, Box::new(run), failure);
            frame.activity = Activity::Work;
            Err(failure)
        };
        let results = match results {
            Ok(results) => results,
            Err(failure) => return refuse(self, frame, run, failure),
        };
        if max_items < 0 {
            let failure = Failure::new("States.ItemReaderFailed", "field MaxItems must be positive");
            return refuse(self, frame, run, failure);
        }
        if let Some(execution) = self.executions.get_mut(&here.execution) {
            execution.runs.insert(event, here.frame);
        }
        self.drive(here, frame, Box::new(MapRun { results, ..run }))
    }
}

/// ItemBatcher's settings.
fn batch(map: &Map, effective: &Payload, scope: &dyn Scope) -> Result<Option<Batch>, EvaluationError> {
    let Some(batcher) = &map.batcher else { return Ok(None) };
    let count = |amount: Option<&Amount>, field: &str, most: usize| {
        let Some(amount) = amount else { return Ok(most) };
        let count = integer(amount, field, effective.value(), scope)?;
        match usize::try_from(count) {
            Ok(count) if count > 0 => Ok(count.min(most)),
            _ => Err(EvaluationError::Unfit(format!("{field} must be positive."))),
        }
    };
    let max_items = count(batcher.max_items.as_ref(), "MaxItemsPerBatch", usize::MAX)?;
    let max_bytes = count(batcher.max_bytes.as_ref(), "MaxInputBytesPerBatch", limits::MAX_PAYLOAD)?;
    let input = match &batcher.input {
        None => None,
        Some(input) => Some(selected(input, effective, scope)?.into_value()),
    };
    Ok(Some(Batch::new(max_items, max_bytes, input)))
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
            // As recorded, with one `$` for the context object too.
            let text = path.text();
            let shown = if text.starts_with("$$") { text.get(1..).unwrap_or_default() } else { text };
            EvaluationError::Unfit(format!("Reference path \"{shown}\" must point to array."))
        }
        Items::Input if jsonata => EvaluationError::Jsonata {
            message: format!("Map state input must be an array but was: {}", found.text()),
            location: "Items".to_owned(),
        },
        Items::Input => EvaluationError::Unfit("Reference path \"$\" must point to array.".to_owned()),
        Items::Jsonata(JsonataTemplate::Expression { expression, .. }) => {
            super::choice::unexpected(expression.text(), "Items", "array", found.value())
        }
        Items::Jsonata(_) => EvaluationError::Jsonata {
            message: "Map state Items must be an array".to_owned(),
            location: "Items".to_owned(),
        },
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
