//! Which of its batches a peer works on in which round, and where epochs end.
//!
//! With `Batches(k)` an epoch has as many rounds as the largest shard needs, and round j of it takes places
//! (j−1)·k+1 to j·k of each peer's order of batches, as far as the peer has them; a smaller shard has rounds
//! without any. With `Epochs(k)` a round is whole passes. A place counts on through the `local_epochs` passes
//! of an epoch of model averaging: with n batches, place n+1 is the first of the second pass.

use crate::manifest::Manifest;
use crate::training::{Algorithm, Every, Training};
use crate::{ErrorKind, FunctionError};

/// The rounds of a training.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// Batches of each peer.
    shards: Vec<u32>,
    epochs: u32,
    /// Passes over the shard in an epoch.
    passes: u32,
    every: Every,
}

/// One peer's work in a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Work {
    /// The epoch of the first place, from 1.
    pub epoch: u32,
    /// The first place in the epoch's order; beyond `last` where there is none.
    pub first: u32,
    /// The last place; with `Epochs(k)` places count on through the round's epochs.
    pub last: u32,
}

impl Work {
    /// The places in ascending order.
    pub fn places(&self) -> impl Iterator<Item = u32> + use<> {
        self.first..=self.last
    }
}

impl Schedule {
    /// The schedule of `training` on the shards of `manifest`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidEvent`] for a combination that means nothing; [`ErrorKind::LimitExceeded`] where
    /// the places of a round cannot be counted.
    pub fn new(training: &Training, manifest: &Manifest) -> Result<Self, FunctionError> {
        let invalid = |why: &str| Err(FunctionError::new(ErrorKind::InvalidEvent, why));
        let passes = match training.algorithm {
            Algorithm::GradientAveraging if training.local_epochs != 1 => {
                return invalid("gradient averaging makes one pass an epoch: set local_epochs to 1");
            }
            Algorithm::GradientAveraging if matches!(training.every, Every::Epochs(epochs) if epochs != 1) => {
                return invalid(
                    "gradient averaging exchanges every epoch or every few batches: several epochs at the same parameters give the same gradient; use every: epoch, every: {batches: k} or algorithm: model_averaging",
                );
            }
            _ => training.local_epochs,
        };
        if training.epochs == 0
            || passes == 0
            || matches!(training.every, Every::Batches(0) | Every::Epochs(0))
        {
            return invalid("epochs, local_epochs and exchange.every count from 1");
        }
        let schedule = Self {
            shards: manifest.shards.iter().map(|shard| shard.batches).collect(),
            epochs: training.epochs,
            passes,
            every: training.every,
        };
        let epochs = match schedule.every {
            Every::Batches(_) => 1,
            Every::Epochs(epochs) => u64::from(epochs.min(schedule.epochs)),
        };
        let places = u64::from(manifest.largest_shard()) * u64::from(passes) * epochs;
        let rounds = u64::from(schedule.rounds_per_epoch()) * u64::from(schedule.epochs);
        if places > u64::from(u32::MAX) || rounds > u64::from(u32::MAX) {
            let message = format!("{rounds} rounds of up to {places} batches are more than can be counted");
            return Err(FunctionError::new(ErrorKind::LimitExceeded, message));
        }
        Ok(schedule)
    }

    /// Rounds in an epoch; 1 where a round has several epochs.
    #[must_use]
    pub fn rounds_per_epoch(&self) -> u32 {
        match self.every {
            Every::Batches(batches) => {
                let largest = self.shards.iter().copied().max().unwrap_or(0);
                largest.saturating_mul(self.passes).div_ceil(batches.max(1)).max(1)
            }
            Every::Epochs(_) => 1,
        }
    }

    /// Epochs completed after `round`.
    #[must_use]
    pub fn epochs_after(&self, round: u32) -> u32 {
        match self.every {
            Every::Batches(_) => round / self.rounds_per_epoch(),
            Every::Epochs(epochs) => round.saturating_mul(epochs).min(self.epochs),
        }
    }

    /// Whether an epoch ends with `round`; round 0 stands before the first.
    #[must_use]
    pub fn ends_epoch(&self, round: u32) -> bool {
        round.is_multiple_of(self.rounds_per_epoch())
    }

    /// Whether all epochs are done after `round`.
    #[must_use]
    pub fn is_last(&self, round: u32) -> bool {
        self.epochs_after(round) >= self.epochs
    }

    /// The last round.
    #[must_use]
    pub fn last_round(&self) -> u32 {
        match self.every {
            Every::Batches(_) => self.rounds_per_epoch().saturating_mul(self.epochs),
            Every::Epochs(epochs) => self.epochs.div_ceil(epochs.max(1)),
        }
    }

    /// The first and the last round in which some batch of `epoch` is worked on.
    #[must_use]
    pub fn rounds_of(&self, epoch: u32) -> (u32, u32) {
        match self.every {
            Every::Batches(_) => {
                let rounds = self.rounds_per_epoch();
                (
                    epoch.saturating_sub(1).saturating_mul(rounds).saturating_add(1),
                    epoch.saturating_mul(rounds),
                )
            }
            Every::Epochs(epochs) => {
                let round = epoch.div_ceil(epochs.max(1));
                (round, round)
            }
        }
    }

    /// The highest place that any peer works on in any round.
    #[must_use]
    pub fn last_place(&self) -> u32 {
        let peers = 1..=u32::try_from(self.shards.len()).unwrap_or(u32::MAX);
        let rounds = 1..=self.rounds_per_epoch();
        let places = peers.flat_map(|peer| rounds.clone().map(move |round| (round, peer)));
        places.map(|(round, peer)| self.work(round, peer).last).max().unwrap_or(0)
    }

    /// Batches of a peer's shard; 0 for a peer that is not there.
    #[must_use]
    pub fn batches(&self, peer: u32) -> u32 {
        let place = (peer as usize).checked_sub(1);
        place.and_then(|place| self.shards.get(place)).copied().unwrap_or(0)
    }

    /// What `peer` works on in `round`, both from 1.
    #[must_use]
    pub fn work(&self, round: u32, peer: u32) -> Work {
        let before = round.saturating_sub(1);
        let pass = self.batches(peer).saturating_mul(self.passes);
        match self.every {
            Every::Batches(batches) => {
                let place = before % self.rounds_per_epoch();
                Work {
                    epoch: before / self.rounds_per_epoch() + 1,
                    first: place.saturating_mul(batches).saturating_add(1),
                    last: place.saturating_add(1).saturating_mul(batches).min(pass),
                }
            }
            Every::Epochs(_) => {
                let epochs = self.epochs_after(round).saturating_sub(self.epochs_after(before));
                Work { epoch: self.epochs_after(before) + 1, first: 1, last: pass.saturating_mul(epochs) }
            }
        }
    }

    /// The pass, counted from 1 through the whole training, and the place in it of place `place` of `work`.
    #[must_use]
    pub fn pass(&self, peer: u32, work: Work, place: u32) -> (u32, u32) {
        let batches = self.batches(peer).max(1);
        let before = work.epoch.saturating_sub(1).saturating_mul(self.passes);
        let offset = place.saturating_sub(1);
        (before.saturating_add(offset / batches).saturating_add(1), offset % batches + 1)
    }

    /// Whether a round is whole passes over the shard.
    #[must_use]
    pub fn whole_passes(&self) -> bool {
        matches!(self.every, Every::Epochs(_))
    }
}

#[cfg(test)]
mod tests {
    use super::{Schedule, Work};
    use crate::training::Every;

    fn schedule(shards: &[u32], epochs: u32, passes: u32, every: Every) -> Schedule {
        Schedule { shards: shards.to_vec(), epochs, passes, every }
    }

    #[test]
    fn every_batch_is_taken_once_an_epoch() {
        let schedule = schedule(&[12, 11, 4, 0], 3, 1, Every::Batches(5));
        assert_eq!(schedule.rounds_per_epoch(), 3);
        for epoch in 1..=3 {
            for peer in 1..=4 {
                let rounds = (epoch - 1) * 3 + 1..=epoch * 3;
                let works = rounds.map(|round| schedule.work(round, peer));
                let places: Vec<u32> = works
                    .inspect(|work| assert_eq!(work.epoch, epoch))
                    .flat_map(|work| work.places())
                    .collect();
                assert_eq!(places, (1..=schedule.batches(peer)).collect::<Vec<_>>());
            }
        }
        assert_eq!(
            (1..=9).map(|round| schedule.epochs_after(round)).collect::<Vec<_>>(),
            [0, 0, 1, 1, 1, 2, 2, 2, 3]
        );
        assert_eq!((schedule.is_last(8), schedule.is_last(9)), (false, true));
        assert_eq!((schedule.last_round(), schedule.last_place()), (9, 12));
        assert_eq!((schedule.rounds_of(1), schedule.rounds_of(3)), ((1, 3), (7, 9)));
        assert!(schedule.ends_epoch(0) && schedule.ends_epoch(3) && !schedule.ends_epoch(4));
    }

    #[test]
    fn a_round_of_epochs_takes_whole_passes() {
        let schedule = schedule(&[3, 2], 5, 2, Every::Epochs(2));
        assert_eq!(schedule.work(1, 1), Work { epoch: 1, first: 1, last: 12 });
        assert_eq!(schedule.work(3, 2), Work { epoch: 5, first: 1, last: 4 }, "the last round is shorter");
        assert_eq!((1..=3).map(|round| schedule.epochs_after(round)).collect::<Vec<_>>(), [2, 4, 5]);
        assert_eq!((schedule.last_round(), schedule.last_place()), (3, 12));
        assert_eq!((schedule.rounds_of(4), schedule.rounds_of(5)), ((2, 2), (3, 3)));
        let work = schedule.work(2, 2);
        let passes: Vec<_> = work.places().map(|place| schedule.pass(2, work, place)).collect();
        assert_eq!(passes, [(5, 1), (5, 2), (6, 1), (6, 2), (7, 1), (7, 2), (8, 1), (8, 2)]);
    }

    #[test]
    fn rounds_of_batches_run_on_through_local_epochs() {
        let schedule = schedule(&[3], 1, 2, Every::Batches(4));
        assert_eq!(schedule.rounds_per_epoch(), 2);
        let work = schedule.work(2, 1);
        assert_eq!(
            work.places().map(|place| schedule.pass(1, work, place)).collect::<Vec<_>>(),
            [(2, 2), (2, 3)]
        );
    }
}
