//! A training on AWS in which peers sign, against ministack, which runs the functions as they are built: their private keys come
//! from parameters, and what somebody else writes into the bucket is refused by name.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "tests start processes, read files and fail by panicking"
)]

use serde_json::{Value, json};
use std::path::Path;
use std::sync::{Arc, Mutex};
use stepgrad_contract::digest::sha256;
use stepgrad_contract::signing::{PrivateKey, Signature};
use stepgrad_tests::cloud::{Project, for_this_processor, steps};
use stepgrad_tests::ministack::Ministack;
use stepgrad_tests::proxy::{Fate, Proxy};
use stepgrad_tests::{binary, files, small_spec};

const PEERS: u32 = 3;

fn spec() -> String {
    small_spec("peer_to_peer", "gradient_averaging", "{batches: 2}", PEERS)
}

/// Every file below a folder, as text.
fn texts(folder: &Path) -> Vec<String> {
    let text = |path| String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned();
    files(folder).into_iter().map(text).collect()
}

#[test]
fn peers_sign_on_aws_and_their_keys_are_nowhere_but_in_parameters() {
    let test = "peers_sign_on_aws_and_their_keys_are_nowhere_but_in_parameters";
    let Some(server) = Ministack::start(test) else { return };
    let (project, url) = (Project::trained(&spec()).signed(PEERS), format!("http://{}", server.address));
    let here = project.here(&["run", "train.yaml", "-o", "json"]).exits(0).json();

    // Without the keys nothing is begun.
    let project = project.without_keys();
    let refused = project.run(&url, &["deploy"]).exits(2);
    assert!(refused.stdout.contains("set STEPGRAD_KEYS=file:///folder"), "{}", refused.stdout);
    assert_eq!(server.everything(), [""; 0]);
    let mut deploy = project.command(&url, &["deploy"]);
    deploy.env("STEPGRAD_KEYS", format!("file://{}", project.folder.path().join("keys").display()));
    let deployed = stepgrad_tests::end(
        deploy.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap(),
    );
    let deployed = deployed.exits(0).json();
    let keys = steps(&deployed).into_iter().filter(|(_, kind, _)| kind == "private_key");
    let names: Vec<String> = keys.map(|(.., name)| name).collect();
    let expected = (1..=PEERS).map(|peer| format!("/stepgrad-small/keys/peer-{peer:04}.key"));
    assert_eq!(names, expected.collect::<Vec<_>>());
    let described = server.json("ssm", "AmazonSSM.DescribeParameters", "{}");
    let parameters = described["Parameters"].as_array().unwrap();
    assert!(
        parameters.len() == 3 && parameters.iter().all(|found| found["Type"] == "SecureString"),
        "{described}"
    );
    // What is there is not put again, so nobody needs the keys any more.
    let again = project.run(&url, &["deploy"]).exits(0).json();
    assert_eq!((&again["changes"], steps(&again).len()), (&Value::Bool(false), 0), "{again}");

    let there = project.run(&url, &["run", "--on", "aws"]);
    assert_eq!(there.code, Some(0), "{}\n{}\n{}", there.stdout, there.stderr, server.log());
    assert_eq!(there.json()["weights_sha256"], here["weights_sha256"]);

    let functions = server.ask("GET", "/2015-03-31/functions/", "lambda", "", "");
    assert!(functions.contains(":parameter/stepgrad-small/keys"), "{functions}");
    let mut all = texts(&project.folder.path().join("runs"));
    all.extend([
        functions,
        server.log(),
        there.stdout,
        there.stderr,
        deployed.to_string(),
        described.to_string(),
    ]);
    let private = project.private_keys();
    assert_eq!(private.len(), 3);
    assert!(!all.iter().any(|text| private.iter().any(|key| text.contains(key))), "a key has got out");

    // Other keys: they are what is put, and they alone.
    let _ = std::fs::remove_dir_all(project.folder.path().join("keys"));
    std::fs::write(project.folder.path().join("train.yaml"), for_this_processor(&spec())).unwrap();
    let project = project.signed(PEERS);
    let changed = project.run(&url, &["plan", "--detailed-exitcode"]).exits(7).json();
    assert!(
        steps(&changed).iter().all(|(action, kind, _)| action == "change" && kind == "private_key"),
        "{changed}"
    );
    assert_eq!(steps(&changed).len(), 3);
    assert!(changed.to_string().contains("public key"), "{changed}");
    let _ = project.run(&url, &["deploy"]).exits(0);
    let _ = project.run(&url, &["plan", "--detailed-exitcode"]).exits(0);
    // A spec in which nobody signs leaves none of them.
    std::fs::write(project.folder.path().join("train.yaml"), for_this_processor(&spec())).unwrap();
    let unsigned = project.run(&url, &["deploy"]).exits(0).json();
    let gone =
        steps(&unsigned).into_iter().filter(|(action, kind, _)| action == "delete" && kind == "private_key");
    assert_eq!(gone.count(), 3, "{unsigned}");
    let _ = project.run(&url, &["destroy", "-y"]).exits(0);
    assert_eq!(server.everything(), [""; 0]);
}

/// What another writer of the bucket makes of a signature: one by a key of his own.
fn forged(document: &str) -> String {
    let real: Signature = serde_json::from_value({
        let mut value: Value = serde_json::from_str(document).unwrap();
        let _ = value.as_object_mut().unwrap().remove("sha256");
        value
    })
    .unwrap();
    let other =
        PrivateKey::from_bytes(&[99; 32]).sign(&real.run, real.round, real.peer, &real.content_sha256);
    let mut value = serde_json::to_value(&other).unwrap();
    value["sha256"] = sha256(&serde_json::to_vec(&value).unwrap()).into();
    // As a store writes it: with a line's end.
    format!("{value}\n")
}

#[test]
fn what_another_writer_of_the_bucket_forges_is_refused_by_name() {
    let test = "what_another_writer_of_the_bucket_forges_is_refused_by_name";
    let Some(server) = Ministack::start(test) else { return };
    let server = Arc::new(server);
    // Whoever reads peer 2's signature of round 2 finds another one in its place.
    // The proxy's threads may outlive the test, and must not keep the server.
    let (bucket, done) = (Arc::downgrade(&server), Mutex::new(false));
    let proxy = Proxy::start(&server.address, move |request| {
        if let Some(path) = request.call.strip_prefix("GET ") {
            let mut done = done.lock().unwrap();
            let path = path.split('?').next().unwrap();
            if !*done
                && path.contains("/round-000002/")
                && path.ends_with("/peer-0002/published.sig")
                && let Some(bucket) = bucket.upgrade()
            {
                let real = bucket.ask("GET", path, "s3", "", "");
                let _ = bucket.ask("PUT", path, "s3", "", &forged(&real));
                *done = true;
            }
        }
        Fate::Passes
    });
    let script = format!(
        "#!/bin/sh\ncase \"$AWS_LAMBDA_FUNCTION_NAME\" in *-synchronise) export AWS_ENDPOINT_URL={};; esac\nexec '{}'",
        proxy.url,
        binary("bootstrap").display()
    );
    let project = Project::of(&(spec() + "fault_tolerance: {quorum: 2}\n"), script.as_bytes()).signed(PEERS);
    let url = format!("http://{}", server.address);
    let _ = project.run(&url, &["deploy"]).exits(0);
    let ended = project.run(&url, &["run", "--on", "aws"]);
    assert_eq!(ended.code, Some(0), "{}\n{}\n{}", ended.stdout, ended.stderr, server.log());
    let metrics = String::from_utf8(project.record(&ended.json(), "metrics.jsonl")).unwrap();
    let rounds: Vec<Value> = metrics.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for round in rounds {
        let found = round["anomalous"].as_array().cloned().unwrap_or_default();
        let named: Vec<_> = found.iter().map(|found| (&found["peer"], &found["why"])).collect();
        if round["round"] == 2 {
            assert_eq!(named, [(&json!(2), &json!("forged"))], "{round}");
        } else {
            assert!(named.is_empty(), "{round}");
        }
    }
}
