//! Zeno: Xie, Koyejo and Gupta, "Zeno: Distributed Stochastic Gradient Descent with Suspicion-based
//! Fault-tolerance", ICML 2019, Definitions 2 and 3 and Algorithm 1.
//!
//! The score of an update u is how much it lowers the loss on a few samples, less what its length costs:
//! f(x) − f(x − γu) − ρ‖u‖². The mean of the n − b updates of the highest scores is taken. Bears b = `byzantine`
//! contributions, even where these are most of n, as long as one honest one is left.
//!
//! The samples are held-out ones, drawn anew for each round and the same for every peer. γ is the round's learning
//! rate. Under model averaging an update is the difference from the start to the peer's model, and γ is 1.
//! Momentum and weight decay are no part of a score; buffers are, as the peer published them. Contributions count
//! alike, as in the paper.
//!
//! Told are the b of the lowest scores. An update that takes the loss beyond all numbers comes last.

use super::norm_clipping::lengths;
use super::{Contribution, Ground, Outcome, chunks};
use stepgrad_contract::FunctionError;
use stepgrad_contract::anomaly::{Anomaly, Why};

pub(super) fn aggregate(
    contributions: &[Contribution],
    byzantine: usize,
    rho: f64,
    ground: &dyn Ground,
) -> Result<Outcome, FunctionError> {
    let before = ground.loss(None)?;
    let lengths = lengths(contributions, ground);
    let mut scores = Vec::with_capacity(contributions.len());
    for (contribution, length) in contributions.iter().zip(lengths) {
        scores.push(score(before, ground.loss(Some(&contribution.file))?, rho, length));
    }
    let mut ranks: Vec<usize> = (0..contributions.len()).collect();
    ranks.sort_by(|one, other| scores[*other].total_cmp(&scores[*one]).then(one.cmp(other)));
    let (chosen, left_out) = ranks.split_at(contributions.len().saturating_sub(byzantine));
    let sorted = |places: &[usize]| {
        let mut places = places.to_vec();
        places.sort_unstable();
        places
    };
    let chosen: Vec<Contribution> =
        sorted(chosen).into_iter().map(|place| contributions[place].clone()).collect();
    let tensors = chunks::weighted(&chosen, &vec![1.0; chosen.len()]);
    let tell = |place: usize| Anomaly::new(contributions[place].peer, Why::LowScore, Some(scores[place]));
    Ok(Outcome { tensors, anomalous: sorted(left_out).into_iter().map(tell).collect() })
}

/// The score of an update of this length that takes the loss from `before` to `after`.
fn score(before: f64, after: f64, rho: f64, length: f64) -> f64 {
    let score = before - after - rho * length * length;
    if score.is_finite() { score } else { f64::NEG_INFINITY }
}

#[cfg(test)]
mod tests {
    use super::score;

    #[test]
    fn what_leads_beyond_all_numbers_comes_last() {
        assert_eq!(score(2.0, 1.5, 0.1, 2.0), 0.5 - 0.4);
        for after in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(score(2.0, after, 0.1, 2.0), f64::NEG_INFINITY);
        }
        assert_eq!(score(2.0, 1.0, 1.0, f64::INFINITY), f64::NEG_INFINITY);
    }
}
