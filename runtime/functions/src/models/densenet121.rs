//! DenseNet-121 (Huang et al. 2017, "Densely connected convolutional networks") with torchvision's names:
//! 7,978,856 parameters for 3 channels and 1,000 classes. The last mean is over the whole image, so that 32×32
//! images work.

use super::Input;
use super::layers::{
    Builder, Layer, Scope, Sequential, Weights, adaptive_mean, flatten, halve_by_mean, linear, max_pool,
    norm, relu, same_size,
};
use stepgrad_contract::FunctionError;
use tch::{TchError, Tensor};

const GROWTH: i64 = 32;

pub(super) fn build(builder: &Builder, input: &Input) -> Result<Sequential, FunctionError> {
    let [channels, ..] = input.image("densenet121", 32, 1_024)?;
    let scope = builder.root().at("features");
    let build = || {
        let mut network = Sequential::default()
            .then(convolution(&scope.at("conv0"), channels, 64, 7, 2)?)
            .then(norm(&scope.at("norm0"), 64)?)
            .then(relu)
            .then(max_pool(3, 2, 1, false));
        let mut features = 64;
        for (block, layers) in (1..).zip([6, 12, 24, 16]) {
            for layer in 1..=layers {
                let scope = scope.at(format!("denseblock{block}")).at(format!("denselayer{layer}"));
                network = network.then(dense(&scope, features)?);
                features += GROWTH;
            }
            if block < 4 {
                let scope = scope.at(format!("transition{block}"));
                network = network
                    .then(norm(&scope.at("norm"), features)?)
                    .then(relu)
                    .then(convolution(&scope.at("conv"), features, features / 2, 1, 1)?)
                    .then(halve_by_mean);
                features /= 2;
            }
        }
        Ok(network
            .then(norm(&scope.at("norm5"), features)?)
            .then(relu)
            .then(adaptive_mean(1))
            .then(flatten)
            .then(linear(&builder.root().at("classifier"), features, input.classes, Weights::Default)?))
    };
    build().map_err(Input::too_large)
}

fn convolution(
    scope: &Scope<'_>,
    inputs: i64,
    outputs: i64,
    kernel: i64,
    stride: i64,
) -> Result<impl Layer + use<>, TchError> {
    same_size(scope, inputs, outputs, kernel, stride, Weights::KaimingIn)
}

/// A layer whose output is joined to its input.
fn dense(scope: &Scope<'_>, inputs: i64) -> Result<impl Layer + use<>, TchError> {
    let path = Sequential::default()
        .then(norm(&scope.at("norm1"), inputs)?)
        .then(relu)
        .then(convolution(&scope.at("conv1"), inputs, 4 * GROWTH, 1, 1)?)
        .then(norm(&scope.at("norm2"), 4 * GROWTH)?)
        .then(relu)
        .then(convolution(&scope.at("conv2"), 4 * GROWTH, GROWTH, 3, 1)?);
    Ok(move |input: &Tensor, train: bool| {
        let grown = path.forward(input, train)?;
        Tensor::f_cat(&[input, &grown], 1)
    })
}
