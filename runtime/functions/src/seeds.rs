//! Where random choices start: every choice of a run has a generator of its own, derived from the run's seed,
//! a purpose and coordinates. So no choice depends on how many others were made before it, or in what process.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use sha2::{Digest, Sha256};

/// The generator of one random choice.
#[must_use]
pub fn generator(seed: u64, purpose: &str, coordinates: &[u64]) -> ChaCha8Rng {
    ChaCha8Rng::from_seed(derive(seed, purpose, coordinates))
}

/// The seed that libtorch's generator is set to for one computation.
#[must_use]
pub fn torch(seed: u64, purpose: &str, coordinates: &[u64]) -> i64 {
    let [a, b, c, d, e, f, g, h, ..] = derive(seed, purpose, coordinates);
    // Not negative: PyTorch reads a negative seed as another one.
    i64::from_le_bytes([a, b, c, d, e, f, g, h]) & i64::MAX
}

fn derive(seed: u64, purpose: &str, coordinates: &[u64]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update(seed.to_le_bytes());
    hasher.update((purpose.len() as u64).to_le_bytes());
    hasher.update(purpose);
    for coordinate in coordinates {
        hasher.update(coordinate.to_le_bytes());
    }
    hasher.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::{generator, torch};
    use rand::Rng;

    #[test]
    fn a_choice_depends_on_all_that_names_it_and_on_nothing_else() {
        let first = generator(7, "order", &[1, 2]).next_u64();
        assert_eq!(first, generator(7, "order", &[1, 2]).next_u64());
        assert_ne!(first, generator(8, "order", &[1, 2]).next_u64());
        assert_ne!(first, generator(7, "shard", &[1, 2]).next_u64());
        assert_ne!(first, generator(7, "order", &[2, 1]).next_u64());
        assert!((0..100).all(|seed| torch(seed, "init", &[]) >= 0));
    }
}
