//! The geometric median, the point with the least sum of distances to all: Chen, Su and Xu, "Distributed
//! Statistical Machine Learning in Adversarial Settings: Byzantine Gradient Descent", POMACS 2017, section 2,
//! computed by the smoothed Weiszfeld algorithm of RFA (Pillutla, Kakade and Harchaoui, "Robust Aggregation for
//! Federated Learning", IEEE TSP 2022, Algorithm 2): weights 1 / max(ν, distance), the weighted mean, and again.
//!
//! Bears fewer than half of the contributions. Chen et al. take the median of means of groups; here each
//! contribution is a group of its own, which bears most. They count alike: RFA's weights by samples would be what
//! a Byzantine peer claims. Under model averaging models are taken as they are, for the median moves along with
//! all points.
//!
//! It starts from the median of each coordinate, which no Byzantine minority moves far, where the mean of papers
//! can be anywhere; ν is 10⁻⁶ of the usual distance from it. It ends where the distances of the nearer half change by
//! less than 10⁻⁹ of their sum, after 100 rounds at the latest. Only the weights are kept from round to round, not the point.
//!
//! Told are those more than twice as far from it as is usual in the round.

use super::coordinate_median::medians;
use super::{Contribution, Outcome, chunks, distances};

const ROUNDS: usize = 100;
const ENOUGH: f64 = 1e-9;
const SMOOTHING: f64 = 1e-6;

pub(super) fn aggregate(contributions: &[Contribution]) -> Outcome {
    let mut column = Vec::with_capacity(contributions.len());
    let mut far = distances::to_point(contributions, |rows, point| medians(rows, &mut column, point));
    let mut weights = vec![1.0; contributions.len()];
    let nu = SMOOTHING * distances::lower_median(&far);
    if nu == 0.0 {
        // Half of all or more are at one point.
        weights = far.iter().map(|distance| if *distance == 0.0 { 1.0 } else { 0.0 }).collect();
    } else {
        for _ in 0..ROUNDS {
            let before = near(&far);
            weights = far.iter().map(|distance| 1.0 / distance.max(nu)).collect();
            let sum: f64 = weights.iter().sum();
            far = distances::to_point(contributions, |rows, point| {
                for place in 0..rows.first().map_or(0, Vec::len) {
                    point.push(chunks::weighted_at(rows, &weights, place) / sum);
                }
            });
            if (near(&far) - before).abs() <= ENOUGH * before {
                break;
            }
        }
    }
    let tensors = chunks::weighted(contributions, &weights);
    Outcome { tensors, anomalous: distances::distant(contributions, &far) }
}

/// The sum of the distances of the nearer half: one far away would drown in its own rounding how the others move.
fn near(distances: &[f64]) -> f64 {
    let mut sorted = distances.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted.iter().take(sorted.len() / 2 + 1).sum()
}
