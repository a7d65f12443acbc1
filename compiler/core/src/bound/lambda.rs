//! The least memory with which a function can hold a model at all.
//!
//! A lower bound, so that what it refuses cannot work: the process before any tensor, and single-precision
//! parameters as often as the function holds them. Activations come on top and depend on the batch.

use stepgrad_contract::Function;
use stepgrad_contract::training::Architecture;

/// Resident memory of a function process after its first tensor, in MB, rounded down from a measured 112.
const BASE_MB: u64 = 100;

/// Trainable parameters at ten classes; `None` where they depend on the data or the user's module.
#[must_use]
pub const fn parameters(architecture: Architecture) -> Option<u64> {
    match architecture {
        Architecture::SqueezeNet11 => Some(727_626),
        Architecture::MobileNetV3Small => Some(1_528_106),
        Architecture::Vgg11 => Some(128_807_306),
        Architecture::ResNet18 => Some(11_181_642),
        Architecture::ResNet50 => Some(23_528_522),
        Architecture::DenseNet121 => Some(6_964_106),
        Architecture::LogisticRegression
        | Architecture::Svm
        | Architecture::Mlp
        | Architecture::Cnn
        | Architecture::LeNet5
        | Architecture::TorchScript => None,
    }
}

/// How many copies of the parameters `function` holds at once at the least.
const fn copies(function: Function) -> u64 {
    match function {
        Function::Prepare | Function::Membership => 0,
        Function::Initialise | Function::Evaluate | Function::Finish => 1,
        // The parameters and their gradient, or the sum and one summand.
        Function::Gradient | Function::Combine => 2,
        // The parameters, their gradient or average, and the momentum.
        Function::Train | Function::Synchronise | Function::Aggregate => 3,
    }
}

/// MB that `function` needs at the least to work on `architecture`.
#[must_use]
pub const fn least_memory_mb(function: Function, architecture: Architecture) -> Option<u64> {
    match parameters(architecture) {
        Some(parameters) => Some(BASE_MB + copies(function) * parameters * 4 / 1_048_576),
        None => None,
    }
}
