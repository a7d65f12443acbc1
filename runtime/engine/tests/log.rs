//! A run whose history is a file: resumed after a kill, redriven after a failure, in virtual time.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]
#![expect(clippy::disallowed_methods, reason = "the history is a file")]

mod unattended;

use serde_json::{Value, json};
use std::path::Path;
use stepgrad_engine::core::{Invocation, Status};
use stepgrad_engine::driver::durations::Table;
use stepgrad_engine::integrations::lambda::{InvokeError, InvokeReply};
use stepgrad_engine::log::Log;
use stepgrad_engine::run::{RunError, RunReport, run_virtual};

fn task(function: &str, next: &Value) -> Value {
    let mut task = json!({"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "TimeoutSeconds": 60,
        "Parameters": {"FunctionName": function, "Payload": {}}, "ResultPath": null});
    task.as_object_mut().unwrap().extend(next.as_object().unwrap().clone());
    task
}

/// The result, and the functions that were called.
fn go(log: &Log, broken: bool) -> (Result<RunReport, RunError>, Vec<String>) {
    let definition = json!({"StartAt": "A", "States": {
        "A": task("a", &json!({"Next": "W"})), "W": {"Type": "Wait", "Seconds": 604_800, "Next": "B"},
        "B": task("b", &json!({"End": true}))}});
    let mut called = Vec::new();
    let mut functions = |invocation: &Invocation| {
        called.push(invocation.function.clone());
        if broken && invocation.function == "b" {
            return Err(InvokeError { error: "Broken".to_owned(), cause: String::new() });
        }
        Ok(InvokeReply {
            payload: "1".into(),
            function_error: None,
            executed_version: "$LATEST".to_owned(),
            request_id: "r".to_owned(),
        })
    };
    let report = run_virtual(unattended::options(&definition, None), log, &Table::default(), &mut functions);
    (report, called)
}

fn lines(path: &Path) -> Vec<String> {
    std::fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn a_killed_run_goes_on_and_a_failed_one_is_redriven() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history.jsonl");
    let (report, called) = go(&Log::New(path.clone()), true);
    assert_eq!(report.unwrap().result.status, Status::Failed);
    assert_eq!(called, ["a", "b"]);
    let (again, _) = go(&Log::New(path.clone()), true);
    assert!(matches!(again, Err(RunError::Log(_))), "a history is not written over");

    // Redriven: b alone is called again.
    let (report, called) = go(&Log::Redrive(path.clone()), false);
    let report = report.unwrap();
    assert_eq!((report.result.status, called), (Status::Succeeded, vec!["b".to_owned()]));
    let types: Vec<&str> =
        lines(&path).iter().filter_map(|line| line.contains("Redriven").then_some("")).collect();
    assert_eq!(types.len(), 1);
    let trace = report.history.unwrap();
    assert_eq!(trace.len() + 1, lines(&path).len(), "all events, and one line of the resumption");

    // It has succeeded: nothing to redrive, and nothing is written.
    let before = lines(&path);
    assert!(matches!(go(&Log::Redrive(path.clone()), false).0, Err(RunError::Log(_))));
    assert_eq!(lines(&path), before);

    // Killed in the middle of the wait, after a was done.
    let killed = folder.path().join("killed.jsonl");
    let place = before.iter().position(|line| line.contains("WaitStateEntered")).unwrap();
    std::fs::write(&killed, before[..=place].join("\n") + "\n{\"torn").unwrap();
    assert!(matches!(go(&Log::Redrive(killed.clone()), false).0, Err(RunError::Log(_))));
    let (report, called) = go(&Log::Resume(killed), false);
    assert_eq!((report.unwrap().result.status, called), (Status::Succeeded, vec!["b".to_owned()]));
}
