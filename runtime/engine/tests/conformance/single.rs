//! Cases of one call each: TestState, verdicts on definitions, JSONata.

use super::known::Kind;
use super::{Difference, Verdict, cases, compare, document};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use stepgrad_asl::Severity;
use stepgrad_asl::document::MachineType;
use stepgrad_asl::expression::jsonata::{Answer, evaluate};
use stepgrad_engine::test_state::test_state;

/// What the recorder wrote in the place of every time of a context object.
const RECORDED_TIME: &str = "date";
const NOW: i64 = 1_700_000_000_000;

fn differs(text: Option<String>) -> Vec<Difference> {
    text.map(|text| Difference { kind: Kind::Outcome, text }).into_iter().collect()
}

/// The recorder's word for a time, made into the cases' own wildcard for one; whether it was there.
fn with_times(value: &mut Value) -> bool {
    match value {
        Value::Object(members) => members.iter_mut().fold(false, |found, (name, value)| {
            let masked = ["StartTime", "EnteredTime"].contains(&name.as_str()) && *value == RECORDED_TIME;
            if masked {
                *value = Value::from("__TS__");
            }
            with_times(value) | masked | found
        }),
        Value::Array(items) => items.iter_mut().fold(false, |found, item| with_times(item) | found),
        _ => false,
    }
}

pub(super) fn teststate(folder: &Path, wanted: &impl Fn(&Value) -> bool) -> Vec<Verdict> {
    let cases = cases(folder, "teststate").into_iter().filter(wanted).map(|mut case| {
        let mut expected = case["expected"].take();
        let id = case["id"].as_str().unwrap().to_owned();
        let mut response = test_state(&case, NOW, None);
        if let Some(error) = expected.get("api_error") {
            let found = (response["api_error"]["Code"] != error["Code"])
                .then(|| format!("not {error}: {}", response["api_error"]));
            return Verdict { file: "teststate", id, differences: differs(found) };
        }
        // Texts for people are not compared.
        for side in [&mut expected, &mut response] {
            side.as_object_mut().unwrap().remove("cause");
        }
        let literal = compare::differs(&expected, &response, "response");
        let masked = with_times(&mut expected);
        let mut differences = differs(compare::differs(&expected, &response, "response"));
        if let (true, Some(text)) = (masked, literal) {
            differences.push(Difference { kind: Kind::Times, text });
        }
        Verdict { file: "teststate", id, differences }
    });
    cases.collect()
}

pub(super) fn validation(folder: &Path, wanted: &impl Fn(&Value) -> bool) -> Vec<Verdict> {
    let mut definitions = BTreeMap::new();
    for file in ["engine", "choice_matrix", "map_s3", "nested"] {
        for case in cases(folder, file) {
            definitions.insert(case["id"].as_str().unwrap().to_owned(), case["definition"].clone());
        }
    }
    let cases = cases(folder, "validation").into_iter().filter(wanted).map(|case| {
        let text = match (case["definition_text"].as_str(), case["definition_of"].as_str()) {
            (Some(text), _) => text.to_owned(),
            (None, Some(id)) => definitions[id].to_string(),
            (None, None) => case["definition"].to_string(),
        };
        let machine_type = case["machine_type"].as_str().and_then(MachineType::from_name).unwrap_or_default();
        let found = stepgrad_asl::validate(&text, machine_type);
        let errors: Vec<_> = found.iter().filter(|finding| finding.severity == Severity::Error).collect();
        let valid = case["valid"].as_bool().unwrap();
        let wrong = (errors.is_empty() != valid)
            .then(|| format!("valid: {valid}, but {errors:?} ({})", case["reason"]));
        let id = case["id"].as_str().unwrap().to_owned();
        Verdict { file: "validation", id, differences: differs(wrong) }
    });
    cases.collect()
}

/// Cases that need `$eval`, which Step Functions has not, a newer JSONata than AWS's, or that only measure time, are
/// left out, as the cases' own runner does.
pub(super) fn jsonata(folder: &Path, wanted: &impl Fn(&Value) -> bool) -> Vec<Verdict> {
    let suite = document(folder, "jsonata_expressions");
    let left_out = |case: &&Value| {
        let flagged =
            |flag: &str| case["flags"].as_array().is_some_and(|flags| flags.iter().any(|f| f == flag));
        let timed = case["timelimit"].as_f64().is_some_and(|limit| limit > 0.0);
        flagged("eval") || flagged("newer-than-2.0.6") || timed
    };
    let cases = suite["cases"].as_array().unwrap().iter().filter(|case| !left_out(case) && wanted(case));
    let cases = cases.map(|case| {
        let data = case["dataset"].as_str().map(|name| &suite["datasets"][name]).or_else(|| case.get("data"));
        let bindings = case["bindings"].as_object().cloned().unwrap_or_default();
        let answer = evaluate(case["expr"].as_str().unwrap(), data, &bindings);
        let good = match &answer {
            Answer::Error(_) => case.get("error").is_some(),
            Answer::Undefined(_) => case["undefined"] == true,
            Answer::Result(value) => case.get("result").is_some_and(|result| {
                let unordered = case["unordered"] == true && sorted(value) == sorted(result);
                stepgrad_asl::expression::same(value, result) || unordered
            }),
        };
        let wrong = (!good).then(|| format!("{} {answer:?}", case["expr"]));
        let id = case["id"].as_str().unwrap().to_owned();
        Verdict { file: "jsonata_expressions", id, differences: differs(wrong) }
    });
    cases.collect()
}

fn sorted(value: &Value) -> Vec<String> {
    let mut items: Vec<String> = value.as_array().into_iter().flatten().map(Value::to_string).collect();
    items.sort();
    items
}
