//! Reruns with faults, in real processes: every file of the library with its verdict, and what a user meets on the way.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests read files and start processes, and fail by panicking"
)]

use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use stepgrad_tests::{root, stepgrad};

/// A folder with the run that is repeated, and its id.
fn baseline() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let spec = root().join("examples/digits-small.yaml");
    let run = stepgrad(folder.path(), &["run", spec.to_str().unwrap(), "-o", "json"]).exits(0).json();
    (folder, run["run"].as_str().unwrap().to_owned())
}

fn library() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root().join("examples/faults")).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// Reruns every third file of the library from the `first` on; the thirds run side by side.
fn third(first: usize) {
    let (folder, id) = baseline();
    let files: Vec<_> = library().into_iter().skip(first).step_by(3).collect();
    assert!(files.len() >= 8);
    for file in files {
        let ended =
            stepgrad(folder.path(), &["rerun", &id, "--faults", file.to_str().unwrap(), "-o", "json"]);
        let holds = ended.code == Some(0);
        assert!(holds, "{}: {}{}", file.display(), ended.stdout, ended.stderr);
        let line = ended.json();
        let comparison = &line["comparison"];
        assert_eq!(comparison["holds"], true, "{}", file.display());
        assert_eq!(comparison["invariants"]["counted_once"], true, "{}: {comparison}", file.display());
        let fired = comparison["fired"].as_object().unwrap();
        assert!(!fired.is_empty(), "{}", file.display());
        // Each firing stands in the history.
        let record = folder.path().join("runs").join(line["run"].as_str().unwrap());
        let history = std::fs::read_to_string(record.join("history.jsonl")).unwrap();
        let told = history.lines().filter(|line| line.contains(r#""fired":{"#)).count() as u64;
        assert_eq!(
            told,
            fired.values().map(|times| times.as_u64().unwrap()).sum::<u64>(),
            "{}",
            file.display()
        );
        let own: Value = serde_json::from_slice(&std::fs::read(record.join("run.json")).unwrap()).unwrap();
        assert_eq!(own["rerun_of"], *id);
        assert!(record.join("faults.yaml").is_file() && record.join("faults.json").is_file());
    }
}

#[test]
fn every_file_of_the_library_ends_as_it_expects_1() {
    third(0);
}

#[test]
fn every_file_of_the_library_ends_as_it_expects_2() {
    third(1);
}

#[test]
fn every_file_of_the_library_ends_as_it_expects_3() {
    third(2);
}

fn write(folder: &Path, text: &str) {
    std::fs::write(folder.join("faults.yaml"), text).unwrap();
}

#[test]
fn a_plain_rerun_is_the_same_and_expectations_that_fail_exit_with_4() {
    let (folder, id) = baseline();
    let again = stepgrad(folder.path(), &["rerun", &id, "-o", "json"]).exits(0).json();
    assert_eq!(again["comparison"]["invariants"]["same_weights"], true);
    assert_eq!(again["rerun_of"], *id);

    // The place is there, but the throttle never comes to its concurrency; and the weights are the same after all.
    write(
        folder.path(),
        "version: 1\nfaults:\n  - id: never\n    at: {function: combine}\n    throttle: {above_concurrency: 9999}\n\
         expect: {accuracy_at_least: 1, lost: {2: 3}}\n",
    );
    let failed =
        stepgrad(folder.path(), &["rerun", &id, "--faults", "faults.yaml", "-o", "json"]).exits(4).json();
    assert_eq!(failed["status"], "SUCCEEDED");
    assert_eq!(failed["comparison"]["never_fired"], json!(["never"]));
    let verdict = failed["comparison"]["verdict"].as_array().unwrap();
    let holding: Vec<bool> = verdict.iter().map(|line| line["holds"].as_bool().unwrap()).collect();
    assert_eq!(holding, [true, false, false], "{verdict:?}");

    // The same verdict from the records alone, for people and for programs.
    let other = failed["run"].as_str().unwrap();
    let compared = stepgrad(folder.path(), &["runs", "compare", &id, other, "-o", "json"]).exits(4).json();
    assert_eq!(compared["verdict"], failed["comparison"]["verdict"]);
    assert_eq!(compared["rounds"].as_array().unwrap().len(), 6);
    let text = stepgrad(folder.path(), &["runs", "compare", &id, other]).exits(4).stdout;
    assert!(text.contains("fault never never fired") && text.contains("DOES NOT HOLD"), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
}

/// Who is known to be dead is asked once a round whether it is back; the others' calls are as before.
#[test]
fn a_dead_peer_costs_one_call_a_round() {
    let (folder, id) = baseline();
    write(
        folder.path(),
        "version: 1\nfaults:\n  - {id: dead, at: {peer: 4, rounds: 2..5}, outage: {}}\n\
         expect: {lost: {4: 2..5}, rejoined_within_rounds: 1}\n",
    );
    let told =
        stepgrad(folder.path(), &["rerun", &id, "--faults", "faults.yaml", "-o", "json"]).exits(0).json();
    let record = folder.path().join("runs").join(told["run"].as_str().unwrap());
    let history = std::fs::read_to_string(record.join("history.jsonl")).unwrap();
    let fired: Vec<Value> = history
        .lines()
        .filter(|line| line.contains(r#""fired":{"#))
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["fired"].clone())
        .collect();
    for round in 3..=5 {
        let of_round: Vec<_> = fired.iter().filter(|fired| fired["round"] == round).collect();
        assert_eq!(of_round.len(), 1, "{of_round:?}");
        assert_eq!((&of_round[0]["function"], &of_round[0]["attempt"]), (&json!("heartbeat"), &json!(0)));
    }
    assert!(fired.iter().filter(|fired| fired["round"] == 2).count() >= 4, "every attempt of its batch");
}

/// Reruns with these faults, of which the file's expectations hold; gives what is told of the lost peers.
fn lost_peers(folder: &Path, id: &str, text: &str) -> Vec<Value> {
    write(folder, text);
    let ended = stepgrad(folder, &["rerun", id, "--faults", "faults.yaml", "-o", "json"]);
    assert_eq!(ended.code, Some(0), "{text}{}{}", ended.stdout, ended.stderr);
    ended.json()["comparison"]["lost_peers"].as_array().unwrap().clone()
}

#[test]
fn how_a_loss_went_is_told_whatever_else_goes_wrong() {
    let (folder, id) = baseline();
    let slow = lost_peers(
        folder.path(),
        &id,
        "version: 1\nfaults:\n  - {id: slow, at: {peer: 4, function: gradient}, invocation_delay: {ms: 5}}\n  \
         - {id: dead, at: {peer: 4, rounds: 4..5}, outage: {}}\n\
         expect: {lost: {4: 4..5}, detected_within_rounds: 0, rejoined_within_rounds: 1}\n",
    );
    assert_eq!((&slow[0]["failed_round"], &slow[0]["healed_round"]), (&json!(4), &json!(5)));
    let seconds = |lost: &Value, key: &str| lost[key].as_f64().unwrap();
    assert!(seconds(&slow[0], "detect_seconds") > 0.0);
    assert!(seconds(&slow[0], "exclude_seconds") >= seconds(&slow[0], "detect_seconds"), "{slow:?}");
    assert_eq!(slow[0]["exclude_rounds"], 0);

    // Others cannot read what it published: no call of its own fails.
    let cut = lost_peers(
        folder.path(),
        &id,
        "version: 1\nfaults:\n  - id: cut\n    at: {peers: [1, 2, 4], object: published, operation: get, owner: 3, round: 4}\n    \
         unavailable: {}\nexpect: {lost: {3: 4}, detected_within_rounds: 0}\n",
    );
    assert!(seconds(&cut[0], "exclude_seconds") > 0.0, "{cut:?}");

    // Who dies in the exchange is left out when that is over, and not when it was decided who takes part in it.
    let late = lost_peers(
        folder.path(),
        &id,
        "version: 1\nfaults:\n  - {id: dies, at: {function: synchronise, peer: 4, round: 3}, kill: {}}\nexpect: {lost: {4: 3}}\n",
    );
    assert!(seconds(&late[0], "detect_seconds") > 0.0, "{late:?}");
    assert!(seconds(&late[0], "exclude_seconds") >= seconds(&late[0], "detect_seconds"), "{late:?}");

    // Of a partition and an outage at once both come about.
    let both = lost_peers(
        folder.path(),
        &id,
        "version: 1\nfaults:\n  - {id: parted, at: {rounds: 2..4}, partition: {groups: [[1], [4]]}}\n  \
         - {id: dead, at: {peer: 4, round: 3}, outage: {}}\nexpect: {fired: {parted: 1.., dead: 1..}}\n",
    );
    assert_eq!((both.len(), &both[0]["peer"]), (1, &json!(4)), "{both:?}");
    assert_eq!((&both[0]["excluded_round"], &both[0]["last_lost_round"]), (&json!(2), &json!(4)));
}

#[test]
fn an_engine_that_dies_takes_no_costs_with_it() {
    let (folder, id) = baseline();
    write(
        folder.path(),
        "version: 1\nfaults:\n  - {id: engine, kill_engine: {event: 400}}\nexpect: {same_weights_as: baseline}\n",
    );
    let told =
        stepgrad(folder.path(), &["rerun", &id, "--faults", "faults.yaml", "-o", "json"]).exits(0).json();
    let costs = |run: &Value| -> Vec<Value> {
        let path = folder.path().join("runs").join(run.as_str().unwrap()).join("costs.jsonl");
        let text = std::fs::read_to_string(path).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let (one, other) = (costs(&json!(id)), costs(&told["run"]));
    assert_eq!(one.len(), other.len());
    // What was at work when the engine died had told nothing yet; all else is counted, however short before that.
    let differ = |(one, other): &(&Value, &Value)| {
        ["calls", "bytes_written"].into_iter().any(|key| one[key] != other[key])
    };
    let differing: Vec<_> = one.iter().zip(&other).filter(differ).collect();
    assert!(differing.len() <= 1, "{differing:?}");
}

#[test]
fn a_wrong_fault_file_is_refused_at_its_lines_and_leaves_no_record() {
    let (folder, id) = baseline();
    let records = || std::fs::read_dir(folder.path().join("runs")).unwrap().count();
    let before = records();
    write(
        folder.path(),
        "version: 1\nfaults:\n  - id: a\n    at: {peer: 5}\n    kill: {}\n  - id: b\n    at: {function: aggregate}\n    exit: {}\n",
    );
    let refused =
        stepgrad(folder.path(), &["rerun", &id, "--faults", "faults.yaml", "-o", "json"]).exits(3).json();
    let lines: Vec<_> =
        refused["diagnostics"].as_array().unwrap().iter().map(|one| one["line"].clone()).collect();
    assert_eq!(lines, [4, 7]);
    let text = stepgrad(folder.path(), &["rerun", &id, "--faults", "faults.yaml"]).exits(3).stderr;
    assert!(text.contains("faults.yaml:4:") && text.contains("SG103"), "{text}");
    assert_eq!(records(), before);
    let _ = stepgrad(folder.path(), &["rerun", "none", "--faults", "faults.yaml"]).exits(2);
    let _ = stepgrad(folder.path(), &["rerun", &id, "--faults", "absent.yaml"]).exits(2);
}

#[test]
fn init_lists_the_library_and_writes_a_file_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let list = stepgrad(folder.path(), &["init", "--faults"]).exits(0).stdout;
    assert_eq!(list.lines().count(), library().len());
    let _ = stepgrad(folder.path(), &["init", "--faults", "peer-outage"]).exits(0);
    let text = std::fs::read_to_string(folder.path().join("peer-outage.yaml")).unwrap();
    assert!(text.starts_with("# yaml-language-server: $schema=faults.schema.json\n"), "{text}");
    assert!(folder.path().join("faults.schema.json").is_file());
    let _ = stepgrad(folder.path(), &["init", "--faults", "peer-outage"]).exits(2);
    let _ = stepgrad(folder.path(), &["init", "--faults", "nothing"]).exits(2);
    let schema = stepgrad(folder.path(), &["schema", "--faults"]).exits(0).stdout;
    assert_eq!(schema, std::fs::read_to_string(root().join("specs/faults.schema.json")).unwrap());
}
