//! Each class shared out over the peers by a draw from Dirichlet(α): small α gives skewed shards (Hsu, Qi
//! and Brown 2019, "Measuring the effects of non-identical data distribution for federated visual
//! classification"; by class, as Li et al. 2022, "Federated learning on non-IID data silos").
//!
//! A draw may leave a peer without samples. Then, by ascending peer, each empty one is given the last sample
//! of the largest shard (the lowest peer's of several).

use super::super::invalid;
use crate::seeds;
use rand::RngExt;
use rand::seq::SliceRandom;
use rand_distr::{Distribution, Gamma};
use std::collections::BTreeMap;
use stepgrad_contract::FunctionError;

pub(super) fn share_out(
    samples: &[u32],
    labels: &[u32],
    peers: usize,
    alpha: f64,
    seed: u64,
) -> Result<Vec<Vec<u32>>, FunctionError> {
    let refused = || invalid(format!("dirichlet needs a positive number, and {alpha} is none"));
    if !alpha.is_finite() || alpha <= 0.0 {
        return Err(refused());
    }
    let gamma = Gamma::new(alpha + 1.0, 1.0).map_err(|_| refused())?;
    let mut classes: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for sample in samples {
        classes.entry(labels.get(*sample as usize).copied().unwrap_or(0)).or_default().push(*sample);
    }
    let mut shards = vec![Vec::new(); peers];
    for (class, mut members) in classes {
        let mut random = seeds::generator(seed, "dirichlet", &[u64::from(class)]);
        members.shuffle(&mut random);
        // ln Gamma(α) = ln Gamma(α + 1) + ln U / α: Gamma(α) itself underflows for small α.
        let logs: Vec<f64> = (0..peers)
            .map(|_| gamma.sample(&mut random).ln() + (1.0 - random.random::<f64>()).ln() / alpha)
            .collect();
        let largest = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let shares: Vec<f64> = logs.iter().map(|log| (log - largest).exp()).collect();
        let total: f64 = shares.iter().sum();
        let (mut until, mut placed) = (0.0, 0);
        for (shard, share) in shards.iter_mut().zip(&shares) {
            until += share / total;
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                clippy::cast_precision_loss,
                reason = "a share of a count"
            )]
            let end = ((until * members.len() as f64).round() as usize).clamp(placed, members.len());
            shard.extend_from_slice(&members[placed..end]);
            placed = end;
        }
        // Rounding may leave one over.
        if let Some(last) = shards.last_mut() {
            last.extend_from_slice(&members[placed..]);
        }
    }
    for empty in 0..peers {
        if shards[empty].is_empty() {
            let largest = (0..peers).rev().max_by_key(|peer| shards[*peer].len()).unwrap_or(0);
            let moved = shards[largest].pop();
            shards[empty].extend(moved);
        }
    }
    Ok(shards)
}
