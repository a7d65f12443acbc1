//! Executions: what a machine comes to, how often it calls functions, and what its history says.

use super::known::Kind;
use super::stub::{self, Stub};
use super::{Difference, Verdict, compare};
use futures::StreamExt;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use stepgrad_asl::document::MachineType;
use stepgrad_engine::run::{Definition, RunOptions, conformance_line, run};

/// Cases at a time: most of them wait for timers.
const AT_A_TIME: usize = 512;
const LONGEST: Duration = Duration::from_secs(60);

/// What differs, if anything; `None` for a case that cannot be run here.
async fn differences(case: &Value) -> Option<Vec<Difference>> {
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
        return Some(vec![differs("no end within the time".to_owned())]);
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
    let mut found: Vec<Difference> = found.into_iter().map(differs).collect();
    if found.is_empty()
        && let Some(trace) = case.get("trace")
    {
        found.extend(traced(&line, trace));
    }
    Some(found)
}

/// What differs in the history: the states that were entered, and how many events there are of each type.
fn traced(line: &Value, trace: &Value) -> Option<Difference> {
    let events = || line["history"].as_array().into_iter().flatten();
    let kind = |event: &Value| event["type"].as_str().unwrap_or_default().to_owned();
    let entered = events().filter(|event| kind(event).ends_with("StateEntered"));
    let mut entered: Vec<&str> = entered.filter_map(|event| event["name"].as_str()).collect();
    if trace["concurrent"] == true {
        entered.sort_unstable();
    }
    if json!(entered) != trace["entered"] {
        return Some(differs(format!("entered {entered:?}, not {}", trace["entered"])));
    }
    let recorded = trace["event_counts"].as_object()?;
    let mut counts: BTreeMap<String, i64> = BTreeMap::new();
    for event in events() {
        *counts.entry(kind(event)).or_default() += 1;
    }
    for (kind, count) in recorded {
        *counts.entry(kind.clone()).or_default() -= count.as_i64().unwrap();
    }
    counts.retain(|_, count| *count != 0);
    (!counts.is_empty())
        .then(|| Difference { kind: Kind::Events, text: format!("too many events: {counts:?}") })
}

fn differs(text: String) -> Difference {
    Difference { kind: Kind::Outcome, text }
}

/// The files of executions.
const FILES: [&str; 5] = ["engine", "choice_matrix", "map_s3", "nested", "third_party"];

/// All executions, many at a time.
pub(super) async fn verdicts(folder: &Path, wanted: &impl Fn(&Value) -> bool) -> Vec<Verdict> {
    let all = FILES
        .into_iter()
        .flat_map(|file| super::cases(folder, file).into_iter().filter(wanted).map(move |case| (file, case)));
    let verdicts = futures::stream::iter(all).map(|(file, case)| async move {
        let id = case["id"].as_str().unwrap().to_owned();
        match differences(&case).await {
            Some(differences) => Some(Verdict { file, id, differences }),
            None => {
                stepgrad_tests::skip(
                    &format!("conformance::{file}::{id}"),
                    "its function is written in Python",
                );
                None
            }
        }
    });
    verdicts.buffered(AT_A_TIME).filter_map(|verdict| async { verdict }).collect().await
}
