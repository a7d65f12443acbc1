//! The models by name, one file each, and [`Replica`]: one peer's parameters and buffers with the network
//! they belong to.
//!
//! Names are torchvision's where the model is. To add a model: a file with `build`, a line in
//! [`Replica::build`], an `Architecture` in the contract, a case in the tests.

mod cnn;
mod densenet121;
mod layers;
mod lenet5;
mod logistic_regression;
pub mod mlp;
mod mobilenet_v3_small;
mod replica;
mod residual;
mod resnet18;
mod resnet50;
mod squeezenet1_1;
mod svm;
mod torchscript;
mod vgg11;

pub use replica::{Replica, Start};

use crate::torch::first_line;
use stepgrad_contract::manifest::Manifest;
use stepgrad_contract::{ErrorKind, FunctionError};
use tch::TchError;

/// What a model is fed and asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// Shape of a sample: `[features]`, or `[channels, height, width]`.
    pub shape: Vec<i64>,
    /// Classes.
    pub classes: i64,
}

impl Input {
    /// As the data has it.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidModel`] where there are more classes than a tensor has room for.
    pub fn of(manifest: &Manifest) -> Result<Self, FunctionError> {
        let classes = i64::try_from(manifest.classes.len())
            .map_err(|_| FunctionError::new(ErrorKind::InvalidModel, "too many classes"))?;
        Ok(Self { shape: manifest.shape.clone(), classes })
    }

    /// Values of a sample.
    fn features(&self) -> Result<i64, FunctionError> {
        let features = self.shape.iter().try_fold(1_i64, |product, length| product.checked_mul(*length));
        features.filter(|features| *features > 0).ok_or_else(|| {
            FunctionError::new(
                ErrorKind::InvalidModel,
                format!("samples of shape {:?} have no values", self.shape),
            )
        })
    }

    /// Channels, height and width, if `model` can take them.
    fn image(&self, model: &str, smallest: i64, largest: i64) -> Result<[i64; 3], FunctionError> {
        let refused = |why: String| Err(FunctionError::new(ErrorKind::InvalidModel, why));
        let &[channels, height, width] = self.shape.as_slice() else {
            return refused(format!(
                "{model} needs images and the samples have shape {:?}: use logistic_regression, svm or mlp for tables",
                self.shape
            ));
        };
        if channels < 1 || height.min(width) < smallest || height.max(width) > largest {
            return refused(format!(
                "{model} takes images of {smallest}×{smallest} to {largest}×{largest}, and these are {height}×{width} with {channels} channels: use another model"
            ));
        }
        Ok([channels, height, width])
    }

    /// The error where a model's tensors cannot be made.
    #[expect(clippy::needless_pass_by_value, reason = "for map_err")]
    fn too_large(error: TchError) -> FunctionError {
        let message = format!("the model cannot be built: {}", first_line(&error));
        FunctionError::new(ErrorKind::InvalidModel, message)
    }
}

#[cfg(test)]
mod tests;
