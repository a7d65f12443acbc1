//! The batches of each peer, where the spec alone tells: for data that it describes itself and shares out in equal parts. For
//! all else `prepare` has to read the data.

use stepgrad_contract::manifest::{Manifest, Shard};
use stepgrad_contract::training::{Format, Partition, Training, Validation};

/// A manifest with the batches that `prepare` will find; without what it finds beside them. `None` where only the data tells.
#[must_use]
pub fn shards(training: &Training) -> Option<Manifest> {
    let data = &training.data;
    let samples = data.synthetic.as_ref().filter(|_| data.format == Format::Synthetic)?.samples;
    if matches!(data.partition, Partition::Dirichlet(_)) {
        return None;
    }
    let held_out = match data.validation {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a share of a count, as `prepare` takes it"
        )]
        Some(Validation::Share(share)) => (samples as f64 * share).round() as u64,
        _ => 0,
    };
    let rest = samples.checked_sub(held_out)?;
    let peers = u64::from(training.peers);
    let (size, more) = (rest.checked_div(peers)?, rest.checked_rem(peers)?);
    let shard = |peer: u64| {
        let samples = size + u64::from(peer < more);
        let batches = samples.div_ceil(u64::from(training.batch_size.max(1)));
        Some(Shard { samples, batches: u32::try_from(batches).ok()? })
    };
    Some(Manifest {
        classes: Vec::new(),
        shape: Vec::new(),
        transforms: Vec::new(),
        shards: (0..peers).map(shard).collect::<Option<_>>()?,
        validation: Shard { samples: held_out, batches: 0 },
    })
}
