//! A small convolutional network for images of 8×8 to 64×64: two convolutions of 3×3 (32 and 64 channels),
//! each rectified and halved, then 128 hidden units.

use super::Input;
use super::layers::{Builder, Convolution, Sequential, Weights, conv2d, flatten, linear, max_pool, relu};
use stepgrad_contract::FunctionError;

pub(super) fn build(builder: &Builder, input: &Input) -> Result<Sequential, FunctionError> {
    let [channels, height, width] = input.image("cnn", 8, 64)?;
    let weights = Weights::KaimingIn;
    let shape = Convolution { kernel: 3, padding: 1, weights, ..Convolution::default() };
    let scope = builder.root();
    let build = || {
        let network = Sequential::default()
            .then(conv2d(&scope.at("conv1"), channels, 32, shape)?)
            .then(relu)
            .then(max_pool(2, 2, 0, false))
            .then(conv2d(&scope.at("conv2"), 32, 64, shape)?)
            .then(relu)
            .then(max_pool(2, 2, 0, false))
            .then(flatten);
        let features = 64 * (height / 4) * (width / 4);
        let hidden = linear(&scope.at("hidden"), features, 128, weights)?;
        let output = linear(&scope.at("output"), 128, input.classes, Weights::Default)?;
        Ok(network.then(hidden).then(relu).then(output))
    };
    build().map_err(Input::too_large)
}
