//! How long it can take until a dead peer is noticed: the barrier at the end of the peers' work is passed at the latest
//! when every call of a peer has had all its attempts, each until its timeout, with the longest delays between them. So is the
//! one at the end of the exchange, by a peer that dies after its work.
//!
//! Counted on the definitions, as histories are: elements that wait until their Map takes them are, calls that wait for a
//! free process of this computer are not. Nor are calls that hand over: whoever does is alive, and the time counts from its
//! last sign of life.

use crate::lower::Machine;
use serde_json::{Map as Object, Value};
use stepgrad_contract::at_once::AtOnce;

/// Seconds from the start of the peers' work, or of their exchange, to its barrier, at the most, where the Maps have to take
/// elements as often as `turns` says.
pub(crate) fn seconds(machines: &[Machine], turns: AtOnce) -> u64 {
    let times = |outer: u32, inner: u32| u64::from(outer) * u64::from(inner);
    let waves =
        Waves { peers: times(turns.groups, turns.peers), batches: times(turns.ranges, turns.batches) };
    let barred = machines.iter().filter(|machine| BARRED.contains(&machine.name.as_str()));
    barred.map(|machine| states(&machine.definition, waves)).max().unwrap_or(0)
}

/// The machines at whose end all peers are waited for.
const BARRED: [&str; 3] = ["work", "synchronise", "resynchronise"];

/// How many times over a Map takes as many elements as it may take at once.
#[derive(Clone, Copy)]
struct Waves {
    peers: u64,
    batches: u64,
}

fn states(scope: &Value, waves: Waves) -> u64 {
    let none = Object::new();
    let states = scope["States"].as_object().unwrap_or(&none);
    // The two ways of carrying batches exclude each other.
    let maps = states.values().filter(|state| state["Type"] == "Map").map(|state| map(state, waves)).max();
    let tasks: u64 = states.values().filter(|state| super::calls_a_function(state)).map(task).sum();
    tasks + maps.unwrap_or(0)
}

fn map(state: &Value, waves: Waves) -> u64 {
    let each = states(&state["ItemProcessor"], waves);
    let over = |name: &str| state["ItemsPath"].as_str().is_some_and(|path| path.ends_with(name));
    match () {
        () if over("members") => waves.peers * each,
        () if over("batches") => waves.batches * each,
        () => each,
    }
}

/// All attempts of a call, each until its timeout, and the longest delays between them.
fn task(state: &Value) -> u64 {
    let timeout = state["TimeoutSeconds"].as_u64().unwrap_or(0);
    let retriers = state["Retry"].as_array().into_iter().flatten();
    let mut delays = 0;
    for retrier in retriers {
        let number = |key: &str, default| retrier[key].as_u64().unwrap_or(default);
        let rate = number("BackoffRate", 2);
        let mut delay = number("IntervalSeconds", 1);
        for _ in 0..super::attempts::most(retrier) {
            delays += delay.min(number("MaxDelaySeconds", u64::MAX));
            delay = delay.saturating_mul(rate);
        }
    }
    (1 + u64::from(super::attempts::retries(state))) * timeout + delays
}

#[cfg(test)]
mod tests {
    use super::{Waves, states, task};
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
        let all = json!({"States": {
            "All": {"Type": "Map", "ItemsPath": "$.members", "ItemProcessor": scope},
        }});
        assert_eq!(states(&all, Waves { peers: 1, batches: 3 }), 4 * task(&call));
        assert_eq!(states(&all, Waves { peers: 2, batches: 3 }), 8 * task(&call));
    }
}
