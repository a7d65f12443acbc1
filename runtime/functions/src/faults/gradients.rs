//! Faults of what a peer computes: a Byzantine peer follows the protocol and lies about its numbers.
//!
//! Sources: sign flip, Gaussian noise and zero gradients as in Blanchard et al., "Machine Learning with Adversaries"
//! (NeurIPS 2017), section 1 and experiments; label flipping as in Fang et al. (USENIX Security 2020); free riders
//! as in Lin, Du and Liu, "Free-riders in Federated Learning" (2019).

use super::Faults;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Normal};
use std::collections::BTreeMap;
use stepgrad_contract::Function;
use stepgrad_contract::faults::{Action, Fault, Lie, Where};
use stepgrad_contract::tensors::{Dtype, Tensor, TensorFile};

impl Faults {
    /// What the peer makes of a result. For a model, `start` is where the round started.
    pub(crate) fn corrupt(&self, file: TensorFile, start: Option<&TensorFile>) -> TensorFile {
        let Some(fault) = self.lie() else { return file };
        let Some(change) = self.change(fault) else { return file };
        self.fire(fault, None);
        let mut change = change;
        let changed = file.tensors.into_iter().map(|(name, tensor)| {
            let before = start.and_then(|start| start.tensors.get(&name));
            let tensor = apply(tensor, before, &mut *change);
            (name, tensor)
        });
        TensorFile { tensors: changed.collect::<BTreeMap<_, _>>(), sums: file.sums }
    }

    /// Whether the peer makes something else of a result.
    pub(crate) fn corrupts(&self) -> bool {
        self.lie().is_some()
    }

    fn lie(&self) -> Option<&Fault> {
        self.fault(if self.maker.function == Function::Gradient { Lie::Batch } else { Lie::Published })
    }

    /// Whether the peer's labels are mirrored.
    pub(crate) fn flips_labels(&self) -> bool {
        self.fault(Lie::Labels).is_some_and(|fault| {
            self.fire(fault, None);
            true
        })
    }

    fn fault(&self, about: Lie) -> Option<&Fault> {
        self.plan.faults.iter().find(|fault| {
            fault.action.acts() == Where::Gradient && fault.lies_about(about) && fault.at.matches(&self.maker)
        })
    }

    /// What becomes of a value, given as its difference to where the round started.
    fn change(&self, fault: &Fault) -> Option<Box<dyn FnMut(f64) -> f64>> {
        Some(match fault.action {
            Action::SignFlip { factor } => Box::new(move |value| -factor * value),
            Action::Scale { factor } => Box::new(move |value| value * factor),
            Action::Nan {} => Box::new(|_| f64::NAN),
            Action::FreeRider {} => Box::new(|_| 0.0),
            Action::GaussianNoise { deviation } => {
                // Without the attempt: a repeated call publishes the same bytes.
                let [function, peer, round, batch, _] = self.maker.numbers();
                let seed = self.plan.draw(fault, &[function, peer, round, batch]);
                let mut generator = ChaCha8Rng::seed_from_u64(seed);
                let normal = Normal::new(0.0, deviation).ok()?;
                Box::new(move |value| value + normal.sample(&mut generator))
            }
            _ => return None,
        })
    }
}

/// Changes every element; integers stay as they are.
fn apply(tensor: Tensor, before: Option<&Tensor>, change: &mut dyn FnMut(f64) -> f64) -> Tensor {
    if tensor.dtype != Dtype::F32 {
        return tensor;
    }
    let single = |bytes: &[u8; 4]| f64::from(f32::from_le_bytes(*bytes));
    let before = before.map(|before| before.data.as_chunks::<4>().0);
    let values = tensor.data.as_chunks::<4>().0.iter().enumerate().flat_map(|(place, bytes)| {
        let start = before.and_then(|before| before.get(place)).map_or(0.0, single);
        #[expect(clippy::cast_possible_truncation, reason = "tensors are in single precision")]
        let value = (start + change(single(bytes) - start)) as f32;
        value.to_le_bytes()
    });
    Tensor { data: values.collect::<Vec<_>>().into(), ..tensor }
}
