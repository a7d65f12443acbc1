//! The order in which a peer works through its batches: drawn from the seed, the pass and the peer.

use crate::seeds;
use rand::seq::SliceRandom;

/// The batches of a peer's shard, from 1, in the order of pass `pass` (from 1; the epoch, where an epoch is
/// one pass). One batch stays where it is.
#[must_use]
pub fn batches(seed: u64, pass: u32, peer: u32, batches: u32) -> Vec<u32> {
    let mut order: Vec<u32> = (1..=batches).collect();
    order.shuffle(&mut seeds::generator(seed, "order", &[u64::from(pass), u64::from(peer)]));
    order
}

#[cfg(test)]
mod tests {
    use super::batches;

    #[test]
    fn each_pass_has_each_batch_once_in_an_order_of_its_own() {
        let first = batches(7, 1, 2, 20);
        let mut sorted = first.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (1..=20).collect::<Vec<_>>());
        assert_eq!(first, batches(7, 1, 2, 20));
        assert_ne!(first, batches(7, 2, 2, 20));
        assert_ne!(first, batches(7, 1, 3, 20));
        assert_eq!(batches(7, 5, 1, 1), [1]);
    }
}
