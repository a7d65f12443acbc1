//! What rules need to know beside the contributions: what the round starts from, and the loss on held-out batches
//! after an update.

use super::super::lineage::Made;
use super::super::run::Run;
use super::super::{Environment, invalid_event};
use crate::aggregation::Ground;
use crate::data::Batch;
use crate::{seeds, torch};
use rand::seq::SliceRandom;
use std::collections::BTreeMap;
use stepgrad_contract::aggregation::Aggregation;
use stepgrad_contract::progress::Sums;
use stepgrad_contract::tensors::{Tensor, TensorFile};
use stepgrad_contract::training::Algorithm;
use stepgrad_contract::{ErrorKind, FunctionError};

/// What a round starts from, as far as the rule needs it.
pub(super) struct Start<'a> {
    run: &'a Run,
    /// What contributions are successors of.
    origins: BTreeMap<String, Tensor>,
    held_out: Option<HeldOut<'a>>,
}

/// What updates are judged by.
struct HeldOut<'a> {
    start: &'a TensorFile,
    learning_rate: f64,
    batches: Vec<Batch>,
}

/// Whether the rule looks at what a round starts from.
pub(super) const fn is_asked(rule: &Aggregation) -> bool {
    matches!(rule, Aggregation::NormClipping(_) | Aggregation::Zeno { .. })
}

impl<'a> Start<'a> {
    /// What the rule needs of `start`, which is there if [`is_asked`] says so.
    pub(super) async fn load(
        run: &'a Run,
        environment: &Environment,
        round: u32,
        start: Option<&'a TensorFile>,
    ) -> Result<Self, FunctionError> {
        let mut ground = Self { run, origins: BTreeMap::new(), held_out: None };
        let Some(start) = start else { return Ok(ground) };
        ground.origins = match run.training.algorithm {
            Algorithm::ModelAveraging => start.tensors.clone(),
            Algorithm::GradientAveraging => {
                let replica = run.blank()?;
                let buffers = start.tensors.iter().filter(|(name, _)| !replica.is_parameter(name));
                buffers.map(|(name, tensor)| (name.clone(), tensor.clone())).collect()
            }
        };
        if let Aggregation::Zeno { batches, .. } = run.training.aggregation {
            let learning_rate = run.before(&environment.store, round).await?.learning_rate;
            let batches = held_out(run, environment, round, batches).await?;
            ground.held_out = Some(HeldOut { start, learning_rate, batches });
        }
        Ok(ground)
    }
}

/// Held-out batches, drawn with the seed and the round: no peer can know them before, and all take the same.
async fn held_out(
    run: &Run,
    environment: &Environment,
    round: u32,
    count: u32,
) -> Result<Vec<Batch>, FunctionError> {
    let mut numbers: Vec<u32> = (1..=run.manifest.validation.batches).collect();
    numbers.shuffle(&mut seeds::generator(run.training.seed, "zeno", &[u64::from(round)]));
    numbers.truncate(count.max(1) as usize);
    if numbers.is_empty() {
        return Err(invalid_event("zeno needs held-out samples: name data.validation"));
    }
    let mut batches = Vec::with_capacity(numbers.len());
    for number in numbers {
        let raw = Made::ValidationBatch { batch: number }.get(environment, run).await?;
        batches.push(Batch::load(&raw, &run.manifest)?);
    }
    Ok(batches)
}

impl Ground for Start<'_> {
    fn origin(&self, name: &str) -> Option<&Tensor> {
        self.origins.get(name)
    }

    fn loss(&self, contribution: Option<&TensorFile>) -> Result<f64, FunctionError> {
        let Some(held_out) = &self.held_out else {
            return Err(FunctionError::new(ErrorKind::Internal, "this rule judges by no loss"));
        };
        let HeldOut { start, learning_rate, batches } = held_out;
        let replica = match (contribution, self.run.training.algorithm) {
            (None, _) => self.run.replica(start)?,
            (Some(model), Algorithm::ModelAveraging) => self.run.replica(model)?,
            (Some(gradient), Algorithm::GradientAveraging) => {
                self.run.replica(&self.stepped(start, gradient, *learning_rate))?
            }
        };
        let mut sums = Sums::default();
        for batch in batches {
            sums.add(&torch::deterministic(0, || replica.measure(batch, self.run.training.model.loss))?);
        }
        Ok(sums.metrics().map_or(f64::NAN, |metrics| metrics.loss))
    }
}

impl Start<'_> {
    /// A plain step along a gradient; buffers are those beside the gradient.
    fn stepped(&self, start: &TensorFile, gradient: &TensorFile, learning_rate: f64) -> TensorFile {
        let step = |(name, tensor): (&String, &Tensor)| {
            let from = start.tensors.get(name).filter(|_| !self.origins.contains_key(name));
            let stepped = match from.map(|from| (from.as_f32(), tensor.as_f32(), from)) {
                Some((Some(at), Some(slope), from)) => {
                    #[expect(clippy::cast_possible_truncation, reason = "parameters are in single precision")]
                    let step =
                        |(at, slope): (f32, f32)| (f64::from(at) - learning_rate * f64::from(slope)) as f32;
                    let values: Vec<f32> = at.into_iter().zip(slope).map(step).collect();
                    Tensor::f32(from.shape.clone(), &values)
                }
                _ => tensor.clone(),
            };
            (name.clone(), stepped)
        };
        TensorFile { tensors: gradient.tensors.iter().map(step).collect(), sums: Sums::default() }
    }
}
