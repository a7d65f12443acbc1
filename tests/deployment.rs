//! Plan, deploy and destroy, against ministack: what is planned is what is done, whatever interrupts it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "tests start processes, read files and fail by panicking"
)]

use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier, Once};
use stepgrad_tests::cloud::{Project, names, steps};
use stepgrad_tests::end;
use stepgrad_tests::ministack::Ministack;
use stepgrad_tests::proxy::{Fate, Proxy};

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
    let made = names(&plan);
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

/// A step of a plan.
fn step(action: &str, kind: &str, name: &str) -> (String, String, String) {
    (action.to_owned(), kind.to_owned(), name.to_owned())
}

#[test]
fn data_that_somebody_else_put_there_stay_and_stale_ones_go() {
    let test = "data_that_somebody_else_put_there_stay_and_stale_ones_go";
    let Some(server) = Ministack::start(test) else { return };
    let (project, url) = (Project::new(), format!("http://{}", server.address));
    let spec = project.folder.path().join("train.yaml");
    let text = std::fs::read_to_string(&spec).unwrap();
    std::fs::write(&spec, text.replace("source: data.csv", "source: rows")).unwrap();
    let rows = project.folder.path().join("rows");
    std::fs::create_dir(&rows).unwrap();
    for name in ["a.csv", "b.csv"] {
        std::fs::copy(project.folder.path().join("data.csv"), rows.join(name)).unwrap();
    }
    let bucket = project.run(&url, &["deploy"]).exits(0).json()["bucket"].as_str().unwrap().to_owned();
    let object = |key: &str| server.ask("GET", &format!("/{bucket}/{key}"), "s3", "", "");
    let put = |key: &str, content: &str| {
        let _ = server.ask("PUT", &format!("/{bucket}/{key}"), "s3", "", content);
        assert_eq!(object(key), content);
    };

    // Beside the folder that functions read, and below it.
    for key in ["data/notes.txt", "data/rows/old/c.csv"] {
        put(key, "somebody's");
    }
    std::fs::remove_file(rows.join("b.csv")).unwrap();
    let plan = project.run(&url, &["plan", "--detailed-exitcode"]).exits(7).json();
    let (stale, kept) =
        (step("delete", "object", "data/rows/b.csv"), step("alone", "object", "data/notes.txt"));
    let below = step("alone", "object", "data/rows/old/c.csv");
    assert_eq!(steps(&plan), BTreeSet::from([stale, kept.clone(), below.clone()]));
    let _ = project.run(&url, &["deploy"]).exits(0);
    assert!(object("data/rows/b.csv").contains("NoSuchKey"), "what is stale is gone");
    assert_eq!(
        (object("data/notes.txt"), object("data/rows/old/c.csv")),
        ("somebody's".into(), "somebody's".into())
    );
    let plan = project.run(&url, &["plan", "--detailed-exitcode"]).exits(0).json();
    assert_eq!((steps(&plan), &plan["alone"]), (BTreeSet::from([kept, below]), &json!(2)));
    let shown = project.shown(&url, &["plan"]).exits(0).stdout;
    let alone = "  ? object         data/notes.txt\n      not made by this deployment: it is left alone\n";
    assert!(shown.contains(alone), "{shown}");

    // In the place of data, and where functions would take it for data, it is in the way.
    for (key, mine) in [("data/rows/a.csv", true), ("data/rows/c.csv", false)] {
        put(key, "somebody's");
        for verb in ["plan", "deploy"] {
            let refused = project.run(&url, &[verb]).exits(5);
            assert!(refused.stdout.contains(&format!("is left alone: object {key}")), "{}", refused.stdout);
        }
        assert_eq!(object(key), "somebody's");
        let _ = server.ask("DELETE", &format!("/{bucket}/{key}"), "s3", "", "");
        let expected = if mine { 7 } else { 0 };
        let _ = project.run(&url, &["plan", "--detailed-exitcode"]).exits(expected);
        let _ = project.run(&url, &["deploy"]).exits(0);
    }
    let _ = project.run(&url, &["destroy", "-y"]).exits(0);
    assert_eq!(server.everything(), [""; 0]);
}

/// A way to the server on which, just before the first call that begins and ends so, somebody puts an object in its place.
fn hurried(server: &Arc<Ministack>, method: &'static str, key: &'static str) -> Proxy {
    // The proxy's threads may outlive the test, and must not keep the server.
    let (first, theirs) = (Once::new(), Arc::downgrade(server));
    Proxy::start(&server.address, move |request| {
        let path = request.call.split('?').next().unwrap_or_default();
        if let (Some(path), Some(server)) = (path.strip_prefix(method), theirs.upgrade())
            && path.ends_with(key)
        {
            first.call_once(|| drop(server.ask("PUT", path.trim(), "s3", "", "somebody's")));
        }
        Fate::Passes
    })
}

#[test]
fn what_somebody_puts_there_after_the_plan_is_left_alone() {
    let test = "what_somebody_puts_there_after_the_plan_is_left_alone";
    let Some(server) = Ministack::start(test).map(Arc::new) else { return };
    let (project, url) = (Project::new(), format!("http://{}", server.address));
    let deployed = project.run(&url, &["plan"]).exits(0).json();
    let path = format!("/{}/data/data.csv", deployed["bucket"].as_str().unwrap());
    let data = project.folder.path().join("data.csv");
    let rows = std::fs::read(&data).unwrap();
    let others = [&rows[..], &rows[rows.len() / 2..]].concat();
    let large = [&rows[..], &vec![b'\n'; 17 << 20]].concat();
    // In one request on nothing, in one on what was seen, and at the end of an upload in parts.
    for (method, content) in [("PUT ", &rows), ("PUT ", &others), ("POST ", &large)] {
        std::fs::write(&data, content).unwrap();
        let refused = project.run(&hurried(&server, method, "data/data.csv").url, &["deploy"]).exits(5);
        let said = "was not made by this deployment, and is left alone: object data/data.csv";
        assert!(refused.stdout.contains(said), "{}", refused.stdout);
        assert_eq!(server.ask("GET", &path, "s3", "", ""), "somebody's");
        let _ = server.ask("DELETE", &path, "s3", "", "");
        let _ = project.run(&url, &["deploy"]).exits(0);
        let _ = project.run(&url, &["plan", "--detailed-exitcode"]).exits(0);
    }

    // What is stale is deleted as it was seen.
    let moved = project.folder.path().join("moved.csv");
    std::fs::write(&moved, &rows).unwrap();
    let source = ["--set", "data.source=moved.csv"];
    let deploy = ["deploy", source[0], source[1]];
    let refused = project.run(&hurried(&server, "DELETE ", "data/data.csv").url, &deploy).exits(5);
    assert!(refused.stdout.contains("is left alone: object data/data.csv"), "{}", refused.stdout);
    assert_eq!(server.ask("GET", &path, "s3", "", ""), "somebody's");
    // It is nobody's data any more.
    let _ = project.run(&url, &deploy).exits(0);
    assert_eq!(server.ask("GET", &path, "s3", "", ""), "somebody's");
}

#[test]
fn two_deployments_at_once_end_well() {
    let Some(server) = Ministack::start("two_deployments_at_once_end_well") else { return };
    let (project, url) = (Project::new(), format!("http://{}", server.address));
    for more in [None, Some("functions.gradient.memory_mb=2560")] {
        let set: Vec<&str> = more.iter().flat_map(|more| ["--set", more]).collect();
        let deploy = [&["deploy"], &set[..]].concat();
        // Both have seen what is there before either changes something.
        let both = Arc::new(Barrier::new(2));
        let proxies = [(); 2].map(|()| {
            let (both, first) = (Arc::clone(&both), Once::new());
            Proxy::start(&server.address, move |request| {
                if request.changes {
                    first.call_once(|| {
                        let _ = both.wait();
                    });
                }
                Fate::Passes
            })
        });
        let begun = proxies.map(|proxy| {
            let mut command = project.command(&proxy.url, &deploy);
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        });
        // Where both published versions by turns, whoever noticed says so, and can go on.
        let noticed =
            "another deployment changed it at the same time; run this one again when that has ended";
        let ended = begun.map(end);
        for ended in &ended {
            let well = ended.code == Some(0) || ended.code == Some(5) && ended.stdout.contains(noticed);
            assert!(well, "{}{}", ended.stdout, ended.stderr);
        }
        if ended.iter().any(|ended| ended.code != Some(0)) {
            let _ = project.run(&url, &deploy).exits(0);
        }
        let plan = [&["plan", "--detailed-exitcode"], &set[..]].concat();
        let plan = project.run(&url, &plan).exits(0).json();
        let kept = plan["steps"].as_array().unwrap().iter().filter(|step| step["kind"] != "object");
        let mut kept: Vec<_> = kept.map(|step| step["name"].as_str().unwrap().to_owned()).collect();
        kept.sort();
        assert_eq!(server.everything(), kept, "everything is there once");
        let third = project.run(&url, &deploy).exits(0).json();
        assert_eq!(third["changes"], false, "{third}");
    }
}

#[test]
fn a_bucket_in_which_versions_are_kept_is_emptied() {
    let Some(server) = Ministack::start("a_bucket_in_which_versions_are_kept_is_emptied") else { return };
    let (project, url) = (Project::new(), format!("http://{}", server.address));
    let bucket = project.run(&url, &["deploy"]).exits(0).json()["bucket"].as_str().unwrap().to_owned();
    let s3 = |method: &str, what: &str, body: &str| {
        server.ask(method, &format!("/{bucket}{what}"), "s3", "", body)
    };
    // Somebody switches versions on after the objects were written, writes and deletes, and switches them off.
    for status in ["Enabled", "Suspended"] {
        let xml = format!(
            "<VersioningConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Status>{status}</Status></VersioningConfiguration>"
        );
        let _ = s3("PUT", "?versioning", &xml);
        assert!(s3("GET", "?versioning", "").contains(status));
        let _ = s3("PUT", "/runs/x.json", status);
        let _ = s3("DELETE", "/data/data.csv", "");
    }
    let versions = s3("GET", "?versions", "");
    for kind in ["<VersionId>null</VersionId>", "<DeleteMarker>"] {
        assert!(versions.contains(kind), "{versions}");
    }
    let _ = project.run(&url, &["destroy", "-y"]).exits(0);
    assert_eq!(server.everything(), [""; 0]);
}

/// A function of the project.
const GRADIENT: &str = "stepgrad-small-gradient";

#[test]
fn a_function_without_its_role_is_made_again() {
    let Some(server) = Ministack::start("a_function_without_its_role_is_made_again") else { return };
    let (project, url) = (Project::new(), format!("http://{}", server.address));
    let deployed = project.run(&url, &["deploy"]).exits(0).json();
    let mut steps_of = steps(&deployed).into_iter();
    let (.., role) = steps_of.find(|(_, kind, name)| kind == "role" && name.starts_with(GRADIENT)).unwrap();
    for call in [
        format!("DeleteRolePolicy&PolicyName=stepgrad&RoleName={role}"),
        format!("DeleteRole&RoleName={role}"),
    ] {
        let _ = server.ask("POST", "/", "iam", "", &format!("Action={call}&Version=2010-05-08"));
    }
    assert!(!server.everything().contains(&role));
    let plan = project.run(&url, &["plan", "--detailed-exitcode"]).exits(7).json();
    assert!(steps(&plan).contains(&step("create", "role", &role)), "{plan}");
    assert!(steps(&plan).contains(&step("replace", "function", GRADIENT)), "{plan}");
    let others = steps(&plan).into_iter().filter(|(_, kind, name)| kind == "function" && name != GRADIENT);
    assert_eq!(others.count(), 0, "{plan}");
    // A function of that name is another one: the first version is its own again.
    let versions = || {
        let path = format!("/2015-03-31/functions/{GRADIENT}/versions");
        let all: Value = serde_json::from_str(&server.ask("GET", &path, "lambda", "", "")).unwrap();
        let identify = |version: &Value| version["RevisionId"].as_str().unwrap().to_owned();
        all["Versions"].as_array().unwrap().iter().map(identify).collect::<BTreeSet<_>>()
    };
    let before = versions();
    let _ = project.run(&url, &["deploy"]).exits(0);
    assert!(before.is_disjoint(&versions()), "it is made anew");
    let _ = project.run(&url, &["plan", "--detailed-exitcode"]).exits(0);
}

/// A way to the server on which a function is said to be in a state until a call is made of it; gives whether that was.
fn in_a_state(server: &Ministack, field: &'static str, until: &'static str) -> (Proxy, Arc<AtomicBool>) {
    let of = format!("/2015-03-31/functions/{GRADIENT}");
    let seen: Value = serde_json::from_str(&server.ask("GET", &of, "lambda", "", "")).unwrap();
    let failed = {
        let mut seen = seen;
        seen["Configuration"][field] = json!("Failed");
        seen
    };
    let mended = Arc::new(AtomicBool::new(false));
    let said = Arc::clone(&mended);
    let proxy = Proxy::start(&server.address, move |request| {
        let call = request.call.split('?').next().unwrap_or_default();
        if call == until {
            said.store(true, Ordering::SeqCst);
        }
        let whole = call == format!("GET {of}") && !request.call.contains("Qualifier");
        match (said.load(Ordering::SeqCst), whole, call == format!("GET {of}/configuration")) {
            (false, true, _) => Fate::IsTold(failed.to_string()),
            (false, _, true) => Fate::IsTold(failed["Configuration"].to_string()),
            _ => Fate::Passes,
        }
    });
    (proxy, mended)
}

#[test]
fn a_function_that_failed_is_mended() {
    let Some(server) = Ministack::start("a_function_that_failed_is_mended") else { return };
    let (project, url) = (Project::new(), format!("http://{}", server.address));
    let _ = project.run(&url, &["deploy"]).exits(0);
    for (field, action, until) in [
        // What could not be made is made anew; a change that could not be made is made again.
        ("State", "replace", "DELETE /2015-03-31/functions/stepgrad-small-gradient"),
        ("LastUpdateStatus", "change", "PUT /2015-03-31/functions/stepgrad-small-gradient/configuration"),
    ] {
        let (proxy, mended) = in_a_state(&server, field, until);
        let plan = project.run(&proxy.url, &["plan", "--detailed-exitcode"]).exits(7).json();
        assert!(steps(&plan).contains(&step(action, "function", GRADIENT)), "{field}: {plan}");
        let found = plan["steps"].as_array().unwrap().iter().find(|step| step["name"] == GRADIENT);
        let why = json!([{"what": "state", "from": "Failed", "to": "Active"}]);
        assert_eq!(found.unwrap()["differences"], why);
        assert!(!mended.load(Ordering::SeqCst));
        let _ = project.run(&proxy.url, &["deploy"]).exits(0);
        assert!(mended.load(Ordering::SeqCst), "{field}");
        let _ = project.run(&url, &["plan", "--detailed-exitcode"]).exits(0);
    }
}

#[test]
fn without_a_region_or_credentials_nothing_is_asked() {
    let project = Project::new();
    // A machine of EC2 would tell one that nobody chose for this.
    let machine = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    machine.set_nonblocking(true).unwrap();
    let told_by = format!("http://{}", machine.local_addr().unwrap());
    for profile in [&[][..], &["--profile", "nobody"]] {
        let mut command = project.command("http://127.0.0.1:1", &[&["plan"], profile].concat());
        let _ = command.env_remove("AWS_REGION").env_remove("AWS_EC2_METADATA_DISABLED");
        let _ = command.env("AWS_EC2_METADATA_SERVICE_ENDPOINT", &told_by);
        let refused = end(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()).exits(2);
        assert!(refused.stdout.contains("no AWS region is set: give --region"), "{}", refused.stdout);
        assert!(machine.accept().is_err(), "the machine is not asked");
    }
    let mut command = project.command("http://127.0.0.1:1", &["plan"]);
    let _ = command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
    let refused = end(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()).exits(5);
    assert!(refused.stdout.contains("no AWS credentials"), "{}", refused.stdout);
    // The keys of the environment are not taken where a profile is named, as by the AWS CLI: they may be another account's.
    let refused = project.run("http://127.0.0.1:1", &["plan", "--profile", "nobody"]).exits(5);
    assert!(refused.stdout.contains("no AWS credentials"), "{}", refused.stdout);
}
