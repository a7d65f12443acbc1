//! Synthetic data: a Gaussian cloud of deviation 1 for each class, the classes in turn. Centres are drawn so
//! that two of them are 4 apart on average, whatever the number of values.

use super::invalid;
use super::spool::{Element, Samples, Writer};
use crate::seeds;
use rand_distr::{Distribution, StandardNormal};
use stepgrad_contract::FunctionError;
use stepgrad_contract::training::Synthetic;

pub(super) fn generate(synthetic: &Synthetic, seed: u64) -> Result<Samples, FunctionError> {
    let Synthetic { samples, shape, classes } = synthetic;
    let values = shape.iter().try_fold(1_usize, |product, length| product.checked_mul(*length as usize));
    let values = values.filter(|values| (1..=1 << 28).contains(values));
    let values = values
        .ok_or_else(|| invalid(format!("synthetic samples of shape {shape:?} have no values or too many")))?;
    if !matches!(shape.len(), 1 | 3) {
        return Err(invalid(format!(
            "synthetic samples of shape {shape:?}: use [features] or [channels, height, width]"
        )));
    }
    if (*classes as usize).checked_mul(values).is_none_or(|centres| centres > 1 << 28) {
        return Err(invalid(format!("{classes} synthetic classes of {values} values are too many")));
    }
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    let scale = 4.0 / (2.0 * values as f64).sqrt();
    let mut random = seeds::generator(seed, "synthetic", &[]);
    let mut normal = || -> f64 { StandardNormal.sample(&mut random) };
    let centres: Vec<Vec<f64>> =
        (0..*classes).map(|_| (0..values).map(|_| scale * normal()).collect()).collect();
    let mut spool = Writer::dense(Element::F32, shape.iter().map(|length| i64::from(*length)).collect())?;
    for sample in 0..*samples {
        let class = sample % u64::from(*classes).max(1);
        let centre = usize::try_from(class).ok().and_then(|class| centres.get(class));
        let centre = centre.ok_or_else(|| invalid("synthetic data needs classes"))?;
        #[expect(clippy::cast_possible_truncation, reason = "models compute in single precision")]
        spool.push(centre.iter().map(|value| (value + normal()) as f32), &class.to_string())?;
    }
    spool.finish()
}
