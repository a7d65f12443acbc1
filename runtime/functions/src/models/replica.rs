//! One peer's parameters and buffers, and the network that computes with them.

use super::layers::{Boxed, Builder, Named};
use super::{
    Input, cnn, densenet121, lenet5, logistic_regression, mlp, mobilenet_v3_small, resnet18, resnet50,
    squeezenet1_1, svm, torchscript, vgg11,
};
use crate::data::Batch;
use crate::losses;
use crate::optimizers::sgd::{self, State};
use crate::torch::{self, invalid_model};
use std::collections::BTreeMap;
use stepgrad_contract::progress::Sums;
use stepgrad_contract::tensors::TensorFile;
use stepgrad_contract::training::{Architecture, Loss, Optimizer};
use stepgrad_contract::{ErrorKind, FunctionError};
use tch::{Kind, Tensor};

/// What a replica's parameters are to begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// Drawn from libtorch's generator.
    Random,
    /// Nothing in particular: they will be loaded.
    Blank,
}

/// One peer's parameters and buffers, and the network that computes with them.
pub struct Replica {
    parameters: Named,
    buffers: Named,
    network: Boxed,
}

impl std::fmt::Debug for Replica {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Replica").field("parameters", &self.parameter_count()).finish_non_exhaustive()
    }
}

impl Replica {
    /// The model by name. `script` is the scripted module's file, for [`Architecture::TorchScript`]; its
    /// parameters start as the file has them.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidModel`] where the model cannot take the data, with the reason.
    pub fn build(
        architecture: Architecture,
        script: Option<&[u8]>,
        input: &Input,
        start: Start,
    ) -> Result<Self, FunctionError> {
        let builder = Builder::new(start == Start::Random);
        let build = match architecture {
            Architecture::LogisticRegression => logistic_regression::build,
            Architecture::Svm => svm::build,
            Architecture::Mlp => mlp::build,
            Architecture::Cnn => cnn::build,
            Architecture::LeNet5 => lenet5::build,
            Architecture::SqueezeNet11 => squeezenet1_1::build,
            Architecture::MobileNetV3Small => mobilenet_v3_small::build,
            Architecture::Vgg11 => vgg11::build,
            Architecture::ResNet18 => resnet18::build,
            Architecture::ResNet50 => resnet50::build,
            Architecture::DenseNet121 => densenet121::build,
            Architecture::TorchScript => {
                let script = script.ok_or_else(|| {
                    let message = "the run has no scripted module: put it into the store as objects/model.pt";
                    FunctionError::new(ErrorKind::InvalidModel, message)
                })?;
                let (module, parameters, buffers) = torchscript::load(script)?;
                return Ok(Self { parameters, buffers, network: Box::new(module) });
            }
        };
        let network = Box::new(build(&builder, input)?);
        let (parameters, buffers) = (builder.parameters.into_inner(), builder.buffers.into_inner());
        Ok(Self { parameters, buffers, network })
    }

    /// Checks that the network takes samples of this shape and answers with a score for each class.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidModel`] where not.
    pub fn check(&self, input: &Input) -> Result<(), FunctionError> {
        let shape: Vec<i64> = std::iter::once(2).chain(input.shape.iter().copied()).collect();
        let refused = |error| {
            let message = format!(
                "the model does not take samples of shape {:?}: {}; use another model or preprocess the data",
                input.shape,
                torch::first_line(&error)
            );
            FunctionError::new(ErrorKind::InvalidModel, message)
        };
        let zeros = Tensor::f_zeros(&shape, (Kind::Float, tch::Device::Cpu)).map_err(refused)?;
        let scores = tch::no_grad(|| self.network.forward(&zeros, false)).map_err(refused)?;
        if scores.size() == [2, input.classes] && scores.f_kind().is_ok_and(|kind| kind == Kind::Float) {
            return Ok(());
        }
        let message = format!(
            "for two samples the model answers with a tensor of shape {:?}, and the data has {} classes: its last layer has to give a single-precision score for each class, [samples, {}]",
            scores.size(),
            input.classes,
            input.classes
        );
        Err(FunctionError::new(ErrorKind::InvalidModel, message))
    }

    /// Trainable values.
    #[must_use]
    pub fn parameter_count(&self) -> u64 {
        self.parameters.values().map(|tensor| tensor.numel() as u64).sum()
    }

    /// The trainable tensors by name; changing them changes the network.
    pub fn parameters(&mut self) -> &mut BTreeMap<String, Tensor> {
        &mut self.parameters
    }

    /// Whether a tensor of this name is trainable, as opposed to a buffer.
    #[must_use]
    pub fn is_parameter(&self, name: &str) -> bool {
        self.parameters.contains_key(name)
    }

    /// The scores of `batch`, `[samples, classes]`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidModel`] where the network does not take the batch.
    pub fn forward(&self, batch: &Batch, train: bool) -> Result<Tensor, FunctionError> {
        self.network.forward(&batch.x, train).map_err(invalid_model("the model cannot take the batch"))
    }

    /// The gradient of the mean loss on `batch`, by parameter, and the sums of the loss. BatchNorm's buffers
    /// move.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidModel`] where libtorch cannot compute it.
    pub fn gradient(
        &self,
        batch: &Batch,
        loss: Loss,
    ) -> Result<(BTreeMap<String, Tensor>, Sums), FunctionError> {
        let refused = || invalid_model("the gradient cannot be computed");
        let scores = self.forward(batch, true)?;
        let losses = losses::of_samples(loss, &scores, &batch.y).map_err(refused())?;
        let sums = losses::sums(&losses, &scores, &batch.y).map_err(refused())?;
        let mean = losses.f_mean(Kind::Float).map_err(refused())?;
        let inputs: Vec<&Tensor> = self.parameters.values().collect();
        let gradients = Tensor::f_run_backward(&[mean], &inputs, false, false).map_err(refused())?;
        let named = self.parameters.iter().zip(gradients).map(|((name, parameter), gradient)| {
            // A parameter that the output does not depend on has no gradient.
            let gradient = if gradient.defined() { gradient } else { parameter.f_zeros_like()? };
            Ok((name.clone(), gradient))
        });
        Ok((named.collect::<Result<_, _>>().map_err(refused())?, sums))
    }

    /// The sums of the loss on `batch`, in evaluation mode.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidModel`] where libtorch cannot compute it.
    pub fn measure(&self, batch: &Batch, loss: Loss) -> Result<Sums, FunctionError> {
        tch::no_grad(|| {
            let scores = self.forward(batch, false)?;
            let losses = losses::of_samples(loss, &scores, &batch.y);
            losses
                .and_then(|losses| losses::sums(&losses, &scores, &batch.y))
                .map_err(invalid_model("the loss cannot be computed"))
        })
    }

    /// Steps on the parameters by a mean of published gradients, each of which is let go once it is used, and
    /// takes over its buffers.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidModel`] where the mean or the state is of another model.
    pub fn step(
        &mut self,
        mean: TensorFile,
        optimizer: &Optimizer,
        learning_rate: f64,
        state: &mut State,
    ) -> Result<(), FunctionError> {
        if let Some(name) = self.parameters.keys().find(|name| !mean.tensors.contains_key(*name)) {
            return Err(sgd::without_gradient(name));
        }
        for (name, stored) in mean.tensors {
            if let Some(buffer) = self.buffers.get(&name) {
                torch::load_into(&name, &stored, buffer)?;
            } else if let Some(parameter) = self.parameters.get(&name) {
                let gradient = torch::load(&name, &stored)?;
                drop(stored);
                sgd::step_on(optimizer, learning_rate, &name, parameter, &gradient, state)?;
            } else {
                return Err(misfit(&name, "is not one of the model's"));
            }
        }
        Ok(())
    }

    /// Takes parameters and buffers from a file.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidModel`] where it is not this model's.
    pub fn load(&mut self, file: &TensorFile) -> Result<(), FunctionError> {
        if let Some(name) = file.tensors.keys().find(|name| !self.holds(name)) {
            return Err(misfit(name, "is not one of the model's"));
        }
        for (name, tensor) in self.parameters.iter().chain(&self.buffers) {
            let stored = file.tensors.get(name).ok_or_else(|| misfit(name, "is missing"))?;
            torch::load_into(name, stored, tensor)?;
        }
        Ok(())
    }

    fn holds(&self, name: &str) -> bool {
        self.parameters.contains_key(name) || self.buffers.contains_key(name)
    }

    /// Parameters and buffers as a file without sums.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidModel`] where a tensor is of a type that files do not have.
    pub fn save(&self) -> Result<TensorFile, FunctionError> {
        file(named(&self.parameters).chain(named(&self.buffers)), Sums::default())
    }

    /// As [`Replica::save`]; each tensor is let go once it is copied.
    ///
    /// # Errors
    /// As [`Replica::save`].
    pub fn into_file(self) -> Result<TensorFile, FunctionError> {
        // The network holds the tensors too.
        drop(self.network);
        file(self.parameters.into_iter().chain(self.buffers), Sums::default())
    }

    /// `gradients` with the buffers beside them, as a file.
    ///
    /// # Errors
    /// As [`Replica::save`].
    pub fn publish(
        &self,
        gradients: &BTreeMap<String, Tensor>,
        sums: Sums,
    ) -> Result<TensorFile, FunctionError> {
        file(named(gradients).chain(named(&self.buffers)), sums)
    }

    /// As [`Replica::publish`]; the parameters are let go first, and each gradient once it is copied.
    ///
    /// # Errors
    /// As [`Replica::save`].
    pub fn into_published(
        self,
        gradients: BTreeMap<String, Tensor>,
        sums: Sums,
    ) -> Result<TensorFile, FunctionError> {
        drop(self.network);
        drop(self.parameters);
        file(gradients.into_iter().chain(self.buffers), sums)
    }
}

fn misfit(name: &str, why: &str) -> FunctionError {
    let message = format!("tensor {name} {why}: the file is of another model");
    FunctionError::new(ErrorKind::InvalidModel, message)
}

fn named(tensors: &Named) -> impl Iterator<Item = (String, Tensor)> {
    tensors.iter().map(|(name, tensor)| (name.clone(), tensor.shallow_clone()))
}

fn file(tensors: impl Iterator<Item = (String, Tensor)>, sums: Sums) -> Result<TensorFile, FunctionError> {
    let tensors = tensors.map(|(name, tensor)| {
        let stored = torch::store(&name, &tensor)?;
        Ok((name, stored))
    });
    Ok(TensorFile { tensors: tensors.collect::<Result<_, FunctionError>>()?, sums })
}
