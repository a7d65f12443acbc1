//! MobileNetV3-Small (Howard et al. 2019, "Searching for MobileNetV3", table 2) with torchvision's names and
//! settings: 2,542,856 parameters for 3 channels and 1,000 classes.

use super::Input;
use super::layers::{
    Builder, Convolution, Layer, Scope, Sequential, Weights, adaptive_mean, batch_norm, conv2d, dropout,
    flatten, linear, relu,
};
use stepgrad_contract::FunctionError;
use tch::{TchError, Tensor};

/// Kernel, expanded channels, output channels, squeeze and excitation, hard swish (else a rectifier), stride.
const BLOCKS: [(i64, i64, i64, bool, bool, i64); 11] = [
    (3, 16, 16, true, false, 2),
    (3, 72, 24, false, false, 2),
    (3, 88, 24, false, false, 1),
    (5, 96, 40, true, true, 2),
    (5, 240, 40, true, true, 1),
    (5, 240, 40, true, true, 1),
    (5, 120, 48, true, true, 1),
    (5, 144, 48, true, true, 1),
    (5, 288, 96, true, true, 2),
    (5, 576, 96, true, true, 1),
    (5, 576, 96, true, true, 1),
];

pub(super) fn build(builder: &Builder, input: &Input) -> Result<Sequential, FunctionError> {
    let [channels, ..] = input.image("mobilenet_v3_small", 32, 1_024)?;
    let (features, classifier) = (builder.root().at("features"), builder.root().at("classifier"));
    let build = || {
        let stem = Geometry { kernel: 3, stride: 2, groups: 1 };
        let mut network = unit(Sequential::default(), &features.at(0), channels, 16, stem)?.then(hard_swish);
        let mut inputs = 16;
        for ((place, block), outputs) in (1..).zip(BLOCKS).zip(BLOCKS.map(|block| block.2)) {
            network = network.then(inverted(&features.at(place).at("block"), inputs, block)?);
            inputs = outputs;
        }
        let network = unit(network, &features.at(12), inputs, 576, Geometry::POINT)?.then(hard_swish);
        let weights = Weights::Normal(0.01);
        Ok(network
            .then(adaptive_mean(1))
            .then(flatten)
            .then(linear(&classifier.at(0), 576, 1_024, weights)?)
            .then(hard_swish)
            .then(dropout(0.2))
            .then(linear(&classifier.at(3), 1_024, input.classes, weights)?))
    };
    build().map_err(Input::too_large)
}

#[derive(Clone, Copy)]
struct Geometry {
    kernel: i64,
    stride: i64,
    groups: i64,
}

impl Geometry {
    const POINT: Self = Self { kernel: 1, stride: 1, groups: 1 };
}

/// A convolution with its normalisation.
fn unit(
    network: Sequential,
    scope: &Scope<'_>,
    inputs: i64,
    outputs: i64,
    geometry: Geometry,
) -> Result<Sequential, TchError> {
    let Geometry { kernel, stride, groups } = geometry;
    let (padding, weights) = ((kernel - 1) / 2, Weights::KaimingOut);
    let shape = Convolution { kernel, stride, padding, groups, bias: false, weights };
    let convolution = conv2d(&scope.at(0), inputs, outputs, shape)?;
    Ok(network.then(convolution).then(batch_norm(&scope.at(1), outputs, 1e-3, 0.01)?))
}

fn hard_swish(input: &Tensor, _: bool) -> Result<Tensor, TchError> {
    input.f_hardswish()
}

/// An inverted residual: expanded by 1×1, filtered channel by channel, excited, projected by 1×1.
fn inverted(
    scope: &Scope<'_>,
    inputs: i64,
    (kernel, expanded, outputs, excited, swish, stride): (i64, i64, i64, bool, bool, i64),
) -> Result<impl Layer + use<>, TchError> {
    let activated = |network: Sequential| {
        if swish { network.then(hard_swish) } else { network.then(relu) }
    };
    let mut place = 0..;
    let mut next = || scope.at(place.next().unwrap_or(0));
    let mut path = Sequential::default();
    if expanded != inputs {
        path = activated(unit(path, &next(), inputs, expanded, Geometry::POINT)?);
    }
    let depthwise = Geometry { kernel, stride, groups: expanded };
    path = activated(unit(path, &next(), expanded, expanded, depthwise)?);
    if excited {
        path = path.then(excitation(&next(), expanded)?);
    }
    path = unit(path, &next(), expanded, outputs, Geometry::POINT)?;
    let residual = stride == 1 && inputs == outputs;
    Ok(move |input: &Tensor, train: bool| {
        let output = path.forward(input, train)?;
        if residual { output.f_add(input) } else { Ok(output) }
    })
}

/// Squeeze and excitation: each channel scaled by what the means of all say.
fn excitation(scope: &Scope<'_>, channels: i64) -> Result<impl Layer + use<>, TchError> {
    let shape = Convolution { weights: Weights::KaimingOut, ..Convolution::default() };
    let squeezed = divisible_by_8(channels / 4);
    let squeeze = conv2d(&scope.at("fc1"), channels, squeezed, shape)?;
    let excite = conv2d(&scope.at("fc2"), squeezed, channels, shape)?;
    Ok(move |input: &Tensor, train: bool| {
        let means = input.f_adaptive_avg_pool2d([1_i64, 1])?;
        let scale = excite.forward(&squeeze.forward(&means, train)?.f_relu()?, train)?;
        scale.f_hardsigmoid()?.f_mul(input)
    })
}

/// The multiple of 8 nearest to `channels`, not less than nine tenths of it (torchvision's `_make_divisible`).
fn divisible_by_8(channels: i64) -> i64 {
    let rounded = ((channels + 4) / 8 * 8).max(8);
    if 10 * rounded < 9 * channels { rounded + 8 } else { rounded }
}
