//! A training on AWS, from nothing to a trained model and back to nothing, against ministack, which runs the packages of the
//! functions; its data are read from the bucket.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "tests start processes, read files and fail by panicking"
)]

use serde_json::Value;
use std::collections::BTreeSet;
use stepgrad_tests::cloud::{Project, steps};
use stepgrad_tests::ministack::Ministack;
use stepgrad_tests::stepgrad;

/// The lines about rounds, without the time that is left.
fn rounds(said: &str, all: &Value) -> Vec<String> {
    let lines = said.lines().filter(|line| line.starts_with("round "));
    let lines = lines.map(|line| match line.split_once(" invocations") {
        Some((line, _)) => format!("{line} invocations"),
        None => line.to_owned(),
    });
    let lines: Vec<String> = lines.collect();
    for (line, round) in lines.iter().zip(1..) {
        assert!(line.starts_with(&format!("round {round}/{all} · ")), "{line}");
    }
    lines
}

#[test]
fn a_training_on_aws_ends_in_the_bytes_of_one_here_and_leaves_nothing() {
    let test = "a_training_on_aws_ends_in_the_bytes_of_one_here_and_leaves_nothing";
    let Some(server) = Ministack::start(test) else { return };
    let project = Project::packaged(test);
    let url = format!("http://{}", server.address);

    let early = project.run(&url, &["run", "--on", "aws"]).exits(2);
    assert!(early.stdout.contains("nothing is deployed: run `stepgrad deploy` first"), "{}", early.stdout);
    let plan = project.run(&url, &["plan", "--detailed-exitcode"]).exits(7).json();
    let deployed = project.run(&url, &["deploy"]).exits(0).json();
    assert_eq!(steps(&deployed), steps(&plan));

    let there = project.run(&url, &["run", "--on", "aws"]);
    assert_eq!(there.code, Some(0), "{}\n{}\n{}", there.stdout, there.stderr, server.log());
    let there = there.json();
    let here = stepgrad(project.folder.path(), &["run", "train.yaml", "-o", "json"]).exits(0).json();
    assert_eq!(there["weights_sha256"], here["weights_sha256"]);
    for name in ["model.safetensors", "init.safetensors", "objects/training.json", "bundle/bundle.json"] {
        assert!(project.record(&there, name) == project.record(&here, name), "{name}");
    }
    // Times and order differ; what was done does not.
    let metrics = |run| String::from_utf8(project.record(run, "metrics.jsonl")).unwrap();
    assert_eq!(metrics(&there), metrics(&here));
    for count in ["rounds", "epochs", "training", "validation", "invocations", "executions"] {
        assert_eq!(there[count], here[count], "{count}");
    }
    // The two records are of one form.
    let (one, other) = (here["run"].as_str().unwrap(), there["run"].as_str().unwrap());
    let compared =
        stepgrad(project.folder.path(), &["runs", "compare", one, other, "-o", "json"]).exits(0).json();
    assert_eq!(compared["same_spec"], true);
    assert_eq!(compared["baseline"]["weights_sha256"], compared["rerun"]["weights_sha256"]);

    let again = project.run(&url, &["deploy"]).exits(0).json();
    assert_eq!((&again["changes"], steps(&again)), (&false.into(), BTreeSet::new()), "{again}");

    // Another rate is no matter of what is deployed; more memory for one function is of it and of what leads to it.
    let rate = ["--set", "training.optimizer.sgd.learning_rate=0.01"];
    let _ = project.run(&url, &["plan", "--detailed-exitcode", rate[0], rate[1]]).exits(0);
    let memory = ["--set", "functions.gradient.memory_mb=2560"];
    let changed = project.run(&url, &["plan", "--detailed-exitcode", memory[0], memory[1]]).exits(7).json();
    let change =
        |kind: &str, name: &str| ("change".to_owned(), kind.to_owned(), format!("stepgrad-small-{name}"));
    let expected = [
        change("function", "gradient"),
        change("state_machine", "round"),
        change("state_machine", "segment"),
        change("state_machine", "train"),
    ];
    let changes = steps(&changed);
    assert!(expected.iter().all(|step| changes.contains(step)), "{changed}");
    assert!(changes.iter().all(|(action, ..)| action == "change"), "{changed}");
    let deployed = project.run(&url, &["deploy", memory[0], memory[1]]).exits(0).json();
    assert_eq!(steps(&deployed), changes);
    // Whoever follows it sees every round, as of a run here.
    let more = project.shown(&url, &["run", "--on", "aws", memory[0], memory[1]]).exits(0);
    let like = stepgrad(project.folder.path(), &["run", "train.yaml"]).exits(0);
    let seen = rounds(&more.stderr, &here["rounds"]);
    assert_eq!(seen, rounds(&like.stderr, &here["rounds"]), "{}", more.stderr);
    let all = here["rounds"].as_u64().unwrap();
    assert_eq!(seen.len() as u64, all, "{}", more.stderr);
    assert!(seen[1].contains(" · epochs ") && seen[1].ends_with(" invocations"), "{seen:?}");
    let weights = here["weights_sha256"].as_str().unwrap();
    assert!(more.stdout.contains(weights.get(..12).unwrap()), "{}", more.stdout);

    let gone = project.run(&url, &["destroy", "-y"]).exits(0).json();
    assert_eq!(gone["runs"], 2);
    assert_eq!(server.everything(), [""; 0]);
    let _ = project.run(&url, &["plan", "--detailed-exitcode"]).exits(7);
}
