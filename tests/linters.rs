//! Every emitted definition passes the project's own validation and one that nobody here wrote.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests read files and start processes, and fail by panicking"
)]

use std::path::{Path, PathBuf};
use std::process::Command;
use stepgrad_tests::{root, skip, small_spec, specs, stepgrad};

/// Writes the bundles of all specs below `folder` and gives their definitions.
fn definitions(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    // States that none of the specs asks for.
    let budget = folder.join("budget.yaml");
    let text = small_spec("peer_to_peer", "model_averaging", "epoch", 4) + "budget: {usd: 1000}\n";
    std::fs::write(&budget, text).unwrap();
    for spec in specs().into_iter().chain([budget]) {
        let out = folder.join(spec.file_stem().unwrap());
        let arguments = ["compile", spec.to_str().unwrap(), "--out", out.to_str().unwrap()];
        let _ = stepgrad(&root(), &arguments).exits(0);
        all.extend(std::fs::read_dir(out.join("machines")).unwrap().map(|entry| entry.unwrap().path()));
    }
    all.sort();
    assert!(!all.is_empty());
    all
}

#[test]
fn every_definition_passes_asl_validate() {
    let folder = tempfile::tempdir().unwrap();
    for definition in definitions(folder.path()) {
        let arguments = ["asl", "validate", "--definition", definition.to_str().unwrap()];
        let verdict = stepgrad(&root(), &arguments).exits(0).json();
        assert_eq!(verdict["valid"], true, "{}: {verdict}", definition.display());
        assert_eq!(verdict["diagnostics"], serde_json::json!([]), "{}", definition.display());
    }
}

#[test]
fn every_definition_passes_asl_validator() {
    const TEST: &str = "every_definition_passes_asl_validator";
    let home = root().join("target/asl-validator");
    if Command::new("npm").arg("--version").output().is_err() {
        return skip(TEST, "npm is not on this machine");
    }
    if !home.join("node_modules/.bin/asl-validator").exists() {
        std::fs::create_dir_all(&home).unwrap();
        let installed = Command::new("npm")
            .args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"])
            .arg(&home)
            .arg("asl-validator@4.0.0")
            .output()
            .unwrap();
        if !installed.status.success() {
            return skip(TEST, "npm could not install asl-validator@4.0.0");
        }
    }
    let folder = tempfile::tempdir().unwrap();
    for definition in definitions(folder.path()) {
        let output = Command::new(home.join("node_modules/.bin/asl-validator"))
            .arg("--json-path")
            .arg(&definition)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{}: {said}", definition.display());
    }
    // A definition that is wrong is found, so that the test can fail.
    let wrong = folder.path().join("wrong.json");
    std::fs::write(&wrong, r#"{"StartAt":"A","States":{"A":{"Type":"Pass","Next":"B"}}}"#).unwrap();
    let output =
        Command::new(home.join("node_modules/.bin/asl-validator")).arg("--json-path").arg(&wrong).output();
    assert!(!output.unwrap().status.success());
}
