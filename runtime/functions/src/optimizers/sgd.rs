//! Stochastic gradient descent as PyTorch's `torch.optim.SGD` computes it, with momentum (no dampening),
//! weight decay and Nesterov's momentum.

use crate::torch::{self, invalid_model};
use std::collections::BTreeMap;
use stepgrad_contract::progress::Sums;
use stepgrad_contract::tensors::TensorFile;
use stepgrad_contract::training::Optimizer;
use stepgrad_contract::{ErrorKind, FunctionError};
use tch::{TchError, Tensor};

/// The momentum buffers by parameter; none before the first step or without momentum.
#[derive(Debug, Default)]
pub struct State(BTreeMap<String, Tensor>);

impl State {
    /// The state of a file.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidModel`] where a tensor is not whole.
    pub fn load(file: &TensorFile) -> Result<Self, FunctionError> {
        let tensors =
            file.tensors.iter().map(|(name, stored)| Ok((name.clone(), torch::load(name, stored)?)));
        tensors.collect::<Result<_, FunctionError>>().map(Self)
    }

    /// The state as a file.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidModel`] where a tensor cannot be stored.
    pub fn save(&self) -> Result<TensorFile, FunctionError> {
        let tensors = self.0.iter().map(|(name, tensor)| Ok((name.clone(), torch::store(name, tensor)?)));
        Ok(TensorFile { tensors: tensors.collect::<Result<_, FunctionError>>()?, sums: Sums::default() })
    }
}

/// One step on `parameters` at `learning_rate` (the optimiser's own is that of the start).
///
/// # Errors
/// [`ErrorKind::InvalidModel`] where the gradients or the state are not this model's.
pub fn step(
    optimizer: &Optimizer,
    learning_rate: f64,
    parameters: &mut BTreeMap<String, Tensor>,
    gradients: &BTreeMap<String, Tensor>,
    state: &mut State,
) -> Result<(), FunctionError> {
    let Optimizer::Sgd { momentum, weight_decay, nesterov, .. } = *optimizer;
    for (name, parameter) in parameters {
        let gradient = gradients.get(name).ok_or_else(|| {
            FunctionError::new(ErrorKind::InvalidModel, format!("there is no gradient of parameter {name}"))
        })?;
        let mut update = || -> Result<(), TchError> {
            // d = g + λ p
            let mut direction = match weight_decay == 0.0 {
                true => gradient.shallow_clone(),
                false => gradient.f_add(&parameter.f_detach()?.f_mul_scalar(weight_decay)?)?,
            };
            if momentum != 0.0 {
                // b = d at first, then μ b + d
                let buffer = match state.0.get(name) {
                    Some(before) => before.f_mul_scalar(momentum)?.f_add(&direction)?,
                    None => direction.shallow_clone(),
                };
                direction = match nesterov {
                    true => direction.f_add(&buffer.f_mul_scalar(momentum)?)?,
                    false => buffer.shallow_clone(),
                };
                state.0.insert(name.clone(), buffer);
            }
            // p = p − γ d
            let _ = parameter.f_sub_(&direction.f_mul_scalar(learning_rate)?)?;
            Ok(())
        };
        tch::no_grad(&mut update).map_err(invalid_model(format!("cannot step on parameter {name}")))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{State, step};
    use std::collections::BTreeMap;
    use stepgrad_contract::training::Optimizer;
    use tch::Tensor;

    /// `torch.optim.SGD(lr=0.1, momentum=0.9, weight_decay=0.01)` on p = 1 with gradients 1, 0.5; by hand.
    #[test]
    fn steps_as_pytorch_does() {
        let named = |value: f32| BTreeMap::from([("p".to_owned(), Tensor::from_slice(&[value]))]);
        for (nesterov, expected) in [(false, [0.899, 0.757_201]), (true, [0.808_1, 0.629_754_61])] {
            let optimizer =
                Optimizer::Sgd { learning_rate: 9.0, momentum: 0.9, weight_decay: 0.01, nesterov };
            let (mut parameters, mut state) = (named(1.0), State::default());
            for (gradient, expected) in [1.0, 0.5].into_iter().zip(expected) {
                step(&optimizer, 0.1, &mut parameters, &named(gradient), &mut state).unwrap();
                state = State::load(&state.save().unwrap()).unwrap();
                let found = parameters["p"].double_value(&[0]);
                assert!((found - expected).abs() < 1e-6, "nesterov {nesterov}: {found}, not {expected}");
            }
        }
    }
}
