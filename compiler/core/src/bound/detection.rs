//! How long it can take until a dead peer is noticed: the barrier at the end of the peers' work is passed at the latest
//! when every call of a peer has had all its attempts, each until its timeout, with the longest delays between them.
//!
//! Counted on the definitions, as histories are. Calls that wait for a free process of this computer are not counted:
//! on AWS they are throttled and tried again, which is.

use crate::limits::INLINE_MAP_CONCURRENCY;
use crate::lower::Machine;
use serde_json::{Map as Object, Value};
use stepgrad_contract::fanout::Choice;

/// Seconds from the start of a round to the decision who takes part, at the most, where no peer has more than
/// `batches` batches.
pub(crate) fn seconds(machines: &[Machine], batches: u32, carried: Option<Choice>) -> u64 {
    let range = carried.and_then(|choice| choice.batches_per_execution);
    let waves = |elements: u32| u64::from(elements.div_ceil(INLINE_MAP_CONCURRENCY).max(1));
    let waves = match range {
        None => waves(batches),
        Some(range) => waves(batches.div_ceil(range.max(1))) * waves(range),
    };
    let work = machines.iter().find(|machine| machine.name == "work");
    work.map_or(0, |machine| states(&machine.definition, waves))
}

fn states(scope: &Value, waves: u64) -> u64 {
    let none = Object::new();
    let states = scope["States"].as_object().unwrap_or(&none);
    // The two ways of carrying batches exclude each other.
    let maps = states.values().filter(|state| state["Type"] == "Map").map(|state| map(state, waves)).max();
    let calls = |state: &Value| state["Resource"].as_str().is_some_and(|to| to.ends_with("lambda:invoke"));
    let tasks: u64 = states.values().filter(|state| calls(state)).map(task).sum();
    tasks + maps.unwrap_or(0)
}

fn map(state: &Value, waves: u64) -> u64 {
    let each = states(&state["ItemProcessor"], waves);
    if state["ItemsPath"].as_str().is_some_and(|path| path.ends_with("batches")) {
        waves * each
    } else {
        each
    }
}

/// All attempts of a call, each until its timeout, and the longest delays between them.
fn task(state: &Value) -> u64 {
    let timeout = state["TimeoutSeconds"].as_u64().unwrap_or(0);
    let retriers = state["Retry"].as_array().into_iter().flatten();
    let (mut attempts, mut delays) = (1, 0);
    for retrier in retriers {
        let number = |key: &str, default| retrier[key].as_u64().unwrap_or(default);
        let (most, rate) = (number("MaxAttempts", 3), number("BackoffRate", 2));
        let mut delay = number("IntervalSeconds", 1);
        for _ in 0..most {
            delays += delay.min(number("MaxDelaySeconds", u64::MAX));
            delay = delay.saturating_mul(rate);
        }
        attempts += most;
    }
    attempts * timeout + delays
}

#[cfg(test)]
mod tests {
    use super::{states, task};
    use serde_json::json;

    #[test]
    fn every_attempt_takes_its_timeout_and_its_delay() {
        let call = json!({
            "Type": "Task",
            "Resource": "arn:aws:states:::lambda:invoke",
            "TimeoutSeconds": 100,
            "Retry": [
                {"ErrorEquals": ["A"], "MaxAttempts": 4, "IntervalSeconds": 1, "BackoffRate": 2, "MaxDelaySeconds": 5},
                {"ErrorEquals": ["B"], "MaxAttempts": 1, "IntervalSeconds": 3},
            ],
        });
        assert_eq!(task(&call), 6 * 100 + (1 + 2 + 4 + 5) + 3);
        let scope = json!({"States": {
            "Each": {"Type": "Map", "ItemsPath": "$.batches", "ItemProcessor": {"States": {"Call": call}}},
            "Then": call,
        }});
        assert_eq!(states(&scope, 3), 4 * task(&call));
    }
}
