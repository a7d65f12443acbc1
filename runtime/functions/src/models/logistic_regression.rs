//! Softmax regression: `linear.weight` [classes, features], `linear.bias` [classes].

use super::Input;
use super::layers::{Builder, Sequential, Weights, flatten, linear};
use stepgrad_contract::FunctionError;

pub(super) fn build(builder: &Builder, input: &Input) -> Result<Sequential, FunctionError> {
    let scope = builder.root().at("linear");
    let layer =
        linear(&scope, input.features()?, input.classes, Weights::Default).map_err(Input::too_large)?;
    Ok(Sequential::default().then(flatten).then(layer))
}
