//! Euclidean distances between contributions, over all floating-point tensors as one vector. Buffers are part of
//! it, or a Byzantine peer could publish a fine gradient with ruinous buffers.

use super::{Contribution, chunks};
use stepgrad_contract::anomaly::{Anomaly, Why};

/// A contribution is told as far away where its distance is more than this times the median of all.
const FAR: f64 = 2.0;

/// The squared distance between each two contributions; beyond all numbers it is infinite.
pub(super) fn squared(contributions: &[Contribution]) -> Vec<Vec<f64>> {
    let mut all = vec![vec![0.0; contributions.len()]; contributions.len()];
    chunks::each(contributions, |_, rows| {
        for (place, one) in rows.iter().enumerate() {
            for (other_place, other) in rows.iter().enumerate().take(place) {
                let sum: f64 = one.iter().zip(other).map(|(one, other)| (one - other) * (one - other)).sum();
                all[place][other_place] += sum;
                all[other_place][place] += sum;
            }
        }
    });
    all
}

/// The distance of each contribution to the point that `at` gives, chunk by chunk.
pub(super) fn to_point(
    contributions: &[Contribution],
    mut at: impl FnMut(&[Vec<f64>], &mut Vec<f64>),
) -> Vec<f64> {
    let mut sums = vec![0.0; contributions.len()];
    let mut point = Vec::new();
    chunks::each(contributions, |_, rows| {
        point.clear();
        at(rows, &mut point);
        add_squares(&mut sums, rows, &point);
    });
    sums.iter().map(|sum| sum.sqrt()).collect()
}

/// Adds to `sums` the squared distance of each row to a point, of a chunk of both.
pub(super) fn add_squares(sums: &mut [f64], rows: &[Vec<f64>], point: &[f64]) {
    for (sum, row) in sums.iter_mut().zip(rows) {
        *sum += row.iter().zip(point).map(|(value, at)| (value - at) * (value - at)).sum::<f64>();
    }
}

/// The lower median of some numbers.
pub(super) fn lower_median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted.get(sorted.len().saturating_sub(1) / 2).copied().unwrap_or(0.0)
}

/// Who is far from the point that all have these distances to.
pub(super) fn distant(contributions: &[Contribution], distances: &[f64]) -> Vec<Anomaly> {
    let usual = lower_median(distances);
    let far = contributions.iter().zip(distances).filter(|(_, distance)| **distance > FAR * usual);
    far.map(|(contribution, distance)| Anomaly::new(contribution.peer, Why::Distant, Some(distance / usual)))
        .collect()
}
