//! The generator of each random choice of a run, which starts where [`draw`] says.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use stepgrad_contract::draw::draw;

/// The generator of one random choice.
#[must_use]
pub fn generator(seed: u64, purpose: &str, coordinates: &[u64]) -> ChaCha8Rng {
    ChaCha8Rng::from_seed(draw(seed, purpose, coordinates))
}

/// The seed that libtorch's generator is set to for one computation.
#[must_use]
pub fn torch(seed: u64, purpose: &str, coordinates: &[u64]) -> i64 {
    let [a, b, c, d, e, f, g, h, ..] = draw(seed, purpose, coordinates);
    // Not negative: PyTorch reads a negative seed as another one.
    i64::from_le_bytes([a, b, c, d, e, f, g, h]) & i64::MAX
}

#[cfg(test)]
mod tests {
    use super::{generator, torch};
    use rand::Rng;

    #[test]
    fn generators_start_where_their_draw_is() {
        let first = generator(7, "order", &[1, 2]).next_u64();
        assert_eq!(first, generator(7, "order", &[1, 2]).next_u64());
        assert_ne!(first, generator(7, "shard", &[1, 2]).next_u64());
        assert!((0..100).all(|seed| torch(seed, "init", &[]) >= 0));
    }
}
