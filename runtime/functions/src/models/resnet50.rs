//! ResNet-50 (He et al. 2016): 25,557,032 parameters for 3 channels and 1,000 classes.

use super::Input;
use super::layers::{Builder, Sequential};
use super::residual::{self, Block};
use stepgrad_contract::FunctionError;

pub(super) fn build(builder: &Builder, input: &Input) -> Result<Sequential, FunctionError> {
    residual::build(builder, input, "resnet50", Block::Bottleneck, [3, 4, 6, 3])
}
