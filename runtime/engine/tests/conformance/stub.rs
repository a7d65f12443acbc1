//! Functions that answer as a case says.

use bytes::Bytes;
use futures::future::BoxFuture;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use stepgrad_engine::integrations::lambda::{Invoke, InvokeError, InvokeReply};

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
