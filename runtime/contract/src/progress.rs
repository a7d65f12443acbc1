//! What is known after a round.

use crate::view;
use serde::{Deserialize, Serialize};

/// Who took part in a round's exchange.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Members {
    /// The round.
    pub round: u32,
    /// The view of the members that this is.
    #[serde(default = "view::first", skip_serializing_if = "view::is_first")]
    pub view: u32,
    /// Ascending.
    pub members: Vec<u32>,
    /// Peers whose work of this round failed, or that a later view leaves out, ascending.
    pub lost: Vec<Lost>,
}

/// A peer whose work of a round failed for good, or that a later view leaves out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lost {
    /// The peer.
    pub peer: u32,
    /// The error's name.
    pub error: String,
}

impl std::fmt::Display for Lost {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "peer {} ({})", self.peer, self.error)
    }
}

/// What `evaluate` measured and decided after a round. Round 0 has none: see [`Progress::start`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// The round.
    pub round: u32,
    /// Epochs completed.
    pub epochs: u32,
    /// The learning rate of the next round.
    pub learning_rate: f64,
    /// Means over the samples of this round, at the parameters that the gradients were taken at.
    pub training: Option<Metrics>,
    /// On the held-out set; measured where an epoch ends, else that of the last measurement.
    pub validation: Option<Metrics>,
    /// The training's sums since the last epoch's end, for an epoch's own mean.
    pub epoch_training: Sums,
    /// The lowest loss so far at an epoch's end, by the plateau's relative threshold.
    pub plateau_best: Option<f64>,
    /// Evaluations since then.
    pub plateau_bad: u32,
    /// The lowest loss so far at an epoch's end.
    pub best_loss: Option<f64>,
    /// Evaluations since then.
    pub bad: u32,
    /// SHA-256 of the replica's file after this round, the same for every peer.
    pub replica: String,
    /// Peers that have a replica of this round, ascending; none where a server has the only one.
    pub holders: Vec<u32>,
    /// The view of the members that the exchange was settled in: where the replicas are.
    #[serde(default = "view::first", skip_serializing_if = "view::is_first")]
    pub view: u32,
    /// Peers that were left out of this round and may come back, ascending.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub away: Vec<Away>,
    /// Peers that are not called any more, ascending: they have said that they leave, or were away for as many rounds
    /// as the training waits for them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gone: Vec<u32>,
    /// Why the training ends here, if it does.
    pub stop: Option<Stop>,
}

/// A peer that was left out of a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Away {
    /// The peer.
    pub peer: u32,
    /// The first round without it; it was in none since.
    pub since: u32,
}

impl Progress {
    /// The state before the first round.
    #[must_use]
    pub fn start(learning_rate: f64) -> Self {
        Self {
            round: 0,
            epochs: 0,
            learning_rate,
            training: None,
            validation: None,
            epoch_training: Sums::default(),
            plateau_best: None,
            plateau_bad: 0,
            best_loss: None,
            bad: 0,
            replica: String::new(),
            holders: Vec::new(),
            view: view::FIRST,
            away: Vec::new(),
            gone: Vec::new(),
            stop: None,
        }
    }
}

/// Loss and accuracy.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// Mean over the samples.
    pub loss: f64,
    /// Share of the samples classified right, 0 to 1.
    pub accuracy: f64,
}

/// Sums from which means over any set of batches are made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Sums {
    /// Samples.
    pub samples: u64,
    /// Sum of the samples' losses.
    pub loss: f64,
    /// Samples classified right.
    pub correct: u64,
}

impl Sums {
    /// Adds `other`. What a peer claims may be any number: a sum beyond all counts stays at the largest one.
    pub fn add(&mut self, other: &Self) {
        self.samples = self.samples.saturating_add(other.samples);
        self.loss += other.loss;
        self.correct = self.correct.saturating_add(other.correct);
    }

    /// The means; `None` without samples.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts of samples stay far below 2^53")]
    pub fn metrics(&self) -> Option<Metrics> {
        (self.samples > 0).then(|| Metrics {
            loss: self.loss / self.samples as f64,
            accuracy: self.correct as f64 / self.samples as f64,
        })
    }
}

/// Why a training ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stop {
    /// All epochs are done.
    Epochs,
    /// The target is reached.
    Target,
    /// The loss stopped falling.
    EarlyStopping,
}

#[cfg(test)]
mod tests {
    use super::Sums;

    #[test]
    fn no_claim_is_beyond_a_sum() {
        let claim = Sums { samples: u64::MAX, loss: 1.0, correct: u64::MAX };
        let mut sums = Sums { samples: 8, loss: 1.0, correct: 3 };
        sums.add(&claim);
        assert_eq!(sums, Sums { loss: 2.0, ..claim });
    }
}
