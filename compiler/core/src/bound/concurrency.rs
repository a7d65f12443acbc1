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

/// What a round has at work at once, at the most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AtOnce {
    /// Peers that the Maps are at.
    pub peers: u64,
    /// Batches of each of them.
    pub batches: u64,
    /// Child executions of a round.
    pub children: u64,
}

impl AtOnce {
    /// Calls of functions.
    #[must_use]
    pub const fn calls(self) -> u64 {
        self.peers.saturating_mul(self.batches)
    }

    /// Of `peers` peers of at most `batches` batches.
    #[must_use]
    pub fn of(peers: u32, batches: u32, carried: Option<Choice>) -> Self {
        let limit = u64::from(INLINE_MAP_CONCURRENCY);
        let inline = |elements: u32| u64::from(elements).min(limit);
        let at_once = |elements: u32, per_execution: Option<u32>| match per_execution {
            None => (inline(elements), 0),
            // Up to 40 children at once, each with up to 40 iterations.
            Some(size) => {
                let children = inline(elements.div_ceil(size.max(1)));
                (children * inline(elements.min(size)), children)
            }
        };
        let (peers, groups) = at_once(peers, carried.and_then(|choice| choice.peers_per_execution));
        let (batches, ranges) =
            at_once(batches.max(1), carried.and_then(|choice| choice.batches_per_execution));
        Self { peers, batches, children: groups + peers * ranges }
    }
}

/// How many functions the Maps call at once, against how many may run.
pub(super) fn choice(at_once: AtOnce, max_concurrency: u32) -> String {
    let AtOnce { peers, batches, .. } = at_once;
    let calls = at_once.calls();
    let verdict = if calls > u64::from(max_concurrency) {
        "the rest waits or is throttled and called again"
    } else {
        "enough"
    };
    format!(
        "functions at once: the Maps call up to {peers} peers × {batches} batches = {calls}; \
         functions.max_concurrency is {max_concurrency}: {verdict}"
    )
}

#[cfg(test)]
mod tests {
    use super::{AtOnce, choice};
    use stepgrad_contract::fanout::Choice;

    #[test]
    fn maps_of_maps_multiply_and_each_ends_at_forty() {
        let inline = Some(Choice { peers_per_execution: None, batches_per_execution: None });
        assert!(
            choice(AtOnce::of(4, 3, inline), 100)
                .contains("4 peers × 3 batches = 12; functions.max_concurrency is 100: enough")
        );
        let nested = Some(Choice { peers_per_execution: Some(100), batches_per_execution: Some(500) });
        let nested = AtOnce::of(1_000, 1_000, nested);
        assert!(choice(nested, 100).contains("400 peers × 80 batches = 32000"));
        assert_eq!(nested.children, 10 + 400 * 2);
    }
}
