//! The mean of updates that are shortened to a longest length: Sun, Kairouz, Suresh and McMahan, "Can You Really
//! Backdoor Federated Learning?", 2019, section 4 (norm thresholding of updates), with a given length; or with a
//! multiple of the median of the round's lengths, as in Geyer, Klein and Nabi, "Differentially Private Federated
//! Learning: A Client Level Perspective", 2017, section 3. Not the centred clipping of Karimireddy, He and Jaggi
//! (ICML 2021), which clips around a point that moves and needs a state.
//!
//! An update of length l beyond the longest L is multiplied by L / l. No contribution is left out; each moves the
//! mean by L / n at the most. So it has no number of peers at which it breaks down, and does not bear a steady
//! push by many; the median of the lengths is honest as long as fewer than half are Byzantine.
//!
//! An update is the gradient, or the difference to what the round starts from: of parameters under model
//! averaging, and of buffers always. Contributions count alike.
//!
//! Told are those that were shortened, with their length over the longest.

use super::{Contribution, Ground, Outcome, chunks, distances};
use stepgrad_contract::aggregation::Clip;
use stepgrad_contract::anomaly::{Anomaly, Why};
use stepgrad_contract::{ErrorKind, FunctionError};

/// What is said where a tensor that needs an origin has none of its size.
const MISSING_ORIGIN: &str = "the round's start is of another model than what peers published";

#[expect(clippy::cast_precision_loss, reason = "counts of peers stay far below 2^53")]
pub(super) fn aggregate(
    contributions: &[Contribution],
    clip: Clip,
    ground: &dyn Ground,
) -> Result<Outcome, FunctionError> {
    let form = contributions.iter().flat_map(|contribution| &contribution.file.tensors);
    for (name, tensor) in form {
        if ground.origin(name).is_some_and(|origin| origin.data.len() != tensor.data.len()) {
            return Err(FunctionError::new(ErrorKind::InvalidModel, MISSING_ORIGIN));
        }
    }
    let lengths = lengths(contributions, ground);
    let longest = match clip {
        Clip::Threshold(longest) => longest,
        Clip::MedianMultiple(multiple) => multiple * distances::lower_median(&lengths),
    };
    let factors: Vec<f64> =
        lengths.iter().map(|length| if *length > longest { longest / length } else { 1.0 }).collect();
    let count = contributions.len() as f64;
    let mut origin = Vec::new();
    let tensors = chunks::combined(contributions, |place, rows, values| {
        let length = rows.first().map_or(0, Vec::len);
        origin.clear();
        if let Some(tensor) = ground.origin(place.name) {
            chunks::read(tensor, place.start, length, &mut origin);
        }
        for column in 0..length {
            let from = origin.get(column).copied().unwrap_or(0.0);
            let moved: f64 =
                rows.iter().zip(&factors).map(|(row, factor)| (row[column] - from) * factor).sum();
            values.push(from + moved / count);
        }
    });
    let clipped = contributions.iter().zip(&lengths).filter(|(_, length)| **length > longest);
    let anomalous = clipped
        .map(|(contribution, length)| Anomaly::new(contribution.peer, Why::Clipped, Some(length / longest)))
        .collect();
    Ok(Outcome { tensors, anomalous })
}

/// The Euclidean length of each update.
pub(super) fn lengths(contributions: &[Contribution], ground: &dyn Ground) -> Vec<f64> {
    let mut sums = vec![0.0; contributions.len()];
    let mut origin = Vec::new();
    chunks::each(contributions, |place, rows| {
        origin.clear();
        if let Some(tensor) = ground.origin(place.name) {
            chunks::read(tensor, place.start, rows.first().map_or(0, Vec::len), &mut origin);
        }
        for (sum, row) in sums.iter_mut().zip(rows) {
            let from = |column: usize| origin.get(column).copied().unwrap_or(0.0);
            *sum += row
                .iter()
                .enumerate()
                .map(|(column, value)| (value - from(column)) * (value - from(column)))
                .sum::<f64>();
        }
    });
    sums.iter().map(|sum| sum.sqrt()).collect()
}
