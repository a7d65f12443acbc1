//! What the caller gets to know while something goes on.

use crate::difference::Step;

/// Hears what goes on.
pub trait Watch: Sync {
    /// Something is being made, changed or removed.
    fn begins(&self, step: &Step);
    /// It is done.
    fn done(&self, step: &Step);
    /// So many bytes of an object are at their place.
    fn sent(&self, key: &str, bytes: u64, of: u64);
    /// Nothing is done for some seconds, for this reason.
    fn waits(&self, why: &str);
}
