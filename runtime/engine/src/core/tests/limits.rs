//! AWS's quotas.

use super::simulation::Simulation;
use crate::core::{Event, Status, limits};
use serde_json::{Value, json};

#[test]
fn event_25_000_is_the_failure() {
    let machines = [(
        "m",
        json!({"StartAt": "A", "States": {"A": {"Type": "Choice",
        "Choices": [{"Variable": "$.go", "BooleanEquals": true, "Next": "A"}], "Default": "B"}, "B": {"Type": "Succeed"}}}),
    )];
    let run = Simulation::start(&machines, json!({"go": true}), 1).finish();
    let result = run.result("m:run");
    assert_eq!((result.status, result.error.as_deref()), (Status::Failed, Some("States.Runtime")));
    assert_eq!(run.records.len() as u64, limits::MAX_EVENTS);
    assert_eq!(run.types("m:run").last(), Some(&"ExecutionFailed"));
}

#[test]
fn a_payload_that_is_too_large_can_be_caught() {
    let machines = [(
        "m",
        json!({"StartAt": "M", "States": {
        "M": {"Type": "Map", "ItemsPath": "$.items", "ItemSelector": {"t.$": "$.text"},
            "ItemProcessor": {"StartAt": "P", "States": {"P": {"Type": "Pass", "End": true}}},
            "Catch": [{"ErrorEquals": ["States.DataLimitExceeded"], "Next": "C"}], "End": true},
        "C": {"Type": "Pass", "OutputPath": "$.Error", "End": true}}}),
    )];
    let input = json!({"items": [1, 2, 3, 4], "text": "x".repeat(90_000)});
    let run = Simulation::start(&machines, input, 1).finish();
    assert_eq!(run.result("m:run").output, Some(json!("States.DataLimitExceeded")));
}

#[test]
fn no_more_iterations_than_allowed_run_at_a_time() {
    for (limit, expected) in [(3, 3), (0, 40), (100, 40)] {
        let machines = [(
            "m",
            json!({"StartAt": "M", "States": {"M": {"Type": "Map", "MaxConcurrency": limit,
            "ItemProcessor": {"StartAt": "T", "States": {"T": {"Type": "Task", "TimeoutSeconds": 5,
                "Resource": "arn:aws:lambda:us-east-1:111111111111:function:f", "End": true}}},
            "ResultPath": null, "End": true}}}),
        )];
        let items = Value::Array((0..100).map(Value::from).collect());
        let mut run = Simulation::start(&machines, items, 1);
        let mut most = run.waiting.len();
        while run.go_on(&super::simulation::answer) {
            most = most.max(run.waiting.len());
        }
        assert_eq!((most, run.calls.len()), (expected, 100));
        assert_eq!(run.result("m:run").status, Status::Succeeded);
    }
}

#[test]
fn an_execution_times_out_and_one_that_is_told_to_aborts() {
    let machines = [(
        "m",
        json!({"StartAt": "W", "TimeoutSeconds": 5, "States": {"W": {"Type": "Wait", "Seconds": 60, "End": true}}}),
    )];
    let run = Simulation::start(&machines, json!({}), 1).finish();
    assert_eq!(run.result("m:run").status, Status::TimedOut);
    assert_eq!(run.types("m:run").last(), Some(&"ExecutionTimedOut"));
    let mut run = Simulation::start(&machines, json!({}), 1);
    run.step(Event::Abort { execution: None, error: None, cause: Some("enough".to_owned()) });
    assert_eq!(run.result("m:run").cause.as_deref(), Some("enough"));
    assert_eq!(run.types("m:run").last(), Some(&"ExecutionAborted"));
    assert!(run.core.is_idle() && run.core.next_timer().is_none());
}

#[test]
fn a_distributed_map_tolerates_as_many_failures_as_it_says() {
    for (tolerance, succeeds) in [
        (json!({}), false),
        (json!({"ToleratedFailureCount": 1}), false),
        (json!({"ToleratedFailureCount": 2}), true),
        (json!({"ToleratedFailurePercentage": 40}), false),
        (json!({"ToleratedFailurePercentage": 50}), true),
    ] {
        let mut map = json!({"Type": "Map", "Label": "each", "ItemProcessor": {
            "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "EXPRESS"}, "StartAt": "C", "States": {
                "C": {"Type": "Choice", "Choices": [{"Variable": "$", "NumericGreaterThan": 2, "Next": "F"}], "Default": "S"},
                "S": {"Type": "Succeed"}, "F": {"Type": "Fail", "Error": "E"}}}, "End": true});
        map.as_object_mut().unwrap().extend(tolerance.as_object().unwrap().clone());
        let machines = [("m", json!({"StartAt": "M", "States": {"M": map}}))];
        let run = Simulation::start(&machines, json!([1, 2, 3, 4]), 1).finish();
        let result = run.result("m:run");
        if succeeds {
            assert_eq!(result.output, Some(json!([1, 2])), "{tolerance}");
            assert_eq!(run.results.len(), 5);
        } else {
            assert_eq!(
                result.error.as_deref(),
                Some("States.ExceedToleratedFailureThreshold"),
                "{tolerance}"
            );
        }
        assert!(run.core.is_idle() && run.core.next_timer().is_none());
    }
}
