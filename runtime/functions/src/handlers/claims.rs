//! What a peer claims of its work beside the tensors: samples, the sum of their losses, how many were classified
//! right. The number of samples is known from the schedule and the manifest; of the rest it is known what is possible.

use super::run::Run;
use crate::data;
use stepgrad_contract::anomaly::Why;
use stepgrad_contract::progress::Sums;

/// Samples of what `peer` publishes in `round`; 0 where it has no work. With whole passes those of one pass, else of
/// the round's batches, of which the shard's last may be smaller than the others.
pub(super) fn samples(run: &Run, round: u32, peer: u32) -> u64 {
    let work = run.schedule.work(round, peer);
    let shard = (peer as usize).checked_sub(1).and_then(|place| run.manifest.shards.get(place));
    let Some(shard) = shard.filter(|_| work.places().next().is_some()) else { return 0 };
    if run.schedule.whole_passes() {
        return shard.samples;
    }
    let size = u64::from(run.training.batch_size.max(1));
    let missing = u64::from(shard.batches).saturating_mul(size).saturating_sub(shard.samples);
    let (mut order, mut samples) = ((0, Vec::new()), 0_u64);
    for place in work.places() {
        let (pass, place) = run.schedule.pass(peer, work, place);
        if order.0 != pass {
            order = (pass, data::order::batches(run.training.seed, pass, peer, shard.batches));
        }
        let batch = (place as usize).checked_sub(1).and_then(|place| order.1.get(place));
        let short = batch == Some(&shard.batches);
        samples = samples.saturating_add(if short { size.saturating_sub(missing) } else { size });
    }
    samples
}

/// What is amiss with the claims of a peer that has work of so many samples.
pub(super) fn check(sums: &Sums, samples: u64) -> Option<Why> {
    let mean = sums.metrics().map_or(0.0, |metrics| metrics.loss);
    // Each sample's loss is a number of single precision, so that no sum over peers is beyond all numbers.
    if sums.samples != samples {
        Some(Why::Unscheduled)
    } else if !mean.is_finite() || mean > f64::from(f32::MAX) {
        Some(Why::NotFinite)
    } else if mean < 0.0 || sums.correct > samples {
        Some(Why::Misfit)
    } else {
        None
    }
}
