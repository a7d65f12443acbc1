//! What functions do with objects, as a proxy before a server of S3 sees it, is what the compiler's policies allow them.

use crate::driver::Driver;
use crate::proxy::{Fate, Proxy};
use crate::server::{BUCKET, Server};
use crate::training::{host_of, trainings};
use std::collections::{BTreeMap, BTreeSet};
use stepgrad_compiler::aws::access::{Access, access};
use stepgrad_compiler::aws::objects::Kind;
use stepgrad_contract::Function;
use stepgrad_contract::aggregation::Aggregation;
use stepgrad_contract::training::{Algorithm, Topology, Training};

/// One of S3's permissions, and the object that it was used on, in the bucket of a deployment.
type Use = (&'static str, String);

/// What a request needs (Amazon S3 User Guide, "Required permissions for Amazon S3 API operations").
fn needed(line: &str) -> Use {
    let mut words = line.split(' ');
    let (method, target) = (words.next().unwrap(), words.next().unwrap());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let path = path.strip_prefix(&format!("/{BUCKET}")).unwrap().trim_start_matches('/');
    let key = path.strip_prefix("some/").unwrap_or(path).to_owned();
    let action = match (method, key.as_str()) {
        ("GET", "") => "s3:ListBucket",
        ("POST", "") if query.starts_with("delete") => "s3:DeleteObject",
        ("GET" | "HEAD", _) => "s3:GetObject",
        ("DELETE", _) if query.contains("uploadId") => "s3:AbortMultipartUpload",
        ("PUT" | "POST", _) => "s3:PutObject",
        // Nothing allows it.
        _ => "another",
    };
    (action, key)
}

/// Whether the policy of a function allows it.
fn is_allowed(access: &Access, (action, key): &Use) -> bool {
    let one = |kinds: &BTreeSet<Kind>| kinds.iter().any(|kind| kind.has(key));
    match *action {
        "s3:ListBucket" => true,
        "s3:GetObject" => one(&access.reads),
        // Its keys are in the request's body.
        "s3:DeleteObject" => !access.deletes.is_empty(),
        "s3:PutObject" | "s3:AbortMultipartUpload" => one(&access.writes),
        _ => false,
    }
}

#[tokio::test]
async fn functions_do_nothing_that_their_policies_do_not_allow() {
    let test = "functions_do_nothing_that_their_policies_do_not_allow";
    let [gradients, models] = trainings();
    let peers = Training { topology: Topology::PeerToPeer, ..models.clone() };
    let robust = Training {
        aggregation: Aggregation::Zeno { byzantine: 1, rho: 0.0, batches: 1 },
        ..gradients.clone()
    };
    let server = Training { topology: Topology::ParameterServer, ..gradients.clone() };
    let mut called = BTreeSet::new();
    for training in [gradients, models, peers, robust, server] {
        let Some(server) = Server::start(test).await else { return };
        let mut proxies = BTreeMap::new();
        for function in Function::ALL {
            proxies.insert(function, Proxy::start(server.address.clone(), |_, _| Fate::Passes).await);
        }
        let mut driver = Driver::with_variables(training.clone(), &server.variables()).await;
        let address = |function| format!("http://{}", proxies[&function].address);
        driver.host = Some(host_of(|function| {
            let mut variables = driver.variables.clone();
            variables.insert("AWS_ENDPOINT_URL_S3".to_owned(), address(function));
            variables
        }));
        // Who was lost is asked whether it is back.
        driver.lost = BTreeMap::from([(2, vec![3])]);
        driver.run().await.unwrap();
        driver.host.take().unwrap().shutdown().await;
        for (function, proxy) in &proxies {
            let allowed = access(*function, &training);
            let uses: BTreeSet<Use> = proxy.lines().iter().map(|line| needed(line)).collect();
            for one in &uses {
                assert!(is_allowed(&allowed, one), "{function} of {training:?}: {one:?}");
            }
            called.extend((!uses.is_empty()).then_some(*function));
            // The check can fail: what evaluates writes what no other function may.
            if *function == Function::Evaluate {
                let other = access(Function::Finish, &training);
                assert!(uses.iter().any(|one| !is_allowed(&other, one)));
            }
        }
        assert_eq!(
            training.algorithm == Algorithm::ModelAveraging,
            !proxies[&Function::Train].lines().is_empty()
        );
    }
    let never: Vec<_> = Function::ALL.into_iter().filter(|function| !called.contains(function)).collect();
    assert_eq!(never, [Function::Reach], "what only a partition calls");
}
