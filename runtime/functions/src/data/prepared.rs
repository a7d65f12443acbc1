//! From a source to shards: what is held out, the constants of preprocessing, and which samples are whose.

use super::root::Sources;
use super::spool::Samples;
use super::{Role, cifar10, csv, idx, invalid, libsvm, npy, partition, preprocess, synthetic};
use crate::seeds;
use rand::seq::SliceRandom;
use stepgrad_contract::FunctionError;
use stepgrad_contract::manifest::{Manifest, Shard};
use stepgrad_contract::tensors::TensorFile;
use stepgrad_contract::training::{Data, Format, Training, Validation};

/// Samples of a batch of the held-out set, where the training's are not larger: it is only measured on.
const VALIDATION_BATCH: u32 = 128;

/// Shards, ready to be cut into batches.
pub struct Prepared {
    /// What every function needs to know.
    pub manifest: Manifest,
    training: Samples,
    /// A held-out set of its own source.
    other: Option<Samples>,
    held_out: Vec<u32>,
    shards: Vec<Vec<u32>>,
    batch_size: usize,
    validation_batch: usize,
}

/// Where a batch belongs; batches count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// To a peer's shard.
    Shard {
        /// The peer.
        peer: u32,
        /// The batch.
        batch: u32,
    },
    /// To the held-out set.
    Validation {
        /// The batch.
        batch: u32,
    },
}

/// Reads the source and shares it out.
///
/// # Errors
/// [`stepgrad_contract::ErrorKind::InvalidData`] where the source is missing or malformed, with the place and
/// what to do.
pub fn prepare(training: &Training, sources: &Sources) -> Result<Prepared, FunctionError> {
    let data = &training.data;
    let mut samples = read(data, sources, &data.source, Role::Training, training.seed)?;
    let mut other = match &data.validation {
        Some(Validation::Source(source)) => {
            Some(read(data, sources, source, Role::Validation, training.seed)?)
        }
        _ => None,
    };
    if samples.classes.len() < 2 {
        let found = samples.classes.join(", ");
        return Err(invalid(format!(
            "{}: a classifier needs two classes and the samples have {} ({found})",
            data.source,
            samples.classes.len()
        )));
    }
    if let Some(other) = &mut other {
        match_up(&mut samples, other, data)?;
    }
    let count = u32::try_from(samples.len()).unwrap_or(u32::MAX);
    let (rest, held_out) = match (&data.validation, &other) {
        (Some(Validation::Share(share)), _) => split(count, *share, training.seed)?,
        (_, Some(other)) => {
            ((0..count).collect(), (0..u32::try_from(other.len()).unwrap_or(u32::MAX)).collect())
        }
        (_, None) => ((0..count).collect(), Vec::new()),
    };
    let transforms = preprocess::transforms(&data.preprocess, &samples, &rest)?;
    let shards =
        partition::share_out(&data.partition, &rest, &samples.labels, training.peers, training.seed)?;
    let batch_size = training.batch_size.max(1);
    // Sparse rows are dense where they are computed with, and may be long.
    let validation_batch = if samples.is_sparse() { batch_size } else { batch_size.max(VALIDATION_BATCH) };
    let shard = |samples: usize, size: u32| Shard {
        samples: samples as u64,
        batches: u32::try_from(samples.div_ceil(size as usize)).unwrap_or(u32::MAX),
    };
    let manifest = Manifest {
        classes: samples.classes.clone(),
        shape: samples.shape.clone(),
        transforms,
        shards: shards.iter().map(|samples| shard(samples.len(), batch_size)).collect(),
        validation: shard(held_out.len(), validation_batch),
    };
    Ok(Prepared {
        manifest,
        training: samples,
        other,
        held_out,
        shards,
        batch_size: batch_size as usize,
        validation_batch: validation_batch as usize,
    })
}

fn read(
    data: &Data,
    sources: &Sources,
    source: &str,
    role: Role,
    seed: u64,
) -> Result<Samples, FunctionError> {
    if data.format == Format::Synthetic {
        return match (&data.synthetic, role) {
            (Some(synthetic), Role::Training) => synthetic::generate(synthetic, seed),
            (None, _) => Err(invalid("synthetic data needs data.synthetic: samples, shape and classes")),
            (_, Role::Validation) => Err(invalid("synthetic data has no other source: hold out a share")),
        };
    }
    let path = sources.resolve(source)?;
    let samples = match data.format {
        Format::Idx => idx::read(&path, role)?,
        Format::Cifar10 => cifar10::read(&path, role)?,
        Format::Libsvm => libsvm::read(&path)?,
        Format::Csv => csv::read(&path, data.label.as_deref().unwrap_or("label"), role)?,
        Format::Npy => npy::read(&path)?,
        Format::Synthetic => return Err(invalid("synthetic data has no source")),
    };
    match samples.len() {
        0 => Err(invalid(format!("{source}: there are no samples in it"))),
        _ => Ok(samples),
    }
}

/// Puts both sets in terms of the same classes and shape.
fn match_up(samples: &mut Samples, other: &mut Samples, data: &Data) -> Result<(), FunctionError> {
    other.relabel(&samples.classes, "the held-out set")?;
    if data.format == Format::Libsvm {
        // The largest index that occurs may differ.
        let features = samples.shape.iter().chain(&other.shape).copied().max().unwrap_or(0);
        (samples.shape, other.shape) = (vec![features], vec![features]);
    }
    match samples.shape == other.shape {
        true => Ok(()),
        false => Err(invalid(format!(
            "samples have shape {:?} and those of the held-out set {:?}",
            samples.shape, other.shape
        ))),
    }
}

/// What is trained on and what is held out, both ascending.
fn split(count: u32, share: f64, seed: u64) -> Result<(Vec<u32>, Vec<u32>), FunctionError> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a count")]
    let held_out = (f64::from(count) * share).round() as u32;
    if !(share > 0.0 && share < 1.0) || held_out == 0 || held_out >= count {
        return Err(invalid(format!(
            "a share of {share} of {count} samples holds out none or all of them: choose another data.validation"
        )));
    }
    let mut order: Vec<u32> = (0..count).collect();
    order.shuffle(&mut seeds::generator(seed, "validation", &[]));
    let mut rest = order.split_off(held_out as usize);
    order.sort_unstable();
    rest.sort_unstable();
    Ok((rest, order))
}

impl Prepared {
    /// Every batch in turn but the first `skipped`, cut out of the spool when it is asked for.
    pub fn batches(
        &self,
        skipped: usize,
    ) -> impl Iterator<Item = (Place, Result<TensorFile, FunctionError>)> {
        let shards = self
            .manifest
            .shards
            .iter()
            .zip(1..)
            .flat_map(|(shard, peer)| (1..=shard.batches).map(move |batch| Place::Shard { peer, batch }));
        let held_out = (1..=self.manifest.validation.batches).map(|batch| Place::Validation { batch });
        shards.chain(held_out).skip(skipped).filter_map(move |place| Some((place, self.batch(place)?)))
    }

    /// One batch; `None` where there is none.
    #[must_use]
    pub fn batch(&self, place: Place) -> Option<Result<TensorFile, FunctionError>> {
        let (source, samples, size, batch) = match place {
            Place::Shard { peer, batch } => {
                let shard = self.shards.get((peer as usize).checked_sub(1)?)?;
                (&self.training, shard, self.batch_size, batch)
            }
            Place::Validation { batch } => {
                let source = self.other.as_ref().unwrap_or(&self.training);
                (source, &self.held_out, self.validation_batch, batch)
            }
        };
        let samples = samples.chunks(size).nth((batch as usize).checked_sub(1)?)?;
        Some(source.batch(samples))
    }
}
