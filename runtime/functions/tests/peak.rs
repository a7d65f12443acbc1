//! The most memory that each function takes, each call in a process of its own: what
//! `compiler/core/src/bound/lambda.rs` promises. It moves gigabytes, so it runs when asked for:
//! `cargo test -p stepgrad-runtime --test peak -- --ignored --nocapture measure`.
#![expect(clippy::disallowed_methods, reason = "starts processes and looks at them")]
#![expect(clippy::unwrap_used, reason = "a helper that fails fails the test")]

mod driver;

use driver::{Driver, training};
use serde_json::Value;
use std::process::Command;
use stepgrad_contract::Function;
use stepgrad_contract::training::{
    Algorithm, Architecture, Data, Every, Loss, Model, Optimizer, Synthetic, Training, Validation,
};
use stepgrad_runtime::handlers::{Environment, dispatch};

/// What is asked of a process, and where it answers.
const CALL: &str = "STEPGRAD_PEAK_CALL";
const REPLY: &str = "STEPGRAD_PEAK_REPLY";

fn peak_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap().div_ceil(1_024)
}

#[expect(clippy::print_stdout, reason = "what was measured is what the test is for")]
fn say(line: &str) {
    println!("{line}");
}

/// Makes a call in a process of its own and says what it took.
#[expect(clippy::needless_pass_by_value, reason = "stands in for dispatch, which takes it")]
fn apart(store: &str, function: Function, event: Value) -> Value {
    let reply = tempfile::NamedTempFile::new().unwrap();
    let call = serde_json::json!([store, function, event]).to_string();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "one_call"])
        .env(CALL, call)
        .env(REPLY, reply.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let (peak, reply): (u64, Value) = serde_json::from_slice(&std::fs::read(reply.path()).unwrap()).unwrap();
    say(&format!("{function:>12} {peak:>6} MB  {event}"));
    reply
}

#[tokio::test]
#[ignore = "a part of measure"]
async fn one_call() {
    let (Ok(call), Ok(reply)) = (std::env::var(CALL), std::env::var(REPLY)) else { return };
    let (store, function, event): (String, Function, Value) = serde_json::from_str(&call).unwrap();
    let variables = |name: &str| Some(if name == "STEPGRAD_STORE" { store.clone() } else { "/".to_owned() });
    let environment = Environment::from_variables(variables).unwrap();
    let answer = dispatch(function, &environment, event).await.unwrap();
    std::fs::write(reply, serde_json::to_vec(&(peak_mb(), answer)).unwrap()).unwrap();
}

/// Two rounds of both algorithms at batch 32 of 32×32, with momentum; `STEPGRAD_PEAK_MODEL` names one model.
#[tokio::test]
#[ignore = "moves gigabytes"]
async fn measure() {
    let only = std::env::var("STEPGRAD_PEAK_MODEL").ok();
    for architecture in [
        Architecture::Vgg11,
        Architecture::ResNet18,
        Architecture::ResNet50,
        Architecture::DenseNet121,
        Architecture::MobileNetV3Small,
        Architecture::SqueezeNet11,
    ] {
        let name = serde_json::to_value(architecture).unwrap();
        if only.as_ref().is_some_and(|only| name != only.as_str()) {
            continue;
        }
        for algorithm in [Algorithm::GradientAveraging, Algorithm::ModelAveraging] {
            say(&format!("{name} {algorithm:?}"));
            let data = Data {
                validation: Some(Validation::Share(0.5)),
                synthetic: Some(Synthetic { samples: 256, shape: vec![3, 32, 32], classes: 10 }),
                ..training().data
            };
            let mut driver = Driver::new(Training {
                data,
                model: Model { architecture, loss: Loss::CrossEntropy },
                algorithm,
                batch_size: 32,
                peers: 2,
                epochs: 2,
                every: Every::Epochs(1),
                optimizer: Optimizer::Sgd {
                    learning_rate: 1e-4,
                    momentum: 0.9,
                    weight_decay: 0.0,
                    nesterov: false,
                },
                ..training()
            })
            .await;
            driver.manner.by = Some(apart);
            driver.run().await.unwrap();
        }
    }
}
