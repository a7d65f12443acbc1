//! Functions that come near their time limit, in real processes with real limits: the machine calls them again, and the
//! weights are those of a run in which everything was fast.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests read files and start processes, and fail by panicking"
)]

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use stepgrad_tests::{command, end, small_spec, stepgrad, wait_for};

/// Rounds of 28 batches for each of two peers, whose `train` may take two seconds a call.
fn project(folder: &Path, more: &str) -> String {
    let spec = small_spec("peer_to_peer", "model_averaging", "epoch", 2)
        .replace("epochs: 3", "epochs: 2\n  local_epochs: 4")
        .replace("max_concurrency: 4", &format!("max_concurrency: 4\n  train: {{timeout_s: 2}}\n{more}"));
    std::fs::write(folder.join("train.yaml"), spec).unwrap();
    let run = stepgrad(folder, &["run", "train.yaml", "-o", "json"]).exits(0).json();
    run["run"].as_str().unwrap().to_owned()
}

/// A fault file in which every batch is slow to be read, so that a round takes longer than a call may.
fn slow(folder: &Path, ms: u32, more: &str) {
    let text = format!(
        "version: 1\nfaults:\n  - id: slow\n    at: {{function: train, object: data, operation: get}}\n    \
         delay: {{ms: {ms}}}\n{more}"
    );
    std::fs::write(folder.join("faults.yaml"), text).unwrap();
}

fn record(folder: &Path, result: &Value) -> PathBuf {
    folder.join("runs").join(result["run"].as_str().unwrap())
}

/// How often a state was entered.
fn entered(record: &Path, state: &str) -> usize {
    let history = std::fs::read_to_string(record.join("history.jsonl")).unwrap();
    let name = format!(r#""name":"{state}""#);
    history.lines().filter(|line| line.contains("StateEntered") && line.contains(&name)).count()
}

#[test]
fn a_round_longer_than_the_limit_is_handed_over_to_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let id = project(folder.path(), "");
    let rerun = ["rerun", &id, "--faults", "faults.yaml", "-o", "json"];

    // 28 × 150 ms are more than twice two seconds: two hand-overs at the least for each peer in each round.
    slow(folder.path(), 150, "expect: {status: SUCCEEDED, same_weights_as: baseline, lost: {}}\n");
    let result = stepgrad(folder.path(), &rerun).exits(0).json();
    assert_eq!(result["comparison"]["invariants"]["counted_once"], true, "{}", result["comparison"]);
    let calls = entered(&record(folder.path(), &result), "Train");
    assert!(calls >= 2 * 2 * 3, "{calls} calls of train");

    // Each first attempt of a call dies in the middle of its first write: of what it hands over, or of what it
    // publishes.
    slow(
        folder.path(),
        150,
        "  - id: die\n    at: {function: train, attempt: 0}\n    kill: {when: during}\n\
         expect: {status: SUCCEEDED, same_weights_as: baseline, lost: {}}\n",
    );
    let result = stepgrad(folder.path(), &rerun).exits(0).json();
    let record = record(folder.path(), &result);
    let deaths = result["comparison"]["fired"]["die"].as_u64().unwrap();
    assert!(deaths as usize >= entered(&record, "Train"), "{deaths} deaths");
}

/// The processes below `parent` that serve `train`.
fn trainers(parent: u32) -> Vec<i32> {
    let entries = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    entries
        .filter_map(|entry| {
            let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
            let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
            let fields: Vec<_> = stat.rsplit_once(')')?.1.split_whitespace().collect();
            let environment = std::fs::read(entry.path().join("environ")).ok()?;
            let serves = environment.split(|byte| *byte == 0).any(|variable| variable == b"_HANDLER=train");
            (fields[1] == parent.to_string() && fields[0] != "Z" && serves).then_some(pid)
        })
        .collect()
}

fn states(folder: &Path, round: u32) -> usize {
    let peers = [1, 2].map(|peer| {
        let place = format!("objects/round-{round:06}/peer-{peer:04}/handed-over");
        let runs = std::fs::read_dir(folder.join("runs")).unwrap().filter_map(Result::ok);
        let files = runs.filter_map(|run| std::fs::read_dir(run.path().join(&place)).ok());
        files.map(Iterator::count).sum::<usize>()
    });
    peers.iter().sum()
}

#[test]
fn processes_killed_in_the_middle_of_each_segment_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let id = project(folder.path(), "");
    slow(folder.path(), 150, "expect: {status: SUCCEEDED, same_weights_as: baseline, lost: {}}\n");
    let arguments = ["rerun", &id, "--faults", "faults.yaml", "-o", "json"];
    let run =
        command(folder.path(), &arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // At the start, and whenever another state of the first round is saved: then the next calls are at work.
    let mut killed = 0;
    for saved in 0..3 {
        let pids = wait_for("the next call of train", || {
            (states(folder.path(), 1) >= 2 * saved)
                .then(|| trainers(run.id()))
                .filter(|pids| !pids.is_empty())
        });
        for pid in pids {
            // One that ended in between is as dead as it should be.
            killed += usize::from(kill(Pid::from_raw(pid), Signal::SIGKILL).is_ok());
        }
    }
    assert!(killed >= 3);
    let result = end(run).exits(0).json();
    assert_eq!(result["comparison"]["holds"], true);
}

#[test]
fn who_cannot_do_a_batch_in_time_is_told_what_to_change() {
    let folder = tempfile::tempdir().unwrap();
    let id = project(folder.path(), "fault_tolerance:\n  retries: {max_attempts: 1}\n");
    slow(folder.path(), 2_500, "expect: {status: FAILED}\n");
    let result = stepgrad(folder.path(), &["rerun", &id, "--faults", "faults.yaml", "-o", "json"]).exits(0);
    let result = result.json();
    assert_eq!(result["status"], "FAILED");
    let record = record(folder.path(), &result);
    // Two attempts for each peer, and no more.
    assert_eq!(entered(&record, "Train"), 2);
    let history = std::fs::read_to_string(record.join("history.jsonl")).unwrap();
    assert!(history.contains("Stepgrad.OutOfTime") && history.contains("its time limit of 2.0 s"));
    let why = result.to_string();
    assert!(
        why.contains("a call of train may take 2 s") && why.contains("functions.train.timeout_s"),
        "{why}"
    );
}

#[test]
fn who_hands_over_too_often_is_told_what_to_change() {
    let folder = tempfile::tempdir().unwrap();
    let id = project(folder.path(), "  hand_over: {at_most: 1}\n");
    slow(folder.path(), 150, "expect: {status: FAILED}\n");
    let result = stepgrad(folder.path(), &["rerun", &id, "--faults", "faults.yaml", "-o", "json"]).exits(0);
    let result = result.json();
    assert_eq!(result["status"], "FAILED");
    assert_eq!(entered(&record(folder.path(), &result), "Train"), 4, "each peer twice");
    let why = result.to_string();
    assert!(why.contains("Stepgrad.TooManyHandOvers"), "{why}");
    assert!(why.contains("train was not done after 2 calls of up to 2 s each"), "{why}");
}
