//! Functions that answer as a case says.

use bytes::Bytes;
use futures::future::BoxFuture;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use stepgrad_engine::integrations::lambda::{Invoke, InvokeError, InvokeReply};
use stepgrad_engine::integrations::s3::{
    ListQuery, Listed, Listing, Object, ObjectError, ObjectStore, Range,
};

pub(super) struct Stub {
    functions: BTreeMap<String, Value>,
    used: Mutex<BTreeMap<String, usize>>,
    calls: AtomicU64,
}

impl Stub {
    /// `None` where a function is written in Python.
    pub(super) fn new(stubs: &Value) -> Option<Self> {
        let functions: BTreeMap<String, Value> = stubs
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, stub)| (name.clone(), stub.clone()))
            .collect();
        if functions.values().any(|stub| stub["behavior"] == "python") {
            return None;
        }
        Some(Self { functions, used: Mutex::default(), calls: AtomicU64::new(0) })
    }

    pub(super) fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    async fn answer(&self, function: &str, payload: Bytes) -> Result<InvokeReply, InvokeError> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let name =
            function.split(":function:").last().unwrap_or(function).split(':').next().unwrap_or_default();
        let Some(mut stub) = self.functions.get(name).cloned() else {
            let cause = format!("Function not found: {name}");
            return Err(InvokeError { error: "Lambda.ResourceNotFoundException".to_owned(), cause });
        };
        if stub["behavior"] == "sequence" {
            let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
            let place = used.entry(name.to_owned()).or_default();
            let responses = stub["responses"].as_array().unwrap().clone();
            stub = responses[(*place).min(responses.len() - 1)].clone();
            *place += 1;
        }
        let mut function_error = None;
        let text = match stub["behavior"].as_str().unwrap_or_default() {
            "sleep" => {
                tokio::time::sleep(Duration::from_secs_f64(stub["seconds"].as_f64().unwrap())).await;
                payload
            }
            "echo" => payload,
            "return" => stub["payload"].to_string().into(),
            "return_repeat" => {
                let count = usize::try_from(stub["count"].as_u64().unwrap()).unwrap();
                Value::from(stub["char"].as_str().unwrap().repeat(count)).to_string().into()
            }
            "raise" => {
                function_error = Some(stub["function_error"].as_str().unwrap_or("Unhandled").to_owned());
                match stub["payload_text"].as_str() {
                    Some(text) => text.to_owned().into(),
                    None => stub["payload"].to_string().into(),
                }
            }
            other => panic!("the stub's behaviour {other:?}"),
        };
        Ok(InvokeReply {
            payload: text,
            function_error,
            executed_version: "$LATEST".to_owned(),
            request_id: "00000000-0000-4000-8000-000000000000".to_owned(),
        })
    }
}

impl Invoke for Stub {
    fn invoke<'a>(
        &'a self,
        function: &'a str,
        payload: Bytes,
    ) -> BoxFuture<'a, Result<InvokeReply, InvokeError>> {
        Box::pin(self.answer(function, payload))
    }
}

/// The objects of a case, in memory.
pub(super) struct Objects {
    buckets: Mutex<BTreeMap<String, BTreeMap<String, Bytes>>>,
}

impl Objects {
    pub(super) fn new(objects: &Value) -> Self {
        let mut buckets: BTreeMap<String, BTreeMap<String, Bytes>> = BTreeMap::new();
        for (bucket, objects) in objects.as_object().into_iter().flatten() {
            let bucket = buckets.entry(bucket.clone()).or_default();
            for (key, body) in objects.as_object().into_iter().flatten() {
                bucket.insert(key.clone(), body.as_str().unwrap().to_owned().into());
            }
        }
        Self { buckets: Mutex::new(buckets) }
    }

    fn with<T>(
        &self,
        bucket: &str,
        work: impl FnOnce(&mut BTreeMap<String, Bytes>) -> T,
    ) -> Result<T, ObjectError> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        buckets.get_mut(bucket).map(work).ok_or_else(|| ObjectError::known("NoSuchBucket"))
    }

    fn body(&self, bucket: &str, key: &str) -> Result<Bytes, ObjectError> {
        self.with(bucket, |objects| objects.get(key).cloned())?.ok_or_else(|| ObjectError::known("NoSuchKey"))
    }
}

fn etag() -> String {
    "\"0\"".to_owned()
}

impl ObjectStore for Objects {
    fn get<'a>(
        &'a self,
        bucket: &'a str,
        key: &'a str,
        _: usize,
    ) -> BoxFuture<'a, Result<Object, ObjectError>> {
        let body = self.body(bucket, key);
        let content_type = "binary/octet-stream".to_owned();
        Box::pin(async { Ok(Object { body: body?, etag: etag(), content_type, modified: 0 }) })
    }

    fn range<'a>(
        &'a self,
        bucket: &'a str,
        key: &'a str,
        offset: u64,
        length: u64,
    ) -> BoxFuture<'a, Result<Range, ObjectError>> {
        let body = self.body(bucket, key);
        Box::pin(async move {
            let body = body?;
            let start = usize::try_from(offset).unwrap().min(body.len());
            let end = (start + usize::try_from(length).unwrap()).min(body.len());
            Ok(Range { bytes: body.slice(start..end), total: body.len() as u64, version: etag() })
        })
    }

    fn put<'a>(
        &'a self,
        bucket: &'a str,
        key: &'a str,
        body: Bytes,
        _: Option<&'a str>,
    ) -> BoxFuture<'a, Result<String, ObjectError>> {
        let written = self.with(bucket, |objects| objects.insert(key.to_owned(), body));
        Box::pin(async { written.map(|_| etag()) })
    }

    fn list<'a>(
        &'a self,
        bucket: &'a str,
        query: &'a ListQuery,
    ) -> BoxFuture<'a, Result<Listing, ObjectError>> {
        let found = self.with(bucket, |objects| {
            let fits = objects.iter().filter(|(key, _)| key.starts_with(&query.prefix));
            fits.map(|(key, body)| Listed {
                key: key.clone(),
                size: body.len() as u64,
                etag: etag(),
                modified: 0,
            })
            .collect()
        });
        Box::pin(async { Ok(Listing { objects: found?, next: None }) })
    }
}
