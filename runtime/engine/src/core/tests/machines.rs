//! Random machines whose output does not depend on the order in which things happen.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// A step of a scope.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Pass(u8),
    Call(&'static str),
    Wait(u8),
    Choice(u8),
    Parallel(Vec<Vec<Step>>),
    Map(u8, u8, bool, Vec<Step>),
    Child,
}

pub(crate) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let leaf = prop_oneof![
        any::<u8>().prop_map(Step::Pass),
        prop_oneof![Just("good"), Just("flaky"), Just("bad")].prop_map(Step::Call),
        (0_u8..3).prop_map(Step::Wait),
        any::<u8>().prop_map(Step::Choice),
        Just(Step::Child),
    ];
    let step = leaf.prop_recursive(3, 16, 3, |inner| {
        let scope = prop::collection::vec(inner, 1..3);
        prop_oneof![
            prop::collection::vec(scope.clone(), 1..3).prop_map(Step::Parallel),
            (0_u8..5, 0_u8..3, any::<bool>(), scope)
                .prop_map(|(items, limit, distributed, scope)| Step::Map(items, limit, distributed, scope)),
        ]
    });
    prop::collection::vec(step, 1..5)
}

pub(crate) fn machines(steps: &[Step]) -> Vec<(&'static str, Value)> {
    let mut names = 0;
    let child = json!({"StartAt": "Work", "States": {
        "Work": {"Type": "Task", "Resource": "arn:aws:lambda:us-east-1:111111111111:function:child", "TimeoutSeconds": 60, "End": true}}});
    vec![("machine", scope(steps, &mut names)), ("child", child)]
}

fn scope(steps: &[Step], names: &mut u32) -> Value {
    let mut named: Vec<(String, &Step)> = Vec::new();
    for step in steps {
        *names += 1;
        named.push((format!("S{names}"), step));
    }
    let mut states = Map::new();
    for (place, (name, step)) in named.iter().enumerate() {
        let next = named.get(place + 1).map(|(name, _)| name.clone());
        let mut body = state(step, name, names, &mut states);
        let members = body.as_object_mut().unwrap();
        if matches!(step, Step::Choice(_)) {
            let after = format!("{name}After");
            let mut pass = json!({"Type": "Pass"});
            onward(pass.as_object_mut().unwrap(), next.clone());
            states.insert(after.clone(), pass);
            members.insert("Default".to_owned(), Value::from(after.clone()));
            members["Choices"][0]["Next"] = Value::from(after);
        } else {
            onward(members, next.clone());
        }
        if let Some(catch) = members.get("Catch").cloned() {
            let handler = catch[0]["Next"].as_str().unwrap().to_owned();
            let mut pass = json!({"Type": "Pass", "Result": "caught", "ResultPath": "$.caught"});
            onward(pass.as_object_mut().unwrap(), next);
            states.insert(handler, pass);
        }
        states.insert(name.clone(), body);
    }
    json!({"StartAt": named[0].0, "States": states})
}

fn onward(members: &mut Map<String, Value>, next: Option<String>) {
    match next {
        Some(next) => members.insert("Next".to_owned(), Value::from(next)),
        None => members.insert("End".to_owned(), Value::Bool(true)),
    };
}

fn state(step: &Step, name: &str, names: &mut u32, _: &mut Map<String, Value>) -> Value {
    let catch =
        json!([{"ErrorEquals": ["States.ALL"], "ResultPath": "$.error", "Next": format!("{name}Caught")}]);
    match step {
        Step::Pass(value) => {
            json!({"Type": "Pass", "Assign": {"v": value}, "Result": value, "ResultPath": "$.passed"})
        }
        Step::Call(function) => json!({
            "Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "TimeoutSeconds": 600,
            "Parameters": {"FunctionName": function, "Payload": {"r.$": "States.MathRandom(0, 1000)"}},
            "ResultPath": "$.called",
            "Retry": [{"ErrorEquals": ["States.ALL"], "IntervalSeconds": 1, "MaxAttempts": 2, "JitterStrategy": "FULL"}],
            "Catch": catch}),
        Step::Wait(seconds) => json!({"Type": "Wait", "Seconds": seconds}),
        Step::Choice(value) => json!({"Type": "Choice", "Choices": [
            {"Variable": "$.passed", "NumericGreaterThan": value, "Next": ""}, {"Variable": "$.none", "IsPresent": true, "Next": format!("{name}After")}]}),
        Step::Parallel(branches) => {
            let branches: Vec<Value> = branches.iter().map(|branch| scope(branch, names)).collect();
            json!({"Type": "Parallel", "Branches": branches, "ResultPath": "$.parallel", "Catch": catch})
        }
        Step::Map(items, limit, distributed, inner) => {
            let mut processor = scope(inner, names);
            if *distributed {
                processor["ProcessorConfig"] = json!({"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"});
            }
            json!({
                "Type": "Map", "ItemsPath": "$.items", "MaxConcurrency": limit,
                "ItemSelector": {"items.$": format!("States.ArrayRange(1, {items}, 1)"), "passed": 1, "item.$": "$$.Map.Item.Value"},
                "ItemProcessor": processor, "ResultPath": "$.mapped", "Catch": catch})
        }
        Step::Child => json!({
            "Type": "Task", "Resource": "arn:aws:states:::states:startExecution.sync:2", "TimeoutSeconds": 600,
            "Parameters": {"StateMachineArn": "child", "Input": {"i.$": "$.passed"}},
            "ResultSelector": {"o.$": "$.Output"}, "ResultPath": "$.child", "Catch": catch}),
    }
}
