//! Krum and multi-Krum: Blanchard, El Mhamdi, Guerraoui and Stainer, "Machine Learning with Adversaries:
//! Byzantine Tolerant Gradient Descent", NeurIPS 2017, section 4 (Krum) and section 6 (multi-Krum).
//!
//! A contribution's score is the sum of its squared distances to the n − f − 2 nearest others; Krum takes the one
//! of the lowest score, multi-Krum the mean of the m lowest. Bears f = `byzantine` contributions of at least
//! 2f + 3. Contributions count alike, as in the paper. Distances do not depend on where the round starts, so under
//! model averaging models are compared as they are.
//!
//! Told are the f of the highest scores: what the rule takes for Byzantine. Where fewer are, honest peers are
//! among them: see their scores.

use super::{Contribution, Outcome, chunks, distances};
use stepgrad_contract::anomaly::{Anomaly, Why};

pub(super) fn aggregate(contributions: &[Contribution], byzantine: usize, select: usize) -> Outcome {
    let scores = scores(&distances::squared(contributions), byzantine);
    let mut ranks: Vec<usize> = (0..contributions.len()).collect();
    // Contributions stand in ascending order of peers, so of equals the lowest peer comes first.
    ranks.sort_by(|one, other| scores[*one].total_cmp(&scores[*other]).then(one.cmp(other)));
    let mut chosen: Vec<usize> = ranks.iter().copied().take(select).collect();
    chosen.sort_unstable();
    let chosen: Vec<Contribution> = chosen.into_iter().map(|place| contributions[place].clone()).collect();
    let tensors = chunks::weighted(&chosen, &vec![1.0; chosen.len()]);
    let mut worst: Vec<usize> = ranks.into_iter().rev().take(byzantine).collect();
    worst.sort_unstable();
    let tell = |place: usize| Anomaly::new(contributions[place].peer, Why::NotSelected, Some(scores[place]));
    Outcome { tensors, anomalous: worst.into_iter().map(tell).collect() }
}

/// Krum's scores.
fn scores(squared: &[Vec<f64>], byzantine: usize) -> Vec<f64> {
    let nearest = squared.len().saturating_sub(byzantine + 2);
    let score = |(place, distances): (usize, &Vec<f64>)| {
        let mut others: Vec<f64> =
            distances.iter().enumerate().filter(|(other, _)| *other != place).map(|(_, d)| *d).collect();
        others.sort_unstable_by(f64::total_cmp);
        others.iter().take(nearest).sum()
    };
    squared.iter().enumerate().map(score).collect()
}

#[cfg(test)]
mod tests {
    use super::scores;

    #[test]
    fn a_score_is_the_sum_of_the_nearest() {
        // On a line at 0, 1, 3, 7 and 100, with one Byzantine: the two nearest count.
        let points = [0.0, 1.0, 3.0, 7.0, 100.0_f64];
        let squared: Vec<Vec<f64>> =
            points.map(|one| points.map(|other| (one - other) * (one - other)).to_vec()).to_vec();
        assert_eq!(scores(&squared, 1), [10.0, 5.0, 13.0, 52.0, 93.0 * 93.0 + 97.0 * 97.0]);
    }
}
