//! The levels, the mocks and what is refused. What AWS recorded is in `tests/conformance.rs`.

use super::test_state;
use serde_json::{Value, json};

fn ask(request: &Value) -> Value {
    test_state(request, 1_700_000_000_000, None)
}

fn task(extra: &Value) -> Value {
    let mut request = json!({
        "definition": {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke",
            "Parameters": {"FunctionName": "f", "Payload.$": "$.x"}, "ResultSelector": {"y.$": "$.Payload"},
            "ResultPath": "$.z", "TimeoutSeconds": 5, "Next": "After",
            "Retry": [{"ErrorEquals": ["Busy"], "MaxAttempts": 2, "IntervalSeconds": 3}],
            "Catch": [{"ErrorEquals": ["States.ALL"], "ResultPath": "$.error", "Next": "Lost"}]},
        "input": {"x": 1},
    });
    if let (Value::Object(request), Value::Object(extra)) = (&mut request, extra.clone()) {
        request.extend(extra);
    }
    request
}

#[test]
fn every_step_of_a_task_is_shown() {
    let mock = json!({"inspectionLevel": "DEBUG", "mock": {"result": "{\"Payload\": 7}"}});
    let response = ask(&task(&mock));
    assert_eq!(response["status"], "SUCCEEDED");
    assert_eq!(response["nextState"], "After");
    assert_eq!(response["output"], json!({"x": 1, "z": {"y": 7}}));
    let steps = &response["inspectionData"];
    assert_eq!(steps["afterParameters"], json!({"FunctionName": "f", "Payload": 1}));
    assert_eq!(steps["afterResultSelector"], json!({"y": 7}));
    assert_eq!(steps["afterResultPath"], response["output"]);
    assert!(ask(&task(&json!({"mock": {"result": "{\"Payload\": 7}"}}))).get("inspectionData").is_none());
}

#[test]
fn errors_are_retried_and_then_caught() {
    let busy = |count: u64| {
        let error = json!({"errorOutput": {"error": "Busy", "cause": "c"}});
        ask(&task(&json!({"inspectionLevel": "TRACE", "mock": error,
            "stateConfiguration": {"retrierRetryCount": count}})))
    };
    let again = busy(1);
    assert_eq!(again["status"], "RETRIABLE");
    let details = &again["inspectionData"]["errorDetails"];
    assert_eq!(*details, json!({"retryIndex": 0, "retryBackoffIntervalSeconds": 6}));
    let caught = busy(2);
    assert_eq!((&caught["status"], &caught["nextState"]), (&json!("CAUGHT_ERROR"), &json!("Lost")));
    assert_eq!(caught["output"]["error"], json!({"Error": "Busy", "Cause": "c"}));
}

#[test]
fn requests_that_make_no_sense_are_refused() {
    let code = |request: &Value| ask(request)["api_error"]["Code"].clone();
    assert_eq!(code(&json!({})), "ValidationException");
    assert_eq!(code(&json!({"definition": {"Type": "Pass"}})), "InvalidDefinition");
    assert_eq!(code(&task(&json!({}))), "ValidationException");
    assert_eq!(code(&task(&json!({"mock": {"result": "{"}}))), "ValidationException");
    let wrong = task(&json!({"mock": {"result": "{\"StatusCode\": \"200\"}"}}));
    assert_eq!(
        ask(&wrong)["api_error"]["Message"],
        "Mock result schema validation error: Field 'StatusCode' must be a number"
    );
    let machine =
        json!({"definition": {"StartAt": "A", "States": {"A": {"Type": "Succeed"}}}, "stateName": "B"});
    assert_eq!(code(&machine), "ValidationException");
}

#[test]
fn a_task_can_do_its_work() {
    let request = task(&json!({"roleArn": "arn:aws:iam::111111111111:role/r"}));
    let mut given = None;
    let mut work = |_: &stepgrad_asl::program::Resource, arguments: &stepgrad_asl::Payload| {
        given = Some(arguments.value().clone());
        Ok(stepgrad_asl::Payload::new(json!({"Payload": 2})))
    };
    let response = test_state(&request, 0, Some(&mut work));
    assert_eq!(response["output"]["z"]["y"], 2);
    assert_eq!(given, Some(json!({"FunctionName": "f", "Payload": 1})));
    assert_eq!(ask(&request)["api_error"]["Code"], "ValidationException");
}
