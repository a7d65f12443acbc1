//! What is decided after a round from what was measured: the learning rate, and whether the training ends.

use std::collections::{BTreeMap, BTreeSet};
use stepgrad_contract::ErrorKind;
use stepgrad_contract::progress::{Away, Lost, Metrics, Progress, Stop, Sums};
use stepgrad_contract::training::{ReduceLrOnPlateau, Target, Training};

/// What was measured in a round.
pub(super) struct Measured {
    pub(super) round: u32,
    /// Epochs completed after it.
    pub(super) epochs: u32,
    /// Whether an epoch ended with the round before, or with this one.
    pub(super) starts_epoch: bool,
    pub(super) ends_epoch: bool,
    /// Whether all epochs are done.
    pub(super) is_last: bool,
    pub(super) training: Sums,
    /// Measured now; at an epoch's end only.
    pub(super) validation: Option<Metrics>,
    pub(super) replica: String,
    /// Peers that have it.
    pub(super) holders: Vec<u32>,
    /// The view it was exchanged in.
    pub(super) view: u32,
    /// Peers that were lost in the round, in their work or in the exchange.
    pub(super) lost: Vec<Lost>,
}

/// The state after the round. Rate and end are decided where an epoch ends, by the loss on the held-out set,
/// or without one by the training's mean over the epoch.
pub(super) fn decide(training: &Training, before: &Progress, measured: Measured) -> Progress {
    let mut epoch_training = if measured.starts_epoch { Sums::default() } else { before.epoch_training };
    epoch_training.add(&measured.training);
    let (away, gone) = absent(training, before, measured.round, &measured.lost);
    let mut after = Progress {
        round: measured.round,
        epochs: measured.epochs,
        training: measured.training.metrics(),
        validation: measured.validation.or(before.validation),
        epoch_training,
        replica: measured.replica,
        holders: measured.holders,
        view: measured.view,
        away,
        gone,
        stop: None,
        ..before.clone()
    };
    let judged = measured.validation.or_else(|| epoch_training.metrics());
    if let Some(metrics) = judged.filter(|_| measured.ends_epoch) {
        if let Some(plateau) = &training.reduce_lr_on_plateau {
            reduce_on_plateau(plateau, metrics.loss, &mut after);
        }
        if after.best_loss.is_none_or(|best| metrics.loss < best) {
            (after.best_loss, after.bad) = (Some(metrics.loss), 0);
        } else {
            after.bad += 1;
        }
        let tired = |patience: u32| after.bad >= patience.max(1);
        after.stop = if training.target.as_ref().is_some_and(|target| reached(target, metrics)) {
            Some(Stop::Target)
        } else if training.early_stopping.as_ref().is_some_and(|stopping| tired(stopping.patience)) {
            Some(Stop::EarlyStopping)
        } else {
            None
        };
    }
    after.stop = after.stop.or_else(|| measured.is_last.then_some(Stop::Epochs));
    after
}

/// Who is away after a round and may come back, and who is gone: who has said so, and who was away too long.
fn absent(training: &Training, before: &Progress, round: u32, lost: &[Lost]) -> (Vec<Away>, Vec<u32>) {
    let mut away = BTreeMap::new();
    let mut gone: BTreeSet<u32> = before.gone.iter().copied().collect();
    for Lost { peer, error } in lost {
        let known = before.away.iter().find(|away| away.peer == *peer);
        let since = known.map_or(round, |away| away.since);
        let rounds = round.saturating_sub(since).saturating_add(1);
        if *error == ErrorKind::PeerLeft.name()
            || training.gone_after_rounds.is_some_and(|most| rounds >= most)
        {
            gone.insert(*peer);
        } else {
            away.insert(*peer, Away { peer: *peer, since });
        }
    }
    (away.into_values().collect(), gone.into_iter().collect())
}

/// PyTorch's `ReduceLROnPlateau`: mode min, relative threshold 1e-4, no cooldown, eps 1e-8.
fn reduce_on_plateau(plateau: &ReduceLrOnPlateau, loss: f64, progress: &mut Progress) {
    if progress.plateau_best.is_none_or(|best| loss < best * (1.0 - 1e-4)) {
        (progress.plateau_best, progress.plateau_bad) = (Some(loss), 0);
    } else {
        progress.plateau_bad += 1;
    }
    if progress.plateau_bad > plateau.patience {
        let lowered = (progress.learning_rate * plateau.factor).max(plateau.min_learning_rate);
        if progress.learning_rate - lowered > 1e-8 {
            progress.learning_rate = lowered;
        }
        progress.plateau_bad = 0;
    }
}

/// Whether all that is named is reached.
fn reached(target: &Target, metrics: Metrics) -> bool {
    let accurate = target.accuracy.is_none_or(|accuracy| metrics.accuracy >= accuracy);
    let low = target.loss.is_none_or(|loss| metrics.loss <= loss);
    accurate && low && (target.accuracy.is_some() || target.loss.is_some())
}

#[cfg(test)]
mod tests {
    use super::{reached, reduce_on_plateau};
    use stepgrad_contract::progress::{Metrics, Progress};
    use stepgrad_contract::training::{ReduceLrOnPlateau, Target};

    /// As `torch.optim.lr_scheduler.ReduceLROnPlateau(factor=0.5, patience=1, min_lr=0.03)` from 0.1 on.
    #[test]
    fn the_rate_falls_after_more_bad_losses_than_the_patience() {
        let plateau = ReduceLrOnPlateau { factor: 0.5, patience: 1, min_learning_rate: 0.03 };
        let mut progress = Progress::start(0.1);
        // 0.99995 is not better by the threshold.
        let losses = [1.0, 0.99995, 1.1, 0.9, 0.95, 0.95, 0.95, 0.95, 0.95];
        let expected = [0.1, 0.1, 0.05, 0.05, 0.05, 0.03, 0.03, 0.03, 0.03];
        for (loss, expected) in losses.into_iter().zip(expected) {
            reduce_on_plateau(&plateau, loss, &mut progress);
            assert_eq!(progress.learning_rate, expected, "after {loss}");
        }
    }

    #[test]
    fn a_target_is_all_that_is_named() {
        let metrics = Metrics { loss: 0.2, accuracy: 0.95 };
        let target = |accuracy, loss| Target { accuracy, loss };
        assert!(reached(&target(Some(0.95), None), metrics));
        assert!(reached(&target(Some(0.9), Some(0.2)), metrics));
        assert!(!reached(&target(Some(0.9), Some(0.1)), metrics));
        assert!(!reached(&target(Some(0.96), Some(0.3)), metrics));
        assert!(!reached(&target(None, None), metrics));
    }
}
