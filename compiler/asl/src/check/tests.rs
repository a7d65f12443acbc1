//! One definition for each code, and what none of them may find fault with.

use super::{CHECKS, SYNTAX, validate};
use crate::Severity;
use crate::document::MachineType;
use serde_json::{Value, json};
use std::collections::BTreeSet;

fn codes(definition: &Value) -> Vec<&'static str> {
    validate(&definition.to_string(), MachineType::Standard).into_iter().map(|finding| finding.code).collect()
}

/// A machine with these states, the first of which it starts at.
fn machine(states: impl Into<Value>) -> Value {
    let states = states.into();
    let first = states.as_object().and_then(|states| states.keys().next().cloned()).unwrap_or_default();
    json!({"StartAt": first, "States": states})
}

#[test]
fn a_good_definition_has_no_findings() {
    let good = machine(json!({
        "Work": {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "TimeoutSeconds": 60, "HeartbeatSeconds": 5,
            "Parameters": {"FunctionName": "${GradientFunctionArn}", "Payload": {"a.$": "$.a", "b.$": "States.UUID()"}},
            "Assign": {"x.$": "$.Payload"},
            "Retry": [{"ErrorEquals": ["Lambda.ServiceException"], "JitterStrategy": "FULL"}, {"ErrorEquals": ["States.ALL"]}],
            "Catch": [{"ErrorEquals": ["States.ALL"], "ResultPath": "$.error", "Next": "Lost"}], "Next": "Each"},
        "Each": {"Type": "Map", "ItemsPath": "$.items", "ItemProcessor": {"StartAt": "One", "States": {
            "One": {"Type": "Pass", "Parameters": {"x.$": "$x"}, "End": true}}}, "Next": "Which"},
        "Which": {"Type": "Choice", "Choices": [{"Not": {"Variable": "$.a", "NumericLessThan": 1}, "Next": "Lost"}], "Default": "Done"},
        "Lost": {"Type": "Fail", "ErrorPath": "$.error", "Cause": "c"},
        "Done": {"Type": "Succeed"}
    }));
    assert_eq!(validate(&good.to_string(), MachineType::Standard), []);
}

#[test]
fn every_code_is_found() {
    let end = |extra: Value| {
        let mut state = json!({"Type": "Pass", "End": true});
        state.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        machine(json!({"A": state}))
    };
    let task = |extra: Value| {
        let mut state = json!({"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "TimeoutSeconds": 9, "End": true});
        state.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        machine(json!({"A": state}))
    };
    let mut examples = vec![
        ("ASL010", end(json!({"Paramters": {}}))),
        ("ASL011", json!({"States": {"A": {"Type": "Pass", "End": true}}})),
        ("ASL012", end(json!({"Comment": 1}))),
        ("ASL013", end(json!({"Output": 1}))),
        (
            "ASL014",
            machine(json!({"A": {"Type": "Pass", "End": true, "Next": "B"}, "B": {"Type": "Succeed"}})),
        ),
        ("ASL015", machine(json!({"A": {"Type": "Wait", "End": true}}))),
        ("ASL020", machine(json!({"A": {"Type": "Pass", "Next": "C"}, "B": {"Type": "Succeed"}}))),
        ("ASL021", machine(json!({"A": {"Type": "Pass", "End": true}, "B": {"Type": "Succeed"}}))),
        ("ASL022", machine(json!({"A": {"Type": "Pass", "Next": "A"}}))),
        ("ASL025", json!({"StartAt": "A".repeat(81), "States": {"A".repeat(81): {"Type": "Succeed"}}})),
        ("ASL030", end(json!({"Parameters": {"x.$": "x"}}))),
        (
            "ASL031",
            machine(
                json!({"A": {"Type": "Choice", "Choices": [{"Variable": "$.a", "NumericEquals": "x", "Next": "B"}]}, "B": {"Type": "Succeed"}}),
            ),
        ),
        ("ASL040", task(json!({"Retry": [{"ErrorEquals": []}]}))),
        ("ASL041", task(json!({"Retry": [{"ErrorEquals": ["States.ALL"]}, {"ErrorEquals": ["X"]}]}))),
        ("ASL042", task(json!({"Retry": [{"ErrorEquals": ["States.Timeut"]}]}))),
        ("ASL043", task(json!({"HeartbeatSeconds": 9}))),
        (
            "ASL044",
            machine(
                json!({"A": {"Type": "Map", "Label": "a b", "ItemProcessor": machine(json!({"I": {"Type": "Succeed"}})), "End": true}}),
            ),
        ),
        ("ASL060", machine(json!({"A": {"Type": "Task", "Resource": "arn:x", "End": true}}))),
        ("ASL061", end(json!({"Result": {"password": "hunter22"}}))),
        ("ASL062", end(json!({"Parameters": {"x.$": "$nowhere"}}))),
    ];
    examples.push(("ASL024", json!({"QueryLanguage": "JSONata", "StartAt": "A", "States": {"A": {"Type": "Succeed", "QueryLanguage": "JSONPath"}}})));
    examples.push(("ASL026", machine(json!({"A": {"Type": "Parallel", "End": true, "Branches": [machine(json!({"A": {"Type": "Succeed"}}))]}}))));
    let express = task(json!({"Resource": "arn:aws:states:::states:startExecution.sync"}));
    assert_eq!(validate(&express.to_string(), MachineType::Express)[0].code, "ASL045");
    let mut found = BTreeSet::from([SYNTAX, "ASL002", "ASL003", "ASL045"]);
    for (code, definition) in examples {
        assert!(codes(&definition).contains(&code), "{code}: {:?}", codes(&definition));
        found.insert(code);
    }
    let known: BTreeSet<&str> =
        CHECKS.iter().flat_map(|check| check.codes).map(|(code, _)| *code).chain([SYNTAX]).collect();
    assert_eq!(found, known);
}

#[test]
fn text_that_is_no_object_has_one_finding() {
    for (text, code) in
        [("", SYNTAX), ("[]", SYNTAX), ("{\"a\": 1", SYNTAX), (" ".repeat(1_048_577).as_str(), "ASL003")]
    {
        let found = validate(text, MachineType::Standard);
        assert_eq!(found.iter().map(|finding| finding.code).collect::<Vec<_>>(), [code]);
    }
}

#[test]
fn findings_have_places_and_hints() {
    let text = "{\n  \"StartAt\": \"First\",\n  \"States\": {\"Frist\": {\"Type\": \"Succeed\", \"Type\": \"Succeed\"}}\n}";
    let found = validate(text, MachineType::Standard);
    let start = found.iter().find(|finding| finding.code == "ASL020").unwrap();
    assert_eq!((start.position.line, start.position.column, start.pointer.as_str()), (2, 14, "/StartAt"));
    assert_eq!(start.hint.as_deref(), Some("did you mean \"Frist\"?"));
    assert!(found.iter().any(|finding| finding.code == "ASL002" && finding.severity == Severity::Error));
}
