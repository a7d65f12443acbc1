//! ResNet-18 (He et al. 2016): 11,689,512 parameters for 3 channels and 1,000 classes.

use super::Input;
use super::layers::{Builder, Sequential};
use super::residual::{self, Block};
use stepgrad_contract::FunctionError;

pub(super) fn build(builder: &Builder, input: &Input) -> Result<Sequential, FunctionError> {
    residual::build(builder, input, "resnet18", Block::Basic, [2, 2, 2, 2])
}
