//! What preprocessing does to a sample, with the constants of the training part. Each step's constants are
//! those of the samples as the steps before have made them.

use super::invalid;
use super::spool::Samples;
use stepgrad_contract::FunctionError;
use stepgrad_contract::manifest::Transform;
use stepgrad_contract::training::Preprocess;

/// The steps with their constants, from the samples `training` (ascending).
pub(super) fn transforms(
    steps: &[Preprocess],
    samples: &Samples,
    training: &[u32],
) -> Result<Vec<Transform>, FunctionError> {
    let mut transforms = Vec::new();
    for step in steps {
        let transform = match step {
            Preprocess::Normalize => Transform::UnitLength,
            Preprocess::MinMax => {
                let groups = Groups::of(samples, Whole::Image);
                let mut bounds = vec![(f64::INFINITY, f64::NEG_INFINITY); groups.count];
                scan(samples, training, &transforms, &groups, |group, value, _| {
                    let (low, high) = &mut bounds[group];
                    (*low, *high) = (low.min(value), high.max(value));
                })?;
                let scale = |(low, high): &(f64, f64)| if high > low { (high - low).recip() } else { 1.0 };
                Transform::Affine {
                    shift: bounds.iter().map(|(low, _)| *low).collect(),
                    scale: bounds.iter().map(scale).collect(),
                }
            }
            Preprocess::Standardize => {
                let groups = Groups::of(samples, Whole::Channel);
                let mut sums = vec![(0.0, 0.0); groups.count];
                scan(samples, training, &transforms, &groups, |group, value, times| {
                    let (sum, count) = &mut sums[group];
                    *sum += value * times;
                    *count += times;
                })?;
                let means: Vec<f64> = sums.iter().map(|(sum, count)| sum / count).collect();
                // A second look: the difference of large sums of squares would lose the variance.
                let mut squares = vec![0.0; groups.count];
                scan(samples, training, &transforms, &groups, |group, value, times| {
                    squares[group] += (value - means[group]).powi(2) * times;
                })?;
                let scale = |(square, (_, count)): (&f64, &(f64, f64))| {
                    let deviation = (square / count).sqrt();
                    if deviation > 0.0 { deviation.recip() } else { 1.0 }
                };
                let scale = squares.iter().zip(&sums).map(scale).collect();
                Transform::Affine { shift: means, scale }
            }
        };
        check_finite(*step, &transform)?;
        transforms.push(transform);
    }
    Ok(transforms)
}

/// Checks that single precision, in which batches are preprocessed, holds the constants and what they undo.
fn check_finite(step: Preprocess, transform: &Transform) -> Result<(), FunctionError> {
    let Transform::Affine { shift, scale } = transform else { return Ok(()) };
    #[expect(clippy::cast_possible_truncation, reason = "as the batches are")]
    let holds = |value: f64| (value as f32).is_finite();
    let refused = shift
        .iter()
        .zip(scale)
        .position(|(shift, scale)| !(holds(*shift) && holds(*scale) && holds(scale.recip())));
    let Some(group) = refused else { return Ok(()) };
    let (shift, scale) = (shift.get(group).copied(), scale.get(group).copied());
    Err(invalid(format!(
        "data.preprocess: the constants of {step:?} for feature or channel {group} (counted from 0) are shift {} and scale {}, which single precision does not hold: bring its values to an ordinary range or drop it",
        shift.unwrap_or(f64::NAN),
        scale.unwrap_or(f64::NAN)
    )))
}

/// What shares a constant in an image; in a table each feature has its own.
enum Whole {
    Image,
    Channel,
}

struct Groups {
    count: usize,
    /// Consecutive values of one group.
    size: usize,
}

impl Groups {
    fn of(samples: &Samples, whole: Whole) -> Self {
        let values = samples.values();
        let channels = usize::try_from(samples.shape.first().copied().unwrap_or(1)).unwrap_or(1).max(1);
        match (samples.shape.len(), whole) {
            (3, Whole::Image) => Self { count: 1, size: values },
            (3, Whole::Channel) => Self { count: channels, size: values / channels },
            _ => Self { count: values, size: 1 },
        }
    }
}

/// Calls `take` with the group, a value of it, and how many times the value is there.
#[expect(clippy::cast_precision_loss, reason = "counts of samples stay far below 2^53")]
fn scan(
    samples: &Samples,
    training: &[u32],
    before: &[Transform],
    groups: &Groups,
    mut take: impl FnMut(usize, f64, f64),
) -> Result<(), FunctionError> {
    // Zeros stay zero: what is not there need not be looked at one by one.
    if samples.is_sparse() && before.iter().all(|transform| *transform == Transform::UnitLength) {
        let mut present = vec![0_u64; groups.count];
        for sample in training {
            let entries = samples.entries(*sample)?.unwrap_or_default();
            let mut values: Vec<f64> = entries.iter().map(|(_, value)| f64::from(*value)).collect();
            before.iter().for_each(|transform| apply(transform, &mut values));
            for ((index, _), value) in entries.iter().zip(values) {
                take(*index as usize, value, 1.0);
                present[*index as usize] += 1;
            }
        }
        for (group, present) in present.iter().enumerate() {
            let absent = training.len() as u64 - present;
            if absent > 0 {
                take(group, 0.0, absent as f64);
            }
        }
        return Ok(());
    }
    let mut row = Vec::new();
    for sample in training {
        samples.row(*sample, &mut row)?;
        before.iter().for_each(|transform| apply(transform, &mut row));
        for (group, values) in row.chunks(groups.size.max(1)).enumerate() {
            values.iter().for_each(|value| take(group, *value, 1.0));
        }
    }
    Ok(())
}

/// A step on one sample, in double precision; [`super::Batch`] does the same to whole batches.
fn apply(transform: &Transform, row: &mut [f64]) {
    match transform {
        Transform::Affine { shift, scale } => {
            let size = row.len() / shift.len().max(1);
            for (values, (shift, scale)) in row.chunks_mut(size.max(1)).zip(shift.iter().zip(scale)) {
                values.iter_mut().for_each(|value| *value = (*value - shift) * scale);
            }
        }
        Transform::UnitLength => {
            let length = row.iter().map(|value| value * value).sum::<f64>().sqrt();
            if length > 0.0 {
                row.iter_mut().for_each(|value| *value /= length);
            }
        }
    }
}
