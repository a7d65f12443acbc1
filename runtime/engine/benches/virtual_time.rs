//! Virtual time: events per second on one core with the history written to disk, and that memory does not grow with
//! the length of the run.
//!
//!     cargo bench -p stepgrad-engine --bench virtual_time [-- MILLIONS_OF_INVOCATIONS]
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a benchmark"
)]

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Instant;
use stepgrad_asl::document::MachineType;
use stepgrad_asl::program::Program;
use stepgrad_engine::core::{Invocation, Settings, Status};
use stepgrad_engine::driver::durations::Profile;
use stepgrad_engine::driver::history::{Discard, HistoryFile, HistorySink};
use stepgrad_engine::driver::virtual_time::{DEFAULT_START, VirtualOptions, VirtualResult, run};
use stepgrad_engine::integrations::lambda::InvokeReply;

/// Calls of one child execution: its history stays below AWS's 25,000 events.
const CALLS_A_ROUND: u64 = 2_000;

fn machine(definition: &Value) -> Program {
    Program::load(&definition.to_string(), MachineType::Standard).unwrap()
}

/// A distributed Map whose child executions, ten at a time, each call functions 2,000 times, 40 at a time, and wait an
/// hour: the history of `main` itself stays short.
fn machines() -> BTreeMap<String, Program> {
    let call = json!({"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "TimeoutSeconds": 60,
        "Parameters": {"FunctionName": "work", "Payload": {"item.$": "$"}}, "ResultSelector": {}, "End": true});
    let calls = CALLS_A_ROUND - 1;
    let main = json!({"StartAt": "Rounds", "States": {"Rounds": {
        "Type": "Map", "Label": "rounds", "MaxConcurrency": 10, "ResultSelector": {}, "End": true,
        "ItemProcessor": {"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
            "StartAt": "Items", "States": {
                "Items": {"Type": "Pass", "Parameters": {"items": (0..=calls).collect::<Vec<_>>()}, "Next": "Each"},
                "Each": {"Type": "Map", "ItemsPath": "$.items", "ResultSelector": {}, "Next": "Hour",
                    "ItemProcessor": {"StartAt": "Call", "States": {"Call": call}}},
                "Hour": {"Type": "Wait", "Seconds": 3_600, "End": true}}}}}});
    BTreeMap::from([("main".to_owned(), machine(&main))])
}

fn go(rounds: u64, history: &mut dyn HistorySink) -> (VirtualResult, f64) {
    let rounds: Vec<u64> = (0..rounds).collect();
    let mut answer = |_: &Invocation| {
        Ok(InvokeReply {
            payload: "{}".into(),
            function_error: None,
            executed_version: "$LATEST".to_owned(),
            request_id: String::new(),
        })
    };
    let options = VirtualOptions {
        machines: machines(),
        root: "main".to_owned(),
        execution_name: "bench".to_owned(),
        input: json!(rounds),
        seed: 1,
        settings: Settings::default(),
        durations: &Profile::default(),
        functions: &mut answer,
        max_concurrent_invocations: 1_000,
        history,
        start: DEFAULT_START,
        recover: None,
    };
    let start = Instant::now();
    let result = run(options).unwrap();
    let seconds = start.elapsed().as_secs_f64();
    assert_eq!(result.result.status, Status::Succeeded, "{:?}", result.result);
    (result, seconds)
}

/// The most memory that this process has had, in MiB; 0 where that is not known.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.trim().split(' ').next()?.parse::<u64>().ok());
    kilobytes.unwrap_or_default() / 1_024
}

fn report(what: &str, (result, seconds): &(VirtualResult, f64)) {
    let stats = result.result.stats;
    let days = (result.ended - DEFAULT_START) as f64 / 86_400_000.0;
    println!(
        "{what:<22} {:>9} calls {:>10} events of {days:>6.1} days in {seconds:>6.2} s: {:>9.0} events/s, peak {} MiB",
        stats.invocations,
        stats.events,
        stats.events as f64 / seconds,
        peak()
    );
}

fn main() {
    let asked = std::env::args().filter_map(|argument| argument.parse::<f64>().ok()).next();
    let folder = tempfile::tempdir().unwrap();
    if let Some(millions) = asked {
        let rounds = (millions * 1e6 / CALLS_A_ROUND as f64).ceil() as u64;
        for rounds in [rounds.div_ceil(100), rounds.div_ceil(10), rounds] {
            report("history thrown away", &go(rounds, &mut Discard));
        }
        return;
    }
    for (number, rounds) in [5, 50, 50, 50].into_iter().enumerate() {
        let path = folder.path().join(format!("{number}.jsonl"));
        let mut file = HistoryFile::create(&path).unwrap();
        report("history on disk", &go(rounds, &mut file));
        drop(file);
        println!("{:>22} {} MB", "", std::fs::metadata(&path).unwrap().len() / 1_000_000);
        std::fs::remove_file(&path).unwrap();
    }
    report("history thrown away", &go(50, &mut Discard));
}
