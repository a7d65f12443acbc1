//! LeNet-5 (LeCun et al. 1998, "Gradient-based learning applied to document recognition", figure 2) with its
//! tanh and its means, without the sparse connections of C3 and the radial output: 61,706 parameters for
//! 32×32 images of one channel and 10 classes. Smaller images (MNIST's 28×28) are padded by 2.

use super::Input;
use super::layers::{Builder, Convolution, Sequential, Weights, conv2d, flatten, halve_by_mean, linear};
use stepgrad_contract::FunctionError;
use tch::Tensor;

pub(super) fn build(builder: &Builder, input: &Input) -> Result<Sequential, FunctionError> {
    let [channels, height, width] = input.image("lenet5", 12, 512)?;
    let padding = if height.min(width) < 32 { 2 } else { 0 };
    let tanh = |input: &Tensor, _: bool| input.f_tanh();
    let first = Convolution { kernel: 5, padding, ..Convolution::default() };
    let second = Convolution { kernel: 5, ..Convolution::default() };
    let after = |side: i64| ((side + 2 * padding - 4) / 2 - 4) / 2;
    let scope = builder.root();
    let build = || {
        Ok(Sequential::default()
            .then(conv2d(&scope.at("conv1"), channels, 6, first)?)
            .then(tanh)
            .then(halve_by_mean)
            .then(conv2d(&scope.at("conv2"), 6, 16, second)?)
            .then(tanh)
            .then(halve_by_mean)
            .then(flatten)
            .then(linear(&scope.at("fc1"), 16 * after(height) * after(width), 120, Weights::Default)?)
            .then(tanh)
            .then(linear(&scope.at("fc2"), 120, 84, Weights::Default)?)
            .then(tanh)
            .then(linear(&scope.at("fc3"), 84, input.classes, Weights::Default)?))
    };
    build().map_err(Input::too_large)
}
