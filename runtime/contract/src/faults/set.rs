//! Sets of numbers, as ranges: what a coordinate of a fault can be.

use crate::fanout::Range;
use serde::{Deserialize, Serialize};

/// Numbers from 0 on, as ranges in ascending order that do not touch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Set(Vec<Range>);

impl Set {
    /// The numbers of `ranges`, in any order; those that end before they begin hold nothing.
    #[must_use]
    pub fn new(ranges: impl IntoIterator<Item = Range>) -> Self {
        let mut ranges: Vec<_> = ranges.into_iter().filter(|range| range.first <= range.last).collect();
        ranges.sort_unstable();
        let mut merged: Vec<Range> = Vec::new();
        for range in ranges {
            match merged.last_mut() {
                Some(last) if range.first <= last.last.saturating_add(1) => {
                    last.last = last.last.max(range.last);
                }
                _ => merged.push(range),
            }
        }
        Self(merged)
    }

    /// These numbers.
    #[must_use]
    pub fn of(numbers: impl IntoIterator<Item = u32>) -> Self {
        Self::new(numbers.into_iter().map(|number| Range { first: number, last: number }))
    }

    /// Whether `number` is one of them.
    #[must_use]
    pub fn contains(&self, number: u32) -> bool {
        self.0.iter().any(|range| (range.first..=range.last).contains(&number))
    }

    /// The ranges, ascending.
    #[must_use]
    pub fn ranges(&self) -> &[Range] {
        &self.0
    }

    /// The largest; `None` of an empty set.
    #[must_use]
    pub fn last(&self) -> Option<u32> {
        self.0.last().map(|range| range.last)
    }

    /// The smallest; `None` of an empty set.
    #[must_use]
    pub fn first(&self) -> Option<u32> {
        self.0.first().map(|range| range.first)
    }

    /// Those from `number` on.
    #[must_use]
    pub fn from(&self, number: u32) -> Self {
        Self::new(self.0.iter().map(|range| Range { first: range.first.max(number), ..*range }))
    }
}

#[cfg(test)]
mod tests {
    use super::Set;
    use crate::fanout::Range;

    #[test]
    fn ranges_are_merged_and_searched() {
        let set = Set::new([(7, 9), (1, 2), (3, 4), (6, 5)].map(|(first, last)| Range { first, last }));
        assert_eq!(set.ranges(), [Range { first: 1, last: 4 }, Range { first: 7, last: 9 }]);
        assert!(set.contains(4) && set.contains(7) && !set.contains(5) && !set.contains(0));
        assert_eq!((set.first(), set.last()), (Some(1), Some(9)));
        assert_eq!(set.from(3), Set::of([3, 4, 7, 8, 9]));
        assert_eq!(Set::default().last(), None);
    }
}
