//! Views of a round's members. The first is who published. Where so few of its members could read all of it that the
//! quorum has no replica, a second one is decided, once, from who could read whom: the largest set of members all of
//! which read one another. What comes of the exchange in a later view stands under keys of its own
//! ([`crate::keys::in_view`]), so it cannot be confused with what some members made of the first one.
//!
//! Source: the term is that of Birman and Joseph, "Exploiting Virtual Synchrony in Distributed Systems" (SOSP 1987);
//! that only a side with the quorum goes on, of Davidson, Garcia-Molina and Skeen, "Consistency in Partitioned
//! Networks" (ACM Computing Surveys 1985), section 3.

use crate::digest::{hex, unhex};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The first view.
pub const FIRST: u32 = 1;
/// The last one: what fails in it ends the run.
pub const LAST: u32 = 2;
/// Members of a round at the most for a second view: what each can read is told in 32 bytes, because the reports of
/// all are carried from state to state.
pub const MEMBERS: usize = 256;

pub(crate) const fn first() -> u32 {
    FIRST
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
pub(crate) const fn is_first(view: &u32) -> bool {
    *view == FIRST
}

/// Whose contributions a member can read, by their places in the list of members: 64 hexadecimal digits, a bit each,
/// the lowest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Reached([u8; MEMBERS / 8]);

/// The text is no [`Reached`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("what a member reaches is told in 64 hexadecimal digits")]
pub struct NotReached;

impl TryFrom<String> for Reached {
    type Error = NotReached;

    fn try_from(text: String) -> Result<Self, NotReached> {
        unhex(&text).map(Self).ok_or(NotReached)
    }
}

impl From<Reached> for String {
    fn from(reached: Reached) -> Self {
        hex(&reached.0)
    }
}

impl Reached {
    /// From whether each place of the list is reached; `None` where it has more than [`MEMBERS`].
    #[must_use]
    pub fn of(places: &[bool]) -> Option<Self> {
        let mut bytes = [0; MEMBERS / 8];
        for (place, _) in places.iter().enumerate().filter(|(_, reached)| **reached) {
            *bytes.get_mut(place / 8)? |= 1 << (place % 8);
        }
        (places.len() <= MEMBERS).then_some(Self(bytes))
    }

    /// The members of the list that are reached.
    #[must_use]
    pub fn of_members(&self, members: &[u32]) -> BTreeSet<u32> {
        let is_set = |place: usize| self.0.get(place / 8).is_some_and(|byte| byte >> (place % 8) & 1 == 1);
        members.iter().enumerate().filter(|(place, _)| is_set(*place)).map(|(_, peer)| *peer).collect()
    }
}

/// A set of peers all of which reach one another, ascending, as large as is found: from each peer on that is in none of
/// the sets so far, the one that reaches most of those still possible is added, the lowest of equals. Of equally large
/// sets it is the first found. With groups that reach none of one another, and any number of peers that reach all, it
/// is the largest there is.
#[must_use]
pub fn agreeing(reached: &BTreeMap<u32, BTreeSet<u32>>) -> Vec<u32> {
    let both = |one: u32, other: u32| {
        let reads = |one: &u32, other: &u32| reached.get(one).is_some_and(|of| of.contains(other));
        one != other && reads(&one, &other) && reads(&other, &one)
    };
    let beside: BTreeMap<u32, BTreeSet<u32>> = reached
        .keys()
        .map(|peer| (*peer, reached.keys().copied().filter(|other| both(*peer, *other)).collect()))
        .collect();
    let (mut largest, mut seen) = (Vec::new(), BTreeSet::new());
    for (start, of_start) in &beside {
        if seen.contains(start) {
            continue;
        }
        let (mut set, mut possible) = (vec![*start], of_start.clone());
        loop {
            let among = |peer: &u32| beside.get(peer).map_or(0, |of| of.intersection(&possible).count());
            // Descending, because the last of equals is the one that `max_by_key` gives.
            let Some(next) = possible.iter().rev().copied().max_by_key(among) else { break };
            set.push(next);
            if let Some(of_next) = beside.get(&next) {
                possible = possible.intersection(of_next).copied().collect();
            }
        }
        seen.extend(set.iter().copied());
        if set.len() > largest.len() {
            largest = set;
        }
    }
    largest.sort_unstable();
    largest
}

#[cfg(test)]
mod tests {
    use super::{MEMBERS, Reached, agreeing};
    use std::collections::{BTreeMap, BTreeSet};

    /// What each of `peers` reaches where `groups` do not reach one another, and peers of no group reach all.
    fn parted(peers: u32, groups: &[&[u32]]) -> BTreeMap<u32, BTreeSet<u32>> {
        let group = |peer: u32| groups.iter().position(|group| group.contains(&peer));
        let reaches = |one: u32, other: u32| match (group(one), group(other)) {
            (Some(one), Some(other)) => one == other,
            _ => true,
        };
        let of = |one: u32| (1..=peers).filter(|other| reaches(one, *other)).collect();
        (1..=peers).map(|peer| (peer, of(peer))).collect()
    }

    #[test]
    fn the_largest_side_goes_on_with_all_that_reach_it() {
        assert_eq!(agreeing(&parted(4, &[])), [1, 2, 3, 4]);
        assert_eq!(agreeing(&parted(4, &[&[1], &[2, 3, 4]])), [2, 3, 4]);
        assert_eq!(agreeing(&parted(4, &[&[1, 2], &[3, 4]])), [1, 2], "of equal sides that of the lowest");
        assert_eq!(agreeing(&parted(7, &[&[1, 2], &[4, 6, 7]])), [3, 4, 5, 6, 7]);
        assert_eq!(agreeing(&parted(6, &[&[1], &[2, 3], &[4, 5, 6]])), [4, 5, 6]);
        assert_eq!(agreeing(&BTreeMap::new()), [0_u32; 0]);
    }

    #[test]
    fn who_is_not_read_is_left_out_though_it_reads_all() {
        let mut reached = parted(4, &[]);
        for of in reached.iter_mut().filter(|(peer, _)| **peer != 2).map(|(_, of)| of) {
            of.remove(&2);
        }
        assert_eq!(agreeing(&reached), [1, 3, 4]);
        reached.remove(&3);
        assert_eq!(agreeing(&reached), [1, 4], "who tells nothing is left out");
    }

    #[test]
    fn what_is_reached_comes_back_from_its_text() {
        let members = [2, 3, 5, 8, 13, 21, 34, 55, 89];
        let places: Vec<bool> = members.iter().map(|peer| peer % 2 == 1).collect();
        let reached = Reached::of(&places).unwrap();
        let text = serde_json::to_string(&reached).unwrap();
        assert_eq!(text.len(), 66, "{text}");
        let back: Reached = serde_json::from_str(&text).unwrap();
        assert_eq!(back.of_members(&members), BTreeSet::from([3, 5, 13, 21, 55, 89]));
        assert!(serde_json::from_str::<Reached>("\"ff\"").is_err());
        assert_eq!(
            Reached::of(&vec![true; MEMBERS]).unwrap().of_members(&(1..=256).collect::<Vec<_>>()).len(),
            256
        );
        assert_eq!(Reached::of(&vec![false; MEMBERS + 1]), None);
    }
}
