//! The bundle in the languages of AWS and Terraform: the bytes that were reviewed, and what the languages' own
//! checkers say.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "tests read files and start processes, and fail by panicking"
)]

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use stepgrad_tests::{Ended, end, files, root, skip, small_spec, specs, stepgrad};

const LANGUAGES: &str = "cloudformation,sam,terraform";
/// The spec whose files were reviewed; of the others it is checked that they do not change from one time to the next.
const REVIEWED: &str = "alicloud-parameter-server";

/// Compiles a spec into a folder.
fn compile(spec: &Path, out: &Path, more: &[&str]) {
    let mut arguments = vec!["compile", spec.to_str().unwrap(), "--out", out.to_str().unwrap()];
    arguments.extend(more);
    let _ = stepgrad(&root(), &arguments).exits(0);
}

/// Every file below a folder by its path there, with its content.
fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let content = |path: PathBuf| {
        let content = std::fs::read(&path).unwrap();
        (path.strip_prefix(folder).unwrap().to_owned(), content)
    };
    files(folder).into_iter().map(content).collect()
}

/// Runs a checker to its end, or to the deadline.
fn ended(command: &mut Command) -> std::io::Result<Ended> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map(end)
}

#[test]
fn the_languages_give_the_same_bytes_twice_and_the_reviewed_ones() {
    let folder = tempfile::tempdir().unwrap();
    for spec in specs() {
        let name = spec.file_stem().unwrap().to_str().unwrap();
        let (one, two) = (folder.path().join("one"), folder.path().join("two"));
        let more = ["--to", LANGUAGES];
        compile(&spec, &one, &more);
        compile(&spec, &two, &more);
        // A bundle may be written over with one of another extent.
        compile(&spec, &two, &["--to", "sam"]);
        assert!(!two.join("terraform").exists());
        compile(&spec, &two, &more);
        assert!(contents(&one) == contents(&two), "{name}");
        if name != REVIEWED {
            continue;
        }
        for path in
            ["cloudformation/template.json", "sam/template.json", "terraform/main.tf.json", "Dockerfile"]
        {
            let written = std::fs::read_to_string(one.join(path)).unwrap();
            let golden = root().join("tests/golden/aws").join(name).join(path.replace('/', "."));
            if std::env::var_os("UPDATE_GOLDEN").is_some() {
                std::fs::create_dir_all(golden.parent().unwrap()).unwrap();
                std::fs::write(&golden, &written).unwrap();
            }
            let expected = std::fs::read_to_string(&golden).unwrap_or_default();
            assert!(
                written == expected,
                "{name}: other bytes than {}: review with UPDATE_GOLDEN=1",
                golden.display()
            );
        }
    }
}

#[test]
fn cfn_lint_accepts_every_template_of_every_spec() {
    const TEST: &str = "cfn_lint_accepts_every_template_of_every_spec";
    let linter = root().join("target/cfn-lint/bin/cfn-lint");
    if !root().join("target/cfn-lint/installed").is_file() {
        return skip(TEST, "cfn-lint is not installed: run `make setup` where PyPI can be reached");
    }
    let folder = tempfile::tempdir().unwrap();
    let mut templates: Vec<PathBuf> = Vec::new();
    let traced = folder.path().join("traced.yaml");
    let text = small_spec("peer_to_peer", "model_averaging", "epoch", 4)
        + "aws: {tracing: true, run_retention_days: 30, kms_key: 'arn:aws:kms:eu-west-1:123456789012:key/a-1'}\n";
    std::fs::write(&traced, text).unwrap();
    for spec in specs().into_iter().chain([traced]) {
        let out = folder.path().join(spec.file_stem().unwrap());
        compile(&spec, &out, &["--to", LANGUAGES]);
        templates.extend(["cloudformation", "sam"].map(|language| out.join(language).join("template.json")));
    }
    let lint = |templates: &[PathBuf]| {
        let mut command = Command::new(&linter);
        command
            .args(["--non-zero-exit-code", "informational", "--regions", "eu-west-1", "--"])
            .args(templates);
        let ended = ended(&mut command).unwrap();
        (ended.code == Some(0), ended.stdout + &ended.stderr)
    };
    let (accepted, said) = lint(&templates);
    assert!(accepted, "{said}");
    // A template that is wrong is found, so that the test can fail.
    for template in &templates[..2] {
        let wrong = template.with_file_name("wrong.json");
        let text = std::fs::read_to_string(template).unwrap();
        std::fs::write(&wrong, text.replace("\"MemorySize\"", "\"MemorySise\"")).unwrap();
        let (accepted, said) = lint(&[wrong]);
        assert!(!accepted && said.contains("MemorySise"), "{said}");
    }
}

#[test]
fn terraform_validates_every_configuration() {
    const TEST: &str = "terraform_validates_every_configuration";
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("bundle");
    for spec in specs() {
        compile(&spec, &out, &["--to", "terraform"]);
        let run = |arguments: &[&str]| {
            let mut command = Command::new("terraform");
            command.args(arguments).current_dir(out.join("terraform")).env("TF_IN_AUTOMATION", "1");
            // One download of the provider for all specs.
            ended(command.env("TF_DATA_DIR", folder.path().join("terraform")))
        };
        let Ok(initialised) = run(&["init", "-backend=false", "-input=false", "-no-color"]) else {
            return skip(TEST, "terraform is not on this machine");
        };
        if initialised.code != Some(0) {
            // It has read the configuration by then, and would have refused one that is none.
            let no_provider = initialised.stderr.contains("Failed to query available provider packages");
            assert!(no_provider, "{}: {}", spec.display(), initialised.stderr);
            return skip(TEST, "terraform could not install the provider hashicorp/aws");
        }
        let validated = run(&["validate", "-no-color"]).unwrap();
        assert_eq!(validated.code, Some(0), "{}: {}", spec.display(), validated.stderr);
    }
}

#[test]
fn fis_gets_what_it_can_do_and_the_rest_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let faults = root().join("examples/faults");
    let spec = root().join("examples/digits.yaml");
    for entry in std::fs::read_dir(faults).unwrap() {
        let path = entry.unwrap().path();
        let out = folder.path().join("bundle");
        let text = std::fs::read_to_string(&path).unwrap();
        let arguments = [
            "compile",
            spec.to_str().unwrap(),
            "--out",
            out.to_str().unwrap(),
            "--to",
            "fis",
            "--faults",
            path.to_str().unwrap(),
            "-o",
            "json",
        ];
        let report = stepgrad(&root(), &arguments).exits(0).json();
        let readme = std::fs::read_to_string(out.join("fis/README.md")).unwrap();
        let ids: Vec<&str> = text.lines().filter_map(|line| line.trim().strip_prefix("- id: ")).collect();
        assert!(!ids.is_empty(), "{}", path.display());
        for id in ids {
            assert!(readme.contains(&format!("- `{id}`: ")), "{id} of {}: {readme}", path.display());
        }
        for finding in report["faults"].as_array().unwrap() {
            assert_eq!(finding["severity"], "warning", "{finding}");
            assert!(finding["line"].as_u64().unwrap() > 0, "{finding}");
        }
    }
    let late = folder.path().join("late.yaml");
    std::fs::write(
        &late,
        "version: 1\nfaults:\n  - id: late\n    at: {function: gradient}\n    invocation_delay: {ms: 900}\n",
    )
    .unwrap();
    let out = folder.path().join("late");
    compile(&spec, &out, &["--to", "fis", "--faults", late.to_str().unwrap()]);
    let template: Value =
        serde_json::from_slice(&std::fs::read(out.join("fis/experiment.json")).unwrap()).unwrap();
    assert_eq!(template["actions"]["late"]["actionId"], "aws:lambda:invocation-add-delay");
    // What FIS cannot bring about, nothing can wait for.
    let text = "version: 1\nfaults:\n  - {id: dead, at: {peer: 4, rounds: 2..3}, outage: {}}\n  - {id: late, start_after: dead, invocation_delay: {ms: 900}}\n";
    std::fs::write(&late, text).unwrap();
    compile(&spec, &out, &["--to", "fis", "--faults", late.to_str().unwrap()]);
    let readme = std::fs::read_to_string(out.join("fis/README.md")).unwrap();
    assert!(readme.contains("it starts at once, for FIS cannot bring `dead` about"), "{readme}");
    let refused = stepgrad(&root(), &["compile", spec.to_str().unwrap(), "--to", "fis"]).exits(2);
    assert!(refused.stderr.contains("--faults"), "{}", refused.stderr);
}
