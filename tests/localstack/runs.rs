//! One training on both engines: by `stepgrad run`, and its bundle on LocalStack.

use crate::functions::Functions;
use crate::history;
use crate::server::{ROLE, STATES, Server};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use stepgrad_tests::{Ended, root, stepgrad};

/// The machine that is started.
const ROOT: &str = "train";

/// What a run leaves behind.
pub(crate) struct Run {
    id: String,
    /// The folder of its bundle.
    record: PathBuf,
    /// As DescribeExecution names it.
    pub(crate) status: Value,
    /// What the root execution gives; null where it failed.
    pub(crate) output: Value,
    /// The trained model's file.
    pub(crate) weights: Option<Vec<u8>>,
    /// The events of each execution, by `machine:name`.
    pub(crate) executions: BTreeMap<String, Vec<Value>>,
}

/// Runs `spec` on this engine, with its record in `folder`.
pub(crate) fn here(folder: &Path, spec: &Path, overrides: &[&str]) -> Run {
    let runs = folder.join("here");
    let mut arguments = vec!["run", spec.to_str().unwrap(), "--runs", runs.to_str().unwrap(), "-o", "json"];
    arguments.extend(overrides.iter().flat_map(|setting| ["--set", setting]));
    let ended = stepgrad(&root(), &arguments);
    assert!(matches!(ended.code, Some(0 | 4)), "{ended:?}");
    recorded(&runs, &ended)
}

/// Repeats a run on this engine with a file of `examples/faults/`, and asserts what that expects.
pub(crate) fn again(folder: &Path, run: &Run, faults: &str) -> Run {
    let runs = folder.join("here");
    let file = root().join("examples/faults").join(format!("{faults}.yaml"));
    let arguments = ["rerun", &run.id, "--faults", file.to_str().unwrap(), "--runs", runs.to_str().unwrap()];
    recorded(&runs, &stepgrad(&root(), &[&arguments[..], &["-o", "json"]].concat()).exits(0))
}

/// Reads the record of a run that has ended.
fn recorded(runs: &Path, ended: &Ended) -> Run {
    let line = ended.json();
    let id = line["run"].as_str().unwrap().to_owned();
    let record = runs.join(&id);
    let mut executions = BTreeMap::<String, Vec<Value>>::new();
    for line in std::fs::read_to_string(record.join("history.jsonl")).unwrap().lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        if let Some(execution) = event["execution"].as_str() {
            executions.entry(execution.to_owned()).or_default().push(event);
        }
    }
    let last = executions[&format!("{ROOT}:{id}")].last().unwrap();
    let output = history::read(&last["executionSucceededEventDetails"]["output"]);
    let weights = std::fs::read(record.join("model.safetensors")).ok();
    Run { id, record, status: line["status"].clone(), output, weights, executions }
}

/// Runs the bundle of a run on LocalStack, under the same id and with a store of its own in `folder`.
pub(crate) async fn there(server: &Server, listener: &TcpListener, folder: &Path, run: &Run) -> Run {
    let read = |path: &str| std::fs::read_to_string(run.record.join(path)).unwrap();
    let parse = |path: &str| serde_json::from_str::<Value>(&read(path)).unwrap();
    let index = parse("bundle/bundle.json");
    let runs = folder.join("there");
    let record = runs.join(&run.id);
    std::fs::create_dir_all(record.join("objects")).unwrap();
    std::fs::copy(run.record.join("bundle/training.json"), record.join("objects/training.json")).unwrap();
    // The plan that `training.json` names, if it does.
    if run.record.join("objects/faults.json").is_file() {
        std::fs::copy(run.record.join("objects/faults.json"), record.join("objects/faults.json")).unwrap();
    }
    let data = parse("run.json")["root"].as_str().map(PathBuf::from).unwrap();
    let functions = Functions::serve(listener, &index, &runs, &data);

    let entries = |key: &str| index[key].as_array().unwrap().clone();
    let machines = entries("machines");
    let mut stand_for: BTreeMap<_, _> =
        machines.iter().map(|machine| (text(machine, "placeholder"), arn(machine))).collect();
    for function in entries("functions") {
        stand_for.insert(text(&function, "placeholder"), functions.arn(&text(&function, "name")));
    }
    for machine in &machines {
        let definition = read(&format!("bundle/{}", text(machine, "file")));
        let definition =
            stand_for.iter().fold(definition, |text, (placeholder, arn)| text.replace(placeholder, arn));
        let request = json!({"name": machine["name"], "definition": definition, "roleArn": ROLE});
        server.call("CreateStateMachine", &request).await;
    }
    let request = json!({
        "stateMachineArn": format!("{STATES}:stateMachine:{ROOT}"),
        "name": run.id,
        "input": json!({"run": run.id}).to_string(),
    });
    let started = server.call("StartExecution", &request).await;
    let described = server.ended(started["executionArn"].as_str().unwrap()).await;
    functions.stop().await;

    let mut executions = BTreeMap::new();
    for machine in &machines {
        let request = json!({"stateMachineArn": arn(machine)});
        let listed = server.call("ListExecutions", &request).await;
        for execution in listed["executions"].as_array().unwrap() {
            let name = text(execution, "name");
            // The executions of the machine of the same name before this one are still listed.
            if name.starts_with(&run.id) {
                let request = json!({"executionArn": execution["executionArn"]});
                let mut history = server.call("GetExecutionHistory", &request).await;
                let Value::Array(events) = history["events"].take() else { panic!("no events of {name}") };
                executions.insert(format!("{}:{name}", text(machine, "name")), events);
            }
        }
        server.call("DeleteStateMachine", &request).await;
    }
    let weights = std::fs::read(record.join("model.safetensors")).ok();
    let output = history::read(&described["output"]);
    Run { id: run.id.clone(), record, status: described["status"].clone(), output, weights, executions }
}

fn arn(machine: &Value) -> String {
    format!("{STATES}:stateMachine:{}", text(machine, "name"))
}

fn text(entry: &Value, key: &str) -> String {
    entry[key].as_str().unwrap().to_owned()
}
