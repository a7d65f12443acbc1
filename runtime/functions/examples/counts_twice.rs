//! Functions as they must not be: a call that finds its gradient there already, because an earlier one was made and its
//! answer lost, adds it again. Published systems do this. `tests/chaos.rs` shows with it that chaos finds such a
//! thing; nothing else uses it.
#![expect(clippy::disallowed_methods, reason = "the environment is bootstrap's to read, and this one cheats")]

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::Value;
use std::process::ExitCode;
use stepgrad_contract::tensors::{Dtype, Tensor, TensorFile};
use stepgrad_contract::{ErrorKind, Function, FunctionError, keys};
use stepgrad_runtime::handlers::{Environment, dispatch};
use stepgrad_runtime::serve::serve_with;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    if stepgrad_runtime::faults::continue_later(std::env::args()) {
        return ExitCode::SUCCESS;
    }
    match serve_with(|name| std::env::var(name).ok(), step).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn step(
    function: Function,
    environment: &Environment,
    event: Value,
) -> BoxFuture<'_, Result<Value, FunctionError>> {
    async move {
        let key = written(function, &event);
        let before = match &key {
            Some(key) => environment.store.get_tensors(key).await.ok(),
            None => None,
        };
        let reply = dispatch(function, environment, event).await?;
        if let (Some(key), Some(before)) = (key, before) {
            add(&key, environment.store.get_tensors(&key).await?, &before)?;
        }
        Ok(reply)
    }
    .boxed()
}

/// The gradient or model that a call writes.
fn written(function: Function, event: &Value) -> Option<String> {
    let run = event["run"].as_str()?;
    let number = |name: &str| u32::try_from(event[name].as_u64()?).ok();
    match function {
        Function::Gradient => {
            Some(keys::batch_gradient(run, number("round")?, number("peer")?, number("batch")?))
        }
        Function::Combine | Function::Train => Some(keys::published(run, number("round")?, number("peer")?)),
        _ => None,
    }
}

/// Adds what was there to what is there.
fn add(key: &str, now: TensorFile, before: &TensorFile) -> Result<(), FunctionError> {
    let sum = |(name, tensor): (String, Tensor)| {
        let other = before.tensors.get(&name).filter(|other| other.dtype == Dtype::F32);
        let added = match (tensor.as_f32(), other.and_then(Tensor::as_f32)) {
            (Some(one), Some(two)) => {
                let values: Vec<f32> = one.iter().zip(two).map(|(one, two)| one + two).collect();
                Tensor::f32(tensor.shape.clone(), &values)
            }
            _ => tensor,
        };
        (name, added)
    };
    let added = TensorFile { tensors: now.tensors.into_iter().map(sum).collect(), sums: now.sums };
    let store = std::env::var("STEPGRAD_STORE").unwrap_or_default();
    let path = format!("{}/{key}", store.trim_start_matches("file://"));
    let written = std::fs::write(&path, added.parts_as(keys::identity(key).as_deref()).concat());
    written.map_err(|error| FunctionError::new(ErrorKind::Internal, format!("cannot write {path}: {error}")))
}
