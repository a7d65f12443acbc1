//! The least memory with which a function can work on a model.
//!
//! As measured: the process before any tensor, what the function holds for each parameter, and the activations
//! of a small batch. Larger batches and images need more.

use super::Figure;
use crate::limits::{FUNCTION_MEMORY_MB, FUNCTION_TIMEOUT_S};
use stepgrad_contract::Function;
use stepgrad_contract::aggregation::Aggregation;
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
            because: "the process, the parameters as often as it holds them, and a small batch".to_owned(),
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

/// Bytes that `function` holds for each parameter, as measured (`runtime/functions/tests/peak.rs`, most of a
/// process's resident memory, momentum in use), rounded up. Peaks in MB, VGG-11 and `ResNet`-18 at 32×32:
/// initialise 1,019 and 182, gradient 1,198 and 251 (batch 32), combine 1,586 and 241, synchronise 2,121 and
/// 287, evaluate 1,163 and 212, finish 604 and 155; train on VGG-11 1,733.
const fn bytes_per_parameter(function: Function) -> u64 {
    match function {
        Function::Prepare | Function::Heartbeat | Function::Membership | Function::Reach => 0,
        Function::Finish => 5,
        // A file and the replica made of it, or the replica and its gradient.
        Function::Initialise | Function::Evaluate | Function::Gradient => 8,
        // The sum in double precision and one summand; the parameters, their gradient and the momentum.
        Function::Combine | Function::Train => 13,
        // The replica, the average, and the momentum with the file it comes from.
        Function::Synchronise | Function::Aggregate => 17,
    }
}

/// MB of activations that come on top at batch 32 of 32×32 images, rounded up: 103 measured with VGG-11, 54 with
/// `ResNet`-18, 118 with `ResNet`-50, 114 with `DenseNet`-121; and what the allocator leaves unused.
const fn on_top_mb(function: Function, architecture: Architecture) -> u64 {
    match function {
        Function::Prepare | Function::Heartbeat | Function::Membership | Function::Reach => return 0,
        // Many small tensors leave gaps.
        Function::Initialise | Function::Combine | Function::Finish => return 32,
        Function::Synchronise | Function::Aggregate => return 64,
        Function::Gradient | Function::Train | Function::Evaluate => {}
    }
    match architecture {
        Architecture::Vgg11 | Architecture::ResNet18 => 128,
        Architecture::ResNet50 | Architecture::DenseNet121 => 192,
        Architecture::SqueezeNet11 | Architecture::MobileNetV3Small => 64,
        _ => 0,
    }
}

/// Bytes that a rule holds for each parameter while it is at work: the files of all peers side by side, and the
/// result; for clipping and Zeno the round's start; for Zeno a candidate and a replica of it too.
const fn bytes_of_rule(aggregation: &Aggregation, peers: u32) -> u64 {
    let files = 4 * peers as u64;
    match aggregation {
        // File after file: counted with the function.
        Aggregation::Mean => 0,
        Aggregation::CoordinateMedian
        | Aggregation::TrimmedMean { .. }
        | Aggregation::Krum { .. }
        | Aggregation::MultiKrum { .. }
        | Aggregation::GeometricMedian => files + 5,
        Aggregation::NormClipping(_) => files + 9,
        Aggregation::Zeno { .. } => files + 21,
    }
}

/// MB that `function` needs to work on `architecture` at batch 32 of 32×32 images with this aggregation among
/// `peers`; larger ones need more.
#[must_use]
pub const fn least_memory_mb(
    function: Function,
    architecture: Architecture,
    aggregation: &Aggregation,
    peers: u32,
) -> u64 {
    let Some(parameters) = parameters(architecture) else {
        return BASE_MB;
    };
    let (mut bytes, mut on_top) = (bytes_per_parameter(function), on_top_mb(function, architecture));
    if matches!(function, Function::Synchronise | Function::Aggregate) {
        // The rule is done before the step begins.
        let rule = bytes_of_rule(aggregation, peers);
        if rule > bytes {
            bytes = rule;
        }
        let judged = on_top_mb(Function::Evaluate, architecture);
        if matches!(aggregation, Aggregation::Zeno { .. }) && judged > on_top {
            on_top = judged;
        }
    }
    BASE_MB + (bytes * parameters).div_ceil(1_048_576) + on_top
}

#[cfg(test)]
mod tests {
    use super::least_memory_mb;
    use stepgrad_contract::Function;
    use stepgrad_contract::aggregation::Aggregation;
    use stepgrad_contract::training::Architecture;

    #[test]
    fn what_was_measured_fits() {
        for (function, vgg11, resnet18) in [
            (Function::Prepare, 0, 0),
            (Function::Initialise, 1_019, 182),
            (Function::Gradient, 1_198, 251),
            (Function::Combine, 1_586, 241),
            (Function::Train, 1_733, 0),
            (Function::Synchronise, 2_121, 287),
            (Function::Aggregate, 2_121, 287),
            (Function::Evaluate, 1_163, 212),
            (Function::Finish, 604, 155),
        ] {
            for (architecture, peak) in [(Architecture::Vgg11, vgg11), (Architecture::ResNet18, resnet18)] {
                let least = least_memory_mb(function, architecture, &Aggregation::Mean, 4);
                assert!(peak <= least, "{function} of {architecture:?}: {least} MB");
            }
        }
    }

    #[test]
    fn a_robust_rule_holds_the_files_of_all_peers() {
        let of =
            |function, rule: &Aggregation, peers| least_memory_mb(function, Architecture::Vgg11, rule, peers);
        let files = |peers: u64| peers * 4 * 128_807_306 / 1_048_576;
        let (krum, mean) = (Aggregation::Krum { byzantine: 1 }, Aggregation::Mean);
        for function in [Function::Synchronise, Function::Aggregate] {
            assert!(of(function, &krum, 10) > files(10));
            assert_eq!(of(function, &krum, 11) - of(function, &krum, 10), files(1) + 1);
            assert_eq!(of(function, &mean, 100), of(function, &mean, 4));
            assert_eq!(of(function, &krum, 2), of(function, &mean, 2), "the step needs more");
        }
        assert_eq!(of(Function::Combine, &krum, 10), of(Function::Combine, &mean, 10));
        assert!(
            of(Function::Aggregate, &Aggregation::Zeno { byzantine: 1, rho: 0.0, batches: 1 }, 10)
                > of(Function::Aggregate, &krum, 10)
        );
    }
}
