//! Fan-out as data: which peers and which of their batches a round maps over, and whether the machine carries
//! them as iterations of its own Map or hands ranges of them to child executions.
//!
//! The definitions hold both ways; the data chooses. So they do not grow with peers or batches, and a run
//! that is small pays for no child execution.

use crate::at_once::AtOnce;
use serde::{Deserialize, Serialize};

/// The sizes up to which each way of carrying a fan-out keeps every history within bounds, worst case with
/// all retries. The compiler computes them from the definitions; [`Carriers::choose`] applies them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Carriers {
    /// Events that one execution's history may hold.
    pub history_limit: u64,
    /// Events of a round outside its peers.
    pub round_fixed: u64,
    /// Events of one peer in a round, outside its batches, in all stages that map over peers.
    pub peer_fixed: u64,
    /// Events of one batch.
    pub batch: u64,
    /// Events of the calls of a child execution: of one for a range of batches, or of one in every stage that maps over
    /// peers for a group of them, whichever is more.
    pub child: u64,
    /// Events of a child execution outside its items.
    pub child_fixed: u64,
    /// Items that one `States.ArrayRange` gives at the most.
    pub range_limit: u32,
}

/// How a round's fan-out is carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choice {
    /// Peers of one child execution; `None` maps over them in the round's own execution.
    pub peers_per_execution: Option<u32>,
    /// Batches of one child execution; `None` maps over them in the peer's own execution.
    pub batches_per_execution: Option<u32>,
}

impl Carriers {
    /// The first way, cheapest first, in which `peers` peers of at most `batches` batches fit every history;
    /// `None` where none does.
    #[must_use]
    pub fn choose(&self, peers: u32, batches: u32) -> Option<Choice> {
        let inline = self.peer(batches, None);
        if batches <= self.range_limit && self.round_fixed + u64::from(peers) * inline <= self.history_limit {
            return Some(Choice { peers_per_execution: None, batches_per_execution: None });
        }
        if batches <= self.range_limit
            && let Some(group) = self.group(peers, inline)
        {
            return Some(Choice { peers_per_execution: Some(group), batches_per_execution: None });
        }
        let room = self.history_limit.checked_sub(self.child_fixed)? / self.batch.max(1);
        let range = u32::try_from(room).unwrap_or(u32::MAX).min(self.range_limit).min(batches);
        if range == 0 {
            return None;
        }
        let ranged = self.peer(batches, Some(range));
        if self.round_fixed + u64::from(peers) * ranged <= self.history_limit {
            return Some(Choice { peers_per_execution: None, batches_per_execution: Some(range) });
        }
        let group = self.group(peers, ranged)?;
        Some(Choice { peers_per_execution: Some(group), batches_per_execution: Some(range) })
    }

    /// Events of one peer with its batches carried inline, or in child executions of `range` batches.
    #[must_use]
    pub fn peer(&self, batches: u32, range: Option<u32>) -> u64 {
        let items = match range {
            None => u64::from(batches) * self.batch,
            Some(range) => u64::from(batches.div_ceil(range.max(1))) * self.child,
        };
        self.peer_fixed + items
    }

    /// The most peers a child execution holds, if the round can then hold all the groups.
    fn group(&self, peers: u32, peer: u64) -> Option<u32> {
        let room = self.history_limit.checked_sub(self.child_fixed)? / peer.max(1);
        let group = u32::try_from(room).unwrap_or(u32::MAX).min(peers);
        if group == 0 {
            return None;
        }
        let calls = u64::from(peers.div_ceil(group)) * self.child;
        (self.round_fixed + calls <= self.history_limit).then_some(group)
    }
}

/// Consecutive numbers, both ends included; of batches, by their place in the epoch's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Range {
    /// The first.
    pub first: u32,
    /// The last.
    pub last: u32,
}

/// One peer and what it works on in a round.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The peer.
    pub peer: u32,
    /// Whether it was left out of the round before: it is asked whether it is there before it gets any work.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub probe: bool,
    /// Its batches of this round.
    #[serde(flatten)]
    pub batches: Batches,
}

/// The batches of one peer in a round.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "batches", rename_all = "snake_case")]
pub enum Batches {
    /// None: the stage has no batches, or the peer's shard has none left in this epoch.
    None,
    /// Mapped over in the peer's own execution.
    Inline {
        /// The first batch.
        first: u32,
        /// The last batch.
        last: u32,
    },
    /// One child execution for each range.
    Child {
        /// Without gaps, ascending.
        ranges: Vec<Range>,
    },
}

impl Batches {
    /// The batches `first..=last` carried as `choice` says.
    #[must_use]
    pub fn carried(first: u32, last: u32, choice: Choice) -> Self {
        if last < first {
            return Self::None;
        }
        match choice.batches_per_execution {
            None => Self::Inline { first, last },
            Some(size) => Self::Child {
                ranges: (first..=last)
                    .step_by(size.max(1) as usize)
                    .map(|start| Range {
                        first: start,
                        last: last.min(start.saturating_add(size.max(1) - 1)),
                    })
                    .collect(),
            },
        }
    }

    /// How many they are.
    fn count(&self) -> u32 {
        let of = |first: u32, last: u32| last.saturating_sub(first).saturating_add(1);
        match self {
            Self::None => 0,
            Self::Inline { first, last } => of(*first, *last),
            Self::Child { ranges } => {
                ranges.iter().map(|range| of(range.first, range.last)).fold(0, u32::saturating_add)
            }
        }
    }
}

/// The members of a stage, carried inline or in groups.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "carrier", rename_all = "snake_case")]
pub enum Fanout {
    /// Mapped over in the round's own execution.
    Inline {
        /// How many are worked on at once.
        at_once: AtOnce,
        /// Ascending by peer.
        members: Vec<Member>,
    },
    /// One child execution for each group.
    Child {
        /// How many are worked on at once.
        at_once: AtOnce,
        /// Each ascending by peer.
        groups: Vec<Group>,
    },
}

/// Members of one child execution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Names the child execution; from 1.
    pub group: u32,
    /// Ascending by peer.
    pub members: Vec<Member>,
}

impl Fanout {
    /// Nobody.
    #[must_use]
    pub const fn nobody() -> Self {
        Self::Inline { at_once: AtOnce::ONE, members: Vec::new() }
    }

    /// `members` carried as `choice` says, with at most `max_concurrency` calls under way at once.
    #[must_use]
    pub fn carried(members: Vec<Member>, choice: Choice, max_concurrency: u32) -> Self {
        let peers = u32::try_from(members.len()).unwrap_or(u32::MAX);
        let batches = members.iter().map(|member| member.batches.count()).max().unwrap_or(0);
        let at_once = AtOnce::all(peers, batches, choice).within(max_concurrency);
        match choice.peers_per_execution {
            None => Self::Inline { at_once, members },
            Some(size) => Self::Child {
                at_once,
                groups: members
                    .chunks(size.max(1) as usize)
                    .zip(1..)
                    .map(|(members, group)| Group { group, members: members.to_vec() })
                    .collect(),
            },
        }
    }

    /// All members in order.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        let (inline, groups) = match self {
            Self::Inline { members, .. } => (members.as_slice(), [].as_slice()),
            Self::Child { groups, .. } => ([].as_slice(), groups.as_slice()),
        };
        inline.iter().chain(groups.iter().flat_map(|group| &group.members))
    }
}

/// As of a real machine.
#[cfg(test)]
pub(crate) const CARRIERS: Carriers = Carriers {
    history_limit: 25_000,
    round_fixed: 100,
    peer_fixed: 60,
    batch: 24,
    child: 28,
    child_fixed: 10,
    range_limit: 1_000,
};

#[cfg(test)]
mod tests {
    use super::{Batches, CARRIERS, Fanout, Member, Range};
    use crate::at_once::AtOnce;

    #[test]
    fn the_cheapest_carrier_that_fits_is_chosen() {
        let small = CARRIERS.choose(4, 13).unwrap();
        assert_eq!((small.peers_per_execution, small.batches_per_execution), (None, None));
        let wide = CARRIERS.choose(200, 6).unwrap();
        assert_eq!((wide.peers_per_execution.is_some(), wide.batches_per_execution), (true, None));
        let deep = CARRIERS.choose(2, 30_000).unwrap();
        assert_eq!((deep.peers_per_execution, deep.batches_per_execution), (None, Some(1_000)));
        assert_eq!(CARRIERS.choose(1_000_000, 1_000_000), None);
    }

    #[test]
    fn every_choice_keeps_every_history_in_bounds() {
        for peers in [1, 4, 40, 100, 1_000, 5_000] {
            for batches in [0, 1, 3, 250, 999, 1_000, 1_001, 5_000] {
                let Some(choice) = CARRIERS.choose(peers, batches) else {
                    continue;
                };
                let peer = CARRIERS.peer(batches, choice.batches_per_execution);
                if let Some(range) = choice.batches_per_execution {
                    assert!(
                        CARRIERS.child_fixed + u64::from(range) * CARRIERS.batch <= CARRIERS.history_limit
                    );
                }
                let members = u64::from(choice.peers_per_execution.unwrap_or(peers));
                assert!(CARRIERS.child_fixed + members * peer <= CARRIERS.history_limit);
            }
        }
    }

    #[test]
    fn ranges_cover_the_batches_without_gaps() {
        let choice = super::Choice { peers_per_execution: Some(2), batches_per_execution: Some(4) };
        let Batches::Child { ranges } = Batches::carried(3, 12, choice) else {
            panic!("not carried by children")
        };
        let expected = [(3, 6), (7, 10), (11, 12)].map(|(first, last)| Range { first, last });
        assert_eq!(ranges, expected);
        let members: Vec<_> =
            (1..=5).map(|peer| Member { peer, probe: false, batches: Batches::None }).collect();
        let fanout = Fanout::carried(members.clone(), choice, 100);
        assert_eq!(fanout.members().cloned().collect::<Vec<_>>(), members);
        let Fanout::Child { at_once, groups } = fanout else { panic!("not carried by children") };
        assert_eq!((at_once, groups.len()), (AtOnce { groups: 3, peers: 2, ranges: 1, batches: 1 }, 3));
        let carried =
            |count: u32| Member { peer: 1, probe: false, batches: Batches::carried(5, 4 + count, choice) };
        let Fanout::Child { at_once, .. } =
            Fanout::carried(vec![carried(9), carried(10), carried(2)], choice, 7)
        else {
            panic!("not carried by children")
        };
        assert_eq!(at_once, AtOnce { groups: 2, peers: 2, ranges: 1, batches: 1 }, "seven at once");
        assert_eq!(
            serde_json::to_value(&members[0]).unwrap(),
            serde_json::json!({"peer": 1, "batches": "none"})
        );
    }
}
