//! Where random choices start: every choice has a draw of its own, from a seed, a purpose and coordinates. So no choice
//! depends on how many others were made before it, or in what process.

use sha2::{Digest, Sha256};

/// 32 bytes that depend on `seed`, `purpose` and `coordinates` and on nothing else: the SHA-256 digest of the three, numbers
/// as eight bytes, the lowest first, and the purpose behind its length.
#[must_use]
pub fn draw(seed: u64, purpose: &str, coordinates: &[u64]) -> [u8; 32] {
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
    use super::draw;

    #[test]
    fn a_draw_depends_on_all_that_names_it_and_on_nothing_else() {
        let first = draw(7, "order", &[1, 2]);
        assert_eq!(first, draw(7, "order", &[1, 2]));
        let others = [
            draw(8, "order", &[1, 2]),
            draw(7, "shard", &[1, 2]),
            draw(7, "order", &[2, 1]),
            draw(7, "order", &[1]),
        ];
        assert!(others.iter().all(|other| *other != first));
    }
}
