//! Whether the roles that a bundle describes are those that a training needs: every call of every function, recorded on its
//! way to S3, and every task of every state machine, is allowed by the role's policy, and no policy allows what nobody does.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "tests start processes, read files and fail by panicking"
)]

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::{Arc, Mutex};
use stepgrad_tests::cloud::Project;
use stepgrad_tests::ministack::Ministack;
use stepgrad_tests::proxy::{Fate, Proxy, Request};
use stepgrad_tests::{binary, small_spec, stepgrad};

/// An action, and the ARN that it is about.
type Uses = BTreeSet<(String, String)>;

/// What the service does in the function's name and no proxy sees: Lambda writes what a function prints.
const BY_LAMBDA: [&str; 2] = ["logs:CreateLogStream", "logs:PutLogEvents"];
/// Only where a part of a large object could not be sent; and where an object is missing, which is answered by 403 and not by
/// 404 without it.
const BY_ACCIDENT: [&str; 2] = ["s3:AbortMultipartUpload", "s3:ListBucket"];
/// Functions that are called only where a peer was lost.
const BY_LOSS: [&str; 2] = ["heartbeat", "reach"];
/// What Step Functions does for each execution of a state machine that logs.
const BY_LOGGING: [&str; 8] = [
    "logs:CreateLogDelivery",
    "logs:DeleteLogDelivery",
    "logs:DescribeLogGroups",
    "logs:DescribeResourcePolicies",
    "logs:GetLogDelivery",
    "logs:ListLogDeliveries",
    "logs:PutResourcePolicy",
    "logs:UpdateLogDelivery",
];
/// What it does to wait for a child and to end it (Step Functions Developer Guide, "IAM policies for nested AWS Step
/// Functions calls"), beside starting it.
const BY_WAITING: [&str; 5] = [
    "events:DescribeRule",
    "events:PutRule",
    "events:PutTargets",
    "states:DescribeExecution",
    "states:StopExecution",
];

/// What a call to S3, or for a private key, needs (Amazon S3 User Guide, "Required permissions for Amazon S3 API operations"), answered with a
/// status.
fn needs(request: &Request, status: u16) -> Uses {
    if request.call == "GetParameter" {
        let asked: Value = serde_json::from_str(&request.body).unwrap();
        let arn = format!("arn:aws:ssm:us-east-1:000000000000:parameter{}", asked["Name"].as_str().unwrap());
        return Uses::from([("ssm:GetParameter".to_owned(), arn)]);
    }
    let (method, path) = request.call.split_once(' ').unwrap_or(("", &request.call));
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let path = path.trim_start_matches('/').replace("%3A", ":");
    let (bucket, key) = path.split_once('/').unwrap_or((&path, ""));
    let on = |key: &str| format!("arn:aws:s3:::{bucket}/{key}");
    let one = |action: &str, arn: String| Uses::from([(action.to_owned(), arn)]);
    let mut uses = match (method, key) {
        ("GET", "") => one("s3:ListBucket", format!("arn:aws:s3:::{bucket}")),
        ("GET" | "HEAD", key) => one("s3:GetObject", on(key)),
        ("PUT", key) => one("s3:PutObject", on(key)),
        ("POST", "") => {
            let keys = request.body.split("<Key>").skip(1).filter_map(|rest| rest.split_once("</Key>"));
            keys.map(|(key, _)| ("s3:DeleteObject".to_owned(), on(key))).collect()
        }
        ("POST", key) => one("s3:PutObject", on(key)),
        ("DELETE", key) if query.contains("uploadId") => one("s3:AbortMultipartUpload", on(key)),
        ("DELETE", key) => one("s3:DeleteObject", on(key)),
        other => panic!("{other:?} is no call that is known here"),
    };
    // Without it, what is missing is answered by 403 (S3 API Reference, `GetObject`).
    if status == 404 {
        let _ = uses.insert(("s3:ListBucket".to_owned(), format!("arn:aws:s3:::{bucket}")));
    }
    uses
}

/// The patterns of a policy by action, with the account of the stand-in in the place of placeholders.
fn allowed(policy: &[u8], bucket: &str) -> BTreeMap<String, BTreeSet<String>> {
    let text = String::from_utf8(policy.to_vec()).unwrap();
    let text = text.replace("${AWS::Partition}", "aws").replace("${AWS::Region}", "us-east-1");
    let text = text.replace("${AWS::AccountId}", "000000000000").replace("${Bucket}", bucket);
    assert!(!text.contains("${"), "{text}");
    let policy: Value = serde_json::from_str(&text).unwrap();
    let mut allowed: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for statement in policy["Statement"].as_array().unwrap() {
        assert_eq!(statement["Effect"], "Allow");
        for action in statement["Action"].as_array().unwrap() {
            let resources = statement["Resource"].as_array().unwrap().iter();
            let patterns = resources.map(|resource| resource.as_str().unwrap().to_owned());
            allowed.entry(action.as_str().unwrap().to_owned()).or_default().extend(patterns);
        }
    }
    allowed
}

/// Whether a pattern with `*` fits (IAM JSON policy elements: Resource).
fn fits(pattern: &str, arn: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap();
    let Some(mut rest) = arn.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        let Some(place) = rest.find(part) else { return false };
        rest = &rest[place + part.len()..];
    }
    rest.ends_with(last)
}

#[test]
fn a_pattern_fits_what_it_says() {
    assert!(fits("a/*/c-*.json", "a/b/x/c-1.json") && fits("a", "a") && fits("*", "anything"));
    assert!(!fits("a/*/c-*.json", "a/b/c-1.jsn") && !fits("a", "ab") && !fits("a*a", "a"));
}

/// What a role's policy and what was done do not have in common.
fn differences(
    role: &str,
    policy: &BTreeMap<String, BTreeSet<String>>,
    used: &Uses,
    unseen: &[&str],
) -> Vec<String> {
    let mut all = Vec::new();
    for (action, arn) in used {
        let covered =
            policy.get(action).is_some_and(|patterns| patterns.iter().any(|pattern| fits(pattern, arn)));
        if !covered {
            all.push(format!("{role} may not {action} on {arn}"));
        }
    }
    for action in policy.keys().filter(|action| !unseen.contains(&action.as_str())) {
        if !used.iter().any(|(used, _)| used == action) {
            all.push(format!("{role} may {action} and never does"));
        }
    }
    all
}

/// Calls by function.
type Calls = Arc<Mutex<BTreeMap<String, Uses>>>;

/// A `bootstrap` that sends each function's calls to S3 by a proxy of its own, and then is the built one.
fn recorded(server: &Ministack, functions: &[String], calls: &Calls) -> String {
    let mut script = "#!/bin/sh\ncase \"$AWS_LAMBDA_FUNCTION_NAME\" in\n".to_owned();
    for function in functions {
        let (calls, name) = (Arc::clone(calls), function.clone());
        let heard = move |request: &Request, status: u16| {
            calls.lock().unwrap().entry(name.clone()).or_default().extend(needs(request, status));
        };
        let proxy = Proxy::heard(&server.address, |_| Fate::Passes, heard);
        writeln!(script, "*-{function}) export AWS_ENDPOINT_URL={} ;;", proxy.url).unwrap();
    }
    writeln!(script, "*) exit 9 ;;\nesac\nexec '{}'", binary("bootstrap").display()).unwrap();
    script
}

/// What the state machines did, by their names in the bundle, from a run's history.
fn tasks(history: &[u8]) -> BTreeMap<String, Uses> {
    let mut uses: BTreeMap<String, Uses> = BTreeMap::new();
    for line in String::from_utf8(history.to_vec()).unwrap().lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        let details = &event["taskScheduledEventDetails"];
        let Some(parameters) = details["parameters"].as_str() else { continue };
        let parameters: Value = serde_json::from_str(parameters).unwrap();
        let machine = event["execution"].as_str().unwrap().split(':').next().unwrap();
        let uses = uses.entry(machine.to_owned()).or_default();
        if details["resourceType"] == "lambda" {
            let arn = parameters["FunctionName"].as_str().unwrap();
            let _ = uses.insert(("lambda:InvokeFunction".to_owned(), arn.to_owned()));
        } else {
            // A version is authorised by the ARN of its state machine.
            let arn = parameters["StateMachineArn"].as_str().unwrap();
            let (machine, version) = arn.rsplit_once(':').unwrap();
            assert!(version.parse::<u32>().is_ok(), "{arn}");
            let _ = uses.insert(("states:StartExecution".to_owned(), machine.to_owned()));
        }
    }
    uses
}

/// The names of a bundle's functions.
fn functions(spec: &str) -> Vec<String> {
    let project = Project::of(spec, b"");
    let _ = stepgrad(project.folder.path(), &["compile", "train.yaml", "--out", "bundle"]).exits(0);
    let bundle = std::fs::read(project.folder.path().join("bundle/bundle.json")).unwrap();
    let bundle: Value = serde_json::from_slice(&bundle).unwrap();
    bundle["functions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["name"].as_str().unwrap().to_owned())
        .collect()
}

/// A training of one kind, in which peers sign or do not: every role does what it may, and nothing else.
fn is_exact(server: &Ministack, topology: &str, algorithm: &str, every: &str, signed: bool) {
    const PEERS: u32 = 3;
    let (calls, spec) = (Calls::default(), small_spec(topology, algorithm, every, PEERS));
    let functions = functions(&spec);
    let script = recorded(server, &functions, &calls);
    let project = Project::of(&spec, script.as_bytes());
    let project = if signed { project.signed(PEERS) } else { project };
    let url = format!("http://{}", server.address);
    let deployed = project.run(&url, &["deploy"]).exits(0).json();
    let bucket = deployed["bucket"].as_str().unwrap();

    // Who starts and watches runs is held against the operator's policy.
    let operator: Arc<Mutex<BTreeSet<String>>> = Arc::default();
    let heard = Arc::clone(&operator);
    let proxy = Proxy::heard(
        &server.address,
        |_| Fate::Passes,
        move |request, _| {
            if !request.call.contains(' ') {
                let _ = heard.lock().unwrap().insert(request.call.clone());
            }
        },
    );
    let ended = project.run(&proxy.url, &["run", "--on", "aws"]);
    assert_eq!(ended.code, Some(0), "{}\n{}\n{}", ended.stdout, ended.stderr, server.log());
    let run = ended.json();
    let id = run["run"].as_str().unwrap();
    let _ = project.run(&proxy.url, &["status", id]).exits(0);
    let _ = project.run(&proxy.url, &["runs", "list", "train.yaml", "--on", "aws"]).exits(0);
    // Once more, with a plan of faults, which every function reads.
    let faults = "version: 1\nfaults:\n  - {id: killed, at: {round: 2, attempt: 0, function: [gradient, train]}, kill: {}}\n";
    std::fs::write(project.folder.path().join("faults.yaml"), faults).unwrap();
    let again = project.run(&proxy.url, &["rerun", id, "--faults", "faults.yaml", "--on", "aws"]);
    assert_eq!(again.code, Some(0), "{}\n{}\n{}", again.stdout, again.stderr, server.log());
    let _ = project.run(&proxy.url, &["runs", "logs", id, "--on", "aws"]).exits(0);
    let plan = calls
        .lock()
        .unwrap()
        .values()
        .flatten()
        .filter(|(_, arn)| arn.ends_with("/objects/faults.json"))
        .count();
    assert!(plan > 0, "{topology}: nobody read the plan");
    let policy = allowed(&project.record(&run, "bundle/policies/operator.json"), bucket);
    // That anybody may do (AWS STS API Reference, `GetCallerIdentity`).
    let called = operator.lock().unwrap().clone();
    for call in called.iter().filter(|call| *call != "GetCallerIdentity") {
        let may = policy.keys().any(|action| action.split_once(':').is_some_and(|(_, name)| name == call));
        assert!(may, "{topology}: the operator may not {call}");
    }

    let mut wrong = Vec::new();
    let calls = calls.lock().unwrap();
    for function in &functions {
        let Some(used) = calls.get(function) else {
            assert!(BY_LOSS.contains(&function.as_str()), "{function} was never called");
            continue;
        };
        let policy =
            allowed(&project.record(&run, &format!("bundle/policies/functions/{function}.json")), bucket);
        let unseen: Vec<&str> = BY_LAMBDA.into_iter().chain(BY_ACCIDENT).collect();
        wrong.extend(differences(function, &policy, used, &unseen));
    }
    let history = tasks(&project.record(&run, "history.jsonl"));
    for (machine, used) in &history {
        let policy =
            allowed(&project.record(&run, &format!("bundle/policies/machines/{machine}.json")), bucket);
        let mut unseen = BY_LOGGING.to_vec();
        let definition = project.record(&run, &format!("bundle/machines/{machine}.asl.json"));
        if String::from_utf8_lossy(&definition).contains(":states:startExecution.sync") {
            // Whether large rounds go by child executions, the data decide: the definition has both ways.
            unseen.extend(BY_WAITING.into_iter().chain(["states:StartExecution"]));
        }
        wrong.extend(differences(machine, &policy, used, &unseen));
    }
    assert_eq!(wrong, [""; 0], "{topology}, {algorithm}");
    assert!(history.len() >= 3, "{history:?}");
    let _ = project.run(&url, &["destroy", "-y"]).exits(0);
}

#[test]
fn roles_may_do_what_they_do_and_nothing_else() {
    let Some(server) = Ministack::start("roles_may_do_what_they_do_and_nothing_else") else { return };
    is_exact(&server, "peer_to_peer", "gradient_averaging", "{batches: 2}", false);
    is_exact(&server, "peer_to_peer", "model_averaging", "{epochs: 1}", true);
    is_exact(&server, "parameter_server", "gradient_averaging", "{batches: 2}", true);
}
