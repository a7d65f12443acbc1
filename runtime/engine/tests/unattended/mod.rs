//! A machine to be run in virtual time, where whoever runs functions in real time is never called.

use bytes::Bytes;
use futures::future::BoxFuture;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use stepgrad_asl::document::MachineType;
use stepgrad_engine::integrations::lambda::{Invoke, InvokeError, InvokeReply};
use stepgrad_engine::integrations::s3::ObjectStore;
use stepgrad_engine::run::{Definition, RunOptions};

struct Nobody;

impl Invoke for Nobody {
    fn invoke<'a>(&'a self, _: &'a str, _: Bytes) -> BoxFuture<'a, Result<InvokeReply, InvokeError>> {
        Box::pin(std::future::pending())
    }
}

/// The execution `main:run` of `definition`, with a trace.
pub(crate) fn options(definition: &Value, objects: Option<Arc<dyn ObjectStore>>) -> RunOptions {
    let text = definition.to_string();
    let main = Definition { text, machine_type: MachineType::Standard };
    RunOptions {
        definitions: BTreeMap::from([("main".to_owned(), main)]),
        root: "main".to_owned(),
        execution_name: "run".to_owned(),
        input: json!({}),
        seed: 3,
        invoke: Arc::new(Nobody),
        objects,
        max_concurrent_invocations: 10,
        trace: true,
    }
}
