//! What a run costs on top of its gradients: the time of `stepgrad run examples/digits.yaml` against that of the
//! same gradients one after the other in this process, on one thread.
//!
//!     cargo build --release --workspace && cargo bench -p stepgrad-runtime
#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::print_stdout, reason = "a benchmark")]

use serde_json::Value;
use std::path::Path;
use std::process::Command;
use std::time::Instant;
use stepgrad_contract::manifest::Manifest;
use stepgrad_contract::{Training, keys};
use stepgrad_runtime::data::Batch;
use stepgrad_runtime::models::{Input, Replica, Start};
use stepgrad_runtime::store::Store;
use stepgrad_runtime::torch;

const RUNS: usize = 5;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let own = std::env::current_exe().unwrap();
    let stepgrad = own.ancestors().nth(2).unwrap().join("stepgrad");
    if !stepgrad.is_file() {
        println!("not measured: {} is not built (see the head of this file)", stepgrad.display());
        return;
    }
    let spec =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/digits.yaml").canonicalize().unwrap();
    let mut rows = Vec::new();
    for _ in 0..RUNS {
        let folder = tempfile::tempdir().unwrap();
        let output = Command::new(&stepgrad)
            .arg("run")
            .arg(&spec)
            .args(["-o", "json"])
            .current_dir(&folder)
            .output()
            .unwrap();
        let result: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(result["status"], "SUCCEEDED", "{result}");
        let pure = gradients(&folder.path().join("runs"), result["run"].as_str().unwrap(), &result).await;
        rows.push((result["seconds"].as_f64().unwrap(), pure, result["invocations"].as_u64().unwrap()));
    }
    rows.sort_by(|one, other| (one.0 / one.1).total_cmp(&(other.0 / other.1)));
    for (run, pure, invocations) in &rows {
        println!(
            "run {run:.2} s, its gradients alone {pure:.2} s: {:.2} times, {invocations} invocations",
            run / pure
        );
    }
    let (run, pure, _) = rows[RUNS / 2];
    println!("median: a run takes {:.2} times as long as its gradients on one thread", run / pure);
}

/// Seconds that the gradients of all batches of all epochs of a run take.
async fn gradients(runs: &Path, run: &str, result: &Value) -> f64 {
    let store = Store::open(&format!("file://{}", runs.display()), |_| None).unwrap();
    let training: Training = store.get_json(&keys::training(run)).await.unwrap();
    let manifest: Manifest = store.get_document(&keys::manifest(run)).await.unwrap();
    let mut batches = Vec::new();
    for (shard, peer) in manifest.shards.iter().zip(1..) {
        for batch in 1..=shard.batches {
            let file = store.get_tensors(&keys::batch(run, peer, batch)).await.unwrap();
            batches.push(Batch::load(&file, &manifest).unwrap());
        }
    }
    torch::one_thread();
    let input = Input::of(&manifest).unwrap();
    let replica = Replica::build(training.model.architecture, None, &input, Start::Random).unwrap();
    // The first pass warms libtorch up, as a warm function process is.
    for batch in &batches {
        replica.gradient(batch, training.model.loss).unwrap();
    }
    let epochs = result["epochs"].as_u64().unwrap();
    let start = Instant::now();
    for _ in 0..epochs {
        for batch in &batches {
            replica.gradient(batch, training.model.loss).unwrap();
        }
    }
    start.elapsed().as_secs_f64()
}
