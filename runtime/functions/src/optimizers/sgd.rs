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

    /// The state as a file; each tensor is let go once it is copied.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidModel`] where a tensor cannot be stored.
    pub fn save(self) -> Result<TensorFile, FunctionError> {
        let tensors = self.0.into_iter().map(|(name, tensor)| {
            let stored = torch::store(&name, &tensor)?;
            Ok((name, stored))
        });
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
    for (name, parameter) in parameters {
        let gradient = gradients.get(name).ok_or_else(|| without_gradient(name))?;
        step_on(optimizer, learning_rate, name, parameter, gradient, state)?;
    }
    Ok(())
}

/// The error of a parameter without a gradient.
pub fn without_gradient(name: &str) -> FunctionError {
    FunctionError::new(ErrorKind::InvalidModel, format!("there is no gradient of parameter {name}"))
}

/// One step on one parameter, a slice at a time.
///
/// # Errors
/// [`ErrorKind::InvalidModel`] where the gradient or the state are not the parameter's.
pub fn step_on(
    optimizer: &Optimizer,
    learning_rate: f64,
    name: &str,
    parameter: &Tensor,
    gradient: &Tensor,
    state: &mut State,
) -> Result<(), FunctionError> {
    let Optimizer::Sgd { momentum, weight_decay, nesterov, .. } = *optimizer;
    let cannot = || invalid_model(format!("cannot step on parameter {name}"));
    let (first, buffer) = match (momentum != 0.0, state.0.get(name)) {
        (false, _) => (false, None),
        (true, Some(before)) => (false, Some(before.shallow_clone())),
        (true, None) => {
            let buffer =
                parameter.f_detach().and_then(|parameter| parameter.f_empty_like()).map_err(cannot())?;
            state.0.insert(name.to_owned(), buffer.shallow_clone());
            (true, Some(buffer))
        }
    };
    let size = parameter.size();
    if gradient.size() != size || buffer.as_ref().is_some_and(|buffer| buffer.size() != size) {
        let message = format!("the gradient or the momentum of parameter {name} has another shape");
        return Err(FunctionError::new(ErrorKind::InvalidModel, message));
    }
    let update =
        |parameter: &mut Tensor, gradient: &Tensor, buffer: Option<&mut Tensor>| -> Result<(), TchError> {
            // d = g + λ p
            let mut direction = match weight_decay == 0.0 {
                true => gradient.shallow_clone(),
                false => gradient.f_add(&parameter.f_mul_scalar(weight_decay)?)?,
            };
            if let Some(buffer) = buffer {
                // b = d at first, then μ b + d
                if first {
                    buffer.f_copy_(&direction)?;
                } else {
                    let _ = buffer.f_mul_scalar_(momentum)?.f_add_(&direction)?;
                }
                direction = match nesterov {
                    true => direction.f_add(&buffer.f_mul_scalar(momentum)?)?,
                    false => buffer.shallow_clone(),
                };
            }
            // p = p − γ d
            let _ = parameter.f_sub_(&direction.f_mul_scalar(learning_rate)?)?;
            Ok(())
        };
    let slices = || -> Result<(), TchError> {
        let mut parameter = parameter.f_detach()?;
        if !parameter.is_contiguous() || buffer.as_ref().is_some_and(|buffer| !buffer.is_contiguous()) {
            return update(&mut parameter, gradient, buffer.map(|buffer| buffer.shallow_clone()).as_mut());
        }
        let flat = parameter.f_view([-1])?;
        let gradient = gradient.f_reshape([-1])?;
        let buffer = buffer.map(|buffer| buffer.f_view([-1])).transpose()?;
        let length = flat.size1()?;
        let mut start = 0;
        while start < length {
            let slice = torch::SLICE.min(length - start);
            let part = |tensor: &Tensor| tensor.f_narrow(0, start, slice);
            update(&mut part(&flat)?, &part(&gradient)?, buffer.as_ref().map(part).transpose()?.as_mut())?;
            start += slice;
        }
        Ok(())
    };
    tch::no_grad(slices).map_err(cannot())
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
