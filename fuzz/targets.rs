//! What is fuzzed: whatever the bytes are, these come back, without a panic and in bounded time. Run by libFuzzer
//! (`make fuzz`, on the stable compiler; `cargo fuzz run jsonata` works too, where it is installed), and, for a bounded
//! number of mutations of the corpus, by `runtime/engine/tests/mutation.rs` in every test run.

#![allow(dead_code, reason = "every binary uses one of them")]

use serde_json::{Value, json};
use stepgrad_asl::document::MachineType;
use stepgrad_asl::expression::{Call, EmptyScope, Path, ReferencePath, Rule, Template, jsonata, timestamp};
use stepgrad_asl::program::Program;
use stepgrad_engine::test_state::test_state;

/// A time for the context object.
const NOW: i64 = 1_700_000_000_000;

/// What expressions are evaluated on.
fn data() -> Value {
    json!({"a": [1, -2.5, "x", null, true], "b": {"c": "{\"d\": 1}", "e": [[1], [2, 3]]}, "n": 3, "s": "a,b;c"})
}

/// A definition: checked, explained, compiled.
pub(crate) fn definition(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for machine_type in [MachineType::Standard, MachineType::Express] {
        let findings = stepgrad_asl::validate(text, machine_type);
        let _ = stepgrad_asl::check::verdict(&findings);
        let _ = stepgrad_engine::explain::explain(text, machine_type);
        let _ = Program::load(text, machine_type);
    }
}

/// An input of states of every type, in both languages.
pub(crate) fn input(bytes: &[u8]) {
    let Ok(input) = serde_json::from_slice::<Value>(bytes) else { return };
    let states = [
        json!({"Type": "Pass", "InputPath": "$.b", "Parameters": {"x.$": "$.c", "y.$": "States.StringToJson($.c)"}, "ResultPath": "$.p.q", "OutputPath": "$.p", "End": true}),
        json!({"Type": "Pass", "QueryLanguage": "JSONata", "Output": "{% $states.input.a[0] & $string($states.input) %}", "End": true}),
        json!({"Type": "Choice", "Choices": [
            {"And": [{"Variable": "$.a[0]", "NumericGreaterThanPath": "$.n"}, {"Not": {"Variable": "$..s", "StringMatches": "a*,?"}}], "Next": "X"},
            {"Variable": "$.t", "TimestampLessThan": "2020-01-01T00:00:00Z", "Next": "X"}], "Default": "Y"}),
        json!({"Type": "Wait", "SecondsPath": "$.n", "End": true}),
        json!({"Type": "Wait", "TimestampPath": "$.s", "End": true}),
        json!({"Type": "Fail", "ErrorPath": "$.s", "CausePath": "States.JsonToString($)"}),
    ];
    for state in states {
        let _ =
            test_state(&json!({"definition": state, "input": input, "inspectionLevel": "TRACE"}), NOW, None);
    }
    let map = json!({"Type": "Map", "ItemsPath": "$.a", "MaxConcurrencyPath": "$.n", "ItemSelector": {"i.$": "$$.Map.Item.Value"},
        "ItemProcessor": {"StartAt": "I", "States": {"I": {"Type": "Succeed"}}}, "ResultPath": "$.a", "End": true});
    let _ = test_state(&json!({"definition": map, "input": input, "mock": {"result": "[]"}}), NOW, None);
    // The bytes as the request itself.
    let _ = test_state(&input, NOW, None);
}

/// A path, a reference path, a timestamp, a choice rule's text.
pub(crate) fn path(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let data = data();
    if let Ok(path) = Path::parse(text) {
        let _ = path.find(&data, &EmptyScope);
    }
    if let Ok(path) = ReferencePath::parse(text) {
        let mut data = data.clone();
        let _ = path.write(&mut data, json!(1));
    }
    let _ = timestamp::parse(text);
    if let Ok(rule) = Rule::compile(&json!({"Variable": text, "StringMatches": text, "Next": "A"})) {
        let _ = rule.holds(&data, &EmptyScope);
    }
    let matches = json!({"Variable": "$.s", "StringMatches": text, "Next": "A"});
    if let Ok(rule) = Rule::compile(&matches) {
        let _ = rule.holds(&data, &EmptyScope);
    }
}

/// An intrinsic function, by itself and in a template.
pub(crate) fn intrinsic(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let data = data();
    if let Ok(call) = Call::parse(text) {
        let _ = call.evaluate(&data, &EmptyScope);
    }
    if let Ok(template) = Template::compile(&json!({"x.$": text})) {
        let _ = template.evaluate(&data, &EmptyScope);
    }
}

/// A JSONata expression, by itself and in a state.
pub(crate) fn jsonata(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let data = data();
    let _ = jsonata::evaluate(text, Some(&data), &serde_json::Map::new());
    if let Ok(expression) = jsonata::Jsonata::parse(text) {
        let _ = expression.evaluate(&jsonata::States::input(&data), &EmptyScope);
    }
}
