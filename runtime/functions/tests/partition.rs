//! Peers that cannot reach one another: the side with the quorum goes on, the others come back with its parameters, and
//! without such a side the run ends.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod driver;

use driver::{Driver, Manner, RUN, training};
use serde_json::json;
use std::collections::BTreeMap;
use stepgrad_contract::aggregation::Aggregation;
use stepgrad_contract::digest::sha256;
use stepgrad_contract::events::EvaluateReply;
use stepgrad_contract::faults::{Action, Fault, ObjectKind, Operation, Plan, Set, Target, VERSION};
use stepgrad_contract::training::{Algorithm, Every, Optimizer, Topology, Training};
use stepgrad_contract::{ErrorKind, Function, keys, view};

const MOMENTUM: Optimizer =
    Optimizer::Sgd { learning_rate: 0.1, momentum: 0.9, weight_decay: 0.0, nesterov: false };

fn plan(at: Target, action: Action) -> Plan {
    Plan { version: VERSION, seed: 1, faults: vec![Fault { id: "f".to_owned(), at, action }] }
}

fn parted(rounds: &[u32], groups: &[&[u32]]) -> Plan {
    let at = Target { round: Some(Set::of(rounds.iter().copied())), ..Target::default() };
    let groups = groups.iter().map(|group| Set::of(group.iter().copied())).collect();
    plan(at, Action::Partition { groups })
}

fn kinds() -> Vec<Training> {
    let of = |algorithm, every, aggregation| Training {
        algorithm,
        every,
        aggregation,
        quorum: 3,
        optimizer: MOMENTUM,
        retain_rounds: Some(1),
        ..training()
    };
    let batches = Every::Batches(4);
    vec![
        of(Algorithm::GradientAveraging, batches, Aggregation::Mean),
        of(Algorithm::GradientAveraging, batches, Aggregation::CoordinateMedian),
        of(Algorithm::ModelAveraging, Every::Epochs(1), Aggregation::Mean),
    ]
}

/// A run's rounds and weights.
async fn run(training: &Training, plan: &Plan, twice: bool) -> (Vec<EvaluateReply>, String) {
    let mut driver = Driver::with_faults(training.clone(), plan).await;
    driver.manner = Manner { twice, ..driver.manner };
    let (rounds, finished) = driver.run().await.unwrap();
    (rounds, finished.weights_sha256)
}

fn lost(reply: &EvaluateReply) -> Vec<(u32, &str)> {
    reply.metrics.lost.iter().map(|lost| (lost.peer, lost.error.as_str())).collect()
}

#[tokio::test]
async fn the_side_with_the_quorum_goes_on_and_the_other_comes_back() {
    for training in kinds() {
        let rounds = Training { epochs: 5, ..training };
        let (clean, unparted) = run(&rounds, &parted(&[], &[&[1], &[2, 3, 4]]), false).await;
        let plan = parted(&[2, 3], &[&[1], &[2, 3, 4]]);
        let (told, weights) = run(&rounds, &plan, false).await;
        let members: Vec<_> =
            told.iter().take(5).map(|round| (round.metrics.members, round.metrics.view)).collect();
        assert_eq!(members, [(4, 1), (3, 2), (3, 1), (4, 1), (4, 1)]);
        assert_eq!(lost(&told[1]), [(1, "Stepgrad.PeerUnreachable")]);
        // While it is cut off, it cannot have a survivor's parameters either.
        assert_eq!(lost(&told[2]), [(1, "Stepgrad.ObjectUnavailable")]);
        assert_eq!(lost(&told[3]), []);
        assert!(told[1].metrics.samples < clean[1].metrics.samples, "it does not count");
        assert_eq!(told[3].metrics.samples, clean[3].metrics.samples);
        assert_ne!(weights, unparted);
        // Every call twice, and in one process after the other: the same bytes.
        assert_eq!(run(&rounds, &plan, true).await.1, weights);
    }
}

/// Peer 3 reads all four contributions and has a replica of its own of them, which must not count.
#[tokio::test]
async fn who_reaches_all_goes_with_the_side_that_has_the_quorum() {
    for training in kinds() {
        let plan = parted(&[2], &[&[1], &[2, 4]]);
        let mut driver =
            Driver::with_faults(Training { retain_rounds: None, ..training.clone() }, &plan).await;
        let (told, _) = driver.run().await.unwrap();
        assert_eq!((told[1].metrics.members, lost(&told[1])), (3, vec![(1, "Stepgrad.PeerUnreachable")]));
        let digest = |key: String| sha256(&std::fs::read(driver.path(&key)).unwrap());
        let own = digest(keys::replica(RUN, 2, 3));
        for peer in [2, 3, 4] {
            let settled = digest(keys::in_view(keys::replica(RUN, 2, peer), view::LAST));
            assert_eq!(settled, told[1].metrics.replica);
            assert_ne!(settled, own);
        }
        assert!(!driver.path(&keys::replica(RUN, 2, 2)).exists());
        // All four go on from it.
        assert_eq!((told[2].metrics.members, told[2].metrics.view), (4, view::FIRST));
    }
}

#[tokio::test]
async fn without_a_side_that_has_the_quorum_the_run_ends() {
    for training in kinds() {
        for groups in [&[&[1, 2][..], &[3, 4]][..], &[&[1], &[2], &[3, 4]]] {
            let mut driver = Driver::with_faults(training.clone(), &parted(&[2], groups)).await;
            let error = driver.run().await.unwrap_err();
            assert_eq!(error.kind, ErrorKind::QuorumLost, "{error}");
            assert!(driver.path(&keys::replica(RUN, 1, 1)).exists(), "the last checkpoint stays");
            assert!(!driver.path(&keys::progress(RUN, 2)).exists());
        }
    }
}

/// With a quorum of two both sides have it; one goes on, and it is always the same.
#[tokio::test]
async fn of_two_sides_with_a_quorum_one_goes_on() {
    let training = Training { quorum: 2, ..kinds().remove(0) };
    let plan = parted(&[2], &[&[1, 2], &[3, 4]]);
    let (told, weights) = run(&training, &plan, false).await;
    assert_eq!(lost(&told[1]).iter().map(|lost| lost.0).collect::<Vec<_>>(), [3, 4]);
    assert_eq!(run(&training, &plan, true).await.1, weights);
}

/// No fault of the peers is needed: what one of them published is out of reach for all.
#[tokio::test]
async fn a_contribution_that_nobody_reaches_costs_its_peer_and_not_the_run() {
    let at = Target {
        round: Some(Set::of([2])),
        object: Some(vec![ObjectKind::Published]),
        operation: Some(Operation::Get),
        owner: Some(Set::of([3])),
        ..Target::default()
    };
    for training in kinds() {
        let (told, _) = run(&training, &plan(at.clone(), Action::Unavailable {}), false).await;
        assert_eq!(lost(&told[1]), [(3, "Stepgrad.PeerUnreachable")]);
        assert_eq!(told[2].metrics.members, 4);
    }
}

/// What `owners` published in round 2 is out of the server's reach.
fn cut_off(owners: &[u32]) -> Plan {
    let at = Target {
        function: Some(vec![Function::Aggregate, Function::Reach]),
        round: Some(Set::of([2])),
        object: Some(vec![ObjectKind::Published]),
        operation: Some(Operation::Get),
        owner: Some(Set::of(owners.iter().copied())),
        ..Target::default()
    };
    plan(at, Action::Unavailable {})
}

#[tokio::test]
async fn whom_the_server_does_not_reach_is_left_out_of_the_round() {
    for training in kinds() {
        let training = Training { topology: Topology::ParameterServer, ..training };
        let (clean, uncut) = run(&training, &cut_off(&[]), false).await;
        let (told, weights) = run(&training, &cut_off(&[3]), false).await;
        assert_eq!((told[1].metrics.members, told[1].metrics.view), (3, view::LAST));
        assert_eq!(lost(&told[1]), [(3, "Stepgrad.PeerUnreachable")]);
        assert!(told[1].metrics.samples < clean[1].metrics.samples, "it does not count");
        assert_eq!((told[2].metrics.members, lost(&told[2]).len()), (4, 0), "it is back");
        assert_ne!(weights, uncut);
        assert_eq!(run(&training, &cut_off(&[3]), true).await.1, weights);

        let mut driver = Driver::with_faults(training, &cut_off(&[2, 3])).await;
        let error = driver.run().await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::QuorumLost, "{error}");
        assert!(driver.path(&keys::server_replica(RUN, 1)).exists(), "the last checkpoint stays");
    }
}

/// The server's model of the second view is gone when the next round wants it.
#[tokio::test]
async fn a_lost_model_of_the_second_view_is_made_again() {
    let training = Training { topology: Topology::ParameterServer, ..kinds().remove(0) };
    let (_, weights) = run(&training, &cut_off(&[3]), false).await;
    let mut driver = Driver::with_faults(training, &cut_off(&[3])).await;
    driver.meddle = Some((3, |folder| {
        std::fs::remove_file(folder.join(keys::in_view(keys::server_replica(RUN, 2), view::LAST))).unwrap();
    }));
    assert_eq!(driver.run().await.unwrap().1.weights_sha256, weights);
}

/// Lost in the exchange of the second view: as in that of the first.
#[tokio::test]
async fn who_is_lost_in_the_second_view_costs_its_replica() {
    let training = Training { quorum: 2, retain_rounds: None, ..kinds().remove(0) };
    let mut driver = Driver::with_faults(training, &parted(&[1], &[&[1], &[2, 3, 4]])).await;
    let next = driver.begin().await.unwrap();
    let mut peers = BTreeMap::new();
    for peer in 1..=4 {
        for batch in 1..=4 {
            let event = json!({"run": RUN, "round": 1, "peer": peer, "batch": batch});
            drop(driver.call(Function::Gradient, event).await);
        }
        let event = json!({"run": RUN, "round": 1, "peer": peer});
        driver.call(Function::Combine, event.clone()).await.unwrap();
        peers.insert(peer, event);
    }
    assert_eq!(next.round, 1);
    let work: Vec<_> = (1..=4).map(|peer| json!({"peer": peer, "status": "OK"})).collect();
    let first = json!({"run": RUN, "round": 1, "view": 1, "reports": work});
    driver.call(Function::Membership, first).await.unwrap();
    let mut reports = Vec::new();
    for (peer, event) in peers {
        let reached = driver.call(Function::Reach, event).await.unwrap()["reached"].clone();
        reports.push(json!({"peer": peer, "status": "LOST", "error": "Stepgrad.ObjectUnavailable", "reached": reached}));
    }
    let second = json!({"run": RUN, "round": 1, "view": 2, "reports": reports});
    let reply = driver.call(Function::Membership, second.clone()).await.unwrap();
    assert_eq!(reply["quorum"], true);
    assert_eq!(driver.call(Function::Membership, second).await.unwrap(), reply);
    let mut replicas = vec![json!({"peer": 2, "status": "LOST", "error": "Runtime.ExitError"})];
    for peer in [3, 4] {
        let event = json!({"run": RUN, "round": 1, "view": 2, "peer": peer});
        let reply = driver.call(Function::Synchronise, event).await.unwrap();
        replicas.push(json!({"peer": peer, "status": "OK", "replica": reply["replica"]}));
    }
    let event = json!({"run": RUN, "round": 1, "view": 2, "replicas": replicas});
    let reply: EvaluateReply =
        serde_json::from_value(driver.call(Function::Evaluate, event).await.unwrap()).unwrap();
    assert_eq!(lost(&reply), [(1, "Stepgrad.PeerUnreachable"), (2, "Runtime.ExitError")]);
    let round = driver.round(&reply.next).await.unwrap();
    assert_eq!(round.metrics.members, 4, "both are back");
    for wrong in [0, 3] {
        let event = json!({"run": RUN, "round": 1, "view": wrong, "reports": []});
        let error = driver.call(Function::Membership, event).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidEvent);
    }
}
