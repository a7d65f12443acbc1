//! LocalStack's interpreter of Step Functions, which is nobody's of this project, with the project's functions: the same
//! bundles end in the same status, output and weights, and by the same events.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "tests start processes, read files and fail by panicking"
)]

mod differences;
mod functions;
mod history;
mod page;
mod runs;
mod server;

use differences::{Difference, KNOWN, differences};
use server::Server;
use std::path::{Path, PathBuf};
use stepgrad_tests::{root, small_spec, specs};

/// A training, how it is made small, and what comes of it.
struct Case {
    name: String,
    spec: PathBuf,
    overrides: &'static [&'static str],
    /// What goes wrong: the run is repeated with this file of `examples/faults/`.
    faults: Option<&'static str>,
    status: &'static str,
    /// Executions, at the least.
    executions: usize,
}

/// Every spec under `specs/`, and what none of them does.
fn cases(folder: &Path) -> Vec<Case> {
    let specs = specs().into_iter().filter(|spec| spec.starts_with(root().join("specs")));
    let mut cases: Vec<_> = specs
        .map(|spec| {
            let name = spec.file_stem().unwrap().to_str().unwrap().to_owned();
            let overrides: &[&str] = match name.as_str() {
                // A round for each batch.
                "lambdaml-2021-gradient-averaging" => &["training.epochs=1"],
                _ => &["training.epochs=2"],
            };
            Case { name, spec, overrides, faults: None, status: "SUCCEEDED", executions: 3 }
        })
        .collect();
    let mut add = |name: &str, text: &str, status, executions| {
        let spec = folder.join(format!("{name}.yaml"));
        std::fs::write(&spec, text).unwrap();
        cases.push(Case { name: name.to_owned(), spec, overrides: &[], faults: None, status, executions });
    };
    let diverging = small_spec("peer_to_peer", "gradient_averaging", "epoch", 2)
        .replace("learning_rate: 0.05", "learning_rate: 1e30");
    add("diverging", &diverging, "FAILED", 3);
    // Twelve peers of thirty batches, which with all retries are more events than one execution may have.
    let children = small_spec("peer_to_peer", "gradient_averaging", "epoch", 12)
        .replace("samples: 240", "samples: 720")
        .replace("batch_size: 16", "batch_size: 2")
        .replace("epochs: 3", "epochs: 1")
        .replace("architecture: mlp", "architecture: logistic_regression")
        .replace("  validation: 0.1\n", "");
    let children = format!("{children}fault_tolerance:\n  retries: {{max_attempts: 10}}\n");
    add("carried-by-child-executions", &children, "SUCCEEDED", 4);
    cases
}

/// Repetitions in which something goes wrong inside functions: calls are repeated, a peer is excluded and comes back, and the
/// training fails.
fn faulted() -> impl Iterator<Item = Case> {
    let files = [("exits", "SUCCEEDED"), ("peer-outage", "SUCCEEDED"), ("quorum-lost", "FAILED")];
    files.into_iter().map(|(name, status)| Case {
        name: name.to_owned(),
        spec: root().join("examples/digits-small.yaml"),
        overrides: &[],
        faults: Some(name),
        status,
        executions: 3,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn every_spec_ends_alike_by_the_same_events() {
    let folder = tempfile::tempdir().unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let functions = listener.local_addr().unwrap();
    let Some(server) = Server::start("every_spec_ends_alike_by_the_same_events", functions).await else {
        return;
    };
    let mut all = Vec::new();
    for case in cases(folder.path()).into_iter().chain(faulted()) {
        let start = tokio::time::Instant::now();
        let runs = tempfile::tempdir_in(folder.path()).unwrap();
        let mut ours = runs::here(runs.path(), &case.spec, case.overrides);
        if let Some(faults) = case.faults {
            ours = runs::again(runs.path(), &ours, faults);
        }
        let here = start.elapsed();
        let theirs = runs::there(&server, &listener, runs.path(), &ours).await;
        let Case { name, status, .. } = &case;
        assert_eq!(ours.status, *status, "{name}: {:?}", ours.executions.last_key_value());
        assert_eq!((&ours.status, &ours.output), (&theirs.status, &theirs.output), "{name}");
        assert!(ours.weights == theirs.weights, "{name} ends in other weights");
        assert_eq!(ours.weights.is_some(), *status == "SUCCEEDED", "{name}");
        let names = |run: &runs::Run| run.executions.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&ours), names(&theirs), "{name} has other executions");
        let mut events = 0;
        for (execution, history) in &ours.executions {
            let their = &theirs.executions[execution];
            if case.faults.is_some() && history::is_raced(history) {
                assert!(history::is_raced(their), "{name}: nothing failed in {execution} there");
                continue;
            }
            let ours = history::in_order(execution, history);
            let theirs = history::in_order(execution, their);
            events += ours.len();
            all.extend(differences(&ours, &theirs));
        }
        let executions = ours.executions.len();
        assert!(executions >= case.executions, "{name} has {executions} executions");
        let there = start.elapsed() - here;
        eprintln!("{name}: {executions} executions, {events} events; {here:.1?} here, {there:.1?} there");
    }
    judge(&all);
}

/// Nothing differs that is not known, and what is known does.
fn judge(all: &[Difference]) {
    let unknown: Vec<_> =
        all.iter().filter(|difference| !KNOWN.iter().any(|known| known.is(difference))).collect();
    let first: Vec<_> = unknown.iter().take(20).map(ToString::to_string).collect();
    assert!(unknown.is_empty(), "{} differences that are not known:\n{}", unknown.len(), first.join("\n"));
    for known in KNOWN {
        let found = all.iter().any(|difference| known.is(difference));
        assert!(found, "{:?} of {:?} does not differ any more", known.fields, known.events);
    }
}
