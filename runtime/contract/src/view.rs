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

/// The largest set of peers all of which reach one another, ascending; of equally large ones the first that is found, which
/// begins with the lowest peer where they have none in common.
///
/// That is a maximum clique, which no known algorithm finds in bounded time for every graph: the search is given up after
/// [`STEPS`] and then gives the largest set so far. Groups that reach none of one another, and what a few lost messages leave,
/// take far fewer.
///
/// Source: Tomita and Seki, "An Efficient Branch-and-Bound Algorithm for Finding a Maximum Clique" (DMTCS 2003).
#[must_use]
pub fn agreeing(reached: &BTreeMap<u32, BTreeSet<u32>>) -> Vec<u32> {
    let peers: Vec<u32> = reached.keys().copied().collect();
    let reads = |one: &u32, other: &u32| reached.get(one).is_some_and(|of| of.contains(other));
    let beside = |one: &u32| {
        let both = |other: &u32| one != other && reads(one, other) && reads(other, one);
        Places::of(peers.iter().map(both))
    };
    let mut search = Search { beside: peers.iter().map(beside).collect(), largest: Vec::new(), left: STEPS };
    search.greedy();
    search.extend(&mut Vec::new(), Places::of(peers.iter().map(|_| true)));
    search.largest.sort_unstable();
    search.largest.iter().filter_map(|place| peers.get(*place).copied()).collect()
}

/// Sets that are looked at in the search at the most.
const STEPS: u32 = 100_000;

/// A set of places in the list of peers, a bit each.
#[derive(Debug, Clone)]
struct Places(Vec<u64>);

impl Places {
    fn of(places: impl ExactSizeIterator<Item = bool>) -> Self {
        let mut words = vec![0; places.len().div_ceil(64)];
        for (place, _) in places.enumerate().filter(|(_, is_in)| *is_in) {
            if let Some(word) = words.get_mut(place / 64) {
                *word |= 1 << (place % 64);
            }
        }
        Self(words)
    }

    fn and(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(one, other)| one & other).collect())
    }

    fn without(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(one, other)| one & !other).collect())
    }

    fn remove(&mut self, place: usize) {
        if let Some(word) = self.0.get_mut(place / 64) {
            *word &= !(1 << (place % 64));
        }
    }

    fn count(&self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }

    fn lowest(&self) -> Option<usize> {
        let (word, bits) = self.0.iter().enumerate().find(|(_, bits)| **bits != 0)?;
        Some(word * 64 + bits.trailing_zeros() as usize)
    }

    fn each(&self) -> impl Iterator<Item = usize> {
        let mut left = self.clone();
        std::iter::from_fn(move || {
            let place = left.lowest()?;
            left.remove(place);
            Some(place)
        })
    }
}

/// A search for the largest set.
struct Search {
    /// By place: who reaches it and is reached by it.
    beside: Vec<Places>,
    largest: Vec<usize>,
    left: u32,
}

impl Search {
    fn beside(&self, place: usize) -> Places {
        self.beside.get(place).cloned().unwrap_or(Places(Vec::new()))
    }

    /// From each peer on, the one that reaches most of those still possible is added, the lowest of equals: where few messages are
    /// missing, that is the largest set already.
    fn greedy(&mut self) {
        for start in 0..self.beside.len() {
            let (mut set, mut possible) = (vec![start], self.beside(start));
            loop {
                let among = |place: &usize| self.beside(*place).and(&possible).count();
                let Some(next) =
                    possible.each().max_by_key(|place| (among(place), std::cmp::Reverse(*place)))
                else {
                    break;
                };
                set.push(next);
                possible = possible.and(&self.beside(next));
            }
            if set.len() > self.largest.len() {
                self.largest = set;
            }
        }
    }

    /// Looks for larger sets that hold `set` and otherwise only some of `possible`.
    fn extend(&mut self, set: &mut Vec<usize>, mut possible: Places) {
        if set.len() > self.largest.len() {
            self.largest.clone_from(set);
        }
        // The last has the most colours, and what comes before it no more than it.
        for (place, colours) in self.coloured(&possible).into_iter().rev() {
            self.left = self.left.saturating_sub(1);
            if self.left == 0 || set.len() + colours <= self.largest.len() {
                return;
            }
            set.push(place);
            let next = possible.and(&self.beside(place));
            self.extend(set, next);
            let _ = set.pop();
            possible.remove(place);
        }
    }

    /// The places, each with the number of its colour, ascending: of one colour are such as do not reach one another, so a set
    /// among places of so many colours is no larger than that.
    fn coloured(&self, places: &Places) -> Vec<(usize, usize)> {
        let (mut left, mut coloured, mut colour) = (places.clone(), Vec::new(), 0);
        while left.lowest().is_some() {
            colour += 1;
            let mut may = left.clone();
            while let Some(place) = may.lowest() {
                coloured.push((place, colour));
                left.remove(place);
                may.remove(place);
                may = may.without(&self.beside(place));
            }
        }
        coloured
    }
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
    fn two_partitions_at_once_leave_the_largest_set() {
        let mut reached = parted(6, &[&[1], &[4, 5]]);
        let other = parted(6, &[&[3], &[2, 6]]);
        for (peer, of) in &mut reached {
            of.retain(|of| other[peer].contains(of));
        }
        assert_eq!(agreeing(&reached), [2, 4, 5, 6]);
    }

    /// The peers that reach one another by the bits of `graph`, a bit for each pair.
    fn of_bits(peers: u32, mut graph: u64) -> BTreeMap<u32, BTreeSet<u32>> {
        let mut reached: BTreeMap<u32, BTreeSet<u32>> =
            (1..=peers).map(|peer| (peer, [peer].into())).collect();
        for one in 1..=peers {
            for other in one + 1..=peers {
                if graph & 1 == 1 {
                    reached.entry(one).or_default().insert(other);
                    reached.entry(other).or_default().insert(one);
                }
                graph >>= 1;
            }
        }
        reached
    }

    #[test]
    fn of_every_six_peers_the_largest_set_is_found() {
        for graph in 0..1 << 15 {
            let reached = of_bits(6, graph);
            let agree = |set: u32| {
                let of = |peer: u32| (set >> (peer - 1)) & 1 == 1;
                (1..=6)
                    .all(|one| (1..=6).all(|other| !of(one) || !of(other) || reached[&one].contains(&other)))
            };
            let largest = (0_u32..64).filter(|set| agree(*set)).map(u32::count_ones).max().unwrap();
            let found = agreeing(&reached);
            assert_eq!(found.len() as u32, largest, "{reached:?}");
            assert!(agree(found.iter().fold(0, |set, peer| set | 1 << (peer - 1))));
        }
    }

    #[test]
    fn a_search_without_end_is_given_up() {
        // Every peer is missing a few of the others, in no order.
        let pair = |one: u32, other: u32| (one.min(other) * 7919 + one.max(other) * 104_729) % 11 > 2;
        let peers = 1..=MEMBERS as u32;
        let of = |one: u32| peers.clone().filter(|other| one == *other || pair(one, *other)).collect();
        let reached: BTreeMap<u32, BTreeSet<u32>> = peers.clone().map(|one| (one, of(one))).collect();
        let found = agreeing(&reached);
        assert!(found.len() > 8, "{}", found.len());
        assert!(found.iter().all(|one| found.iter().all(|other| reached[one].contains(other))));
        assert_eq!(found, agreeing(&reached), "the same each time");
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
