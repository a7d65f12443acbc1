//! How many iterations and functions run at once.

use super::Figure;
use crate::limits::INLINE_MAP_CONCURRENCY;
use crate::lower::Machine;
use serde_json::Value;
use stepgrad_contract::fanout::Choice;

/// The largest `MaxConcurrency` of an inline Map.
pub(super) fn figure(machines: &[Machine]) -> Figure {
    let worst = machines.iter().map(|machine| largest(&machine.definition)).max().unwrap_or(0);
    Figure {
        what: "concurrency of an inline Map".to_owned(),
        worst,
        limit: u64::from(INLINE_MAP_CONCURRENCY),
        unit: "iterations",
        because: "further iterations wait for their turn".to_owned(),
    }
}

fn largest(value: &Value) -> u64 {
    match value {
        Value::Object(fields) => {
            let own = fields.get("MaxConcurrency").and_then(Value::as_u64).unwrap_or(0);
            fields.values().map(largest).max().unwrap_or(0).max(own)
        }
        Value::Array(items) => items.iter().map(largest).max().unwrap_or(0),
        _ => 0,
    }
}

/// How many functions the Maps call at once, against how many may run.
pub(super) fn choice(peers: u32, batches: u32, carried: Option<Choice>, max_concurrency: u32) -> String {
    let at_once = |elements: u32, per_execution: Option<u32>| {
        let limit = u64::from(INLINE_MAP_CONCURRENCY);
        let inline = |elements: u32| u64::from(elements).min(limit);
        match per_execution {
            None => inline(elements),
            // Up to 40 children at once, each with up to 40 iterations.
            Some(size) => inline(elements.div_ceil(size.max(1))) * inline(elements.min(size)),
        }
    };
    let of_peers = at_once(peers, carried.and_then(|choice| choice.peers_per_execution));
    let of_batches = at_once(batches.max(1), carried.and_then(|choice| choice.batches_per_execution));
    let calls = of_peers * of_batches;
    let verdict = if calls > u64::from(max_concurrency) {
        "the rest waits or is throttled and called again"
    } else {
        "enough"
    };
    format!(
        "functions at once: the Maps call up to {of_peers} peers × {of_batches} batches = {calls}; \
         functions.max_concurrency is {max_concurrency}: {verdict}"
    )
}

#[cfg(test)]
mod tests {
    use super::choice;
    use stepgrad_contract::fanout::Choice;

    #[test]
    fn maps_of_maps_multiply_and_each_ends_at_forty() {
        let inline = Some(Choice { peers_per_execution: None, batches_per_execution: None });
        assert!(
            choice(4, 3, inline, 100)
                .contains("4 peers × 3 batches = 12; functions.max_concurrency is 100: enough")
        );
        let nested = Some(Choice { peers_per_execution: Some(100), batches_per_execution: Some(500) });
        assert!(choice(1_000, 1_000, nested, 100).contains("400 peers × 80 batches = 32000"));
    }
}
