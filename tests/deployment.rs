//! Plan, deploy and destroy, against ministack: what is planned is what is done, whatever interrupts it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "tests start processes, read files and fail by panicking"
)]

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use stepgrad_tests::cloud::{Project, steps};
use stepgrad_tests::end;
use stepgrad_tests::ministack::Ministack;
use stepgrad_tests::proxy::{Fate, Proxy, Request};

#[test]
fn what_is_planned_is_done_and_undone() {
    let Some(server) = Ministack::start("what_is_planned_is_done_and_undone") else { return };
    let (project, url) = (Project::new(), format!("http://{}", server.address));
    let plan = project.run(&url, &["plan", "--detailed-exitcode"]).exits(7).json();
    assert!(steps(&plan).iter().all(|(action, ..)| action == "create"), "{plan}");
    assert_eq!(server.everything(), [""; 0], "a plan changes nothing");

    let deployed = project.run(&url, &["deploy"]).exits(0).json();
    assert_eq!(steps(&deployed), steps(&plan));
    let start = deployed["start"].as_str().unwrap();
    assert!(start.ends_with(":stateMachine:stepgrad-small-train:live"), "{start}");
    let mut made: Vec<String> =
        steps(&plan).into_iter().filter(|(_, kind, _)| kind != "object").map(|(.., name)| name).collect();
    made.sort();
    assert_eq!(server.everything(), made, "all that was planned is there, and nothing else");

    let again = project.run(&url, &["deploy"]).exits(0).json();
    assert_eq!((&again["changes"], steps(&again).len()), (&Value::Bool(false), 0), "{again}");
    let _ = project.run(&url, &["plan", "--detailed-exitcode"]).exits(0);

    // One function more memory: it, and the state machines that lead to it, which call versions.
    let more = ["--set", "functions.gradient.memory_mb=2560"];
    let changed = project.run(&url, &["plan", "--detailed-exitcode", more[0], more[1]]).exits(7).json();
    let expected = [
        ("function", "stepgrad-small-gradient"),
        ("state_machine", "stepgrad-small-round"),
        ("state_machine", "stepgrad-small-segment"),
        ("state_machine", "stepgrad-small-train"),
    ];
    let of = |kind: &str| -> BTreeSet<String> {
        steps(&changed).into_iter().filter(|step| step.1 == kind).map(|step| step.2).collect()
    };
    assert_eq!(of("function"), BTreeSet::from(["stepgrad-small-gradient".to_owned()]), "{changed}");
    for (kind, name) in expected {
        assert!(steps(&changed).contains(&("change".to_owned(), kind.to_owned(), name.to_owned())), "{name}");
    }
    assert!(of("role").is_empty() && of("bucket").is_empty() && of("log_group").is_empty(), "{changed}");
    let memory =
        changed["steps"].as_array().unwrap().iter().find(|step| step["name"] == "stepgrad-small-gradient");
    let difference = serde_json::json!([{"what": "memory", "from": "2048 MB", "to": "2560 MB"}]);
    assert_eq!(memory.unwrap()["differences"], difference);
    let _ = project.run(&url, &["deploy", more[0], more[1]]).exits(0);
    let _ = project.run(&url, &["plan", "--detailed-exitcode", more[0], more[1]]).exits(0);
    assert_eq!(server.everything(), made);

    let refused = project.run(&url, &["destroy"]).exits(2);
    assert!(refused.stdout.contains("give -y"), "{}", refused.stdout);
    assert_eq!(server.everything(), made, "nobody agreed");
    let _ = project.run(&url, &["destroy", "-y"]).exits(0);
    assert_eq!(server.everything(), [""; 0]);
    let nothing = project.run(&url, &["destroy", "-y"]).exits(0).json();
    assert_eq!(nothing["removed"], serde_json::json!([]));
}

#[test]
fn what_somebody_else_made_is_left_alone() {
    let Some(server) = Ministack::start("what_somebody_else_made_is_left_alone") else { return };
    let (project, url) = (Project::new(), format!("http://{}", server.address));
    let name = r#"{"logGroupName": "/aws/lambda/stepgrad-small-gradient"}"#;
    let _ = server.ask("POST", "/", "logs", "Logs_20140328.CreateLogGroup", name);
    for verb in ["plan", "deploy"] {
        let refused = project.run(&url, &[verb]).exits(5);
        assert!(
            refused.stdout.contains("log group /aws/lambda/stepgrad-small-gradient"),
            "{}",
            refused.stdout
        );
    }
    assert_eq!(server.everything(), ["/aws/lambda/stepgrad-small-gradient"]);
    let _ = project.run(&url, &["destroy", "-y"]).exits(0);
    assert_eq!(server.everything(), ["/aws/lambda/stepgrad-small-gradient"]);
}

/// Runs a verb again and again, killed each time when its first change has been made, until it gets through. Gives how
/// often it was killed.
fn killed_at_each_change(server: &Ministack, project: &Project, arguments: &[&str]) -> u32 {
    static PID: AtomicU32 = AtomicU32::new(0);
    fn kill() {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(PID.load(Ordering::SeqCst)).unwrap());
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
    }
    let proxy = Proxy::start(&server.address, |request| {
        if request.changes && request.call != "GetCallerIdentity" {
            Fate::LosesItsAnswer(kill)
        } else {
            Fate::Passes
        }
    });
    for kills in 0.. {
        let mut command = project.command(&proxy.url, arguments);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        PID.store(child.id(), Ordering::SeqCst);
        let ended = end(child);
        if ended.code.is_some() {
            let _ = ended.exits(0);
            return kills;
        }
        assert!(kills < 400, "it never gets through");
    }
    unreachable!("the loop ends by itself")
}

#[test]
fn what_is_killed_at_any_change_goes_on_when_it_is_run_again() {
    let Some(server) = Ministack::start("what_is_killed_at_any_change_goes_on_when_it_is_run_again") else {
        return;
    };
    let (project, url) = (Project::new(), format!("http://{}", server.address));
    let kills = killed_at_each_change(&server, &project, &["deploy"]);
    assert!(kills >= 30, "only {kills} changes");
    let plan = project.run(&url, &["plan", "--detailed-exitcode"]).exits(0).json();
    assert_eq!(steps(&plan), BTreeSet::new());
    let kills = killed_at_each_change(&server, &project, &["destroy", "-y"]);
    assert!(kills >= 30, "only {kills} changes");
    assert_eq!(server.everything(), [""; 0]);
}

/// What kind of call a request is, as a proxy sees it: without names of things.
fn kind(request: &Request) -> String {
    let Some((method, path)) = request.call.split_once(' ') else { return request.call.clone() };
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let query = query.split(['=', '&']).next().unwrap_or_default();
    let named = |part: &str| part.starts_with("stepgrad-small-") || part.starts_with("arn%3A");
    // Of an object only the folder counts; what stands behind a function's name is another call.
    let most = if path.split('/').nth(1).is_some_and(named) { 3 } else { 5 };
    let parts = path.split('/').take(most).map(|part| if named(part) { "*" } else { part });
    let path = parts.collect::<Vec<_>>().join("/");
    if query.is_empty() || query == "x-id" {
        format!("{method} {path}")
    } else {
        format!("{method} {path}?{query}")
    }
}

/// Carries a verb out, and gives the kinds of its calls.
fn kinds(server: &Ministack, project: &Project, arguments: &[&str]) -> BTreeSet<String> {
    let seen: Arc<Mutex<BTreeSet<String>>> = Arc::default();
    let met = Arc::clone(&seen);
    let proxy = Proxy::start(&server.address, move |request| {
        // Nothing depends on those: `costs.rs` lets them fail.
        if !request.call.ends_with("ServiceQuotas") {
            let _ = met.lock().unwrap().insert(kind(request));
        }
        Fate::Passes
    });
    let _ = project.run(&proxy.url, arguments).exits(0);
    let kinds = seen.lock().unwrap().clone();
    assert!(kinds.len() >= 20, "{kinds:?}");
    kinds
}

/// Carries a verb out while each kind of call fails when it comes for the first three times: it is refused, broken off, and
/// heard without an answer.
fn shaken(server: &Ministack, project: &Project, arguments: &[&str]) {
    let met: Mutex<BTreeMap<String, u32>> = Mutex::default();
    let proxy = Proxy::start(&server.address, move |request| {
        let mut seen = met.lock().unwrap();
        let count = seen.entry(kind(request)).or_default();
        *count += 1;
        match *count {
            1 => Fate::IsAnswered(503, "ServiceUnavailable", "busy".to_owned()),
            2 => Fate::BreaksOff,
            3 => Fate::LosesItsAnswer(|| {}),
            _ => Fate::Passes,
        }
    });
    let _ = project.run(&proxy.url, arguments).exits(0);
}

/// Carries a verb out while one kind of call never works: how it ends, and how often that call was made.
fn failing(
    proxied: &str,
    command: impl FnOnce(&str) -> Command,
    which: &str,
    status: u16,
    code: &'static str,
) {
    let (times, failing) = (Arc::new(AtomicU32::new(0)), which.to_owned());
    let count = Arc::clone(&times);
    let proxy = Proxy::start(proxied, move |request| {
        if kind(request) != failing {
            return Fate::Passes;
        }
        let _ = count.fetch_add(1, Ordering::SeqCst);
        Fate::IsAnswered(status, code, "no".to_owned())
    });
    let mut command = command(&proxy.url);
    let ended = end(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    assert_eq!(ended.code, Some(5), "{which} {status}: {}{}", ended.stdout, ended.stderr);
    let said = ended.json()["error"].as_str().unwrap().to_owned();
    // Up to eight things are looked at at once. What is denied is asked once, and everything else five times.
    let times = times.load(Ordering::SeqCst);
    let (expected, told) = match status {
        403 => (1..=8, said.contains(" was denied") && said.contains("; allow ")),
        _ => {
            let how = if status == 429 { "was throttled" } else { "failed at AWS" };
            let again = said.ends_with("run the same command again, it goes on from here");
            (5..=40, said.contains(&format!(" {how}, also when it was asked again")) && again)
        }
    };
    assert!(expected.contains(&times), "{which} {status}: {times}");
    // To the question whether there is a bucket S3 gives no reasons: one that may not be looked at is somebody else's.
    let hidden = status == 403 && which.starts_with("HEAD ") && said.contains("(s3:ListBucket: denied");
    assert!(said.contains(" on ") && told || hidden, "{which} {status}: {said}");
}

/// Denies one kind of call to a verb.
fn denied(server: &Ministack, project: &Project, arguments: &[&str], which: &str) {
    failing(&server.address, |url| project.command(url, arguments), which, 403, "AccessDenied");
}

#[test]
fn calls_that_fail_are_made_again_and_those_that_are_denied_are_not() {
    let test = "calls_that_fail_are_made_again_and_those_that_are_denied_are_not";
    let Some(server) = Ministack::start(test) else { return };
    let (project, url) = (Project::new(), format!("http://{}", server.address));
    let making = kinds(&server, &project, &["deploy"]);
    let removing = kinds(&server, &project, &["destroy", "-y"]);
    shaken(&server, &project, &["deploy"]);
    let _ = project.run(&url, &["plan", "--detailed-exitcode"]).exits(0);
    let mut memory = (2_560..).map(|memory| format!("functions.gradient.memory_mb={memory}"));
    shaken(&server, &project, &["deploy", "--set", &memory.next().unwrap()]);
    let changing = kinds(&server, &project, &["deploy", "--set", &memory.next().unwrap()]);
    for kind in changing.difference(&making) {
        denied(&server, &project, &["deploy", "--set", &memory.next().unwrap()], kind);
    }
    shaken(&server, &project, &["destroy", "-y"]);
    assert_eq!(server.everything(), [""; 0]);
    for kind in removing.difference(&making) {
        let _ = project.run(&url, &["deploy"]).exits(0);
        denied(&server, &project, &["destroy", "-y"], kind);
    }
    let _ = project.run(&url, &["destroy", "-y"]).exits(0);
    assert_eq!(server.everything(), [""; 0]);
}

#[test]
fn what_fails_for_good_is_told_after_a_bounded_number_of_attempts() {
    let test = "what_fails_for_good_is_told_after_a_bounded_number_of_attempts";
    let Some(server) = Ministack::start(test) else { return };
    let kinds = kinds(&server, &Project::new(), &["deploy"]);
    let failures = [(500, "InternalError"), (429, "ThrottlingException"), (403, "AccessDenied")];
    let all = kinds.iter().flat_map(|kind| failures.map(|failure| (kind, failure)));
    // An answer to HEAD has no body and so no code; S3's own of too many is 503, which is tried again without one.
    let all = all.filter(|(kind, (status, _))| !(kind.starts_with("HEAD ") && *status == 429));
    let all: Vec<_> = all.zip(1_u32..).collect();
    // Some at once, for most of the time they wait for the next attempt; each in an account of its own, which the stand-in
    // takes a key of twelve digits for.
    for some in all.chunks(12) {
        let projects: Vec<Project> = some.iter().map(|_| Project::new()).collect();
        std::thread::scope(|scope| {
            for (((kind, (status, code)), account), project) in some.iter().zip(&projects) {
                let server = &server.address;
                scope.spawn(move || {
                    let command = |url: &str| {
                        let mut command = project.command(url, &["deploy"]);
                        let _ = command.env("AWS_ACCESS_KEY_ID", format!("{account:012}"));
                        command
                    };
                    failing(server, command, kind, *status, code);
                });
            }
        });
    }
}

#[test]
fn without_a_region_or_credentials_nothing_is_asked() {
    let project = Project::new();
    let mut command = project.command("http://127.0.0.1:1", &["plan"]);
    let _ = command.env_remove("AWS_REGION").stdout(Stdio::piped()).stderr(Stdio::piped());
    let refused = end(command.spawn().unwrap()).exits(2);
    assert!(refused.stdout.contains("no AWS region is set: give --region"), "{}", refused.stdout);
    let mut command = project.command("http://127.0.0.1:1", &["plan"]);
    let _ = command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
    let refused = end(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()).exits(5);
    assert!(refused.stdout.contains("no AWS credentials"), "{}", refused.stdout);
}
