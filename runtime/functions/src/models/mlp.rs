//! One hidden layer of 128 rectified units: `hidden.weight` [128, features], `hidden.bias`,
//! `output.weight` [classes, 128], `output.bias`.

use super::Input;
use super::layers::{Builder, Sequential, Weights, flatten, linear, relu};
use stepgrad_contract::FunctionError;

/// Units of the hidden layer.
pub const HIDDEN: i64 = 128;

pub(super) fn build(builder: &Builder, input: &Input) -> Result<Sequential, FunctionError> {
    let scope = builder.root();
    let hidden = linear(&scope.at("hidden"), input.features()?, HIDDEN, Weights::Default);
    let output = linear(&scope.at("output"), HIDDEN, input.classes, Weights::Default);
    let network = Sequential::default().then(flatten).then(hidden.map_err(Input::too_large)?).then(relu);
    Ok(network.then(output.map_err(Input::too_large)?))
}
