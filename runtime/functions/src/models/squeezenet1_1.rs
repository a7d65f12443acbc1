//! SqueezeNet 1.1 (Iandola et al. 2016) with torchvision's names: 1,235,496 parameters for 3 channels and
//! 1,000 classes.

use super::Input;
use super::layers::{
    Builder, Convolution, Layer, Scope, Sequential, Weights, adaptive_mean, conv2d, dropout, flatten,
    max_pool, relu,
};
use stepgrad_contract::FunctionError;
use tch::{TchError, Tensor};

pub(super) fn build(builder: &Builder, input: &Input) -> Result<Sequential, FunctionError> {
    let [channels, ..] = input.image("squeezenet1_1", 32, 1_024)?;
    let scope = builder.root().at("features");
    let stem = Convolution { stride: 2, ..convolution(3) };
    let last = Convolution { weights: Weights::Normal(0.01), ..convolution(1) };
    let build = || {
        Ok(Sequential::default()
            .then(conv2d(&scope.at(0), channels, 64, stem)?)
            .then(relu)
            .then(max_pool(3, 2, 0, true))
            .then(fire(&scope.at(3), 64, 16, 64)?)
            .then(fire(&scope.at(4), 128, 16, 64)?)
            .then(max_pool(3, 2, 0, true))
            .then(fire(&scope.at(6), 128, 32, 128)?)
            .then(fire(&scope.at(7), 256, 32, 128)?)
            .then(max_pool(3, 2, 0, true))
            .then(fire(&scope.at(9), 256, 48, 192)?)
            .then(fire(&scope.at(10), 384, 48, 192)?)
            .then(fire(&scope.at(11), 384, 64, 256)?)
            .then(fire(&scope.at(12), 512, 64, 256)?)
            .then(dropout(0.5))
            .then(conv2d(&builder.root().at("classifier").at(1), 512, input.classes, last)?)
            .then(relu)
            .then(adaptive_mean(1))
            .then(flatten))
    };
    build().map_err(Input::too_large)
}

fn convolution(kernel: i64) -> Convolution {
    Convolution { kernel, weights: Weights::KaimingUniform, ..Convolution::default() }
}

/// Squeezed to few channels, then expanded by 1×1 and by 3×3.
fn fire(
    scope: &Scope<'_>,
    inputs: i64,
    squeezed: i64,
    expanded: i64,
) -> Result<impl Layer + use<>, TchError> {
    let squeeze = conv2d(&scope.at("squeeze"), inputs, squeezed, convolution(1))?;
    let small = conv2d(&scope.at("expand1x1"), squeezed, expanded, convolution(1))?;
    let padded = Convolution { padding: 1, ..convolution(3) };
    let large = conv2d(&scope.at("expand3x3"), squeezed, expanded, padded)?;
    Ok(move |input: &Tensor, train: bool| {
        let input = squeeze.forward(input, train)?.f_relu()?;
        let (small, large) =
            (small.forward(&input, train)?.f_relu()?, large.forward(&input, train)?.f_relu()?);
        Tensor::f_cat(&[small, large], 1)
    })
}
