//! The functions that Step Functions adds (AWS: "Transforming data with JSONata in Step Functions"), and the impure
//! ones made pure: time and chance come from the scope.

use crate::expression::intrinsic;
use crate::expression::{Scope, timestamp};
use jsonata_core::evaluator::{Context, Evaluator, EvaluatorError};
use jsonata_core::value::JValue;
use serde_json::Value;
use std::cell::Cell;
use std::rc::Rc;

pub(super) fn register(evaluator: &mut Evaluator, scope: &dyn Scope) -> Result<(), EvaluatorError> {
    // A host function outlives the borrow of the scope: it takes what it needs along.
    let now = scope.now();
    let seed = Rc::new(Cell::new(None::<u64>));
    let first = scope.random();
    let draw = Rc::new(move || {
        let next = intrinsic::mixed(seed.get().unwrap_or(first));
        seed.set(Some(next));
        next
    });

    evaluator.register_fn("partition", |arguments: &[JValue]| call("States.ArrayPartition", arguments))?;
    evaluator.register_fn("range", |arguments: &[JValue]| call("States.ArrayRange", arguments))?;
    evaluator.register_fn("hash", |arguments: &[JValue]| call("States.Hash", arguments))?;
    evaluator.register_fn("parse", |arguments: &[JValue]| {
        match arguments.first().and_then(JValue::as_str) {
            Some(text) => serde_json::from_str::<Value>(text)
                .map(JValue::from)
                .map_err(|error| failed(&format!("$parse: not JSON: {error}"))),
            None => Err(failed("$parse needs a string")),
        }
    })?;
    let uuid = Rc::clone(&draw);
    evaluator
        .register_fn("uuid", move |_: &[JValue]| Ok(JValue::from(intrinsic::uuid_from(uuid(), uuid()))))?;
    evaluator.register_fn_override("random", move |arguments: &[JValue]| {
        let bits = match arguments.first().and_then(JValue::as_f64) {
            Some(seed) => intrinsic::mixed(seed.to_bits()),
            None => draw(),
        };
        Ok(JValue::from_f64(unit(bits)))
    })?;
    evaluator.register_fn_override("millis", move |_: &[JValue]| Ok(JValue::from_i64(now)))?;
    evaluator.register_fn_override("now", move |arguments: &[JValue]| {
        if arguments.is_empty() { Ok(JValue::from(timestamp::format(now))) } else { pictured(now, arguments) }
    })?;
    evaluator.register_fn_override("eval", |_: &[JValue]| {
        Err(failed("T1006: $eval is not supported in Step Functions: use $parse"))
    })
}

/// A time in words of one's own: `$now` with a picture and a timezone.
fn pictured(now: i64, arguments: &[JValue]) -> Result<JValue, EvaluatorError> {
    let mut context = Context::new();
    context.bind("now".to_owned(), JValue::from_i64(now));
    for (name, place) in [("picture", 0), ("zone", 1)] {
        context.bind(name.to_owned(), arguments.get(place).cloned().unwrap_or(JValue::Undefined));
    }
    let tree = jsonata_core::parser::parse("$fromMillis($now, $picture, $zone)")
        .map_err(|error| failed(&error.to_string()))?;
    Evaluator::with_options(context, super::options()).evaluate(&tree, &JValue::Undefined)
}

/// The intrinsic function that the added one is the same as.
fn call(name: &str, arguments: &[JValue]) -> Result<JValue, EvaluatorError> {
    let arguments = arguments
        .iter()
        .map(|argument| serde_json::to_value(argument).map_err(|error| failed(&error.to_string())))
        .collect::<Result<Vec<_>, _>>()?;
    intrinsic::apply(name, arguments).map(JValue::from).map_err(|message| failed(&message))
}

fn failed(message: &str) -> EvaluatorError {
    EvaluatorError::EvaluationError(message.to_owned())
}

/// From 0 to 1, exclusive, with 53 bits.
#[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
fn unit(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}
