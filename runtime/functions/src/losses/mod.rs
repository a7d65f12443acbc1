//! The losses, one file each: a loss for each sample, whose mean is minimised.

mod cross_entropy;
mod hinge;

use crate::torch::total;
use stepgrad_contract::progress::Sums;
use stepgrad_contract::training::Loss;
use tch::{TchError, Tensor};

/// The loss of each sample, `[samples]`, from its scores, `[samples, classes]`, and its class, `[samples]`.
///
/// # Errors
/// What libtorch refuses.
pub fn of_samples(loss: Loss, scores: &Tensor, classes: &Tensor) -> Result<Tensor, TchError> {
    match loss {
        Loss::CrossEntropy => cross_entropy::of_samples(scores, classes),
        Loss::Hinge => hinge::of_samples(scores, classes),
    }
}

/// What [`of_samples`] comes to, and how many samples have their highest score at their class.
///
/// # Errors
/// What libtorch refuses.
pub fn sums(losses: &Tensor, scores: &Tensor, classes: &Tensor) -> Result<Sums, TchError> {
    let right = scores.f_argmax(1, false)?.f_eq_tensor(classes)?;
    Ok(Sums {
        samples: losses.numel() as u64,
        loss: total(&losses.f_detach()?)?,
        correct: u64::try_from(right.f_sum(tch::Kind::Int64)?.f_int64_value(&[])?).unwrap_or_default(),
    })
}
