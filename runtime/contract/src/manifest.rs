//! What `prepare` found out about the data, for every function after it.

use serde::{Deserialize, Serialize};

/// What `prepare` found out about the data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The classes' names in the source, sorted (numerically where all are numbers); a class is its place here.
    pub classes: Vec<String>,
    /// Shape of a sample: `[features]` for tables, `[channels, height, width]` for images.
    pub shape: Vec<i64>,
    /// What preprocessing does to a sample, with the constants filled in.
    pub transforms: Vec<Transform>,
    /// One for each peer, in order.
    pub shards: Vec<Shard>,
    /// The held-out set; zero samples where the spec names none.
    pub validation: Shard,
}

/// Samples and batches of one peer, or of the held-out set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shard {
    /// Samples.
    pub samples: u64,
    /// Batches they are stored in.
    pub batches: u32,
}

/// A preprocessing step with its constants.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transform {
    /// `(x − shift) × scale`, one pair for all values, for each channel, or for each feature.
    Affine {
        /// Length 1, channels or features.
        shift: Vec<f64>,
        /// Same length.
        scale: Vec<f64>,
    },
    /// Divided by its Euclidean length; zero stays zero.
    UnitLength,
}

impl Manifest {
    /// Batches of the peer with the most.
    #[must_use]
    pub fn largest_shard(&self) -> u32 {
        self.shards.iter().map(|shard| shard.batches).max().unwrap_or(0)
    }
}
