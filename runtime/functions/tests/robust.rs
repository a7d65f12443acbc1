//! The exchange by robust rules: the same bytes however it is called, right against Byzantine peers, and clear
//! where more is amiss than it can bear.
#![expect(clippy::unwrap_used, reason = "a helper that fails fails the test")]

mod driver;

use driver::{Driver, Manner, RUN, training};
use serde_json::json;
use std::collections::BTreeMap;
use stepgrad_contract::aggregation::{Aggregation, Clip};
use stepgrad_contract::anomaly::{Anomalies, Why};
use stepgrad_contract::tensors::{Tensor, TensorFile};
use stepgrad_contract::training::{Algorithm, Data, Every, Optimizer, Synthetic, Topology, Training};
use stepgrad_contract::{ErrorKind, Function, keys};

const PEERS: u32 = 5;
const RULES: [Aggregation; 8] = [
    Aggregation::CoordinateMedian,
    Aggregation::TrimmedMean { trim: 1 },
    Aggregation::Krum { byzantine: 1 },
    Aggregation::MultiKrum { byzantine: 1, select: 4 },
    Aggregation::GeometricMedian,
    Aggregation::Zeno { byzantine: 1, rho: 0.0005, batches: 2 },
    Aggregation::NormClipping(Clip::MedianMultiple(1.0)),
    Aggregation::NormClipping(Clip::Threshold(0.5)),
];

/// Changes what a peer published in a round.
type Tamper = fn(u32, u32, TensorFile) -> TensorFile;

/// Five peers of 40 samples in five batches each.
fn five(aggregation: Aggregation) -> Training {
    Training {
        aggregation,
        peers: PEERS,
        quorum: PEERS,
        data: Data {
            synthetic: Some(Synthetic { samples: 250, shape: vec![5], classes: 3 }),
            ..training().data
        },
        ..training()
    }
}

fn averaging(models: bool, training: Training) -> Training {
    match models {
        true => Training { algorithm: Algorithm::ModelAveraging, every: Every::Epochs(1), ..training },
        false => training,
    }
}

fn map(file: TensorFile, change: fn(f32) -> f32) -> TensorFile {
    let changed = |(name, tensor): (String, Tensor)| {
        let values: Vec<f32> = tensor.as_f32().unwrap().into_iter().map(change).collect();
        (name, Tensor::f32(tensor.shape, &values))
    };
    TensorFile { tensors: file.tensors.into_iter().map(changed).collect(), ..file }
}

fn why(report: &Anomalies) -> Vec<(u32, Why)> {
    report.anomalous.iter().map(|anomaly| (anomaly.peer, anomaly.why)).collect()
}

#[tokio::test]
async fn the_same_bytes_however_it_is_called() {
    for rule in RULES {
        for (topology, models) in [
            (Topology::PeerToPeer, false),
            (Topology::PeerToPeer, true),
            (Topology::ParameterServer, false),
            (Topology::ParameterServer, true),
        ] {
            let optimizer =
                Optimizer::Sgd { learning_rate: 0.05, momentum: 0.9, weight_decay: 0.0, nesterov: false };
            let case = averaging(models, Training { topology, optimizer, ..five(rule) });
            let mut ends = Vec::new();
            let disturbed = Manner { twice: true, backwards: true, cold: true, ..Manner::default() };
            for manner in [Manner::default(), disturbed] {
                let mut driver = Driver::new(case.clone()).await;
                driver.manner = manner;
                let (rounds, finished) = driver.run().await.unwrap();
                assert!(rounds.len() > 2);
                let accuracy = finished.validation.unwrap().accuracy;
                assert!(accuracy > 0.5, "{rule:?} {topology:?}, models {models}: {accuracy}");
                ends.push((finished.weights_sha256, rounds.last().unwrap().metrics.anomalous.clone()));
            }
            assert_eq!(ends[0], ends[1], "{rule:?} {topology:?}, models {models}");
        }
    }
}

/// Peer 2 publishes numbers that are none, peer 4 tensors of another model or nothing.
#[tokio::test]
async fn what_is_no_contribution_is_left_out_and_told() {
    let not_finite = |_, peer, file: TensorFile| match peer {
        2 => map(file, |_| f32::NAN),
        _ => file,
    };
    let infinite_loss = |_, peer, mut file: TensorFile| {
        if peer == 2 {
            file.sums.loss = f64::INFINITY;
        }
        file
    };
    let misfit = |_, peer, mut file: TensorFile| {
        if peer == 2 {
            file.tensors.pop_first();
        }
        file
    };
    let empty = |_, peer, file: TensorFile| if peer == 2 { TensorFile::default() } else { file };
    // Two such losses have no sum.
    let huge_loss = |_, peer, mut file: TensorFile| {
        if peer == 2 {
            file.sums.loss = 1e308;
        }
        file
    };
    // A fine gradient, and claims that would drive what is decided by loss and accuracy.
    let no_loss = |_, peer, mut file: TensorFile| {
        if peer == 2 {
            file.sums.loss = -1e9;
        }
        file
    };
    let all_right = |_, peer, mut file: TensorFile| {
        if peer == 2 {
            file.sums.correct = u64::MAX;
        }
        file
    };
    let countless = |_, peer, mut file: TensorFile| {
        if peer == 2 {
            file.sums.samples = u64::MAX;
        }
        file
    };
    let one_more = |_, peer, mut file: TensorFile| {
        if peer == 2 {
            file.sums.samples += 1;
        }
        file
    };
    let cases: [(Tamper, Why); 9] = [
        (huge_loss, Why::NotFinite),
        (no_loss, Why::Misfit),
        (all_right, Why::Misfit),
        (countless, Why::Unscheduled),
        (one_more, Why::Unscheduled),
        (not_finite, Why::NotFinite),
        (infinite_loss, Why::NotFinite),
        (misfit, Why::Misfit),
        (empty, Why::Unscheduled),
    ];
    for rule in RULES {
        for models in [false, true] {
            let mut clean = Driver::new(averaging(models, five(rule))).await;
            let (_, clean) = clean.run().await.unwrap();
            for (tamper, expected) in cases {
                let mut driver = Driver::new(averaging(models, five(rule))).await;
                driver.tamper = Some(tamper);
                let (rounds, finished) = driver.run().await.unwrap();
                for reply in &rounds {
                    let told: Vec<_> =
                        reply.metrics.anomalous.iter().filter(|anomaly| anomaly.peer == 2).collect();
                    assert_eq!((told.len(), told[0].why), (1, expected), "{rule:?}");
                    // Its samples are not counted either.
                    assert!(reply.metrics.samples > 0 && reply.metrics.training.unwrap().loss.is_finite());
                }
                let (found, best) =
                    (finished.validation.unwrap().accuracy, clean.validation.unwrap().accuracy);
                assert!(found > best - 0.1, "{rule:?} {expected:?}: {found} {best}");
            }
        }
    }
    // The mean has no way to tell.
    let mut driver = Driver::new(five(Aggregation::Mean)).await;
    driver.tamper = Some(not_finite);
    assert_eq!(driver.run().await.unwrap_err().kind, ErrorKind::NotFinite);
}

#[tokio::test]
async fn one_that_pushes_the_wrong_way_is_borne() {
    let pushes = |_, peer, file| if peer == 3 { map(file, |value| value * -50.0) } else { file };
    let accuracy = async |rule: Aggregation| {
        let mut clean = Driver::new(five(rule)).await;
        let (_, clean) = clean.run().await.unwrap();
        let mut driver = Driver::new(five(rule)).await;
        driver.tamper = Some(pushes);
        let (rounds, finished) = driver.run().await.unwrap();
        let told = rounds.iter().all(|reply| reply.metrics.anomalous.iter().any(|anomaly| anomaly.peer == 3));
        assert!(told || rule.is_mean(), "{rule:?}");
        (clean.validation.unwrap().accuracy, finished.validation.unwrap().accuracy)
    };
    let (clean, pushed) = accuracy(Aggregation::Mean).await;
    assert!(pushed < clean - 0.3, "{clean} {pushed}");
    let mut far = Vec::new();
    for rule in RULES {
        let (clean, pushed) = accuracy(rule).await;
        // Of 50 held-out samples.
        if pushed < clean - 0.2 {
            far.push((rule, clean, pushed));
        }
    }
    assert!(far.is_empty(), "{far:?}");
}

#[tokio::test]
async fn more_than_is_borne_ends_the_run() {
    let two = |_, peer, file| if peer <= 2 { map(file, |_| f32::INFINITY) } else { file };
    let mut driver = Driver::new(five(Aggregation::Krum { byzantine: 1 })).await;
    driver.tamper = Some(two);
    let error = driver.run().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::RobustnessLost);
    assert!(error.message.contains("krum bears 1"), "{error}");

    // Lost peers are not caught ones: nothing is known of who is left.
    let mut driver = Driver::new(Training { quorum: 1, ..five(Aggregation::Krum { byzantine: 1 }) }).await;
    driver.lost = BTreeMap::from([(2, vec![5])]);
    let error = driver.run().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::RobustnessLost);
    assert!(error.message.contains("needs 5") && error.message.contains("has 4"), "{error}");

    // Where nobody has numbers, it is the training that ran away.
    let all = |_, _, file| map(file, |_| f32::NAN);
    let mut driver = Driver::new(five(Aggregation::CoordinateMedian)).await;
    driver.tamper = Some(all);
    let error = driver.run().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFinite);
    assert!(error.message.contains("learning_rate"), "{error}");
}

/// Shards of 16 and 17 samples in batches of eight: in an epoch's last round few peers have one left.
#[tokio::test]
async fn a_round_with_too_few_at_work_changes_nothing_and_says_so() {
    for models in [false, true] {
        let rule = Aggregation::TrimmedMean { trim: 1 };
        let synthetic = Some(Synthetic { samples: 102, shape: vec![5], classes: 3 });
        let data = Data { synthetic, ..five(rule).data };
        let case = Training { data, every: Every::Batches(1), ..five(rule) };
        let algorithm = if models { Algorithm::ModelAveraging } else { Algorithm::GradientAveraging };
        let mut driver = Driver::new(Training { algorithm, epochs: 1, ..case }).await;
        let (rounds, _) = driver.run().await.unwrap();
        let skipped: Vec<_> = rounds.iter().filter(|reply| reply.metrics.skipped.is_some()).collect();
        assert!(!skipped.is_empty() && skipped.len() < rounds.len(), "{} of {}", skipped.len(), rounds.len());
        for reply in &rounds {
            let round = reply.metrics.round;
            let start = match round {
                1 => keys::server_replica(RUN, 0),
                _ => keys::replica(RUN, round - 1, 1),
            };
            let same = driver.tensors(&start).await == driver.tensors(&keys::replica(RUN, round, 1)).await;
            assert_eq!(same, reply.metrics.skipped.is_some(), "round {round}");
            let report: Anomalies =
                driver.environment.store.get_json(&keys::anomalies(RUN, round)).await.unwrap();
            assert_eq!(
                (&report.skipped, why(&report).len()),
                (&reply.metrics.skipped, reply.metrics.anomalous.len())
            );
        }
        let text = skipped[0].metrics.skipped.clone().unwrap();
        assert!(
            text.ends_with("and trimmed_mean needs 3") && text.contains("of 5 peers have batches"),
            "{text}"
        );
    }
}

/// Shards of 16 and 17 samples in batches of eight: in the epoch's last round four of five peers have one left. That
/// is enough; two of these four lost are a loss, and no matter of the schedule.
#[tokio::test]
async fn a_thin_round_without_its_peers_ends_the_run() {
    let synthetic = Some(Synthetic { samples: 105, shape: vec![5], classes: 3 });
    let data = Data { synthetic, ..training().data };
    let rule = Aggregation::TrimmedMean { trim: 1 };
    let case = Training { data, every: Every::Batches(1), epochs: 1, quorum: 3, ..five(rule) };
    let (rounds, _) = Driver::new(case.clone()).await.run().await.unwrap();
    assert!(rounds.iter().all(|reply| reply.metrics.skipped.is_none()));
    assert_eq!(rounds.len(), 3);
    let mut driver = Driver::new(case).await;
    driver.lost = BTreeMap::from([(3, vec![1, 2])]);
    let error = driver.run().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::RobustnessLost, "{error}");
    assert!(error.message.contains("needs 3") && error.message.contains("has 2"), "{error}");
}

/// What an honest peer claims is what the schedule has for it, however rounds cut epochs and shards.
#[tokio::test]
async fn no_honest_claim_is_caught() {
    let synthetic = Some(Synthetic { samples: 103, shape: vec![5], classes: 3 });
    let data = Data { synthetic, ..training().data };
    let case = Training { data, epochs: 2, ..five(Aggregation::CoordinateMedian) };
    for (models, local_epochs, every) in [
        (false, 1, Every::Batches(1)),
        (false, 1, Every::Batches(2)),
        (false, 1, Every::Epochs(1)),
        (true, 1, Every::Batches(2)),
        (true, 2, Every::Batches(2)),
        (true, 2, Every::Batches(4)),
        (true, 3, Every::Epochs(1)),
        (true, 1, Every::Epochs(2)),
    ] {
        let algorithm = if models { Algorithm::ModelAveraging } else { Algorithm::GradientAveraging };
        let mut driver = Driver::new(Training { algorithm, local_epochs, every, ..case.clone() }).await;
        let (rounds, _) = driver.run().await.unwrap();
        let caught =
            rounds.iter().flat_map(|reply| &reply.metrics.anomalous).filter(|one| one.why.is_caught());
        assert_eq!(caught.count(), 0, "models {models}, {local_epochs} {every:?}");
    }
}

/// Rules that look at what a round starts from hold on to it for the step; the others let go of it, to have room for
/// the files of all peers, and read it again.
#[tokio::test]
async fn a_round_s_start_is_read_once_where_the_rule_needs_it() {
    let read = async |rule: Aggregation| {
        let mut driver = Driver::new(five(rule)).await;
        driver.manner.cold = true;
        let next = driver.begin().await.unwrap();
        driver.round(&next).await.unwrap();
        driver.call(Function::Synchronise, json!({"run": RUN, "round": 1, "peer": 1})).await.unwrap();
        driver.environment.store.traffic().objects_read
    };
    let others = read(Aggregation::Krum { byzantine: 1 }).await;
    assert_eq!(read(Aggregation::NormClipping(Clip::MedianMultiple(1.0))).await, others - 1);
    // And the held-out batch.
    let zeno = Aggregation::Zeno { byzantine: 1, rho: 0.0005, batches: 2 };
    assert_eq!(read(zeno).await, others);
}
