//! What a run is said to do before it runs is what it does when nothing fails; and what `plan` says of an account's quotas.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "tests start processes, read files and fail by panicking"
)]

use serde_json::{Value, json};
use std::path::Path;
use std::sync::{Arc, Mutex};
use stepgrad_tests::cloud::Project;
use stepgrad_tests::ministack::Ministack;
use stepgrad_tests::proxy::{Fate, Proxy};
use stepgrad_tests::{root, small_spec, stepgrad};

/// What is counted of a run, as the one document and the other has it.
fn counts(document: &Value) -> [u64; 4] {
    ["rounds", "transitions", "invocations", "executions"].map(|key| document[key].as_u64().unwrap())
}

/// What is expected of a run of the spec in `folder`, by the spec alone.
fn expected(folder: &Path) -> Value {
    let arguments = ["compile", "train.yaml", "-o", "json"];
    stepgrad(folder, &arguments).exits(0).json()["cost"].clone()
}

/// Calls by function, as a run's logs tell them.
fn called(folder: &Path, run: &Value) -> Value {
    let logs = folder.join("runs").join(run["run"].as_str().unwrap()).join("logs");
    let mut calls = serde_json::Map::new();
    for entry in std::fs::read_dir(logs).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let reports = text.lines().filter(|line| line.starts_with("REPORT ")).count();
        if reports > 0 {
            calls.insert(path.file_stem().unwrap().to_str().unwrap().to_owned(), json!(reports));
        }
    }
    Value::Object(calls)
}

/// A map in the order of its keys.
fn sorted(map: &Value) -> Vec<(String, u64)> {
    let mut all: Vec<_> =
        map.as_object().unwrap().iter().map(|(key, value)| (key.clone(), value.as_u64().unwrap())).collect();
    all.sort();
    all
}

#[test]
fn a_run_without_faults_does_exactly_what_was_expected_of_it() {
    let small = |topology, algorithm, every, peers| small_spec(topology, algorithm, every, peers);
    let wide = |samples: u32, batch_size: u32, peers: u32, attempts: u32| {
        let spec = small_spec("peer_to_peer", "gradient_averaging", "epoch", peers)
            .replace("samples: 240", &format!("samples: {samples}"))
            .replace("batch_size: 16", &format!("batch_size: {batch_size}"))
            .replace("epochs: 3", "epochs: 1")
            .replace("architecture: mlp", "architecture: logistic_regression");
        format!("{spec}fault_tolerance:\n  retries: {{max_attempts: {attempts}}}\n")
    };
    let specs = [
        // The last batches of an epoch are not there for every peer.
        small("peer_to_peer", "gradient_averaging", "{batches: 2}", 5),
        small("peer_to_peer", "model_averaging", "epoch", 2),
        small("parameter_server", "gradient_averaging", "epoch", 3),
        small("parameter_server", "model_averaging", "{epochs: 2}", 3),
        small("parameter_server", "gradient_averaging", "{batches: 3}", 2) + "budget: {usd: 1000}\n",
        // Groups of peers, and ranges of batches, in child executions.
        wide(960, 2, 12, 10),
        wide(1_300, 1, 1, 0),
    ];
    for spec in specs {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("train.yaml"), &spec).unwrap();
        let expected = expected(folder.path());
        assert_eq!(expected["batches_from"], "the spec", "{expected}");
        let run = stepgrad(folder.path(), &["run", "train.yaml", "-o", "json"]).exits(0).json();
        assert_eq!(counts(&expected["run"]), counts(&run), "{spec}");
        assert_eq!(sorted(&expected["run"]["calls"]), sorted(&called(folder.path(), &run)), "{spec}");
        // What it took is what the next one is expected to take.
        let arguments = ["compile", "train.yaml", "-o", "json", "--like", run["run"].as_str().unwrap()];
        let like = stepgrad(folder.path(), &arguments).exits(0).json()["cost"].clone();
        assert_eq!(counts(&like["run"]), counts(&run));
        let took = run["gb_seconds"].as_f64().unwrap();
        let said = like["run"]["gb_seconds"].as_f64().unwrap();
        assert!((took - said).abs() <= 1e-3 * took, "{took} GB-seconds, and {said} were expected");
        let objects = (run["objects_read"].as_f64().unwrap(), run["objects_written"].as_f64().unwrap());
        let s3 = &like["run"]["s3"];
        let near = |said: &Value, was: f64| (said.as_f64().unwrap() - was).abs() <= 1.0;
        assert!(near(&s3["reads"], objects.0) && near(&s3["writes"], objects.1), "{s3} {objects:?}");
        for part in ["run", "epoch"] {
            let (like, limit) = (&like[part]["usd"], &expected[part]["usd"]);
            assert!(like["total"].as_f64().unwrap() < limit["total"].as_f64().unwrap(), "{like} {limit}");
        }
        let worst = &expected["worst_case"];
        assert!(worst["usd"].as_f64().unwrap() >= expected["run"]["usd"]["total"].as_f64().unwrap());
    }
}

#[test]
fn a_run_that_is_not_like_the_one_to_come_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let spec = small_spec("peer_to_peer", "model_averaging", "{epochs: 3}", 2);
    std::fs::write(folder.path().join("train.yaml"), spec).unwrap();
    let run = stepgrad(folder.path(), &["run", "train.yaml", "-o", "json"]).exits(0).json();
    let like = |set: &str| {
        let run = run["run"].as_str().unwrap();
        stepgrad(folder.path(), &["compile", "train.yaml", "-o", "json", "--like", run, "--set", set])
    };
    let refused = like("topology.peers=3").exits(2);
    assert!(refused.stdout.contains("topology.peers differ"), "{}{}", refused.stdout, refused.stderr);
    // As many epochs as one likes.
    let longer = like("training.epochs=30").exits(0).json();
    assert_eq!(longer["cost"]["run"]["rounds"], 10);
    let _ = stepgrad(folder.path(), &["compile", "train.yaml", "--like", "none-of-these"]).exits(2);
    // Of a run on AWS there is the history, and the logs are elsewhere.
    let logs = folder.path().join("runs").join(run["run"].as_str().unwrap()).join("logs");
    std::fs::remove_dir_all(logs).unwrap();
    let cost = like("training.epochs=3").exits(0).json()["cost"].clone();
    assert!(cost["run"]["s3"].is_null() && cost["time"] == "measured", "{cost}");
    let seconds = cost["measured"]["seconds"].as_object().unwrap();
    assert_eq!(seconds.keys().count(), sorted(&cost["run"]["calls"]).len(), "{cost}");
    assert!(seconds.values().all(|seconds| seconds.as_f64().unwrap() > 0.0), "{cost}");
}

#[test]
fn a_plan_counts_the_batches_of_data_in_files_and_says_what_stays() {
    let Some(server) = Ministack::start("a_plan_counts_the_batches_of_data_in_files_and_says_what_stays")
    else {
        return;
    };
    let (project, url) = (Project::new(), format!("http://{}", server.address));
    let plan = project.run(&url, &["plan"]).exits(0).json();
    let cost = &plan["cost"];
    assert!(cost["batches_from"].as_str().unwrap().starts_with("the data, read here"), "{cost}");
    let run = stepgrad(project.folder.path(), &["run", "train.yaml", "-o", "json"]).exits(0).json();
    assert_eq!(counts(&cost["run"]), counts(&run));
    assert!(cost["stored"]["deployed_bytes"].as_u64().unwrap() > 0);
    let like = project.run(&url, &["plan", "--like", run["run"].as_str().unwrap()]).exits(0).json();
    assert_eq!(like["cost"]["time"], "measured");
    assert_eq!(counts(&like["cost"]["run"]), counts(&run));
    // Without the functions there is nobody to read it.
    let mut command = project.command(&url, &["plan"]);
    let unread = command.env("STEPGRAD_BOOTSTRAP", "/nowhere/bootstrap").output().unwrap();
    let unread = stepgrad_tests::Ended::from(unread).exits(0).json();
    assert!(unread["cost"]["not_known"].as_str().unwrap().contains("--like RUN"), "{}", unread["cost"]);
    assert_eq!(server.everything(), [""; 0], "a plan changes nothing");
}

/// Service Quotas, of which the stand-ins for AWS have none for these services: the answers of its two calls as its API Reference
/// has them, in two pages.
fn account(concurrent: f64, memory: f64) -> impl Fn(&str, &str) -> Option<String> {
    move |call, body| {
        let asked: Value = serde_json::from_str(body).unwrap_or_default();
        let quota = |name: &str, code: &str, value: f64, unit: &str| {
            json!({"ServiceCode": asked["ServiceCode"], "QuotaName": name, "QuotaCode": code, "Value": value,
                "Unit": unit, "Adjustable": true, "GlobalQuota": false})
        };
        let lambda = asked["ServiceCode"] == "lambda";
        let answer = match (call, lambda, asked["NextToken"].as_str()) {
            ("ListServiceQuotas", true, None) => json!({"NextToken": "2", "Quotas": [
                quota("Concurrent executions", "L-B99A9384", concurrent, "None"),
            ]}),
            ("ListServiceQuotas", true, Some(_)) => {
                json!({"Quotas": [quota("Function memory maximum", "L-MEMORY", memory, "Megabytes")]})
            }
            ("ListServiceQuotas", false, _) => json!({"Quotas": []}),
            ("ListAWSDefaultServiceQuotas", true, _) => json!({"Quotas": [
                quota("Concurrent executions", "L-B99A9384", 1_000.0, "None"),
                quota("Function and layer storage", "L-2ACBD22F", 75.0, "Gigabytes"),
            ]}),
            ("ListAWSDefaultServiceQuotas", false, _) => {
                json!({"Quotas": [quota("Registered state machines", "L-MACHINES", 100_000.0, "None")]})
            }
            _ => return None,
        };
        Some(answer.to_string())
    }
}

/// A quota of a plan.
fn quota<'a>(plan: &'a Value, name: &str) -> &'a Value {
    let all = plan["quotas"].as_array().unwrap();
    all.iter().find(|quota| quota["name"] == name).unwrap()
}

#[test]
fn what_an_account_may_not_have_is_marked_and_what_cannot_work_is_not_begun() {
    let test = "what_an_account_may_not_have_is_marked_and_what_cannot_work_is_not_begun";
    let Some(server) = Ministack::start(test) else { return };
    let project = Project::new();
    let proxy = |concurrent: f64, memory: f64| {
        let account = account(concurrent, memory);
        Proxy::start(&server.address, move |request| match account(&request.call, &request.body) {
            Some(answer) => Fate::IsTold(answer),
            None => Fate::Passes,
        })
    };
    // Three peers, and a batch of each within the four of functions.max_concurrency.
    let wide = proxy(1_000.0, 10_240.0);
    let plan = project.run(&wide.url, &["plan"]).exits(0).json();
    let concurrent = quota(&plan, "Concurrent executions");
    assert_eq!((&concurrent["enough"], &concurrent["need"]), (&json!(true), &json!(3)), "{plan}");
    assert_eq!(concurrent["quota"]["applied"], true);
    let storage = quota(&plan, "Function and layer storage");
    assert_eq!(
        (&storage["quota"]["applied"], &storage["enough"]),
        (&json!(false), &json!(true)),
        "{storage}"
    );
    let unlisted = plan["quotas"].as_array().unwrap().iter().filter(|quota| quota["not_known"].is_string());
    assert_eq!(unlisted.count(), 3, "{plan}");

    // Fewer functions at once: slower, and said.
    let narrow = proxy(2.0, 10_240.0);
    let plan = project.run(&narrow.url, &["plan"]).exits(0).json();
    assert_eq!(quota(&plan, "Concurrent executions")["enough"], false);
    let mut text = stepgrad_tests::command(
        project.folder.path(),
        &["plan", "train.yaml", "--package", "functions.zip", "--endpoint-url", &narrow.url],
    );
    let text = text
        .env("AWS_REGION", "eu-west-3")
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test");
    let text = stepgrad_tests::Ended::from(text.output().unwrap()).exits(0).stdout;
    let marked =
        text.lines().find(|line| line.trim_start().starts_with("! ") && line.contains("Concurrent")).unwrap();
    assert!(marked.contains("L-B99A9384"), "{marked}");
    assert!(text.contains("--quota-code L-B99A9384"), "{text}");
    assert!(text.contains("those of eu-west-3 differ and are not known here"), "{text}");
    let deployed = project.run(&narrow.url, &["deploy"]).exits(0).json();
    assert_eq!(quota(&deployed, "Concurrent executions")["enough"], false);
    let _ = project.run(&narrow.url, &["destroy", "-y"]).exits(0);

    // Functions that Lambda would not make.
    let little = proxy(1_000.0, 1_536.0);
    let _ = project.run(&little.url, &["plan"]).exits(0);
    let refused = project.run(&little.url, &["deploy"]).exits(6);
    assert!(refused.stdout.contains("Function memory maximum (L-MEMORY) is 1536 MB"), "{}", refused.stdout);
    assert_eq!(server.everything(), [""; 0], "nothing was begun");
}

#[test]
fn an_account_that_does_not_tell_its_quotas_is_deployed_to_all_the_same() {
    let test = "an_account_that_does_not_tell_its_quotas_is_deployed_to_all_the_same";
    let Some(server) = Ministack::start(test) else { return };
    let project = Project::new();
    let asked: Arc<Mutex<u32>> = Arc::default();
    for (status, code) in [(400, "AccessDeniedException"), (500, "InternalError")] {
        let count = Arc::clone(&asked);
        let proxy = Proxy::start(&server.address, move |request| {
            if !request.call.ends_with("ServiceQuotas") {
                return Fate::Passes;
            }
            *count.lock().unwrap() += 1;
            Fate::IsAnswered(status, code, "no".to_owned())
        });
        let plan = project.run(&proxy.url, &["plan"]).exits(0).json();
        for quota in plan["quotas"].as_array().unwrap() {
            let why = quota["not_known"].as_str().unwrap();
            assert!(why.contains("servicequotas:ListServiceQuotas") && quota["quota"].is_null(), "{quota}");
        }
        let _ = project.run(&proxy.url, &["deploy"]).exits(0);
    }
    // Two services, by two verbs; what is denied is asked once, and what fails twice.
    assert_eq!(*asked.lock().unwrap(), 4 + 8);
    let url = format!("http://{}", server.address);
    let _ = project.run(&url, &["destroy", "-y"]).exits(0);
}

/// The example of `docs/aws.md`, as `plan` writes it.
#[test]
fn the_example_of_the_page_is_what_plan_says() {
    const BEGIN: &str = "<!-- what `plan` says of examples/digits.yaml: UPDATE_DOCS=1 cargo test -p stepgrad-tests --test costs -->\n";
    const END: &str = "<!-- end -->\n";
    let Some(server) = Ministack::start("the_example_of_the_page_is_what_plan_says") else { return };
    let project = Project::new();
    let (spec, url) = (root().join("examples/digits.yaml"), format!("http://{}", server.address));
    let spec = spec.to_str().unwrap();
    let arguments = ["plan", spec, "--package", "functions.zip", "--endpoint-url", &url];
    let mut command = stepgrad_tests::command(project.folder.path(), &arguments);
    let command = command
        .env("AWS_REGION", "us-east-1")
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test");
    let said = stepgrad_tests::Ended::from(command.output().unwrap()).exits(0).stdout;
    let from = said.lines().skip_while(|line| !line.trim_start().starts_with("if nothing fails"));
    // What is stored depends on the packages.
    let lines = from.take_while(|line| !line.starts_with("- while it is deployed"));
    let example: String = lines.map(|line| format!("{}\n", line.trim_end())).collect();
    assert!(example.contains("state transitions") && example.contains("prices: "), "{said}");
    let path = root().join("docs/aws.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let wanted = format!("{before}{BEGIN}```\n{example}```\n{END}{after}");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &wanted).unwrap();
    } else {
        assert!(
            page == wanted,
            "docs/aws.md is out of date: UPDATE_DOCS=1 cargo test -p stepgrad-tests --test costs"
        );
    }
}
