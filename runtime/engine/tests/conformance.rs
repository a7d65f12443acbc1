//! Executions that AWS or others recorded, run in process, where the conformance cases are at hand: in
//! `STEPGRAD_CONFORMANCE`, or in `../shared/conformance` beside the workspace.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]
#![expect(clippy::disallowed_methods, reason = "reads the cases")]
#![expect(clippy::print_stderr, reason = "says how many cases passed and which did not")]

#[path = "conformance/compare.rs"]
mod compare;
#[path = "conformance/stub.rs"]
mod stub;

use futures::StreamExt;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use stepgrad_asl::document::MachineType;
use stepgrad_engine::run::{Definition, RunOptions, conformance_line, run};
use stub::Stub;

/// Cases at a time: most of them wait for timers.
const AT_A_TIME: usize = 128;
const LONGEST: Duration = Duration::from_secs(60);

fn folder() -> PathBuf {
    std::env::var_os("STEPGRAD_CONFORMANCE").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance"),
        PathBuf::from,
    )
}

fn cases(folder: &Path, file: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(folder.join("cases").join(format!("{file}.json"))).unwrap();
    let document: Value = serde_json::from_str(&text).unwrap();
    document["cases"].as_array().unwrap().clone()
}

/// What differs, if anything; `None` for a case that cannot be run here.
async fn differences(case: &Value) -> Option<Vec<String>> {
    let stub = Arc::new(Stub::new(&case["lambda_stub"])?);
    let machine_type = case["machine_type"].as_str().and_then(MachineType::from_name).unwrap_or_default();
    let root = Definition { text: case["definition"].to_string(), machine_type };
    let mut definitions = BTreeMap::from([("the-machine".to_owned(), root)]);
    for (name, definition) in case["machines"].as_object().into_iter().flatten() {
        let child = Definition { text: definition.to_string(), machine_type: MachineType::Standard };
        definitions.insert(name.clone(), child);
    }
    let options = RunOptions {
        definitions,
        root: "the-machine".to_owned(),
        execution_name: "the-execution".to_owned(),
        input: case["input"].clone(),
        seed: 7,
        invoke: Arc::clone(&stub) as Arc<dyn stepgrad_engine::integrations::lambda::Invoke>,
        objects: case.get("s3_objects").map(|objects| Arc::new(stub::Objects::new(objects)) as Arc<_>),
        max_concurrent_invocations: 100,
        trace: true,
    };
    let Ok(report) = tokio::time::timeout(LONGEST, run(options)).await else {
        return Some(vec!["no end within the time".to_owned()]);
    };
    let line = conformance_line(&report);
    if line["status"] == "INVALID_DEFINITION" && case["may_reject_definition"] == true {
        return Some(Vec::new());
    }
    let mut found = compare::compare(&case["expected"], &line);
    if let Some(calls) = case["lambda_calls_total"].as_u64()
        && calls != stub.calls()
    {
        found.push(format!("{} calls, not {calls}", stub.calls()));
    }
    if found.is_empty()
        && let Some(trace) = case.get("trace")
    {
        let entered = line["history"].as_array().into_iter().flatten();
        let entered =
            entered.filter(|event| event["type"].as_str().is_some_and(|kind| kind.ends_with("StateEntered")));
        let mut entered: Vec<&str> = entered.filter_map(|event| event["name"].as_str()).collect();
        if trace["concurrent"] == true {
            entered.sort_unstable();
        }
        if serde_json::json!(entered) != trace["entered"] {
            found.push(format!("entered {entered:?}, not {}", trace["entered"]));
        }
    }
    Some(found)
}

/// The share of a file's cases that have to pass.
async fn measure(file: &str, least: f64) {
    let folder = folder();
    if !folder.join("cases").exists() {
        return stepgrad_tests::skip(
            &format!("conformance::{file}"),
            "the conformance cases are not beside the project",
        );
    }
    let only = std::env::var("STEPGRAD_CONFORMANCE_ONLY").unwrap_or_default();
    let cases = cases(&folder, file).into_iter().filter(|case| {
        case["confidence"] != "low" && case["id"].as_str().is_some_and(|id| id.contains(&only))
    });
    let results: Vec<(Value, Option<Vec<String>>)> = futures::stream::iter(cases)
        .map(|case| async move {
            let found = differences(&case).await;
            (case, found)
        })
        .buffered(AT_A_TIME)
        .collect()
        .await;
    let (mut passed, mut skipped) = (0_usize, 0_usize);
    let mut categories: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for (case, found) in &results {
        let Some(found) = found else {
            skipped += 1;
            continue;
        };
        let category =
            categories.entry(case["category"].as_str().unwrap_or_default().to_owned()).or_default();
        category.1 += 1;
        if found.is_empty() {
            passed += 1;
            category.0 += 1;
        } else {
            let text: String = found.join("; ").chars().take(400).collect();
            eprintln!("FAIL {} | {text}", case["id"].as_str().unwrap_or_default());
        }
    }
    eprintln!("{file}: {categories:?}");
    eprintln!("{file}: {passed} of {} passed, {skipped} skipped", results.len() - skipped);
    #[expect(clippy::cast_precision_loss, reason = "hundreds of cases")]
    let share = passed as f64 / (results.len() - skipped).max(1) as f64;
    assert!(
        only.is_empty() && share >= least || !only.is_empty(),
        "{file}: a share of {share} passed, less than {least}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn engine() {
    measure("engine", 1.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn choice_matrix() {
    measure("choice_matrix", 1.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn third_party() {
    measure("third_party", 1.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn map_s3() {
    measure("map_s3", 1.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nested() {
    measure("nested", 1.0).await;
}

/// What the recorder wrote in the place of every time of a context object.
const RECORDED_TIME: &str = "date";

/// The recorder's word for a time, made into the cases' own wildcard for one.
fn with_times(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (name, value) in members.iter_mut() {
                if ["StartTime", "EnteredTime"].contains(&name.as_str()) && *value == RECORDED_TIME {
                    *value = Value::from("__TS__");
                }
                with_times(value);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(with_times),
        _ => {}
    }
}

#[test]
fn teststate() {
    let folder = folder();
    if !folder.join("cases").exists() {
        return stepgrad_tests::skip(
            "conformance::teststate",
            "the conformance cases are not beside the project",
        );
    }
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for mut case in cases(&folder, "teststate") {
        let mut expected = case["expected"].take();
        // A real function was called that the case does not contain.
        if case.get("mock").is_none()
            && case["definition"]["Type"] == "Task"
            && expected.get("api_error").is_none()
        {
            eprintln!("skipped {}: the function is not in the case", case["id"]);
            skipped += 1;
            continue;
        }
        with_times(&mut expected);
        let mut response = stepgrad_engine::test_state::test_state(&case, 1_700_000_000_000, None);
        // Texts for people are not compared.
        for side in [&mut expected, &mut response] {
            side.as_object_mut().unwrap().remove("cause");
        }
        let found = match expected.get("api_error") {
            Some(error) => (response["api_error"]["Code"] != error["Code"])
                .then(|| format!("not {error}: {}", response["api_error"])),
            None => compare::differs(&expected, &response, "response"),
        };
        match found {
            None => passed += 1,
            Some(text) => {
                failed += 1;
                eprintln!("FAIL {} | {text}", case["id"]);
            }
        }
    }
    eprintln!("teststate: {passed} of {} passed, {skipped} skipped", passed + failed);
    assert_eq!(failed, 0);
}
