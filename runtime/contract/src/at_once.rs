//! How many elements of a fan-out are worked on at once, so that all calls under way together stay within
//! `functions.max_concurrency`, on AWS too.
//!
//! Maps nest (groups of peers, their peers, ranges of batches, their batches), so what counts is the product of how many
//! elements each of them takes at once. The definitions read these numbers from the data (`MaxConcurrencyPath`), beside
//! the members; so they do not grow with the peers, and every round takes what its own members leave.
//!
//! What a Map that failed has called already is not called back: until those calls end they come on top.

use crate::fanout::Choice;
use serde::{Deserialize, Serialize};

/// Iterations that an inline Map runs at once at the most (AWS Step Functions, "Using Map state in Inline mode").
pub const ITERATIONS: u32 = 40;

/// Elements of each Map, one number for each level of nesting; a level that a fan-out does not have counts one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AtOnce {
    /// Groups of peers, each a child execution.
    pub groups: u32,
    /// Peers of a group, or of the round.
    pub peers: u32,
    /// Ranges of a peer's batches, each a child execution.
    pub ranges: u32,
    /// Batches of a range, or of a peer.
    pub batches: u32,
}

impl AtOnce {
    /// One of each: where nothing is fanned out.
    pub const ONE: Self = Self { groups: 1, peers: 1, ranges: 1, batches: 1 };

    /// All that there are of `peers` peers of at most `batches` batches, carried as `choice` says.
    #[must_use]
    pub fn all(peers: u32, batches: u32, choice: Choice) -> Self {
        let split = |elements: u32, size: Option<u32>| {
            let size = size.unwrap_or(elements).max(1);
            (elements.div_ceil(size).max(1), elements.clamp(1, size))
        };
        let (groups, peers) = split(peers, choice.peers_per_execution);
        let (ranges, batches) = split(batches, choice.batches_per_execution);
        Self { groups, peers, ranges, batches }
    }

    /// As many of these as `most` calls at once allow: the outer Maps take first, for whole peers beside each other wait
    /// for nothing of each other. None gets less than one, and the product is at most `most` (at least 1).
    #[must_use]
    pub fn within(self, most: u32) -> Self {
        let mut left = most.max(1);
        let mut take = |elements: u32| {
            let taken = elements.clamp(1, ITERATIONS).min(left);
            left /= taken;
            taken
        };
        let Self { groups, peers, ranges, batches } = self;
        Self { groups: take(groups), peers: take(peers), ranges: take(ranges), batches: take(batches) }
    }

    /// Calls that are under way together at the most.
    #[must_use]
    pub fn calls(self) -> u64 {
        let Self { groups, peers, ranges, batches } = self;
        [groups, peers, ranges, batches].map(u64::from).into_iter().fold(1, u64::saturating_mul)
    }

    /// Child executions that are under way together at the most, carried as `choice` says.
    #[must_use]
    pub fn children(self, choice: Choice) -> u64 {
        let of_peers = choice.peers_per_execution.map_or(0, |_| self.groups.into());
        let of_batches = choice.batches_per_execution.map_or(0, |_| Self { batches: 1, ..self }.calls());
        of_batches.saturating_add(of_peers)
    }

    /// How often each Map has to take as many elements as it takes at once (`self`) until `all` have had their turn.
    #[must_use]
    pub fn turns(self, all: Self) -> Self {
        let turns = |all: u32, at_once: u32| all.div_ceil(at_once.max(1)).max(1);
        Self {
            groups: turns(all.groups, self.groups),
            peers: turns(all.peers, self.peers),
            ranges: turns(all.ranges, self.ranges),
            batches: turns(all.batches, self.batches),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{AtOnce, ITERATIONS};
    use crate::fanout::Choice;
    use proptest::prelude::*;

    const INLINE: Choice = Choice { peers_per_execution: None, batches_per_execution: None };

    fn within(peers: u32, batches: u32, choice: Choice, most: u32) -> [u32; 4] {
        let AtOnce { groups, peers, ranges, batches } = AtOnce::all(peers, batches, choice).within(most);
        [groups, peers, ranges, batches]
    }

    #[test]
    fn peers_come_first_and_their_batches_take_what_is_left() {
        assert_eq!(within(4, 25, INLINE, 100), [1, 4, 1, 25]);
        assert_eq!(within(4, 3, INLINE, 100), [1, 4, 1, 3], "no more than there are");
        assert_eq!(within(60, 9, INLINE, 100), [1, 40, 1, 2], "no more than an inline Map has");
        assert_eq!(within(10, 9, INLINE, 8), [1, 8, 1, 1]);
        assert_eq!(within(4, 0, INLINE, 100), [1, 4, 1, 1], "no batches");
        let children = Choice { peers_per_execution: Some(50), batches_per_execution: Some(500) };
        assert_eq!(within(100, 2_000, children, 1_000), [2, 40, 4, 3]);
        assert_eq!(within(100, 2_000, children, 1), [1, 1, 1, 1]);
        let at_once = AtOnce::all(100, 2_000, children).within(1_000);
        assert_eq!((at_once.children(children), at_once.children(INLINE)), (2 + 2 * 40 * 4, 0));
    }

    #[test]
    fn turns_are_those_of_the_nested_maps() {
        let all = AtOnce { groups: 3, peers: 100, ranges: 1, batches: 7 };
        let turns = AtOnce { groups: 2, peers: 40, ranges: 1, batches: 7 }.turns(all);
        assert_eq!(turns, AtOnce { groups: 2, peers: 3, ranges: 1, batches: 1 });
    }

    proptest! {
        #[test]
        fn whatever_is_fanned_out_stays_within(
            (peers, batches, most) in (1_u32..20_000, 0_u32..200_000, prop_oneof![1_u32..50, 1_u32..10_001]),
            group in proptest::option::of(1_u32..5_000),
            range in proptest::option::of(1_u32..1_001),
        ) {
            let choice = Choice { peers_per_execution: group, batches_per_execution: range };
            let all = AtOnce::all(peers, batches, choice);
            let at_once = all.within(most);
            prop_assert!((1..=u64::from(most)).contains(&at_once.calls()), "{at_once:?}");
            let levels = |of: AtOnce| [of.groups, of.peers, of.ranges, of.batches];
            for (taken, there) in levels(at_once).into_iter().zip(levels(all)) {
                prop_assert!((1..=ITERATIONS.min(there)).contains(&taken));
            }
            // Nothing is left that one more of the innermost would fit in.
            let more = at_once.batches < all.batches.min(ITERATIONS);
            let one_more = AtOnce { batches: at_once.batches + 1, ..at_once };
            prop_assert!(!more || one_more.calls() > u64::from(most), "{at_once:?}");
        }
    }
}
