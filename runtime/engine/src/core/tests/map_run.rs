//! Distributed Maps that read, batch and write; S3 is that of the simulation.

use super::simulation::Simulation;
use crate::core::history::{EventType, Record};
use crate::core::{ObjectRequest, Status};
use crate::driver::history::Records;
use serde_json::{Value, json};

fn reader(key: &str) -> Value {
    json!({"Resource": "arn:aws:states:::s3:getObject", "ReaderConfig": {"InputType": "JSON"},
        "Parameters": {"Bucket": "b", "Key": key}})
}

/// A distributed Map of calls, with more fields.
fn map(more: &Value) -> [(&'static str, Value); 1] {
    let mut state = json!({"Type": "Map", "Label": "L", "MaxConcurrency": 2, "End": true, "ItemProcessor": {
        "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "EXPRESS"}, "StartAt": "Call",
        "States": {"Call": {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "TimeoutSeconds": 9,
            "Parameters": {"FunctionName": "good", "Payload.$": "$"}, "OutputPath": "$.Payload.of", "End": true}}}});
    for (name, value) in more.as_object().unwrap() {
        state[name] = value.clone();
    }
    [("machine", json!({"StartAt": "M", "States": {"M": state}}))]
}

fn run(more: &Value) -> Simulation {
    Simulation::start(&map(more), json!({"x": 1, "many": 3}), 5).finish()
}

fn output(more: &Value) -> Value {
    let run = run(more);
    let result = run.result("machine:run");
    assert_eq!(result.status, Status::Succeeded, "{result:?}");
    result.output.clone().unwrap()
}

#[test]
fn items_are_read_page_by_page() {
    let done = run(&json!({"ItemReader": reader("k")}));
    assert_eq!(done.result("machine:run").output, Some(json!([0, 1, 2, 3, 4, 5, 6])));
    let pages = done.object_calls.iter().filter(|call| matches!(call.request, ObjectRequest::Page { .. }));
    assert_eq!(pages.count(), 3);
    assert_eq!(
        done.types("machine:run"),
        [
            "ExecutionStarted",
            "MapStateEntered",
            "MapStateStarted",
            "MapRunStarted",
            "MapRunSucceeded",
            "MapStateSucceeded",
            "MapStateExited",
            "ExecutionSucceeded"
        ]
    );
}

#[test]
fn no_more_is_read_than_max_items() {
    let mut reader = reader("k");
    reader["ReaderConfig"]["MaxItemsPath"] = json!("$.many");
    let done = run(&json!({"ItemReader": reader}));
    assert_eq!(done.result("machine:run").output, Some(json!([0, 1, 2])));
    assert_eq!(done.object_calls.len(), 1);
}

#[test]
fn selectors_see_the_item_and_where_it_is_from() {
    let selector = json!({"i.$": "$$.Map.Item.Index", "v.$": "$$.Map.Item.Value", "s.$": "$$.Map.Item.Source", "x.$": "$.x"});
    let got = output(&json!({"ItemReader": reader("k"), "ItemSelector": selector}));
    assert_eq!(got[4], json!({"i": 4, "v": 4, "s": "S3://b/k", "x": 1}));
}

#[test]
fn batches() {
    let got = output(&json!({"ItemReader": reader("k"), "ItemBatcher": {"MaxItemsPerBatch": 3}}));
    assert_eq!(got, json!([{"Items": [0, 1, 2]}, {"Items": [3, 4, 5]}, {"Items": [6]}]));
    let batcher = json!({"MaxInputBytesPerBatch": 36, "BatchInput": {"x.$": "$.x"}});
    let got = output(&json!({"ItemReader": reader("k"), "ItemBatcher": batcher}));
    for batch in got.as_array().unwrap() {
        assert_eq!(batch["BatchInput"], json!({"x": 1}));
        assert!(batch.to_string().len() <= 36, "{batch}");
    }
    let sizes: Vec<usize> =
        got.as_array().unwrap().iter().map(|batch| batch["Items"].as_array().unwrap().len()).collect();
    assert_eq!(sizes, [2, 2, 2, 1]);
    let batcher = json!({"MaxItemsPerBatchPath": "$.many"});
    assert_eq!(
        output(&json!({"ItemReader": reader("k"), "ItemBatcher": batcher})).as_array().unwrap().len(),
        3
    );
}

#[test]
fn results_go_to_files_and_a_manifest() {
    let writer = |config: Value| json!({"Resource": "arn:aws:states:::s3:putObject", "Parameters": {"Bucket": "out", "Prefix": "jobs"}, "WriterConfig": config});
    let files = |config: Value| -> Vec<(String, String)> {
        let done = run(&json!({"ItemReader": reader("k"), "ResultWriter": writer(config)}));
        let result = done.result("machine:run").output.clone().unwrap();
        let puts = done.object_calls.iter().filter_map(|call| match &call.request {
            ObjectRequest::Put { bucket, key, body } => {
                assert_eq!(bucket, "out");
                Some((key.clone(), String::from_utf8(body.to_vec()).unwrap()))
            }
            _ => None,
        });
        let files: Vec<(String, String)> = puts.collect();
        assert_eq!(result["ResultWriterDetails"]["Key"], files.last().unwrap().0);
        assert!(result["MapRunArn"].as_str().unwrap().contains(":mapRun:machine/L:"));
        files
    };
    let whole = files(json!({"OutputType": "JSON", "Transformation": "NONE"}));
    assert!(whole[0].0.starts_with("jobs/") && whole[0].0.ends_with("/SUCCEEDED_0.json"), "{}", whole[0].0);
    let entries: Vec<Value> = serde_json::from_str(&whole[0].1).unwrap();
    assert_eq!(
        (entries.len(), &entries[2]["Output"], &entries[2]["Status"]),
        (7, &json!("2"), &json!("SUCCEEDED"))
    );
    let manifest: Value = serde_json::from_str(&whole[1].1).unwrap();
    assert_eq!(manifest["ResultFiles"]["SUCCEEDED"][0], json!({"Key": whole[0].0, "Size": whole[0].1.len()}));
    assert_eq!(files(json!({"OutputType": "JSON", "Transformation": "COMPACT"}))[0].1, "[0,1,2,3,4,5,6]");
    assert_eq!(
        files(json!({"OutputType": "JSONL", "Transformation": "FLATTEN"}))[0].1,
        "0\n1\n2\n3\n4\n5\n6\n"
    );
}

#[test]
fn a_page_that_cannot_be_read_fails_the_run() {
    let done = run(&json!({"ItemReader": reader("broken")}));
    let result = done.result("machine:run");
    assert_eq!(
        (result.error.as_deref(), result.cause.as_deref()),
        (Some("States.ItemReaderFailed"), Some("gone"))
    );
    let types = done.types("machine:run");
    assert!(types.ends_with(&["MapRunFailed", "MapStateFailed", "ExecutionFailed"]), "{types:?}");
}

#[test]
fn failures_are_counted_by_item() {
    let bad = json!({"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}, "StartAt": "C", "States": {
        "C": {"Type": "Choice", "Choices": [{"Variable": "$.Items[0]", "NumericEquals": 3, "Next": "F"}], "Default": "S"},
        "F": {"Type": "Fail", "Error": "E"}, "S": {"Type": "Succeed"}}});
    let with = |more: Value| {
        let mut fields =
            json!({"ItemReader": reader("k"), "ItemBatcher": {"MaxItemsPerBatch": 3}, "ItemProcessor": bad});
        for (name, value) in more.as_object().unwrap() {
            fields[name] = value.clone();
        }
        run(&fields).result("machine:run").status
    };
    assert_eq!(with(json!({"ToleratedFailureCount": 3})), Status::Succeeded);
    assert_eq!(with(json!({"ToleratedFailureCount": 2})), Status::Failed);
    assert_eq!(with(json!({"ToleratedFailurePercentage": 43})), Status::Succeeded);
    assert_eq!(with(json!({"ToleratedFailurePercentage": 42})), Status::Failed);
    assert_eq!(with(json!({})), Status::Failed);
}

#[test]
fn a_task_calls_s3() {
    let machine = [(
        "machine",
        json!({"StartAt": "T", "States": {"T": {"Type": "Task", "TimeoutSeconds": 9, "End": true,
        "Resource": "arn:aws:states:::aws-sdk:s3:getObject", "Parameters": {"Bucket": "b", "Key": "k"}}}}),
    )];
    let run = Simulation::start(&machine, json!({}), 1).finish();
    assert_eq!(
        run.result("machine:run").output,
        Some(json!({"of": {"Bucket": "b", "Key": "k"}, "action": "getObject"}))
    );
}

/// What S3 answered before the cut is not asked for again, and the end is the same.
#[test]
fn every_cut_goes_on_without_reading_again() {
    let writer = json!({"Resource": "arn:aws:states:::s3:putObject", "Parameters": {"Bucket": "out"}});
    for more in [
        json!({"ItemReader": reader("k"), "ItemBatcher": {"MaxItemsPerBatch": 2}, "ResultWriter": writer}),
        json!({"ItemReader": reader("broken")}),
    ] {
        let machines = map(&more);
        let whole = run(&more);
        for cut in 1..whole.records.len() {
            let prefix = &whole.records[..cut];
            let lines: String =
                prefix.iter().map(|record| serde_json::to_string(record).unwrap() + "\n").collect();
            let read = Records::of(lines.as_bytes()).collect::<Result<Vec<Record>, _>>().unwrap();
            assert_eq!(read, prefix);
            let answered: Vec<u32> = prefix
                .iter()
                .filter_map(|record| match record {
                    Record::Objects { call, .. } => Some(*call),
                    _ => None,
                })
                .collect();
            let ended = prefix.iter().any(|record| {
                matches!(record, Record::Event { event, .. } if event.event_type == EventType::MapStateExited)
            });
            let again = Simulation::recovered(&machines, &read, whole.now + 1_000, 3).finish();
            for call in &again.object_calls {
                assert!(!answered.contains(&call.call), "cut {cut}: {call:?}");
            }
            assert_eq!(again.result("machine:run"), whole.result("machine:run"), "cut {cut}");
            assert!(!ended || again.object_calls.is_empty());
        }
    }
}
