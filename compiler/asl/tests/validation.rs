//! The verdicts of AWS and of the linters, where the conformance cases are at hand: in `STEPGRAD_CONFORMANCE`, or in
//! `../shared/conformance` beside the workspace.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]
#![expect(clippy::disallowed_methods, reason = "reads the cases")]
#![expect(clippy::print_stderr, reason = "says what was skipped")]

use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;
use stepgrad_asl::Severity;
use stepgrad_asl::document::MachineType;

fn cases(folder: &std::path::Path, file: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(folder.join("cases").join(file)).unwrap();
    let document: Value = serde_json::from_str(&text).unwrap();
    document["cases"].as_array().unwrap().clone()
}

fn folder() -> PathBuf {
    std::env::var_os("STEPGRAD_CONFORMANCE").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance"),
        PathBuf::from,
    )
}

#[test]
fn agrees_with_the_recorded_verdicts() {
    let folder = folder();
    if !folder.join("cases/validation.json").exists() {
        return stepgrad_tests::skip(
            "agrees_with_the_recorded_verdicts",
            "the conformance cases are not beside the project",
        );
    }
    let mut definitions = BTreeMap::new();
    for file in ["engine.json", "choice_matrix.json", "map_s3.json", "nested.json"] {
        for case in cases(&folder, file) {
            definitions.insert(case["id"].as_str().unwrap().to_owned(), case["definition"].clone());
        }
    }
    let mut counts: BTreeMap<(String, bool), (usize, usize)> = BTreeMap::new();
    let mut wrong = Vec::new();
    for case in cases(&folder, "validation.json") {
        if case["confidence"] == "low" {
            continue;
        }
        let text = match case["definition_text"].as_str() {
            Some(text) => text.to_owned(),
            None => match case["definition_of"].as_str() {
                Some(id) => definitions[id].to_string(),
                None => case["definition"].to_string(),
            },
        };
        let machine_type = case["machine_type"].as_str().and_then(MachineType::from_name).unwrap_or_default();
        let found = stepgrad_asl::validate(&text, machine_type);
        let errors: Vec<_> = found.iter().filter(|finding| finding.severity == Severity::Error).collect();
        let valid = case["valid"].as_bool().unwrap();
        let aws = case["authority"] == "aws-recorded";
        let count = counts.entry((case["authority"].as_str().unwrap().to_owned(), valid)).or_default();
        count.1 += 1;
        if errors.is_empty() == valid {
            count.0 += 1;
        } else {
            wrong.push((aws, format!("{} valid={valid}: {errors:?} ({})", case["id"], case["reason"])));
        }
    }
    for (key, (right, all)) in &counts {
        eprintln!("{key:?}: {right}/{all}");
    }
    for (_, wrong) in &wrong {
        eprintln!("WRONG {}", &wrong.chars().take(600).collect::<String>());
    }
    let all: usize = counts.values().map(|(_, all)| all).sum();
    assert!(!wrong.iter().any(|(aws, _)| *aws), "a verdict of AWS differs");
    assert!(wrong.len() * 20 <= all, "{} of {all} differ", wrong.len());
}

#[test]
fn jsonata_agrees_with_its_reference_suite() {
    use stepgrad_asl::expression::jsonata::{Answer, evaluate};
    let folder = folder();
    let Ok(text) = std::fs::read_to_string(folder.join("cases/jsonata_expressions.json")) else {
        return stepgrad_tests::skip(
            "jsonata_agrees_with_its_reference_suite",
            "the conformance cases are not beside the project",
        );
    };
    let suite: Value = serde_json::from_str(&text).unwrap();
    let (mut right, mut all) = (0_u32, 0_u32);
    for case in suite["cases"].as_array().unwrap() {
        let flagged =
            |flag: &str| case["flags"].as_array().is_some_and(|flags| flags.iter().any(|f| f == flag));
        if flagged("eval")
            || flagged("newer-than-2.0.6")
            || case["timelimit"].as_f64().is_some_and(|t| t > 0.0)
        {
            continue;
        }
        let data = case["dataset"].as_str().map(|name| &suite["datasets"][name]).or_else(|| case.get("data"));
        let bindings = case["bindings"].as_object().cloned().unwrap_or_default();
        let answer = evaluate(case["expr"].as_str().unwrap(), data, &bindings);
        let good = match &answer {
            Answer::Error(_) => case.get("error").is_some(),
            Answer::Undefined(_) => case["undefined"] == true,
            Answer::Result(value) => case.get("result").is_some_and(|result| {
                let unordered = case["unordered"] == true;
                let sorted = |value: &Value| {
                    let mut items: Vec<String> =
                        value.as_array().into_iter().flatten().map(Value::to_string).collect();
                    items.sort();
                    items
                };
                stepgrad_asl::expression::same(value, result) || unordered && sorted(value) == sorted(result)
            }),
        };
        all += 1;
        right += u32::from(good);
        if !good {
            let text: String =
                format!("{} {} {answer:?}", case["id"], case["expr"]).chars().take(300).collect();
            eprintln!("WRONG {text}");
        }
    }
    eprintln!("jsonata: {right} of {all}");
    assert!(right * 100 >= all * 99, "{right} of {all}");
}
