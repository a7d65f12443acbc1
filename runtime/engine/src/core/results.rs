//! What becomes of a Map Run's results: the state's result, or files in S3 and a manifest of them (AWS: "ResultWriter
//! (Map)"). A file is written as soon as it is full, so that only so much is held; within a file results are in the
//! items' order.

use super::engine::Ended;
use super::execution::Status;
use super::failure::Failure;
use super::limits;
use super::objects::ObjectRequest;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use stepgrad_asl::Payload;
use stepgrad_asl::expression::timestamp;
use stepgrad_asl::program::Transformation;

/// AWS writes up to 5 GB to a file; here a file is held until it is full.
const FULL: usize = 8 * 1_024 * 1_024;

/// The results so far.
#[derive(Debug)]
pub(super) struct Results {
    transformation: Transformation,
    /// Of results that are the state's own: by the number of the child execution.
    kept: BTreeMap<usize, Payload>,
    bytes: usize,
    export: Option<Export>,
}

/// Files in a bucket.
#[derive(Debug)]
struct Export {
    bucket: String,
    /// With the Map Run's id, without a slash at the end.
    prefix: String,
    lines: bool,
    succeeded: File,
    failed: File,
    phase: Phase,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Child executions run; files are written as they fill up.
    Running,
    /// The last files are being written.
    Files,
    /// The manifest is being written.
    Manifest,
    Done,
}

#[derive(Debug)]
struct File {
    status: &'static str,
    /// As text, by the number of the child execution.
    entries: BTreeMap<usize, String>,
    bytes: usize,
    /// Key and size of files that are full.
    parts: Vec<(String, usize)>,
}

impl Results {
    /// Results that become the state's result.
    pub(super) fn kept(transformation: Transformation) -> Self {
        Self { transformation, kept: BTreeMap::new(), bytes: 2, export: None }
    }

    /// Results that go to `bucket` under `prefix`, in a folder named for the Map Run.
    pub(super) fn exported(
        transformation: Transformation,
        lines: bool,
        bucket: String,
        prefix: &str,
        id: &str,
    ) -> Self {
        let prefix = match prefix.trim_end_matches('/') {
            "" => id.to_owned(),
            prefix => format!("{prefix}/{id}"),
        };
        let file = |status| File { status, entries: BTreeMap::new(), bytes: 0, parts: Vec::new() };
        let export = Export {
            bucket,
            prefix,
            lines,
            succeeded: file("SUCCEEDED"),
            failed: file("FAILED"),
            phase: Phase::Running,
        };
        Self { export: Some(export), ..Self::kept(transformation) }
    }

    /// A child execution has ended; what is to be written now.
    pub(super) fn add(&mut self, index: usize, ended: &Ended) -> Vec<ObjectRequest> {
        let result = match (self.transformation, &ended.output) {
            (Transformation::Compact | Transformation::Flatten, Some(output)) => Some(output.clone()),
            (Transformation::Whole, _) => Some(Payload::new(described(ended))),
            // Failed child executions that are tolerated have no result.
            (_, None) if self.export.is_none() => None,
            (_, None) => Some(Payload::new(described(ended))),
        };
        let Some(result) = result else { return Vec::new() };
        let Some(export) = &mut self.export else {
            self.bytes += result.text().len() + 1;
            // It has failed already, at the end: no more need be held.
            if self.bytes > limits::MAX_PAYLOAD + 1 {
                self.kept.clear();
            } else {
                self.kept.insert(index, result);
            }
            return Vec::new();
        };
        let text = match (self.transformation, result.value()) {
            (Transformation::Flatten, Value::Array(items)) if ended.output.is_some() => {
                let texts: Vec<String> = items.iter().map(Value::to_string).collect();
                texts.join(if export.lines { "\n" } else { "," })
            }
            _ => result.text().to_owned(),
        };
        let file = if ended.output.is_some() { &mut export.succeeded } else { &mut export.failed };
        if !text.is_empty() {
            file.bytes += text.len() + 1;
            file.entries.insert(index, text);
        }
        let (bucket, prefix, lines) = (&export.bucket, &export.prefix, export.lines);
        if file.bytes < FULL {
            return Vec::new();
        }
        file.flush(bucket, prefix, lines).into_iter().collect()
    }

    /// The run is redriven: these child executions have no result any more, and what was written of failures is
    /// written anew.
    pub(super) fn redriven<'a>(&mut self, unsuccessful: impl Iterator<Item = &'a usize>) {
        for index in unsuccessful {
            if let Some(result) = self.kept.remove(index) {
                self.bytes -= result.text().len() + 1;
            }
        }
        if let Some(export) = &mut self.export {
            let failed = &mut export.failed;
            failed.entries.clear();
            failed.parts.clear();
            failed.bytes = 0;
            export.phase = Phase::Running;
        }
    }

    /// All child executions have ended: what is to be written now.
    pub(super) fn finish(&mut self, arn: &str) -> Vec<ObjectRequest> {
        let Some(export) = &mut self.export else { return Vec::new() };
        let Export { bucket, prefix, lines, succeeded, failed, phase } = export;
        if *phase == Phase::Running {
            *phase = Phase::Files;
            let files: Vec<ObjectRequest> = [succeeded, failed]
                .into_iter()
                .filter_map(|file| file.flush(bucket, prefix, *lines))
                .collect();
            if !files.is_empty() {
                return files;
            }
        }
        if *phase != Phase::Files {
            return Vec::new();
        }
        *phase = Phase::Manifest;
        vec![export.manifest(arn)]
    }

    /// A file was written; `pending` are the calls still under way.
    pub(super) fn written(&mut self, pending: &BTreeMap<u32, ObjectRequest>) {
        if let Some(export) = &mut self.export
            && export.phase == Phase::Manifest
            && pending.is_empty()
        {
            export.phase = Phase::Done;
        }
    }

    /// Whether something is still to be written.
    pub(super) fn is_writing(&self) -> bool {
        self.export.as_ref().is_some_and(|export| export.phase != Phase::Done)
    }

    /// The state's result.
    pub(super) fn take(&mut self, arn: &str, name: &str) -> Result<Payload, Failure> {
        if let Some(export) = &self.export {
            return Ok(Payload::new(json!({
                "MapRunArn": arn,
                "ResultWriterDetails": {
                    "Bucket": export.bucket,
                    "Key": format!("{}/manifest.json", export.prefix),
                },
            })));
        }
        if self.bytes > limits::MAX_PAYLOAD + 1 {
            return Err(Failure::too_large(name));
        }
        let results = std::mem::take(&mut self.kept).into_values().map(Payload::into_value);
        let results = match self.transformation {
            Transformation::Flatten => results
                .flat_map(|result| match result {
                    Value::Array(items) => items,
                    other => vec![other],
                })
                .collect(),
            Transformation::Compact | Transformation::Whole => results.collect(),
        };
        Ok(Payload::new(Value::Array(results)))
    }
}

impl File {
    fn flush(&mut self, bucket: &str, prefix: &str, lines: bool) -> Option<ObjectRequest> {
        if self.entries.is_empty() {
            return None;
        }
        let (extension, between, end) = if lines { ("jsonl", "\n", "\n") } else { ("json", ",", "]") };
        let mut body = String::with_capacity(self.bytes + 2);
        body.push_str(if lines { "" } else { "[" });
        // Each entry goes when it is written: a file is not held twice.
        for (place, entry) in std::mem::take(&mut self.entries).into_values().enumerate() {
            body.push_str(if place == 0 { "" } else { between });
            body.push_str(&entry);
        }
        body.push_str(end);
        self.bytes = 0;
        let key = format!("{prefix}/{}_{}.{extension}", self.status, self.parts.len());
        self.parts.push((key.clone(), body.len()));
        Some(ObjectRequest::Put { bucket: bucket.to_owned(), key, body: body.into() })
    }
}

impl Export {
    fn manifest(&self, arn: &str) -> ObjectRequest {
        let files = |file: &File| {
            let parts = file.parts.iter().map(|(key, size)| json!({"Key": key, "Size": size}));
            Value::Array(parts.collect())
        };
        let manifest = json!({
            "DestinationBucket": self.bucket,
            "MapRunArn": arn,
            "ResultFiles": {
                "FAILED": files(&self.failed),
                "PENDING": [],
                "SUCCEEDED": files(&self.succeeded),
            },
        });
        let key = format!("{}/manifest.json", self.prefix);
        ObjectRequest::Put { bucket: self.bucket.clone(), key, body: manifest.to_string().into() }
    }
}

/// A child execution as it stands in a file of results.
fn described(ended: &Ended) -> Value {
    let identity = &ended.identity;
    let status = ended.status.name();
    let mut described = json!({
        "ExecutionArn": identity.arn,
        "Input": identity.input.text(),
        "InputDetails": {"Included": true},
        "Name": identity.name,
        "RedriveCount": identity.redrives,
        "StartDate": timestamp::format(identity.started_at),
        "StateMachineArn": identity.machine.arn,
        "Status": status,
        "StopDate": timestamp::format(ended.at),
    });
    if let Value::Object(members) = &mut described {
        let redrivable = ended.status != Status::Succeeded;
        let redrive = if redrivable { "REDRIVABLE" } else { "NOT_REDRIVABLE" };
        members.insert("RedriveStatus".to_owned(), Value::from(redrive));
        if !redrivable {
            let reason = format!("Execution is {status} and cannot be redriven");
            members.insert("RedriveStatusReason".to_owned(), Value::from(reason));
        }
        if let Some(output) = &ended.output {
            members.insert("Output".to_owned(), Value::from(output.text()));
            members.insert("OutputDetails".to_owned(), json!({"Included": true}));
        }
        for (key, text) in [("Error", &ended.error), ("Cause", &ended.cause)] {
            if let Some(text) = text {
                members.insert(key.to_owned(), Value::from(text.as_str()));
            }
        }
    }
    described
}
