//! Compilation: the same bytes each time, the bytes that were reviewed, and no growth with the fan-out.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests read files, and fail by panicking")]

use serde_json::Value;
use std::path::Path;
use stepgrad_tests::{root, specs, stepgrad};

/// Specs of which everything is reviewed: one of each topology. Of the others the resources on AWS, which are made the same
/// way, are left out.
const IN_FULL: [&str; 2] = ["digits", "alicloud-parameter-server"];

fn bundle(spec: &Path, arguments: &[&str]) -> Value {
    let spec = spec.to_str().unwrap();
    let mut all = vec!["compile", spec, "--out", "-"];
    all.extend(arguments);
    let text = stepgrad(&root(), &all).exits(0).stdout;
    serde_json::from_str(&text).unwrap()
}

#[test]
fn every_spec_compiles_to_the_reviewed_bytes() {
    for spec in specs() {
        let name = spec.file_stem().unwrap().to_str().unwrap().to_owned();
        let mut bundle = bundle(&spec, &[]);
        if !IN_FULL.contains(&name.as_str()) {
            let files = bundle["files"].as_object_mut().unwrap();
            files.retain(|path, _| path != "aws.json" && !path.starts_with("policies/"));
        }
        let text = format!("{bundle:#}\n");
        let golden = root().join("tests/golden").join(format!("{name}.json"));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::create_dir_all(golden.parent().unwrap()).unwrap();
            std::fs::write(&golden, &text).unwrap();
        }
        let expected = std::fs::read_to_string(&golden).unwrap_or_default();
        assert!(
            text == expected,
            "{name} compiles to other bytes than {}: review with UPDATE_GOLDEN=1",
            golden.display()
        );
    }
}

#[test]
fn two_compilations_give_identical_folders() {
    let folder = tempfile::tempdir().unwrap();
    let spec = root().join("examples/digits.yaml");
    for out in ["one", "two", "two"] {
        let _ = stepgrad(folder.path(), &["compile", spec.to_str().unwrap(), "--out", out]).exits(0);
    }
    let index: Value =
        serde_json::from_slice(&std::fs::read(folder.path().join("one/bundle.json")).unwrap()).unwrap();
    let files: Vec<_> =
        index["files"].as_array().unwrap().iter().map(|file| file.as_str().unwrap()).collect();
    assert!(files.contains(&"aws.json") && files.contains(&"policies/machines/train.json"), "{files:?}");
    for file in files.into_iter().chain(["bundle.json"]) {
        let [one, two] = ["one", "two"].map(|out| std::fs::read(folder.path().join(out).join(file)).unwrap());
        assert!(one == two, "{file}");
    }
    let left: Vec<_> =
        std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "only the two bundles are left: {left:?}");
}

#[test]
fn definitions_are_as_large_for_a_thousand_peers_of_a_thousand_batches_as_for_four() {
    let folder = tempfile::tempdir().unwrap();
    let spec = folder.path().join("large.yaml");
    let text = |peers: u32| {
        stepgrad_tests::small_spec("peer_to_peer", "gradient_averaging", "epoch", peers)
            // A thousand batches of sixteen for each peer.
            .replace("samples: 240", &format!("samples: {}", peers * 16_000))
            .replace("  validation: 0.1\n", "")
            .replace("max_concurrency: 4", "max_concurrency: 1000")
    };
    let definitions = [4, 1_000].map(|peers| {
        std::fs::write(&spec, text(peers)).unwrap();
        let bundle = bundle(&spec, &[]);
        let files = bundle["files"].as_object().unwrap();
        files
            .iter()
            .filter(|(path, _)| path.starts_with("machines/"))
            .map(|(path, definition)| (path.clone(), definition.clone()))
            .collect::<Vec<_>>()
    });
    assert_eq!(definitions[0], definitions[1]);
    let arguments = ["compile", "large.yaml", "--explain", "-o", "json"];
    let report = stepgrad(folder.path(), &arguments).exits(0).json();
    let choices = report["bounds"]["choices"].to_string();
    assert!(choices.contains("child executions for peers"), "{choices}");
    assert!(choices.contains("child executions for batches"), "{choices}");
}

#[test]
fn what_fits_no_way_is_refused_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let text = stepgrad_tests::small_spec("peer_to_peer", "gradient_averaging", "epoch", 10_000)
        .replace("samples: 240", "samples: 16000000");
    std::fs::write(folder.path().join("large.yaml"), &text).unwrap();
    let refused = stepgrad(folder.path(), &["check", "large.yaml", "-o", "json"]).exits(6).json();
    let finding = &refused["diagnostics"][0];
    let line = text.lines().position(|line| line.contains("peers:")).unwrap() + 1;
    assert_eq!(finding["line"], line, "{refused}");
}
