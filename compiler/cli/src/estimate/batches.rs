//! How many batches each peer has: by the spec alone where it describes its data, else by `prepare` itself, which reads the data on
//! this computer as it would on AWS, into a folder that is gone afterwards.
#![expect(clippy::disallowed_methods, reason = "reads the user's data, writes a folder of its own")]

use crate::cloud::data;
use crate::failure::Failure;
use crate::local::{bootstrap, functions, read_json};
use std::path::Path;
use std::sync::Arc;
use stepgrad_compiler::bundle::{Bundle, Index};
use stepgrad_compiler::estimate::shards;
use stepgrad_contract::events::{HandedOver, PrepareEvent, PrepareReply};
use stepgrad_contract::manifest::Manifest;
use stepgrad_contract::{Function, keys};
use stepgrad_engine::host::{Discard, Host, InvocationRecord};

/// Bytes of data that are read for a plan at the most: what `prepare` makes of them is written on this computer.
const MOST: u64 = 2 << 30;
/// What the run is called that is none.
const RUN: &str = "plan";
/// When it began, which an event has to say where there is a budget.
const BEGAN: &str = "2026-01-01T00:00:00Z";

/// The batches, and where they are known from; or why they are not known.
pub(super) async fn of(bundle: &Bundle, root: Option<&Path>) -> Result<(Manifest, String), String> {
    if let Some(manifest) = shards(&bundle.training) {
        return Ok((manifest, "the spec".to_owned()));
    }
    let like = "name a run of the same data with --like RUN";
    let root =
        root.ok_or_else(|| format!("how many batches there are is known when the data is read: {like}"))?;
    let bytes = size(bundle, root).map_err(|failure| failure.message)?;
    if bytes > MOST {
        let (have, most) = (bytes >> 20, MOST >> 20);
        return Err(format!("{have} MB of data are more than are read for a plan ({most} MB): {like}"));
    }
    let found = match bootstrap::find(None) {
        Ok(binary) => prepare(bundle, root, &binary).await,
        Err(missing) => Err(missing),
    };
    found.map(|manifest| (manifest, "the data, read here as `prepare` reads it".to_owned())).map_err(
        |failure| {
            format!(
                "how many batches there are is known when the data is read, and here it was not ({}): {like}",
                failure.message
            )
        },
    )
}

fn size(bundle: &Bundle, root: &Path) -> Result<u64, Failure> {
    let mut sum = 0_u64;
    for path in data(&bundle.training, root)?.into_values() {
        let metadata = path.metadata().map_err(|error| Failure::file("read", &path, &error))?;
        sum = sum.saturating_add(metadata.len());
    }
    Ok(sum)
}

/// Calls `prepare` until it is done.
async fn prepare(bundle: &Bundle, root: &Path, bootstrap: &Path) -> Result<Manifest, Failure> {
    let internal = |what: String| Failure::new(crate::exit::Exit::Internal, what);
    let folder = tempfile::tempdir().map_err(|error| internal(format!("no folder to work in: {error}")))?;
    let store = folder.path().canonicalize().map_err(|error| Failure::file("open", folder.path(), &error))?;
    let training = store.join(keys::training(RUN));
    let written = training.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| {
        std::fs::write(&training, bundle.files.get("training.json").map_or(&[][..], Vec::as_slice))
    });
    written.map_err(|error| Failure::file("write", &training, &error))?;
    let name = Function::Prepare.name();
    let only = bundle.index.functions.iter().filter(|entry| entry.handler == name).cloned().collect();
    let index = Index { functions: only, ..bundle.index.clone() };
    let functions = functions::functions(&index, bootstrap, &store, root, None);
    let observer = Arc::new(|_: &InvocationRecord| {});
    let host = Host::new(functions::host(bootstrap, 1), functions, Arc::new(Discard), observer)
        .map_err(|error| internal(error.to_string()))?;
    let mut handed_over = HandedOver { continuation: 0, next: 0 };
    for _ in 0..=bundle.training.hand_over.at_most {
        let event = PrepareEvent { run: RUN.to_owned(), handed_over, began: Some(BEGAN.to_owned()) };
        let event = serde_json::to_vec(&event).map_err(|error| internal(error.to_string()))?;
        let reply = host.call(name, event.into()).await.map_err(|error| internal(error.to_string()))?;
        if reply.function_error.is_some() {
            let error: serde_json::Value = serde_json::from_slice(&reply.payload).unwrap_or_default();
            return Err(internal(error["errorMessage"].as_str().unwrap_or("`prepare` failed").to_owned()));
        }
        let reply: PrepareReply =
            serde_json::from_slice(&reply.payload).map_err(|error| internal(error.to_string()))?;
        match reply.handed_over {
            Some(next) => handed_over = next,
            None => return read_json(&store.join(keys::manifest(RUN))),
        }
    }
    Err(internal("`prepare` was not done in as many calls as functions.hand_over allows".to_owned()))
}
