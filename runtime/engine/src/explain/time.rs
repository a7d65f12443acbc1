//! How long an execution can take: the longest way through its states by their timeouts and waits, with every retry.

use super::scopes::{Length, Scope, State, Unbounded};
use super::{Explained, Figure, Largest};
use crate::core::limits::Limit;
use serde_json::Value;
use stepgrad_asl::document::MachineType;

/// The figure of an Express execution.
pub(super) fn explained(limit: &'static Limit, machine: &Scope<'_>, machine_type: MachineType) -> Explained {
    if machine_type == MachineType::Standard {
        return Explained { limit, figure: Figure::Nothing, at: String::new() };
    }
    let (figure, at) = match (machine.node.get("TimeoutSeconds").and_then(Value::as_u64), longest(machine)) {
        (Some(timeout), Ok(seconds)) => {
            (Figure::AtMost { figure: timeout.min(whole(seconds)) }, String::new())
        }
        (Some(timeout), Err(_)) => (Figure::AtMost { figure: timeout }, "/TimeoutSeconds".to_owned()),
        (None, Ok(seconds)) => (Figure::AtMost { figure: whole(seconds) }, String::new()),
        (None, Err((on, at))) => (Figure::Depends { on }, at),
    };
    Explained { limit, figure, at }
}

/// The longest Wait.
pub(super) fn waits(limit: &'static Limit, states: &[State<'_>]) -> Explained {
    let mut largest = Largest::default();
    for state in states.iter().filter(|state| state.kind() == "Wait") {
        match wait(state) {
            Ok(seconds) => largest.add(whole(seconds), &state.pointer),
            Err((on, at)) => largest.depends(on, &at),
        }
    }
    largest.explained(limit)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "not negative, and cut off at the most"
)]
fn whole(seconds: f64) -> u64 {
    seconds.ceil() as u64
}

fn wait(state: &State<'_>) -> Result<f64, Unbounded> {
    if let Some(seconds) = state.node.get("Seconds").and_then(Value::as_f64) {
        return Ok(seconds);
    }
    for field in ["Seconds", "SecondsPath", "TimestampPath", "Timestamp"] {
        if let Some(value) = state.node.get(field) {
            return Err((format!("{field} {value}"), format!("{}/{field}", state.pointer)));
        }
    }
    Ok(0.0)
}

impl Length for f64 {
    fn and(self, after: &Self) -> Result<Self, Unbounded> {
        Ok(self + after)
    }

    fn or(self, other: Self) -> Result<Self, Unbounded> {
        Ok(self.max(other))
    }
}

fn longest(scope: &Scope<'_>) -> Result<f64, Unbounded> {
    scope.longest(of)
}

/// The longest that one visit takes.
fn of(state: &State<'_>) -> Result<f64, Unbounded> {
    let work = match state.kind() {
        "Wait" => return wait(state),
        "Task" => match state.node.get("TimeoutSeconds").and_then(Value::as_f64) {
            Some(seconds) => seconds,
            None => {
                let on =
                    format!("how long the task {:?} takes: it has no TimeoutSeconds of a number", state.name);
                return Err((on, state.pointer.clone()));
            }
        },
        "Parallel" => {
            let mut seconds = 0.0_f64;
            for branch in state.scopes() {
                seconds = seconds.max(longest(&branch)?);
            }
            seconds
        }
        "Map" => {
            for processor in state.scopes() {
                if longest(&processor)? > 0.0 {
                    return Err((
                        format!("how many items the Map {:?} has", state.name),
                        state.pointer.clone(),
                    ));
                }
            }
            0.0
        }
        _ => 0.0,
    };
    let (retries, delays) = state.retries();
    #[expect(clippy::cast_precision_loss, reason = "retries are far fewer than 2^53")]
    let attempts = retries as f64 + 1.0;
    Ok(work * attempts + delays)
}
