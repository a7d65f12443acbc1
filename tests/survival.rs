//! Killed processes: a function's, and the command's own. Real signals to real processes.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests read files and start processes, and fail by panicking"
)]

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use stepgrad_tests::{command, end, small_spec, stepgrad, wait_for};

/// A training long enough to be hit in the middle.
fn project(folder: &Path) {
    let spec = small_spec("peer_to_peer", "gradient_averaging", "{batches: 1}", 3)
        .replace("epochs: 3", "epochs: 12");
    std::fs::write(folder.join("train.yaml"), spec).unwrap();
}

fn start(folder: &Path, arguments: &[&str]) -> Child {
    command(folder, arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn signal(command: &Child, signal: Signal) {
    kill(Pid::from_raw(i32::try_from(command.id()).unwrap()), signal).unwrap();
}

/// The record of the only run, once `rounds` rounds are in it.
fn after_rounds(folder: &Path, rounds: usize) -> PathBuf {
    wait_for("rounds to be recorded", || {
        let record = std::fs::read_dir(folder.join("runs")).ok()?.next()?.ok()?.path();
        let text = std::fs::read_to_string(record.join("metrics.jsonl")).ok()?;
        (text.lines().count() >= rounds).then_some(record)
    })
}

/// The processes whose parent is `parent`.
fn children(parent: u32) -> Vec<i32> {
    let entries = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    entries
        .filter_map(|entry| {
            let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
            let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
            // After the name in parentheses: state, then the parent.
            let fields: Vec<_> = stat.rsplit_once(')')?.1.split_whitespace().collect();
            (fields[1] == parent.to_string() && fields[0] != "Z").then_some(pid)
        })
        .collect()
}

/// The processes of `parent` that serve `handler`.
fn serving(parent: u32, handler: &str) -> Vec<i32> {
    let variable = format!("_HANDLER={handler}").into_bytes();
    let mut found = children(parent);
    found.retain(|pid| {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|entry| entry == variable)
    });
    found
}

fn baseline() -> Value {
    let folder = tempfile::tempdir().unwrap();
    project(folder.path());
    stepgrad(folder.path(), &["run", "train.yaml", "-o", "json"]).exits(0).json()
}

#[test]
fn a_killed_function_process_changes_nothing_in_the_result() {
    let expected = baseline();
    let folder = tempfile::tempdir().unwrap();
    project(folder.path());
    let run = start(folder.path(), &["run", "train.yaml", "-o", "json"]);
    for rounds in [2, 5, 9] {
        let _ = after_rounds(folder.path(), rounds);
        for pid in children(run.id()) {
            // A process that ended in between is as dead as it should be.
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
    let result = end(run).exits(0).json();
    assert_eq!(result["weights_sha256"], expected["weights_sha256"]);
    assert_eq!(result["rounds"], expected["rounds"]);
}

#[test]
fn a_killed_command_is_resumed_to_the_same_bytes() {
    let expected = baseline();
    let folder = tempfile::tempdir().unwrap();
    project(folder.path());
    let mut run = start(folder.path(), &["run", "train.yaml", "-o", "json"]);
    let record = after_rounds(folder.path(), 4);
    // However fast the machine is: nothing goes on while this test looks.
    signal(&run, Signal::SIGSTOP);
    let functions = children(run.id());
    run.kill().unwrap();
    let _ = end(run);
    wait_for("the functions to follow the command", || {
        functions.iter().all(|pid| !Path::new(&format!("/proc/{pid}")).exists()).then_some(())
    });
    let id = record.file_name().unwrap().to_str().unwrap();
    let before = std::fs::read_to_string(record.join("metrics.jsonl")).unwrap().lines().count();
    let result = stepgrad(folder.path(), &["run", "--resume", id, "-o", "json"]).exits(0).json();
    assert_eq!(result["run"], id);
    assert_eq!(result["weights_sha256"], expected["weights_sha256"]);
    let rounds = std::fs::read_to_string(record.join("metrics.jsonl")).unwrap().lines().count();
    assert!(rounds > before);
    assert_eq!(result["rounds"], rounds, "every round stands once in the metrics");
    let again = stepgrad(folder.path(), &["run", "--resume", id]).exits(2);
    assert!(again.stderr.contains("SUCCEEDED"), "{}", again.stderr);
}

#[test]
fn an_interrupted_command_leaves_a_whole_record_that_can_be_resumed() {
    let expected = baseline();
    let folder = tempfile::tempdir().unwrap();
    project(folder.path());
    let run = start(folder.path(), &["run", "train.yaml", "-o", "json"]);
    let record = after_rounds(folder.path(), 3);
    signal(&run, Signal::SIGSTOP);
    let id = record.file_name().unwrap().to_str().unwrap().to_owned();
    let beside = stepgrad(folder.path(), &["run", "--resume", &id]).exits(2);
    assert!(beside.stderr.contains("another process"), "{}", beside.stderr);
    signal(&run, Signal::SIGINT);
    signal(&run, Signal::SIGCONT);
    let ended = end(run).exits(4);
    assert_eq!(ended.json()["status"], "ABORTED");
    let saved: Value = serde_json::from_slice(&std::fs::read(record.join("run.json")).unwrap()).unwrap();
    assert_eq!(saved["status"], "ABORTED");
    let history = std::fs::read_to_string(record.join("history.jsonl")).unwrap();
    assert!(history.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()));
    assert!(history.contains("ExecutionAborted"));
    let result = stepgrad(folder.path(), &["run", "--resume", &id, "-o", "json"]).exits(0).json();
    assert_eq!(result["weights_sha256"], expected["weights_sha256"]);
}

#[test]
fn a_peer_whose_work_fails_for_good_is_left_out_of_the_round_and_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let spec = small_spec("peer_to_peer", "gradient_averaging", "{batches: 1}", 3)
        .replace("epochs: 3", "epochs: 40");
    let spec = format!("{spec}fault_tolerance:\n  quorum: 2\n  retries: {{max_attempts: 0}}\n");
    std::fs::write(folder.path().join("train.yaml"), spec).unwrap();
    let run = start(folder.path(), &["run", "train.yaml", "-o", "json"]);
    let record = after_rounds(folder.path(), 1);
    let rounds = || -> Vec<Value> {
        let text = std::fs::read_to_string(record.join("metrics.jsonl")).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    };
    wait_for("a peer to be lost", || {
        // Only a process at work takes a peer with it, so it may need more than one.
        if let Some(pid) = serving(run.id(), "gradient").first() {
            let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
        }
        let seen = rounds().len();
        wait_for("the next round", || (rounds().len() > seen).then_some(()));
        rounds().iter().any(|round| round["lost"] != serde_json::json!([])).then_some(())
    });
    let result = end(run).exits(0).json();
    assert_eq!(result["status"], "SUCCEEDED");
    let rounds = rounds();
    let lost =
        rounds.iter().position(|round| round["members"] == 2).expect("a round went on with two members");
    assert_eq!(rounds[lost]["lost"].as_array().unwrap().len(), 1);
    assert!(rounds[lost + 1..].iter().any(|round| round["members"] == 3), "the peer is back later");
}

/// What there is to train by.
const KINDS: [(&str, &str); 4] = [
    ("peer_to_peer", "gradient_averaging"),
    ("peer_to_peer", "model_averaging"),
    ("parameter_server", "gradient_averaging"),
    ("parameter_server", "model_averaging"),
];

/// A training with every kind of step and few events, and the id of its run.
fn few_events(folder: &Path, (topology, algorithm): (&str, &str)) -> String {
    let every = if algorithm == "gradient_averaging" { "{batches: 1}" } else { "{epochs: 1}" };
    let spec = small_spec(topology, algorithm, every, 2)
        .replace("samples: 240", "samples: 18")
        .replace("epochs: 3", "epochs: 1")
        .replace("batch_size: 16", "batch_size: 8");
    std::fs::write(folder.join("train.yaml"), spec).unwrap();
    let run = stepgrad(folder, &["run", "train.yaml", "-o", "json"]).exits(0).json();
    run["run"].as_str().unwrap().to_owned()
}

/// Repeats `run` under `faults`, which must end in the same weights; gives how often they fired.
fn again(folder: &Path, run: &str, faults: &str) -> u64 {
    let expect = "expect: {status: SUCCEEDED, same_weights_as: baseline}";
    std::fs::write(folder.join("faults.yaml"), format!("version: 1\nfaults:\n{faults}\n{expect}\n")).unwrap();
    let told = stepgrad(folder, &["rerun", run, "--faults", "faults.yaml", "-o", "json"]).exits(0).json();
    let fired = &told["comparison"]["fired"];
    fired.as_object().unwrap().values().map(|times| times.as_u64().unwrap()).sum()
}

#[test]
fn an_engine_killed_at_every_event_ends_in_the_same_weights() {
    for kind in KINDS {
        let folder = tempfile::tempdir().unwrap();
        let run = few_events(folder.path(), kind);
        let history = folder.path().join("runs").join(&run).join("history.jsonl");
        let events = std::fs::read_to_string(history).unwrap().lines().count();
        assert!(events > 60, "{kind:?}: {events}");
        let faults = format!("  - {{id: dies, kill_engine: {{events: 1..{events}}}}}");
        // At the last event the run has ended; whether the command has is another matter.
        assert!(again(folder.path(), &run, &faults) >= events as u64 - 1);
    }
}

#[test]
fn functions_killed_in_every_call_end_in_the_same_weights() {
    for kind in KINDS {
        let folder = tempfile::tempdir().unwrap();
        let run = few_events(folder.path(), kind);
        for moment in ["before", "during", "after"] {
            let faults = format!("  - {{id: dies, at: {{attempt: 0}}, kill: {{when: {moment}}}}}");
            // Two peers with a batch each: prepare, initialise, the round's calls, finish.
            assert!(again(folder.path(), &run, &faults) >= 8, "{kind:?} {moment}");
        }
    }
}

/// A second view of the members is decided by recorded events alone: an engine that dies in the middle of it decides it
/// again in the same way.
#[test]
fn an_engine_killed_while_its_peers_are_parted_ends_in_the_same_weights() {
    let folder = tempfile::tempdir().unwrap();
    let spec = small_spec("peer_to_peer", "gradient_averaging", "{batches: 1}", 3)
        .replace("samples: 240", "samples: 27")
        .replace("epochs: 3", "epochs: 2")
        .replace("batch_size: 16", "batch_size: 8");
    let spec = format!("{spec}fault_tolerance:\n  quorum: 2\n  retries: {{max_attempts: 0}}\n");
    std::fs::write(folder.path().join("train.yaml"), spec).unwrap();
    let run = stepgrad(folder.path(), &["run", "train.yaml", "-o", "json"]).exits(0).json();
    let id = run["run"].as_str().unwrap();
    let parted =
        "version: 1\nfaults:\n  - {id: parted, at: {round: 1}, partition: {groups: [[1], [2, 3]]}}\n";
    let expect = "expect: {lost: {1: 1}, replicas_equal: true}\n";
    let again = |faults: &str| {
        std::fs::write(folder.path().join("faults.yaml"), format!("{parted}{faults}{expect}")).unwrap();
        let arguments = ["rerun", id, "--faults", "faults.yaml", "-o", "json"];
        stepgrad(folder.path(), &arguments).exits(0).json()
    };
    let alone = again("");
    assert_ne!(alone["weights_sha256"], run["weights_sha256"]);
    let record = folder.path().join("runs").join(alone["run"].as_str().unwrap());
    let history = std::fs::read_to_string(record.join("history.jsonl")).unwrap();
    // From the first call that tells whom its peer reaches to the end of the second exchange.
    let place = |name: &str| history.lines().position(|line| line.contains(name)).unwrap() + 1;
    let (first, last) = (place("\"Reach\""), place("\"Reevaluate\""));
    assert!(first + 20 < last, "{first} to {last}");
    let killed = again(&format!("  - {{id: dies, kill_engine: {{events: {first}..{last}}}}}\n"));
    assert_eq!(killed["weights_sha256"], alone["weights_sha256"]);
    assert!(killed["comparison"]["fired"]["dies"].as_u64().unwrap() > 20, "{killed}");
}
