//! Shuffled, in parts as equal as can be.

use super::equal_parts;
use crate::seeds;
use rand::seq::SliceRandom;

pub(super) fn share_out(samples: &[u32], peers: usize, seed: u64) -> Vec<Vec<u32>> {
    let mut samples = samples.to_vec();
    samples.shuffle(&mut seeds::generator(seed, "iid", &[]));
    equal_parts(&samples, peers)
}
