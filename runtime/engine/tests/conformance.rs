//! What AWS or others recorded, run in process, where the conformance cases are at hand: in `STEPGRAD_CONFORMANCE`, or
//! in `../shared/conformance` beside the workspace. A case that differs has to be in the table [`known`] with the
//! reason, and nothing else may be in it. `docs/conformance.md` is written from the results and the table:
//! `UPDATE_DOCS=1 cargo test -p stepgrad-engine --test conformance`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]
#![expect(clippy::disallowed_methods, reason = "reads the cases, and writes the page")]
#![expect(clippy::print_stderr, reason = "says how many cases passed and which did not")]

#[path = "conformance/compare.rs"]
mod compare;
#[path = "conformance/executions.rs"]
mod executions;
#[path = "conformance/known.rs"]
mod known;
#[path = "conformance/page.rs"]
mod page;
#[path = "conformance/single.rs"]
mod single;
#[path = "conformance/stub.rs"]
mod stub;

use known::{KNOWN, Kind, Known};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The files with cases, what is in them, and how a case is judged.
const FILES: &[(&str, &str)] = &[
    ("engine", "executions recorded on AWS"),
    ("choice_matrix", "every Choice operator by type of value, recorded on AWS"),
    ("map_s3", "distributed Maps with readers and writers, recorded on AWS"),
    ("nested", "executions that start executions, recorded on AWS"),
    ("third_party", "unit tests of other engines, and worked examples of the specification"),
    ("teststate", "calls of TestState recorded on AWS"),
    ("validation", "definitions with the verdict of AWS or of linters"),
    ("jsonata_expressions", "the JSONata reference suite"),
];

/// How a case was found to differ.
pub(crate) struct Difference {
    kind: Kind,
    text: String,
}

/// A case that was run.
pub(crate) struct Verdict {
    file: &'static str,
    id: String,
    differences: Vec<Difference>,
}

fn folder() -> PathBuf {
    std::env::var_os("STEPGRAD_CONFORMANCE").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance"),
        PathBuf::from,
    )
}

fn document(folder: &Path, file: &str) -> Value {
    let text = std::fs::read_to_string(folder.join("cases").join(format!("{file}.json"))).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn cases(folder: &Path, file: &str) -> Vec<Value> {
    document(folder, file)["cases"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_case_is_as_recorded_or_known_not_to_be() {
    let folder = folder();
    if !folder.join("cases").exists() {
        for (file, _) in FILES {
            stepgrad_tests::skip(
                &format!("conformance::{file}"),
                "the conformance cases are not beside the project",
            );
        }
        return page::has_every_known_case();
    }
    let only = std::env::var("STEPGRAD_CONFORMANCE_ONLY").unwrap_or_default();
    let wanted = |case: &Value| {
        case["confidence"] != "low" && case["id"].as_str().is_some_and(|id| id.contains(&only))
    };
    let mut verdicts = executions::verdicts(&folder, &wanted).await;
    verdicts.extend(single::teststate(&folder, &wanted));
    verdicts.extend(single::validation(&folder, &wanted));
    verdicts.extend(single::jsonata(&folder, &wanted));
    let known: BTreeSet<_> = KNOWN.iter().map(|Known { id, kind, .. }| (*id, *kind)).collect();
    assert_eq!(known.len(), KNOWN.len(), "a case is listed once");
    let mut found = BTreeSet::new();
    let mut wrong = 0;
    for Verdict { file, id, differences } in &verdicts {
        for Difference { kind, text } in differences {
            found.insert((id.as_str(), *kind));
            if !known.contains(&(id.as_str(), *kind)) {
                wrong += 1;
                let text: String = text.chars().take(400).collect();
                eprintln!("FAIL {file} {id} | {text}");
            }
        }
    }
    for (file, _) in FILES {
        let of_file = verdicts.iter().filter(|verdict| verdict.file == *file);
        let same = of_file.clone().filter(|verdict| verdict.differences.is_empty()).count();
        eprintln!("{file}: {same} of {} are as recorded", of_file.count());
    }
    assert_eq!(wrong, 0, "cases differ that are not known to");
    if only.is_empty() {
        let fixed: Vec<_> = known.difference(&found).collect();
        assert!(fixed.is_empty(), "listed in known.rs, but as recorded: {fixed:?}");
        page::is_up_to_date(&verdicts);
    }
}
