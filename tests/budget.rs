//! A budget in the spec: the state machine itself ends a run before it could cost more, between two rounds.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests read files, and fail by panicking")]

use serde_json::Value;
use std::path::Path;
use stepgrad_tests::{small_spec, stepgrad};

/// A training of which the preparation is counted with little, and each look at a round with much.
fn spec(topology: &str, algorithm: &str, more: &str) -> String {
    let functions =
        "  prepare: {timeout_s: 20}\n  initialise: {timeout_s: 20}\n  evaluate: {timeout_s: 900}\n";
    small_spec(topology, algorithm, "epoch", 2) + functions + more
}

/// What a training with one round is counted with before it begins, in dollars.
fn least(folder: &Path) -> String {
    let arguments = ["compile", "train.yaml", "--explain", "-o", "json"];
    let report = stepgrad(folder, &arguments).exits(0).json();
    let choices = report["bounds"]["choices"].as_array().unwrap().iter();
    let line = choices.filter_map(Value::as_str).find(|line| line.starts_with("a budget of")).unwrap();
    line.split(" is counted with ").nth(1).unwrap().split(' ').next().unwrap().to_owned()
}

#[test]
fn a_run_ends_before_the_round_that_could_cost_more_and_keeps_its_last_models() {
    for (topology, algorithm, model) in [
        ("peer_to_peer", "gradient_averaging", "peer-0001/replica.safetensors"),
        ("parameter_server", "model_averaging", "server/replica.safetensors"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let write = |usd: &str| {
            let text = spec(topology, algorithm, &format!("budget: {{usd: {usd}}}\n"));
            std::fs::write(folder.path().join("train.yaml"), text).unwrap();
        };
        write("1000");
        let least = least(folder.path());
        write(&least);
        let result = stepgrad(folder.path(), &["run", "train.yaml", "-o", "json"]).exits(4).json();
        assert_eq!(result["status"], "FAILED", "{result}");
        let why = result.to_string();
        assert!(why.contains("Stepgrad.BudgetExceeded") && why.contains("round 2 was not begun"), "{why}");
        assert!(why.contains(&format!("of the budget of {least} USD")) && why.contains("raise budget.usd"));
        let record = folder.path().join("runs").join(result["run"].as_str().unwrap());
        let rounds = std::fs::read_to_string(record.join("metrics.jsonl")).unwrap();
        assert_eq!(rounds.lines().count(), 1, "{rounds}");
        assert!(record.join("objects/round-000001").join(model).is_file());
        assert!(!record.join("objects/round-000002").exists());
    }
}

#[test]
fn a_budget_that_is_not_reached_changes_nothing_that_is_computed() {
    let folder = tempfile::tempdir().unwrap();
    let weights = ["", "budget: {usd: 1000}\n"].map(|budget| {
        let text = spec("peer_to_peer", "gradient_averaging", budget);
        std::fs::write(folder.path().join("train.yaml"), text).unwrap();
        let result = stepgrad(folder.path(), &["run", "train.yaml", "-o", "json"]).exits(0).json();
        assert_eq!(result["rounds"], 3);
        result["weights_sha256"].clone()
    });
    assert_eq!(weights[0], weights[1]);
}

#[test]
fn a_budget_that_holds_no_round_is_refused_at_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let text = spec("peer_to_peer", "gradient_averaging", "budget: {usd: 0.001}\n");
    std::fs::write(folder.path().join("train.yaml"), &text).unwrap();
    let refused = stepgrad(folder.path(), &["check", "train.yaml", "-o", "json"]).exits(6).json();
    let finding = &refused["diagnostics"][0];
    assert_eq!(
        (&finding["code"], &finding["line"]),
        (&"SG054".into(), &text.lines().count().into()),
        "{refused}"
    );
}
