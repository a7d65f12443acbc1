//! Runs on AWS from the outside: listed, looked at, read from another computer, and stopped; against ministack.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "tests start processes, read files and fail by panicking"
)]

use serde_json::Value;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use stepgrad_tests::cloud::Project;
use stepgrad_tests::ministack::Ministack;
use stepgrad_tests::proxy::{Fate, Proxy};
use stepgrad_tests::{end, small_spec, wait_for};

/// The executions that go on, of whatever state machine.
fn going_on(server: &Ministack) -> usize {
    let machines = server.json("states", "AWSStepFunctions.ListStateMachines", "{}");
    let arns = machines["stateMachines"].as_array().unwrap().iter();
    let running = |arn: &Value| {
        let body = serde_json::json!({"stateMachineArn": arn, "statusFilter": "RUNNING"}).to_string();
        let found = server.json("states", "AWSStepFunctions.ListExecutions", &body);
        found["executions"].as_array().unwrap().len()
    };
    arns.map(|machine| running(&machine["stateMachineArn"])).sum()
}

#[test]
fn runs_are_listed_read_elsewhere_and_stopped() {
    let Some(server) = Ministack::start("runs_are_listed_read_elsewhere_and_stopped") else { return };
    let project = Project::trained(&small_spec("peer_to_peer", "gradient_averaging", "{batches: 2}", 3));
    let url = format!("http://{}", server.address);
    let none = project.run(&url, &["runs", "list", "train.yaml", "--on", "aws"]).exits(0).json();
    assert_eq!(none["runs"], serde_json::json!([]));
    let _ = project.run(&url, &["deploy"]).exits(0);
    // What would run is what is deployed, and so a spec that says something else is not started with it.
    for (set, told) in [
        (
            "functions.gradient.memory_mb=4000",
            "MB of memory of stepgrad-small-gradient (2048 there, 4000 here)",
        ),
        (
            "fault_tolerance.retries.max_attempts=9",
            "definition of round (another there, as in the bundle here)",
        ),
        ("budget.usd=50", "definition of segment (another there, as in the bundle here)"),
    ] {
        let refused = project.run(&url, &["run", "--on", "aws", "--set", set]).exits(2);
        assert!(refused.stdout.contains(told), "{set}: {}", refused.stdout);
        assert!(refused.stdout.contains("run `stepgrad deploy` first"), "{set}: {}", refused.stdout);
    }
    let ended = project.run(&url, &["run", "--on", "aws"]);
    assert_eq!(ended.code, Some(0), "{}\n{}\n{}", ended.stdout, ended.stderr, server.log());
    let ended = ended.json();
    let id = ended["run"].as_str().unwrap();
    let listed = project.run(&url, &["runs", "list", "train.yaml", "--on", "aws"]).exits(0).json();
    assert_eq!(
        (&listed["runs"][0]["run"], &listed["runs"][0]["status"]),
        (&ended["run"], &"SUCCEEDED".into())
    );
    let status = project.run(&url, &["status", id]).exits(0).json();
    assert_eq!((&status["status"], &status["round"]), (&"SUCCEEDED".into(), &ended["rounds"]), "{status}");

    // Another computer has the spec, and makes the same record of it.
    let elsewhere =
        Project::of(&std::fs::read_to_string(project.folder.path().join("train.yaml")).unwrap(), b"");
    let unknown = elsewhere.run(&url, &["runs", "show", id, "--on", "aws"]).exits(2);
    assert!(unknown.stdout.contains("name the spec of a run from elsewhere"), "{}", unknown.stdout);
    let shown =
        elsewhere.run(&url, &["runs", "show", id, "--on", "aws", "--spec", "train.yaml"]).exits(0).json();
    assert_eq!(shown["run"]["result"]["weights_sha256"], ended["weights_sha256"]);
    for name in
        ["model.safetensors", "metrics.jsonl", "history.jsonl", "bundle/bundle.json", "bundle/Dockerfile"]
    {
        assert!(elsewhere.record(&ended, name) == project.record(&ended, name), "{name}");
    }
    let other = elsewhere
        .run(&url, &["runs", "show", "small-20200101-000000-0000", "--on", "aws", "--spec", "train.yaml"]);
    assert!(other.exits(2).stdout.contains("there is no run small-20200101-000000-0000 on AWS"));

    // One that goes on is stopped with what it has started, and whoever follows it gets to know.
    let long = ["--set", "training.epochs=500"];
    let mut follow = project.command(&url, &["run", "--on", "aws", long[0], long[1]]);
    let follower = follow.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let second = wait_for("a run that has begun its rounds", || {
        let listed = project.run(&url, &["runs", "list", "train.yaml", "--on", "aws"]).exits(0).json();
        let mut runs = listed["runs"].as_array().unwrap().iter();
        let second = runs.find(|run| run["status"] == "RUNNING")?["run"].as_str().unwrap().to_owned();
        (going_on(&server) >= 3).then_some(second)
    });
    // On another computer it is watched from where it stands: what was done is one line, and every round after that is one.
    let (there, run) = (url.clone(), second.clone());
    let watched = std::thread::spawn(move || {
        elsewhere.shown(&there, &["status", &run, "--watch", "--spec", "train.yaml"])
    });
    let ended = wait_for("rounds that have ended", || {
        let status = project.run(&url, &["status", &second]).exits(0).json();
        assert_eq!(status["status"], "RUNNING");
        status["round"].as_u64().filter(|round| *round >= 3)
    });
    // A deployment that would take something from it is none: a role's rights are not versioned.
    let other = ["deploy", "--set", "training.optimizer.sgd.momentum=0"];
    let refused = project.run(&url, &other).exits(5);
    assert!(
        refused.stdout.contains(&format!("`stepgrad stop`: {second}"))
            && refused.stdout.contains("role stepgrad-small-"),
        "{}",
        refused.stdout
    );
    let _ = project.run(&url, &["stop", &second]).exits(0);
    let followed = end(follower).exits(4).json();
    assert_eq!((&followed["run"], &followed["status"]), (&second.as_str().into(), &"ABORTED".into()));
    assert_eq!(going_on(&server), 0, "what it has started is stopped with it");
    let watched = watched.join().unwrap().exits(4).stderr;
    let rounds = watched.lines().filter_map(|line| line.strip_prefix("round ")?.split_once('/'));
    let rounds: Vec<u64> = rounds.map(|(round, _)| round.parse().unwrap()).collect();
    assert!(rounds.windows(2).all(|two| two[1] == two[0] + 1), "{watched}");
    assert!(rounds.last() >= Some(&ended), "{ended}: {watched}");
    let again = project.run(&url, &["stop", &second]).exits(2);
    assert!(again.stdout.contains("has ended already: ABORTED"), "{}", again.stdout);

    // It can be gone on with. The stand-in cannot redrive, so this is about what it is asked for: children before those that
    // wait for them, and the run's own execution last.
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let heard = Arc::clone(&asked);
    let redriving = Proxy::start(&server.address, move |request| {
        if request.call != "RedriveExecution" {
            return Fate::Passes;
        }
        let body: Value = serde_json::from_str(&request.body).unwrap();
        assert!(body["clientToken"].is_string(), "{body}");
        heard.lock().unwrap().push(body["executionArn"].as_str().unwrap().to_owned());
        Fate::IsAnswered(200, "", String::new())
    });
    let mut redrive = project.command(&redriving.url, &["redrive", &second]).spawn().unwrap();
    let arns = wait_for("the run to be redriven", || {
        let asked = asked.lock().unwrap();
        asked.last().is_some_and(|arn| arn.contains(":stepgrad-small-train:")).then(|| asked.clone())
    });
    redrive.kill().unwrap();
    let _ = redrive.wait().unwrap();
    let machines: Vec<&str> = arns.iter().map(|arn| arn.split(':').nth(6).unwrap()).collect();
    assert_eq!(
        machines,
        ["stepgrad-small-round", "stepgrad-small-segment", "stepgrad-small-train"],
        "{arns:?}"
    );
    assert!(arns.iter().all(|arn| arn.split(':').nth(7).unwrap().starts_with(&second)), "{arns:?}");
    let done = project.run(&url, &["redrive", id]).exits(2);
    assert!(done.stdout.contains("is SUCCEEDED: there is nothing to go on with"), "{}", done.stdout);
}

#[test]
fn a_run_that_nobody_follows_any_more_goes_on() {
    let Some(server) = Ministack::start("a_run_that_nobody_follows_any_more_goes_on") else { return };
    // Functions that never come to an end.
    let spec = small_spec("peer_to_peer", "gradient_averaging", "{batches: 2}", 3);
    let (project, url) =
        (Project::of(&spec, b"#!/bin/sh\nexec sleep 900\n"), format!("http://{}", server.address));
    let bucket = project.run(&url, &["deploy"]).exits(0).json()["bucket"].as_str().unwrap().to_owned();
    // Interrupts `run --on aws` when it has made a call so many times, which is answered at all but the last time.
    let interrupted = |arguments: &[&str], call: &'static str, times: u32| -> String {
        let made: Arc<Mutex<u32>> = Arc::default();
        let count = Arc::clone(&made);
        let proxy = Proxy::start(&server.address, move |request| {
            let mut made = count.lock().unwrap();
            *made += u32::from(request.call == call);
            if request.call == call && *made >= times { Fate::NeverEnds } else { Fate::Passes }
        });
        let mut command = project.command(&proxy.url, arguments);
        let mut follower = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        wait_for(call, || {
            let ended = follower.try_wait().unwrap();
            assert!(
                ended.is_none(),
                "{ended:?}: {:?}",
                std::io::read_to_string(follower.stdout.take().unwrap())
            );
            (*made.lock().unwrap() >= times).then_some(())
        });
        let pid = nix::unistd::Pid::from_raw(i32::try_from(follower.id()).unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
        let ended = end(follower).exits(4).json();
        ended["error"].as_str().unwrap().to_owned()
    };
    let said = interrupted(&["run", "--on", "aws"], "DescribeExecution", 3);
    let listed = || {
        let listed = project.run(&url, &["runs", "list", "train.yaml", "--on", "aws"]).exits(0).json();
        assert_eq!(listed["runs"].as_array().unwrap().len(), 1, "{listed}");
        assert_eq!(listed["runs"][0]["status"], "RUNNING");
        listed["runs"][0]["run"].as_str().unwrap().to_owned()
    };
    let id = listed();
    for how in ["status ID`", "runs show ID --on aws`", "stop ID`", "run --on aws --resume ID`"] {
        assert!(said.contains(&format!("`stepgrad {}", how.replace("ID", &id))), "{how}: {said}");
    }
    assert!(going_on(&server) >= 1);
    let status = project.run(&url, &["status", &id]).exits(0).json();
    assert_eq!(status["status"], "RUNNING");
    let _ = project.run(&url, &["runs", "show", &id, "--on", "aws"]).exits(0);
    assert_eq!(listed(), id, "it goes on");

    // What lies in the bucket says nothing of this computer: neither where the project is nor whose it is.
    let folder = project.folder.path().canonicalize().unwrap();
    let keys = server.ask("GET", &format!("/{bucket}?list-type=2&prefix=runs/"), "s3", "", "");
    let keys: Vec<&str> =
        keys.split("<Key>").skip(1).filter_map(|rest| Some(rest.split_once("</Key>")?.0)).collect();
    assert!(keys.contains(&format!("runs/{id}/run.json").as_str()), "{keys:?}");
    for key in keys {
        let content = server.ask("GET", &format!("/{bucket}/{key}"), "s3", "", "");
        assert!(!content.contains(folder.to_str().unwrap()), "{key}: {content}");
    }
    // On another computer, paths start from where the spec is there.
    let elsewhere = Project::of(&spec, b"");
    let _ = elsewhere.run(&url, &["runs", "show", &id, "--on", "aws", "--spec", "train.yaml"]).exits(0);
    for project in [&project, &elsewhere] {
        let record: Value =
            serde_json::from_slice(&project.record(&serde_json::json!({"run": id}), "run.json")).unwrap();
        assert_eq!(record["root"], project.folder.path().canonicalize().unwrap().to_str().unwrap());
    }

    let _ = project.run(&url, &["stop", &id]).exits(0);
    assert_eq!(going_on(&server), 0);

    // Of a run that has ended, its record is what is left to do, and can be done later.
    let said = interrupted(&["run", "--on", "aws", "--resume", &id], "GetExecutionHistory", 1);
    assert!(said.contains(&format!("run {id} has ended, and its record here is not whole")), "{said}");
    let shown = project.run(&url, &["runs", "show", &id, "--on", "aws"]).exits(0).json();
    assert_eq!(shown["run"]["status"], "ABORTED", "{shown}");
}
