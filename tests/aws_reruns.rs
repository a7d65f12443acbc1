//! Reruns with faults on AWS, and what its logs tell of runs there: firings, memory, bytes; against ministack.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "tests start processes, read files and fail by panicking"
)]

use serde_json::{Value, json};
use stepgrad_tests::cloud::Project;
use stepgrad_tests::ministack::Ministack;
use stepgrad_tests::proxy::{Fate, Proxy};
use stepgrad_tests::{Ended, small_spec, stepgrad};

const RECOVERABLE: &str = "version: 1
faults:
  - id: killed
    at: {function: [gradient, combine], peer: 2, round: 2, attempt: 0}
    kill: {when: during}
  - id: torn
    at: {object: gradient, operation: put, peer: 1, round: 3, attempt: 0}
    truncate: {bytes: 16}
expect: {same_weights_as: baseline, lost: {}, replicas_equal: true, fired: {killed: 2..}}
";

const PEERS: &str = "version: 1
faults:
  - id: away
    at: {peer: 3, rounds: 2..3}
    outage: {}
  - id: liar
    at: {peer: 2, round: 4}
    sign_flip: {}
expect: {lost: {3: 2..3}, rejoined_within_rounds: 1, replicas_equal: true, fired: {liar: 1..}}
";

const REFUSED: &str = "version: 1
faults:
  - id: fine
    at: {function: combine, peer: 2, round: 2, attempt: 0}
    kill: {}
  - id: busy
    at: {function: combine, peer: 2, round: 2, attempt: 0}
    throttle: {}
  - id: engine
    kill_engine: {event: 3}
";

fn rerun(project: &Project, url: &str, id: &str, faults: Option<&str>) -> Ended {
    let mut arguments = vec!["rerun", id, "--on", "aws"];
    if let Some(text) = faults {
        std::fs::write(project.folder.path().join("faults.yaml"), text).unwrap();
        arguments.extend(["--faults", "faults.yaml"]);
    }
    project.run(url, &arguments)
}

/// The firings of a record's history, by fault.
fn fired(project: &Project, run: &Value) -> Vec<String> {
    let history = String::from_utf8(project.record(run, "history.jsonl")).unwrap();
    let firings = history.lines().filter(|line| line.contains(r#""fired":{"#));
    firings
        .map(|line| {
            serde_json::from_str::<Value>(line).unwrap()["fired"]["fault"].as_str().unwrap().to_owned()
        })
        .collect()
}

#[test]
fn reruns_on_aws_go_wrong_as_told_and_are_compared_as_here() {
    let test = "reruns_on_aws_go_wrong_as_told_and_are_compared_as_here";
    let Some(server) = Ministack::start(test) else { return };
    let spec = small_spec("peer_to_peer", "gradient_averaging", "{batches: 2}", 3);
    let project = Project::trained(&format!("{spec}fault_tolerance:\n  quorum: 2\n"));
    let (folder, url) = (project.folder.path(), format!("http://{}", server.address));
    let _ = project.run(&url, &["deploy"]).exits(0);
    let baseline = project.run(&url, &["run", "--on", "aws"]);
    assert_eq!(baseline.code, Some(0), "{}\n{}\n{}", baseline.stdout, baseline.stderr, server.log());
    let baseline = baseline.json();
    let id = baseline["run"].as_str().unwrap();

    // What nobody can bring about there is refused with its lines, before AWS is asked for anything.
    let refused = rerun(&project, "http://127.0.0.1:9", id, Some(REFUSED)).exits(3).json();
    let found = refused["diagnostics"].as_array().unwrap().iter();
    let found: Vec<_> = found.map(|finding| (finding["code"].clone(), finding["line"].clone())).collect();
    assert_eq!(found, [(json!("SG109"), json!(8)), (json!("SG109"), json!(10))]);

    // The same bytes, whatever was killed and torn; and each firing stands in the history.
    let same = rerun(&project, &url, id, Some(RECOVERABLE));
    assert_eq!(same.code, Some(0), "{}\n{}\n{}", same.stdout, same.stderr, server.log());
    let same = same.json();
    assert_eq!(same["weights_sha256"], baseline["weights_sha256"]);
    assert_eq!((&same["rerun_of"], &same["comparison"]["holds"]), (&json!(id), &json!(true)));
    assert!(project.record(&same, "model.safetensors") == project.record(&baseline, "model.safetensors"));
    let firings = fired(&project, &same);
    let counted = |id: &str| firings.iter().filter(|fired| *fired == id).count();
    assert_eq!(same["fired"], json!({"killed": counted("killed"), "torn": counted("torn")}));
    assert!(same["failed_invocations"].as_u64().unwrap() >= 2, "{same}");

    // Peers that are away and that lie; the comparison says the same again from the records, also beside a run of this computer.
    let lost = rerun(&project, &url, id, Some(PEERS)).exits(0).json();
    assert_ne!(lost["weights_sha256"], baseline["weights_sha256"]);
    let other = lost["run"].as_str().unwrap();
    let compared = stepgrad(folder, &["runs", "compare", id, other, "-o", "json"]).exits(0).json();
    assert_eq!(compared["verdict"], lost["comparison"]["verdict"]);
    assert_eq!(compared["invariants"]["counted_once"], true, "{compared}");
    let here = stepgrad(folder, &["rerun", id, "--faults", "faults.yaml", "-o", "json"]).exits(0).json();
    assert_eq!(here["weights_sha256"], lost["weights_sha256"], "the same file does the same here");
    let across = stepgrad(folder, &["runs", "compare", here["run"].as_str().unwrap(), other, "-o", "json"]);
    assert_eq!(across.exits(0).json()["invariants"]["same_weights"], true);

    // A run of this computer is repeated there, where an expectation that fails is told as here.
    let own = stepgrad(folder, &["run", "train.yaml", "-o", "json"]).exits(0).json();
    let failing = "version: 1\nfaults:\n  - {id: never, at: {function: finish, attempt: 3}, kill: {}}\n\
                   expect: {same_weights_as: baseline, accuracy_at_most: 0}\n";
    let failed = rerun(&project, &url, own["run"].as_str().unwrap(), Some(failing)).exits(4).json();
    assert_eq!(failed["comparison"]["never_fired"], json!(["never"]));
    let held: Vec<_> =
        failed["comparison"]["verdict"].as_array().unwrap().iter().map(|line| &line["holds"]).collect();
    assert_eq!(held, [true, true, false], "{failed}");

    // One that failed for good cannot be gone on with, and is told why.
    let gone = "version: 1\nfaults:\n  - {id: gone, at: {peers: [2, 3], round: 2}, outage: {}}\n\
                expect: {status: FAILED, error: Stepgrad.QuorumLost}\n";
    let ended = rerun(&project, &url, id, Some(gone)).exits(0).json();
    let refused = project.run(&url, &["redrive", ended["run"].as_str().unwrap()]).exits(2);
    assert!(
        refused.stdout.contains("every failure is caught and leads to a Fail state"),
        "{}",
        refused.stdout
    );
    let here = stepgrad(folder, &["redrive", own["run"].as_str().unwrap()]).exits(2);
    assert!(here.stderr.contains("`stepgrad run --resume"), "{}", here.stderr);

    // Another computer makes the same record of it, and the same comparison.
    let elsewhere = Project::of(&std::fs::read_to_string(folder.join("train.yaml")).unwrap(), b"");
    for run in [id, other] {
        let arguments = ["runs", "show", run, "--on", "aws", "--spec", "train.yaml"];
        let _ = elsewhere.run(&url, &arguments).exits(0);
    }
    let again =
        stepgrad(elsewhere.folder.path(), &["runs", "compare", id, other, "-o", "json"]).exits(0).json();
    assert_eq!((&again["verdict"], &again["fired"]), (&compared["verdict"], &compared["fired"]));

    // A deployment of another training is no place for it.
    let _ = project.run(&url, &["deploy", "--set", "functions.gradient.timeout_s=100"]).exits(0);
    let foreign = rerun(&project, &url, own["run"].as_str().unwrap(), None).exits(2);
    assert!(foreign.stdout.contains("what is deployed is not what run"), "{}", foreign.stdout);
}

#[test]
fn the_logs_of_aws_tell_what_a_run_cost_and_said() {
    let test = "the_logs_of_aws_tell_what_a_run_cost_and_said";
    let Some(server) = Ministack::start(test) else { return };
    let project = Project::trained(&small_spec("peer_to_peer", "gradient_averaging", "{batches: 2}", 3));
    let (folder, url) = (project.folder.path(), format!("http://{}", server.address));
    let _ = project.run(&url, &["deploy"]).exits(0);

    // Where the logs cannot be read, that is said, and nothing is told as zero.
    let denied = Proxy::start(&server.address, |request| match request.call.as_str() {
        "FilterLogEvents" => Fate::IsAnswered(400, "AccessDeniedException", "no".to_owned()),
        _ => Fate::Passes,
    });
    let ended = project.run(&denied.url, &["run", "--on", "aws"]);
    assert_eq!(ended.code, Some(0), "{}\n{}\n{}", ended.stdout, ended.stderr, server.log());
    assert!(ended.stderr.contains("allow logs:FilterLogEvents on "), "{}", ended.stderr);
    let run = ended.json();
    let id = run["run"].as_str().unwrap();
    for unknown in ["gb_seconds", "bytes_read", "objects_written", "cold_starts"] {
        assert!(run[unknown].is_null(), "{unknown}: {run}");
    }
    let text = stepgrad(folder, &["runs", "show", id]).exits(0).stdout;
    assert!(text.contains("not known") && text.contains("the functions' logs were not read"), "{text}");

    // Looked at again, the record has what a run on this computer has, in its rounds and in all.
    let shown = project.run(&url, &["runs", "show", id, "--on", "aws"]).exits(0).json();
    let here = stepgrad(folder, &["run", "train.yaml", "-o", "json"]).exits(0).json();
    let totals = &shown["run"]["totals"];
    for same in ["objects_written", "bytes_written", "invocations"] {
        assert_eq!(totals[same], here[same], "{same}");
    }
    assert!(
        totals["bytes_read"].as_u64().unwrap() > 0 && totals["gb_seconds"].as_f64().unwrap() > 0.0,
        "{totals}"
    );
    let logged = &shown["run"]["aws"]["logged"];
    assert_eq!((&logged["calls"], &logged["of"]), (&here["invocations"], &here["invocations"]));
    let compare = ["runs", "compare", here["run"].as_str().unwrap(), id, "-o", "json"];
    let compared = stepgrad(folder, &compare).exits(0).json();
    for pair in compared["rounds"].as_array().unwrap() {
        let written = |side: &str| pair[side]["bytes"].as_u64().unwrap() > 0;
        assert!(written("baseline") && written("rerun"), "{pair}");
        assert!(pair["rerun"]["gb_seconds"].as_f64().unwrap() > 0.0, "{pair}");
    }

    // The lines themselves, from AWS and from the record: of this run alone, in the order of time.
    let other = project.run(&url, &["run", "--on", "aws"]).exits(0).json();
    let lines = |more: &[&str]| {
        let arguments = [&["runs", "logs", id], more].concat();
        project.run(&url, &arguments).exits(0).json()["lines"].as_array().unwrap().clone()
    };
    let there = lines(&["--on", "aws"]);
    let calls = |lines: &[Value]| lines.iter().filter(|line| line["line"]["kind"] == "call").count();
    assert_eq!(calls(&there) as u64, here["invocations"].as_u64().unwrap());
    assert!(there.iter().all(|line| line["line"]["run"].as_str().is_none_or(|run| run == id)), "{other}");
    let times: Vec<&str> = there.iter().map(|line| line["time"].as_str().unwrap()).collect();
    assert!(times.is_sorted() && times.iter().all(|time| time.ends_with('Z')));
    let recorded = lines(&[]);
    assert_eq!((calls(&recorded), recorded.len()), (calls(&there), there.len()));
    for on in [&["--on", "aws"][..], &[]] {
        let few = lines(&[on, &["--function", "gradient", "--peer", "2", "--round", "1"]].concat());
        assert!(calls(&few) == 2, "{few:?}");
        assert!(few.iter().all(|line| (&line["function"], &line["round"], &line["peer"])
            == (&json!("gradient"), &json!(1), &json!(2))));
    }
    let own = stepgrad(folder, &["runs", "logs", here["run"].as_str().unwrap()]).exits(0).stdout;
    assert!(own.lines().any(|line| line.contains("Z gradient    call round 1 peer 1 batch ")), "{own}");
    let wrong = stepgrad(folder, &["runs", "logs", id, "--function", "gradients"]).exits(2);
    assert!(wrong.stderr.contains("give one of prepare, "), "{}", wrong.stderr);
}
