//! Sorted by class, in parts as equal as can be: a peer has one or few classes. Within a class the seed
//! decides the order.

use super::equal_parts;
use crate::seeds;
use rand::seq::SliceRandom;

pub(super) fn share_out(samples: &[u32], labels: &[u32], peers: usize, seed: u64) -> Vec<Vec<u32>> {
    let mut samples = samples.to_vec();
    samples.shuffle(&mut seeds::generator(seed, "by_label", &[]));
    samples.sort_by_key(|sample| labels.get(*sample as usize));
    equal_parts(&samples, peers)
}
