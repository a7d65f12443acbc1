//! `stepgrad asl jsonata`: expressions from stdin, one JSON line each, answered in one JSON line each.

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::io::BufRead;
use stepgrad_asl::expression::jsonata::evaluate;

/// Evaluates JSONata: lines of {"expr", "data", "bindings"} on stdin, lines of {"result"}, {"undefined": true} or
/// {"error"} on stdout. Without data the input is undefined.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// One line.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    expr: String,
    /// `null` is a value, and not the same as no value.
    #[serde(default, deserialize_with = "present")]
    data: Option<Value>,
    #[serde(default)]
    bindings: Map<String, Value>,
}

fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

pub(crate) fn run(_: &Args) -> Result<(), Failure> {
    for (number, line) in std::io::stdin().lock().lines().enumerate() {
        let line =
            line.map_err(|error| Failure::new(Exit::Internal, format!("cannot read stdin: {error}")))?;
        if line.trim().is_empty() {
            continue;
        }
        let question: Question = serde_json::from_str(&line).map_err(|error| {
            Failure::new(Exit::Invalid, format!("line {} of stdin is not a question: {error}", number + 1))
        })?;
        let answer = evaluate(&question.expr, question.data.as_ref(), &question.bindings);
        let answer = serde_json::to_value(answer)
            .map_err(|error| Failure::new(Exit::Internal, format!("cannot write the answer: {error}")))?;
        output::json(&answer);
    }
    Ok(())
}
