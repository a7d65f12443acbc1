//! Training runs: they learn, and the same seed ends in the same bytes however they are carried out.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests read files, and fail by panicking")]

use serde_json::Value;
use std::path::Path;
use stepgrad_tests::{root, small_spec, stepgrad};

/// Runs `spec` in `folder` and gives the last line.
fn run(folder: &Path, spec: &str, arguments: &[&str]) -> Value {
    let mut all = vec!["run", spec, "-o", "json"];
    all.extend(arguments);
    stepgrad(folder, &all).exits(0).json()
}

fn record(folder: &Path, result: &Value) -> std::path::PathBuf {
    folder.join("runs").join(result["run"].as_str().unwrap())
}

#[test]
fn four_peers_learn_the_handwritten_digits() {
    let folder = tempfile::tempdir().unwrap();
    let spec = root().join("examples/digits.yaml");
    let result = run(folder.path(), spec.to_str().unwrap(), &[]);
    assert_eq!(result["status"], "SUCCEEDED");
    assert!(result["validation"]["accuracy"].as_f64().unwrap() >= 0.95, "{result}");
    let record = record(folder.path(), &result);
    for file in [
        "run.json",
        "history.jsonl",
        "metrics.jsonl",
        "init.safetensors",
        "model.safetensors",
        "bundle/bundle.json",
    ] {
        assert!(record.join(file).is_file(), "{file}");
    }
    let rounds = std::fs::read_to_string(record.join("metrics.jsonl")).unwrap().lines().count();
    assert_eq!(result["rounds"], rounds);
    let listed = stepgrad(folder.path(), &["runs", "list", "-o", "json"]).exits(0).json();
    assert_eq!(listed["runs"][0]["run"], result["run"]);
    let shown = stepgrad(folder.path(), &["runs", "show", result["run"].as_str().unwrap()]).exits(0).stdout;
    assert!(shown.contains("where the time went"), "{shown}");
}

#[test]
fn one_seed_gives_one_model_whatever_the_concurrency_and_the_order() {
    for (topology, algorithm, every) in [
        ("peer_to_peer", "gradient_averaging", "{batches: 2}"),
        ("peer_to_peer", "model_averaging", "epoch"),
        ("parameter_server", "gradient_averaging", "epoch"),
        ("parameter_server", "model_averaging", "{epochs: 2}"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("train.yaml"), small_spec(topology, algorithm, every, 3)).unwrap();
        let mut models = Vec::new();
        for arguments in [
            ["--set", "functions.max_concurrency=1"].as_slice(),
            &["--set", "functions.max_concurrency=16", "--concurrency", "16"],
            &["--shuffle", "1"],
            &["--shuffle", "2"],
        ] {
            let result = run(folder.path(), "train.yaml", arguments);
            let model = std::fs::read(record(folder.path(), &result).join("model.safetensors")).unwrap();
            models.push((result["weights_sha256"].clone(), model));
        }
        assert!(models.iter().all(|model| *model == models[0]), "{topology} {algorithm}");
        let other = run(folder.path(), "train.yaml", &["--set", "seed=4"]);
        assert_ne!(other["weights_sha256"], models[0].0, "the seed has no effect");
    }
}

#[test]
fn a_torn_history_of_no_run_and_a_wrong_id_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let refused = stepgrad(folder.path(), &["run", "--resume", "no-such-run"]).exits(2);
    assert!(refused.stderr.contains("runs list"), "{}", refused.stderr);
    let _ = stepgrad(folder.path(), &["run", "--resume", "../../etc"]).exits(2);
}

#[test]
fn a_diverging_training_fails_with_a_reason_and_its_record_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let spec = small_spec("peer_to_peer", "gradient_averaging", "epoch", 2);
    std::fs::write(folder.path().join("train.yaml"), spec).unwrap();
    let arguments = ["run", "train.yaml", "-o", "json", "--set", "training.optimizer.sgd.learning_rate=1e30"];
    let failed = stepgrad(folder.path(), &arguments).exits(4).json();
    assert_eq!(failed["status"], "FAILED");
    assert_eq!(failed["error"], "Stepgrad.NotFinite", "{failed}");
    assert!(failed["cause"].as_str().unwrap().contains("learning_rate"), "{failed}");
    let record: Value =
        serde_json::from_slice(&std::fs::read(record(folder.path(), &failed).join("run.json")).unwrap())
            .unwrap();
    assert_eq!(record["status"], "FAILED");
}

#[test]
fn a_scripted_module_of_the_users_own_is_trained() {
    let folder = tempfile::tempdir().unwrap();
    let module = root().join("runtime/functions/tests/torchscript/normalised.pt");
    std::fs::copy(&module, folder.path().join("mine.pt")).unwrap();
    let spec = small_spec("peer_to_peer", "gradient_averaging", "epoch", 2)
        .replace("architecture: mlp", "torchscript: mine.pt")
        .replace("shape: [12], classes: 3", "shape: [1, 8, 8], classes: 10");
    std::fs::write(folder.path().join("train.yaml"), spec).unwrap();
    let result = run(folder.path(), "train.yaml", &[]);
    assert_eq!(result["status"], "SUCCEEDED");
    let record = record(folder.path(), &result);
    let [before, after] =
        ["init.safetensors", "model.safetensors"].map(|name| std::fs::read(record.join(name)).unwrap());
    assert_ne!(before, after);
    std::fs::remove_file(folder.path().join("mine.pt")).unwrap();
    let refused = stepgrad(folder.path(), &["run", "train.yaml"]).exits(3);
    assert!(refused.stderr.contains("mine.pt"), "{}", refused.stderr);
}

/// Retries count in the worst case of a history: with many of them the same round is carried by child executions.
#[test]
fn child_executions_carry_the_same_round_to_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let weights = |peers: u32, samples: u32, batch_size: u32, attempts: u32| {
        let spec = small_spec("peer_to_peer", "gradient_averaging", "epoch", peers)
            .replace("samples: 240", &format!("samples: {samples}"))
            .replace("batch_size: 16", &format!("batch_size: {batch_size}"))
            .replace("epochs: 3", "epochs: 1")
            .replace("architecture: mlp", "architecture: logistic_regression")
            .replace("  validation: 0.1\n", "");
        let spec = format!("{spec}fault_tolerance:\n  retries: {{max_attempts: {attempts}}}\n");
        std::fs::write(folder.path().join("train.yaml"), spec).unwrap();
        let result = run(folder.path(), "train.yaml", &[]);
        (result["weights_sha256"].clone(), result["executions"].as_u64().unwrap())
    };
    // Twelve peers of forty batches: a group of peers in each child execution.
    let (inline, few) = weights(12, 960, 2, 0);
    let (grouped, more) = weights(12, 960, 2, 10);
    assert_eq!(few, 3, "train, segment and round");
    assert!(more > few, "{more} executions");
    assert_eq!(inline, grouped);
    // One peer of more batches than States.ArrayRange gives: ranges of batches in child executions.
    let (_, ranges) = weights(1, 1_200, 1, 0);
    assert!(ranges > 3, "{ranges} executions");
}
