//! A linear machine for the multi-class hinge loss (Crammer and Singer 2001): the scores of softmax
//! regression without the softmax. The loss makes the difference.

use super::Input;
use super::layers::{Builder, Sequential};
use super::logistic_regression;
use stepgrad_contract::FunctionError;

pub(super) fn build(builder: &Builder, input: &Input) -> Result<Sequential, FunctionError> {
    logistic_regression::build(builder, input)
}
