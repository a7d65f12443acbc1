//! What the residual networks share (He et al. 2016, "Deep residual learning for image recognition"), with
//! torchvision's names: the stem, four layers of blocks, the mean and the classifier.

use super::Input;
use super::layers::{
    Builder, Layer, Scope, Sequential, Weights, adaptive_mean, flatten, linear, max_pool, norm, relu,
    same_size,
};
use stepgrad_contract::FunctionError;
use tch::{TchError, Tensor};

/// The kind of block.
#[derive(Clone, Copy)]
pub(super) enum Block {
    /// Two convolutions of 3×3.
    Basic,
    /// 1×1, 3×3 (which strides, as torchvision's does), and 1×1 to four times the width.
    Bottleneck,
}

/// A residual network of `blocks` blocks in each of its four layers.
pub(super) fn build(
    builder: &Builder,
    input: &Input,
    name: &str,
    block: Block,
    blocks: [usize; 4],
) -> Result<Sequential, FunctionError> {
    let [channels, ..] = input.image(name, 32, 1_024)?;
    let scope = builder.root();
    let build = || {
        let mut network = Sequential::default()
            .then(convolution(&scope.at("conv1"), channels, 64, 7, 2)?)
            .then(norm(&scope.at("bn1"), 64)?)
            .then(relu)
            .then(max_pool(3, 2, 1, false));
        let mut inputs = 64;
        for ((layer, width), count) in (1..).zip([64, 128, 256, 512]).zip(blocks) {
            for place in 0..count {
                let stride = if place == 0 && layer > 1 { 2 } else { 1 };
                let scope = scope.at(format!("layer{layer}")).at(place);
                let (residual, outputs) = match block {
                    Block::Basic => basic(&scope, inputs, width, stride)?,
                    Block::Bottleneck => bottleneck(&scope, inputs, width, stride)?,
                };
                network = network.then(residual);
                inputs = outputs;
            }
        }
        let classifier = linear(&scope.at("fc"), inputs, input.classes, Weights::Default)?;
        Ok(network.then(adaptive_mean(1)).then(flatten).then(classifier))
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
    same_size(scope, inputs, outputs, kernel, stride, Weights::KaimingOut)
}

fn basic(scope: &Scope<'_>, inputs: i64, width: i64, stride: i64) -> Result<(Residual, i64), TchError> {
    let path = Sequential::default()
        .then(convolution(&scope.at("conv1"), inputs, width, 3, stride)?)
        .then(norm(&scope.at("bn1"), width)?)
        .then(relu)
        .then(convolution(&scope.at("conv2"), width, width, 3, 1)?)
        .then(norm(&scope.at("bn2"), width)?);
    Ok((Residual { path, shortcut: shortcut(scope, inputs, width, stride)? }, width))
}

fn bottleneck(scope: &Scope<'_>, inputs: i64, width: i64, stride: i64) -> Result<(Residual, i64), TchError> {
    let outputs = 4 * width;
    let path = Sequential::default()
        .then(convolution(&scope.at("conv1"), inputs, width, 1, 1)?)
        .then(norm(&scope.at("bn1"), width)?)
        .then(relu)
        .then(convolution(&scope.at("conv2"), width, width, 3, stride)?)
        .then(norm(&scope.at("bn2"), width)?)
        .then(relu)
        .then(convolution(&scope.at("conv3"), width, outputs, 1, 1)?)
        .then(norm(&scope.at("bn3"), outputs)?);
    Ok((Residual { path, shortcut: shortcut(scope, inputs, outputs, stride)? }, outputs))
}

fn shortcut(scope: &Scope<'_>, inputs: i64, outputs: i64, stride: i64) -> Result<Sequential, TchError> {
    let scope = scope.at("downsample");
    if stride == 1 && inputs == outputs {
        return Ok(Sequential::default());
    }
    let projection = convolution(&scope.at(0), inputs, outputs, 1, stride)?;
    Ok(Sequential::default().then(projection).then(norm(&scope.at(1), outputs)?))
}

struct Residual {
    path: Sequential,
    shortcut: Sequential,
}

impl Layer for Residual {
    fn forward(&self, input: &Tensor, train: bool) -> Result<Tensor, TchError> {
        self.path.forward(input, train)?.f_add(&self.shortcut.forward(input, train)?)?.f_relu()
    }
}
