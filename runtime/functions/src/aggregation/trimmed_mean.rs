//! The mean of each coordinate without its smallest and largest values: Yin, Chen, Ramchandran and Bartlett,
//! "Byzantine-Robust Distributed Learning: Towards Optimal Statistical Rates", ICML 2018, Definition 2 and
//! Algorithm 1 (option II). `trim` is the paper's βm: how many are left out at each end.
//!
//! Bears `trim` Byzantine contributions of more than 2·`trim`: what is left of each coordinate then lies between
//! two honest values. Contributions count alike, as in the paper. As with the median, parameters under model
//! averaging are taken as they are.
//!
//! Told is who was left out of most coordinates. Among n alike each is left out of a share 2·`trim`/n of them,
//! one that is always extreme of all; told are those beyond the middle between the two. Coordinates on which all
//! agree do not count, nor does being left out with the value of one that was not.

use super::{Contribution, Outcome, chunks};
use stepgrad_contract::anomaly::{Anomaly, Why};

#[expect(clippy::cast_precision_loss, reason = "counts of coordinates and peers stay far below 2^53")]
pub(super) fn aggregate(contributions: &[Contribution], trim: usize) -> Outcome {
    let kept = contributions.len().saturating_sub(2 * trim);
    let mut column: Vec<(f64, usize)> = Vec::with_capacity(contributions.len());
    let mut left_out = vec![0_u64; contributions.len()];
    let mut coordinates = 0_u64;
    let tensors = chunks::combined(contributions, |_, rows, values| {
        for place in 0..rows.first().map_or(0, Vec::len) {
            column.clear();
            column.extend(rows.iter().enumerate().map(|(peer, row)| (row[place], peer)));
            column.sort_unstable_by(|(one, peer), (other, other_peer)| {
                one.total_cmp(other).then(peer.cmp(other_peer))
            });
            let middle = &column[trim..trim + kept];
            values.push(mean(middle));
            let (Some((low, _)), Some((high, _))) = (middle.first(), middle.last()) else { continue };
            if column.first().map(|(value, _)| value) == column.last().map(|(value, _)| value) {
                continue;
            }
            coordinates += 1;
            let outside = column.iter().filter(|(value, _)| value < low || value > high);
            outside.for_each(|(_, peer)| left_out[*peer] += 1);
        }
    });
    let usual = 2.0 * trim as f64 / contributions.len() as f64;
    let bound = f64::midpoint(1.0, usual);
    let shares = left_out.iter().map(|count| *count as f64 / coordinates.max(1) as f64);
    let told = contributions.iter().zip(shares).filter(|(_, share)| *share > bound);
    let anomalous = told
        .map(|(contribution, share)| Anomaly::new(contribution.peer, Why::Trimmed, Some(share)))
        .collect();
    Outcome { tensors, anomalous }
}

#[expect(clippy::cast_precision_loss, reason = "counts of peers stay far below 2^53")]
fn mean(values: &[(f64, usize)]) -> f64 {
    let sum: f64 = values.iter().map(|(value, _)| value).sum();
    sum / values.len() as f64
}
