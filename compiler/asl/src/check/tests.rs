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
        (
            "ASL046",
            machine(
                json!({"A": {"Type": "Task", "Resource": "${Function", "TimeoutSeconds": 9, "End": true}}),
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
    let verdict = super::verdict(&found);
    assert_eq!((&verdict["valid"], &verdict["diagnostics"][0]["line"]), (&json!(false), &json!(2)));
    assert_eq!(start.hint.as_deref(), Some("did you mean \"Frist\"?"));
    assert!(found.iter().any(|finding| finding.code == "ASL002" && finding.severity == Severity::Error));
}

#[test]
fn hostile_definitions_come_to_an_end() {
    let deep = |open: &str, close: &str| open.repeat(50_000) + "1" + &close.repeat(50_000);
    for expression in [
        format!("{{% {} %}}", deep("(", ")")),
        format!("{{% {} %}}", deep("[", "]")),
        format!("{{% {} %}}", deep("-", "")),
        format!("{{% {} %}}", "1+".repeat(50_000)),
        format!("{{% {} %}}", deep("$f(", ")")),
    ] {
        let definition = json!({"QueryLanguage": "JSONata", "StartAt": "A", "States": {"A": {"Type": "Succeed", "Output": expression}}});
        let _ = validate(&definition.to_string(), MachineType::Standard);
    }
    for path in [
        deep("States.Array(", ")"),
        deep("$[?(@[?(", "$"),
        "$..".repeat(50_000),
        deep("$.a[", "]"),
        deep("$[?((", "))]"),
    ] {
        let definition = machine(json!({"A": {"Type": "Pass", "Parameters": {"x.$": path}, "End": true}}));
        let _ = validate(&definition.to_string(), MachineType::Standard);
    }
    let rule = (0..60).fold(json!({"Variable": "$.a", "IsNull": true}), |rule, _| json!({"Not": rule}));
    let mut rule = rule;
    rule["Next"] = json!("B");
    let definition = machine(json!({"A": {"Type": "Choice", "Choices": [rule]}, "B": {"Type": "Succeed"}}));
    assert!(codes(&definition).contains(&"ASL031"));
}

mod random {
    use super::{MachineType, machine, validate};
    use crate::program::Program;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i16>().prop_map(Value::from),
            prop_oneof![
                Just("$.a"),
                Just("$"),
                Just("{% $states.input %}"),
                Just("States.UUID()"),
                Just("A"),
                Just("Pass"),
                Just("Map"),
                Just("JSONata"),
                Just("arn:aws:states:::lambda:invoke"),
                Just("2020-01-01T00:00:00Z")
            ]
            .prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
                prop::collection::vec((key(), inner), 0..5)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    fn key() -> impl Strategy<Value = String> {
        prop_oneof![
            Just("Type"),
            Just("Next"),
            Just("End"),
            Just("States"),
            Just("StartAt"),
            Just("Parameters"),
            Just("Choices"),
            Just("Retry"),
            Just("Catch"),
            Just("ErrorEquals"),
            Just("ItemProcessor"),
            Just("Branches"),
            Just("a.$"),
            Just("Assign"),
            Just("Output"),
            Just("QueryLanguage"),
            Just("Variable"),
            Just("IsNull"),
            Just("And"),
            Just("Resource"),
            Just("Seconds"),
            Just("ResultPath"),
            Just("A")
        ]
        .prop_map(str::to_owned)
    }

    proptest! {
        #[test]
        fn definitions_never_panic(states in prop::collection::vec((key(), value()), 0..4), kind in 0_usize..8) {
            let kinds = ["Pass", "Task", "Choice", "Wait", "Succeed", "Fail", "Parallel", "Map"];
            let mut body: serde_json::Map<String, Value> = states.into_iter().collect();
            body.insert("Type".to_owned(), json!(kinds[kind]));
            let text = machine(json!({"A": body})).to_string();
            let found = validate(&text, MachineType::Standard);
            let valid = found.iter().all(|finding| finding.severity != crate::Severity::Error);
            match Program::load(&text, MachineType::Standard) {
                Ok(_) => prop_assert!(valid),
                // What is right and cannot be run has codes of its own.
                Err(errors) => prop_assert!(!valid || errors.iter().all(|error| error.code == crate::program::NOT_BUILT), "{errors:?}"),
            }
        }
    }
}

#[test]
fn a_transition_cannot_leave_its_scope() {
    let branch = machine(json!({"Inner": {"Type": "Pass", "Next": "After"}}));
    let outer = machine(json!({
        "Both": {"Type": "Parallel", "Branches": [branch], "Next": "After"},
        "After": {"Type": "Succeed"}
    }));
    let found = validate(&outer.to_string(), MachineType::Standard);
    let next = found.iter().find(|finding| finding.code == "ASL020").unwrap();
    assert_eq!(next.pointer, "/States/Both/Branches/0/States/Inner/Next");
    assert!(next.message.contains("another scope"), "{}", next.message);
}

#[test]
fn a_jsonata_variable_that_nothing_assigns_is_found() {
    let found = |output: &str| {
        let state = json!({"Type": "Pass", "QueryLanguage": "JSONata", "Output": output, "End": true});
        codes(&machine(json!({"A": state}))).contains(&"ASL062")
    };
    assert!(found("{% $nowhere + 1 %}"));
    assert!(!found("{% $sum($states.input.x) %}"));
    assert!(!found("{% ($own := 1; $own) %}"));
}
