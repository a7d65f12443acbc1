//! What stands in the history, and in which order.

use super::simulation::Simulation;
use crate::core::Status;
use crate::core::history::{EventType, Record};
use serde_json::json;

#[test]
fn a_task_in_a_map() {
    let machines = [(
        "m",
        json!({"StartAt": "M", "States": {"M": {"Type": "Map", "MaxConcurrency": 1,
        "ItemProcessor": {"StartAt": "T", "States": {"T": {"Type": "Task", "TimeoutSeconds": 5,
            "Resource": "arn:aws:lambda:us-east-1:111111111111:function:f", "End": true}}}, "End": true}}}),
    )];
    let run = Simulation::start(&machines, json!([1, 2]), 1).finish();
    let iteration = [
        "MapIterationStarted",
        "TaskStateEntered",
        "LambdaFunctionScheduled",
        "LambdaFunctionStarted",
        "LambdaFunctionSucceeded",
        "TaskStateExited",
        "MapIterationSucceeded",
    ];
    let expected: Vec<&str> = ["ExecutionStarted", "MapStateEntered", "MapStateStarted"]
        .into_iter()
        .chain(iteration)
        .chain(iteration)
        .chain(["MapStateSucceeded", "MapStateExited", "ExecutionSucceeded"])
        .collect();
    assert_eq!(run.types("m:run"), expected);
    assert_eq!(
        run.result("m:run").output,
        Some(json!([
        {"by": "arn:aws:lambda:us-east-1:111111111111:function:f", "of": 1},
        {"by": "arn:aws:lambda:us-east-1:111111111111:function:f", "of": 2}]))
    );
}

#[test]
fn ids_have_no_gaps_and_lead_back() {
    let machines = [(
        "m",
        json!({"StartAt": "P", "States": {"P": {"Type": "Parallel", "End": true, "Branches": [
        {"StartAt": "A", "States": {"A": {"Type": "Pass", "Next": "B"}, "B": {"Type": "Pass", "End": true}}},
        {"StartAt": "C", "States": {"C": {"Type": "Pass", "End": true}}}]}}}),
    )];
    let run = Simulation::start(&machines, json!({}), 1).finish();
    for (place, record) in run.records.iter().enumerate() {
        let Record::Event { event, .. } = record else { panic!("an event") };
        assert_eq!(event.id, place as u64 + 1);
        assert!(event.previous_event_id < event.id);
        let text = serde_json::to_string(record).unwrap();
        assert_eq!(&serde_json::from_str::<Record>(&text).unwrap(), record);
    }
}

#[test]
fn a_failing_branch_cancels_the_others() {
    let machines = [(
        "m",
        json!({"StartAt": "P", "States": {"P": {"Type": "Parallel", "End": true, "Branches": [
        {"StartAt": "F", "States": {"F": {"Type": "Fail", "Error": "E", "Cause": "c"}}},
        {"StartAt": "T", "States": {"T": {"Type": "Task", "TimeoutSeconds": 5, "Resource": "arn:aws:states:::lambda:invoke",
            "Parameters": {"FunctionName": "good"}, "End": true}}},
        {"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 100, "End": true}}}]}}}),
    )];
    let run = Simulation::start(&machines, json!({}), 1);
    let result = run.result("m:run").clone();
    assert_eq!(
        (result.status, result.error.as_deref(), result.cause.as_deref()),
        (Status::Failed, Some("E"), Some("c"))
    );
    assert!(run.core.is_idle() && run.waiting.is_empty() && run.core.next_timer().is_none());
    assert!(run.types("m:run").contains(&EventType::ParallelStateFailed.name()));
}

#[test]
fn a_child_execution_has_its_own_history() {
    let machines = [
        (
            "m",
            json!({"StartAt": "T", "States": {"T": {"Type": "Task", "TimeoutSeconds": 5,
            "Resource": "arn:aws:states:::states:startExecution.sync:2",
            "Parameters": {"StateMachineArn": "arn:aws:states:us-east-1:111111111111:stateMachine:c", "Name": "n", "Input": {"a": 1}},
            "ResultSelector": {"o.$": "$.Output", "s.$": "$.Status"}, "End": true}}}),
        ),
        ("c", json!({"StartAt": "P", "States": {"P": {"Type": "Pass", "End": true}}})),
    ];
    let run = Simulation::start(&machines, json!({}), 1).finish();
    assert_eq!(run.result("m:run").output, Some(json!({"o": {"a": 1}, "s": "SUCCEEDED"})));
    assert_eq!(
        run.types("c:n"),
        ["ExecutionStarted", "PassStateEntered", "PassStateExited", "ExecutionSucceeded"]
    );
    assert_eq!(
        run.types("m:run"),
        [
            "ExecutionStarted",
            "TaskStateEntered",
            "TaskScheduled",
            "TaskStarted",
            "TaskSubmitted",
            "TaskSucceeded",
            "TaskStateExited",
            "ExecutionSucceeded"
        ]
    );
}
