//! VGG-11 (Simonyan and Zisserman 2014, configuration A) with torchvision's names and its adaptive pool to
//! 7×7, so that 32×32 images work: 132,863,336 parameters for 3 channels and 1,000 classes.

use super::Input;
use super::layers::{
    Builder, Convolution, Sequential, Weights, adaptive_mean, conv2d, dropout, flatten, linear, max_pool,
    relu,
};
use stepgrad_contract::FunctionError;

pub(super) fn build(builder: &Builder, input: &Input) -> Result<Sequential, FunctionError> {
    let [mut channels, ..] = input.image("vgg11", 32, 1_024)?;
    let shape = Convolution { kernel: 3, padding: 1, weights: Weights::KaimingOut, ..Convolution::default() };
    let (features, classifier) = (builder.root().at("features"), builder.root().at("classifier"));
    let mut build = || {
        let mut network = Sequential::default();
        let mut place = 0;
        for block in [[64].as_slice(), &[128], &[256, 256], &[512, 512], &[512, 512]] {
            for &outputs in block {
                network = network.then(conv2d(&features.at(place), channels, outputs, shape)?).then(relu);
                channels = outputs;
                place += 2;
            }
            network = network.then(max_pool(2, 2, 0, false));
            place += 1;
        }
        let weights = Weights::Normal(0.01);
        Ok(network
            .then(adaptive_mean(7))
            .then(flatten)
            .then(linear(&classifier.at(0), 512 * 7 * 7, 4_096, weights)?)
            .then(relu)
            .then(dropout(0.5))
            .then(linear(&classifier.at(3), 4_096, 4_096, weights)?)
            .then(relu)
            .then(dropout(0.5))
            .then(linear(&classifier.at(6), 4_096, input.classes, weights)?))
    };
    build().map_err(Input::too_large)
}
