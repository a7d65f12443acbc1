//! Identifiers that have to be unique, not secret: request ids, log stream names, trace ids.
#![expect(
    clippy::disallowed_methods,
    reason = "the clock and the process id make the identifiers of two hosts differ"
)]

use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A source of identifiers.
pub(super) struct Ids {
    random: Mutex<ChaCha8Rng>,
}

impl Ids {
    pub(super) fn new() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut seed = [0; 32];
        let (time, rest) = seed.split_at_mut(16);
        time.copy_from_slice(&since.as_nanos().to_le_bytes());
        rest[..4].copy_from_slice(&std::process::id().to_le_bytes());
        // Two hosts of one process can start within the clock's resolution; their addresses differ.
        rest[8..].copy_from_slice(&(std::ptr::from_ref(&since).addr() as u64).to_le_bytes());
        Self { random: Mutex::new(ChaCha8Rng::from_seed(seed)) }
    }

    fn next(&self) -> u128 {
        let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        (u128::from(random.next_u64()) << 64) | u128::from(random.next_u64())
    }

    /// A UUID of version 4.
    pub(super) fn request(&self) -> String {
        let bits = self.next();
        format!(
            "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
            (bits >> 96) as u32,
            (bits >> 80) as u16,
            (bits >> 64) as u16 & 0xfff,
            ((bits >> 48) as u16 & 0x3fff) | 0x8000,
            bits & 0xffff_ffff_ffff
        )
    }

    /// 32 hexadecimal digits.
    pub(super) fn stream(&self) -> String {
        format!("{:032x}", self.next())
    }

    /// The value of `Lambda-Runtime-Trace-Id`: not sampled, as nothing here collects traces.
    pub(super) fn trace(&self, unix_s: u64) -> String {
        let bits = self.next();
        let parent = self.next() as u64;
        format!("Root=1-{unix_s:08x}-{:024x};Parent={parent:016x};Sampled=0", bits >> 32)
    }
}

#[cfg(test)]
mod tests {
    use super::Ids;

    #[test]
    fn a_request_id_is_a_version_4_uuid_and_never_the_same() {
        let ids = Ids::new();
        let one = ids.request();
        assert_eq!(one.len(), 36);
        assert_eq!(one.as_bytes()[14], b'4');
        assert!(b"89ab".contains(&one.as_bytes()[19]), "{one}");
        assert_ne!(one, ids.request());
    }
}
