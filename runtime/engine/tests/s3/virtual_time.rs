//! Machines that read and write objects, in virtual time.

use super::{folder, unattended};
use serde_json::{Value, json};
use std::sync::Arc;
use stepgrad_engine::core::{Invocation, Status};
use stepgrad_engine::driver::durations::{Call, Profile, Table};
use stepgrad_engine::integrations::lambda::InvokeError;
use stepgrad_engine::integrations::s3::{ObjectStore, S3Folder};
use stepgrad_engine::log::Log;
use stepgrad_engine::run::{RunReport, run_virtual};

fn go(definition: &Value, objects: Option<Arc<dyn ObjectStore>>, log: &Log) -> RunReport {
    let mut functions = |_: &Invocation| Err(InvokeError { error: "E".to_owned(), cause: String::new() });
    run_virtual(unattended::options(definition, objects), log, &Table::default(), &mut functions).unwrap()
}

fn definition() -> Value {
    json!({"StartAt": "Put", "States": {
        "Put": {"Type": "Task", "Resource": "arn:aws:states:::aws-sdk:s3:putObject", "TimeoutSeconds": 60, "ResultPath": null,
            "Parameters": {"Bucket": "b", "Key": "in/new.json", "Body": [4, 5]}, "Next": "Wait"},
        "Wait": {"Type": "Wait", "Seconds": 86_400, "Next": "Map"},
        "Map": {"Type": "Map", "Label": "L", "Next": "List",
            "ItemReader": {"Resource": "arn:aws:states:::s3:listObjectsV2",
                "ReaderConfig": {"Transformation": "LOAD_AND_FLATTEN", "InputType": "JSON"},
                "Parameters": {"Bucket": "b", "Prefix": "in/"}},
            "ItemSelector": {"v.$": "$$.Map.Item.Value", "s.$": "$$.Map.Item.Source"},
            "ItemProcessor": {"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
                "StartAt": "I", "States": {"I": {"Type": "Pass", "End": true}}},
            "ResultWriter": {"Resource": "arn:aws:states:::s3:putObject", "WriterConfig": {"Transformation": "COMPACT", "OutputType": "JSON"},
                "Parameters": {"Bucket": "b", "Prefix": "out"}},
            "ResultPath": "$.map"},
        "List": {"Type": "Task", "Resource": "arn:aws:states:::aws-sdk:s3:listObjectsV2", "TimeoutSeconds": 60, "ResultPath": "$.list",
            "Parameters": {"Bucket": "b", "Prefix": "in/new"}, "End": true}}})
}

#[test]
fn a_machine_reads_and_writes_a_folder_and_waits_for_nothing() {
    let mut histories = Vec::new();
    for _ in 0..2 {
        let folder = folder(&[("in/1.json", b"[1, 2]"), ("in/2.json", b"[3]")]);
        let report = go(&definition(), Some(Arc::new(S3Folder::new(folder.path()))), &Log::Nowhere);
        assert_eq!(report.result.status, Status::Succeeded, "{:?}", report.result);
        let output = report.result.output.unwrap();
        let manifest = output["map"]["ResultWriterDetails"]["Key"].as_str().unwrap();
        let results = manifest.replace("manifest.json", "SUCCEEDED_0.json");
        let results = std::fs::read(folder.path().join("b").join(results)).unwrap();
        let results: Value = serde_json::from_slice(&results).unwrap();
        let from = |name: &str| format!("S3://b/in/{name}.json");
        let expected = json!([{"v": 1, "s": from("1")}, {"v": 2, "s": from("1")}, {"v": 3, "s": from("2")},
            {"v": 4, "s": from("new")}, {"v": 5, "s": from("new")}]);
        assert_eq!(results, expected);
        // The object was written in virtual time.
        let written = output["list"]["Contents"][0]["LastModified"].as_str().unwrap();
        assert!(written.starts_with("2025-01-01T00:00:00."), "{written}");
        histories.push(serde_json::to_string(&report.history.unwrap()).unwrap());
    }
    assert_eq!(histories[0], histories[1]);
}

#[test]
fn calls_of_s3_take_as_long_as_the_model_says() {
    let put = json!({"StartAt": "P", "States": {"P": {"Type": "Task", "Resource": "arn:aws:states:::aws-sdk:s3:putObject",
        "TimeoutSeconds": 60, "Parameters": {"Bucket": "b", "Key": "k", "Body": "x"}, "End": true}}});
    let folder = folder(&[]);
    let store = || Some(Arc::new(S3Folder::new(folder.path())) as Arc<dyn ObjectStore>);
    let report = go(&put, store(), &Log::Nowhere);
    let times: Vec<i64> = report
        .history
        .unwrap()
        .iter()
        .filter_map(|record| match record {
            stepgrad_engine::core::Record::Event { event, .. } => Some(event.timestamp),
            _ => None,
        })
        .collect();
    let took = times.last().unwrap() - times[0];
    assert!((1..500).contains(&took), "{took}");
    use stepgrad_engine::driver::durations::Durations;
    let call = Call { function: "s3:putObject", input_bytes: 0, seed: 1 };
    assert_eq!(Profile::default().duration(&call), Profile::default().duration(&call));
    // Without objects it fails as in real time.
    let result = go(&put, None, &Log::Nowhere).result;
    assert_eq!(result.error.as_deref(), Some("S3.SdkClientException"));
    assert!(result.cause.unwrap().contains("--s3-folder"));
}

#[test]
fn a_run_that_was_killed_goes_on_and_reads_nothing_twice() {
    let folder = folder(&[("in/1.json", b"[1, 2]"), ("in/2.json", b"[3]")]);
    let store = || Some(Arc::new(S3Folder::new(folder.path())) as Arc<dyn ObjectStore>);
    let place = tempfile::tempdir().unwrap();
    let whole = place.path().join("whole");
    let expected = go(&definition(), store(), &Log::New(whole.clone())).result;
    assert_eq!(expected.status, Status::Succeeded);
    let text = std::fs::read_to_string(&whole).unwrap();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    for cut in (1..lines.len()).step_by(7) {
        let part = place.path().join(format!("part-{cut}"));
        std::fs::write(&part, lines[..cut].concat()).unwrap();
        let result = go(&definition(), store(), &Log::Resume(part)).result;
        assert_eq!(result.status, Status::Succeeded);
        assert_eq!(result.output.unwrap()["map"], expected.output.as_ref().unwrap()["map"]);
    }
}

#[test]
fn a_map_run_that_could_not_read_is_redriven_when_it_can() {
    let folder = folder(&[]);
    let store = || Some(Arc::new(S3Folder::new(folder.path())) as Arc<dyn ObjectStore>);
    let mut definition = definition();
    definition["StartAt"] = json!("Map");
    definition["States"]["Map"]["ItemReader"] = json!({"Resource": "arn:aws:states:::s3:getObject",
        "ReaderConfig": {"InputType": "JSON"}, "Parameters": {"Bucket": "b", "Key": "late.json"}});
    for state in ["Put", "Wait"] {
        definition["States"].as_object_mut().unwrap().remove(state);
    }
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("history");
    let failed = go(&definition, store(), &Log::New(path.clone())).result;
    assert_eq!(failed.error.as_deref(), Some("States.ItemReaderFailed"));
    std::fs::write(folder.path().join("b/late.json"), "[1, 2]").unwrap();
    let report = go(&definition, store(), &Log::Redrive(path));
    assert_eq!(report.result.status, Status::Succeeded, "{:?}", report.result);
    let manifest =
        report.result.output.unwrap()["map"]["ResultWriterDetails"]["Key"].as_str().unwrap().to_owned();
    let manifest = std::fs::read(folder.path().join("b").join(manifest)).unwrap();
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    assert_eq!(manifest["ResultFiles"]["FAILED"], json!([]));
    assert_eq!(manifest["ResultFiles"]["SUCCEEDED"].as_array().unwrap().len(), 1);
}
