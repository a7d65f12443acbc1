//! What the engine adds: steps of a loop and calls of an empty function per second, the function in this
//! process (the engine alone) and in processes of its own (the engine and the host).
//!
//!     cargo build --release -p stepgrad-engine --example empty && cargo bench -p stepgrad-engine
#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::print_stdout, reason = "a benchmark")]

use bytes::Bytes;
use futures::future::BoxFuture;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;
use stepgrad_asl::document::MachineType;
use stepgrad_engine::core::Status;
use stepgrad_engine::host::{Discard, FunctionConfig, Host, HostConfig, InvocationRecord};
use stepgrad_engine::integrations::lambda::{Invoke, InvokeError, InvokeReply};
use stepgrad_engine::run::{Definition, RunOptions, run};

const CALLS: usize = 200;
const STEPS: u32 = 5_000;
const ROUNDS: usize = 7;

/// Answers at once.
struct Empty;

impl Invoke for Empty {
    fn invoke<'a>(&'a self, _: &'a str, _: Bytes) -> BoxFuture<'a, Result<InvokeReply, InvokeError>> {
        Box::pin(async {
            Ok(InvokeReply {
                payload: Bytes::from_static(b"{}"),
                function_error: None,
                executed_version: "$LATEST".to_owned(),
                request_id: String::new(),
            })
        })
    }
}

fn map() -> Value {
    json!({
        "StartAt": "Each",
        "States": {"Each": {
            "Type": "Map",
            "ItemsPath": "$.items",
            "MaxConcurrency": 40,
            "ItemProcessor": {
                "ProcessorConfig": {"Mode": "INLINE"},
                "StartAt": "Call",
                "States": {"Call": {
                    "Type": "Task",
                    "Resource": "arn:aws:states:::lambda:invoke",
                    "Parameters": {"FunctionName": "empty", "Payload": {"item.$": "$"}},
                    "ResultSelector": {},
                    "TimeoutSeconds": 60,
                    "End": true,
                }},
            },
            "ResultSelector": {},
            "End": true,
        }},
    })
}

fn choices() -> Value {
    json!({
        "StartAt": "Again",
        "States": {
            "Again": {
                "Type": "Choice",
                "Choices": [{"Variable": "$.left", "NumericGreaterThan": 0, "Next": "Count"}],
                "Default": "Done",
            },
            "Count": {"Type": "Pass", "Parameters": {"left.$": "States.MathAdd($.left, -1)"}, "Next": "Again"},
            "Done": {"Type": "Succeed"},
        },
    })
}

async fn timed(definition: &Value, input: Value, invoke: Arc<dyn Invoke>) -> f64 {
    let text = definition.to_string();
    let options = RunOptions {
        definitions: BTreeMap::from([(
            "main".to_owned(),
            Definition { text, machine_type: MachineType::Standard },
        )]),
        root: "main".to_owned(),
        execution_name: "bench".to_owned(),
        input,
        seed: 0,
        invoke,
        max_concurrent_invocations: 40,
        objects: None,
        trace: false,
    };
    let start = Instant::now();
    let report = run(options).await.unwrap();
    assert_eq!(report.result.status, Status::Succeeded, "{:?}", report.result);
    start.elapsed().as_secs_f64()
}

/// Minimum, median and maximum of what `each` gives.
fn print(what: &str, unit: &str, mut rates: Vec<f64>) {
    rates.sort_by(f64::total_cmp);
    let (first, middle, last) = (rates[0], rates[rates.len() / 2], rates[rates.len() - 1]);
    println!("{what:<48} {middle:>9.0} {unit} (median; {first:.0} to {last:.0})");
}

#[tokio::main]
async fn main() {
    let items = json!({"items": (0..CALLS).collect::<Vec<_>>()});
    let mut steps = Vec::new();
    let mut alone = Vec::new();
    for _ in 0..ROUNDS {
        let seconds = timed(&choices(), json!({"left": STEPS}), Arc::new(Empty)).await;
        steps.push(f64::from(2 * STEPS) / seconds);
        alone.push(CALLS as f64 / timed(&map(), items.clone(), Arc::new(Empty)).await);
    }
    print("loop of Choice and Pass", "transitions/s", steps);
    print("Map of 200 calls, the function in this process", "calls/s", alone);

    let own = std::env::current_exe().unwrap();
    let empty = own.ancestors().nth(2).unwrap().join("examples/empty");
    if !empty.is_file() {
        println!("not measured: {} is not built (see the head of this file)", empty.display());
        return;
    }
    let function = FunctionConfig { timeout_s: 60, ..FunctionConfig::new("empty") };
    let config = HostConfig { max_concurrency: 8, ..HostConfig::new(empty) };
    let host =
        Host::new(config, vec![function], Arc::new(Discard), Arc::new(|_: &InvocationRecord| {})).unwrap();
    let mut hosted = Vec::new();
    for round in 0..=ROUNDS {
        let seconds = timed(&map(), items.clone(), Arc::new(host.clone())).await;
        // The first round starts the processes.
        if round > 0 {
            hosted.push(CALLS as f64 / seconds);
        }
    }
    print("Map of 200 calls, the function in 8 processes", "calls/s", hosted);
    host.shutdown().await;
}
