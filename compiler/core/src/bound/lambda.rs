//! The least memory with which a function can hold a model at all.
//!
//! A lower bound, so that what it refuses cannot work: the process before any tensor, and single-precision
//! parameters as often as the function holds them. Activations come on top and depend on the batch.

use super::Figure;
use crate::limits::{FUNCTION_MEMORY_MB, FUNCTION_TIMEOUT_S};
use stepgrad_contract::Function;
use stepgrad_contract::training::Architecture;

/// Resident memory of a function process before any work, in MB, as measured.
const BASE_MB: u64 = 112;

/// How a function of the plan is configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Configured {
    /// The function.
    pub function: Function,
    /// Its timeout in seconds.
    pub timeout_s: u32,
    /// Its memory in MB.
    pub memory_mb: u32,
    /// The least that it needs.
    pub least_mb: u64,
}

/// The longest timeout, the largest memory, and how near the model comes to the memory it is given.
pub(super) fn figures(functions: &[Configured]) -> Vec<Figure> {
    let mut figures = Vec::new();
    if let Some(slowest) = functions.iter().max_by_key(|configured| configured.timeout_s) {
        figures.push(Figure {
            what: "timeout of a function".to_owned(),
            worst: u64::from(slowest.timeout_s),
            limit: u64::from(FUNCTION_TIMEOUT_S),
            unit: "seconds",
            because: format!("functions.{}.timeout_s", slowest.function),
        });
    }
    if let Some(largest) = functions.iter().max_by_key(|configured| configured.memory_mb) {
        figures.push(Figure {
            what: "memory of a function".to_owned(),
            worst: u64::from(largest.memory_mb),
            limit: u64::from(FUNCTION_MEMORY_MB),
            unit: "MB",
            because: format!("functions.{}.memory_mb", largest.function),
        });
    }
    // The function that uses the largest share of what it is given.
    let share =
        |configured: &&Configured| configured.least_mb * 1_000 / u64::from(configured.memory_mb.max(1));
    if let Some(neediest) = functions.iter().max_by_key(share) {
        figures.push(Figure {
            what: format!("least memory of `{}`", neediest.function),
            worst: neediest.least_mb,
            limit: u64::from(neediest.memory_mb),
            unit: "MB",
            because: "the process, and parameters as often as it holds them; activations come on top"
                .to_owned(),
        });
    }
    figures
}

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
pub const fn least_memory_mb(function: Function, architecture: Architecture) -> u64 {
    match parameters(architecture) {
        Some(parameters) => BASE_MB + copies(function) * parameters * 4 / 1_048_576,
        None => BASE_MB,
    }
}
