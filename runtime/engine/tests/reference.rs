//! `docs/states-language.md` says what is covered, written from the tables that the checks and the engine work with.
//! `UPDATE_DOCS=1 cargo test -p stepgrad-engine --test reference` writes it anew.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]
#![expect(clippy::disallowed_methods, reason = "reads and writes the page")]

use std::fmt::Write as _;
use std::path::PathBuf;
use stepgrad_asl::check::reference::{codes, state_fields};
use stepgrad_asl::document::{MachineType, QueryLanguage};
use stepgrad_asl::expression::choice::OPERATORS;
use stepgrad_asl::expression::intrinsic::FUNCTIONS;
use stepgrad_asl::program::Program;
use stepgrad_engine::core::EventType;
use stepgrad_engine::core::limits::LIMITS;

/// Resources of Tasks that users ask for: each is tried.
const RESOURCES: &[&str] = &[
    "arn:aws:lambda:us-east-1:111111111111:function:name",
    "arn:aws:states:::lambda:invoke",
    "arn:aws:states:::lambda:invoke.waitForTaskToken",
    "arn:aws:states:::states:startExecution",
    "arn:aws:states:::states:startExecution.sync",
    "arn:aws:states:::states:startExecution.sync:2",
    "arn:aws:states:::states:startExecution.waitForTaskToken",
    "arn:aws:states:::aws-sdk:s3:getObject",
    "arn:aws:states:::aws-sdk:s3:putObject",
    "arn:aws:states:::aws-sdk:s3:listObjectsV2",
    "arn:aws:states:us-east-1:111111111111:activity:name",
    "arn:aws:states:::sqs:sendMessage",
    "arn:aws:states:::sns:publish",
    "arn:aws:states:::dynamodb:getItem",
    "arn:aws:states:::events:putEvents",
    "arn:aws:states:::http:invoke",
    "arn:aws:states:::aws-sdk:sfn:startExecution",
];

/// Fields of a distributed Map that read or write somewhere else: each is tried.
const MAP_FIELDS: &[(&str, &str)] = &[
    (
        "ItemReader",
        r#""ItemReader": {"Resource": "arn:aws:states:::s3:getObject", "ReaderConfig": {"InputType": "JSON"}, "Parameters": {"Bucket": "b", "Key": "k"}}"#,
    ),
    (
        "ItemReader with ItemsPointer",
        r#""ItemReader": {"Resource": "arn:aws:states:::s3:getObject", "ReaderConfig": {"InputType": "JSON", "ItemsPointer": "/a"}, "Parameters": {"Bucket": "b", "Key": "k"}}"#,
    ),
    (
        "ItemReader with LOAD_AND_FLATTEN",
        r#""ItemReader": {"Resource": "arn:aws:states:::s3:listObjectsV2", "ReaderConfig": {"InputType": "JSONL", "Transformation": "LOAD_AND_FLATTEN"}, "Parameters": {"Bucket": "b", "Prefix": "p"}}"#,
    ),
    (
        "ItemReader of PARQUET",
        r#""ItemReader": {"Resource": "arn:aws:states:::s3:getObject", "ReaderConfig": {"InputType": "PARQUET"}, "Parameters": {"Bucket": "b", "Key": "k"}}"#,
    ),
    (
        "ItemReader of ATHENA_DATA",
        r#""ItemReader": {"Resource": "arn:aws:states:::s3:getObject", "ReaderConfig": {"InputType": "MANIFEST", "ManifestType": "ATHENA_DATA"}, "Parameters": {"Bucket": "b", "Key": "k"}}"#,
    ),
    ("ItemBatcher", r#""ItemBatcher": {"MaxItemsPerBatch": 10}"#),
    (
        "ResultWriter",
        r#""ResultWriter": {"Resource": "arn:aws:states:::s3:putObject", "Parameters": {"Bucket": "b", "Prefix": "p"}}"#,
    ),
];

/// `yes`, or why not.
fn loads(state: &str) -> String {
    let machine = format!(r#"{{"StartAt": "A", "States": {{"A": {state}}}}}"#);
    match Program::load(&machine, MachineType::Standard) {
        Ok(_) => "yes".to_owned(),
        Err(findings) => {
            findings.iter().map(|finding| finding.message.clone()).collect::<Vec<_>>().join("; ")
        }
    }
}

fn page() -> String {
    let mut page = String::from(
        "# The Amazon States Language in stepgrad\n\n\
         What `stepgrad asl run`, `validate` and `test-state` cover. This page is written by a test from the tables that the \
         checks and the engine work with (`UPDATE_DOCS=1 cargo test -p stepgrad-engine --test reference`); do not edit it.\n\n\
         ## States\n\nFields that are marked with a language belong to states in that language only.\n",
    );
    for (state, fields) in state_fields() {
        writeln!(page, "\n### {state}\n\n| field | value | required | only in |\n|---|---|---|---|").unwrap();
        for field in fields {
            let language = match field.language {
                None => "",
                Some(QueryLanguage::JSONPath) => "JSONPath",
                Some(QueryLanguage::JSONata) => "JSONata",
            };
            let required = if field.required { "yes" } else { "" };
            writeln!(page, "| {} | {} | {required} | {language} |", field.name, field.value).unwrap();
        }
    }
    page.push_str("\n## Integrations\n\nWhat is not built is refused by name when a machine is loaded, before anything runs; with `--mocks` a mock can stand for it.\n\n| Resource | runs here |\n|---|---|\n");
    for resource in RESOURCES {
        let state = format!(r#"{{"Type": "Task", "Resource": "{resource}", "End": true}}"#);
        writeln!(page, "| `{resource}` | {} |", loads(&state)).unwrap();
    }
    page.push_str("\n| field of a distributed Map | runs here |\n|---|---|\n");
    for (name, field) in MAP_FIELDS {
        let processor = r#""ItemProcessor": {"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}, "StartAt": "I", "States": {"I": {"Type": "Succeed"}}}"#;
        let state = format!(r#"{{"Type": "Map", {processor}, {field}, "End": true}}"#);
        writeln!(page, "| {name} | {} |", loads(&state)).unwrap();
    }
    page.push_str("\n## Intrinsic functions (JSONPath)\n\n| function | arguments |\n|---|---|\n");
    for function in FUNCTIONS {
        let arguments = match (function.min_arguments, function.max_arguments) {
            (min, usize::MAX) => format!("{min} or more"),
            (min, max) if min == max => min.to_string(),
            (min, max) => format!("{min} to {max}"),
        };
        writeln!(page, "| `{}` | {arguments} |", function.name).unwrap();
    }
    page.push_str("\n## Comparisons of a Choice (JSONPath)\n\n`And`, `Or`, `Not` combine them.\n\n| operator | with a path |\n|---|---|\n");
    for operator in OPERATORS {
        let path = if operator.has_path_form { format!("`{}Path`", operator.name) } else { String::new() };
        writeln!(page, "| `{}` | {path} |", operator.name).unwrap();
    }
    page.push_str("\n## JSONata\n\nThe whole language but `$eval`, as on AWS; `$states`, variables, and the functions `$partition`, `$range`, `$hash`, `$random`, `$uuid`, `$parse`.\n\n## Limits\n\n`stepgrad asl validate --explain` gives a machine's own figure beside each: exact, at most, so much for each item of a Map, or what in the data it depends on.\n\n| limit | at the most | beyond it |\n|---|---|---|\n");
    for limit in LIMITS {
        writeln!(page, "| {} | {} {} | {} |", limit.name, limit.most, limit.unit, limit.beyond).unwrap();
    }
    page.push_str("\n## Checks\n\n`stepgrad explain CODE` says more.\n\n| code | finding |\n|---|---|\n");
    for (code, title) in codes() {
        writeln!(page, "| {code} | {title} |").unwrap();
    }
    page.push_str("\n## Events of the history\n\nAs GetExecutionHistory has them: ");
    let names: Vec<&str> = EventType::ALL.iter().map(|kind| kind.name()).collect();
    writeln!(page, "{}.", names.join(", ")).unwrap();
    page
}

#[test]
fn the_reference_tells_the_truth() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/states-language.md");
    let page = page();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == page,
        "docs/states-language.md is out of date: UPDATE_DOCS=1 cargo test -p stepgrad-engine --test reference"
    );
}
