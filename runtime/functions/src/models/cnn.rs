//! A small convolutional network for images of 8×8 to 64×64: two convolutions of 3×3 (16 and 32 channels),
//! each rectified and halved, then 64 hidden units.

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
            .then(conv2d(&scope.at("conv1"), channels, 16, shape)?)
            .then(relu)
            .then(max_pool(2, 2, 0, false))
            .then(conv2d(&scope.at("conv2"), 16, 32, shape)?)
            .then(relu)
            .then(max_pool(2, 2, 0, false))
            .then(flatten);
        let features = 32 * (height / 4) * (width / 4);
        Ok(network.then(linear(&scope.at("hidden"), features, 64, weights)?).then(relu).then(linear(
            &scope.at("output"),
            64,
            input.classes,
            Weights::Default,
        )?))
    };
    build().map_err(Input::too_large)
}
