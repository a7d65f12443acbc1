//! The right numbers: after every round the parameters are those of a plain, single-process implementation in
//! double precision, written apart from the handlers.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a helper that fails fails the test")]

#[path = "../driver/mod.rs"]
mod driver;
mod plain;

use driver::{Driver, RUN, training};
use plain::{Network, Parameters, Plain};
use stepgrad_contract::keys;
use stepgrad_contract::training::{
    Algorithm, Architecture, Every, Loss, Model, Optimizer, ReduceLrOnPlateau, Topology, Training,
};

/// Runs `training` by the handlers and by the plain implementation, and compares after every round.
async fn compare(training: Training) {
    let what = format!(
        "{:?} {:?} {:?} {:?}, {} peers",
        training.model.architecture, training.algorithm, training.topology, training.every, training.peers
    );
    let mut driver = Driver::new(training.clone()).await;
    let mut next = driver.begin().await.unwrap();
    let initial = Parameters::of(&driver.tensors(&keys::server_replica(RUN, 0)).await);
    let mut plain = Plain::new(&driver, initial).await;
    let mut rounds = 0;
    loop {
        let reply = driver.round(&next).await.unwrap();
        plain.round(next.round);
        rounds += 1;
        let replicas: Vec<String> = match training.topology {
            Topology::ParameterServer => vec![keys::server_replica(RUN, next.round)],
            Topology::PeerToPeer => {
                (1..=training.peers).map(|peer| keys::replica(RUN, next.round, peer)).collect()
            }
        };
        for key in replicas {
            let found = Parameters::of(&driver.tensors(&key).await);
            let difference = found.difference(&plain.parameters);
            assert!(difference < 1e-5, "{what}: round {} is {difference:e} off", next.round);
        }
        assert_eq!(reply.metrics.stop.is_some(), plain.done, "{what}: round {}", next.round);
        if let Some(validation) = reply.metrics.validation {
            let expected = plain.validation_loss;
            assert!(
                (validation.loss - expected).abs() < 1e-5 * expected,
                "{what}: {} {expected}",
                validation.loss
            );
        }
        if plain.done {
            break;
        }
        assert!((reply.next.round, plain.learning_rate > 0.0) == (next.round + 1, true));
        next = reply.next;
    }
    assert!(rounds > 2, "{what}: {rounds} rounds");
}

fn cases(algorithm: Algorithm, topology: Topology) -> Vec<Training> {
    let plain = Optimizer::Sgd { learning_rate: 0.1, momentum: 0.0, weight_decay: 0.0, nesterov: false };
    let heavy = Optimizer::Sgd { learning_rate: 0.2, momentum: 0.9, weight_decay: 0.01, nesterov: false };
    let nesterov = Optimizer::Sgd { learning_rate: 0.05, momentum: 0.8, weight_decay: 0.001, nesterov: true };
    let plateau = ReduceLrOnPlateau { factor: 0.5, patience: 0, min_learning_rate: 0.001 };
    let every = match algorithm {
        Algorithm::GradientAveraging => [Every::Epochs(1), Every::Batches(2)],
        Algorithm::ModelAveraging => [Every::Epochs(2), Every::Batches(3)],
    };
    let mut cases = Vec::new();
    for architecture in [Architecture::LogisticRegression, Architecture::Mlp] {
        for peers in [1, 4] {
            for (every, optimizer) in every
                .into_iter()
                .flat_map(|every| [&plain, &heavy, &nesterov].map(|optimizer| (every, optimizer.clone())))
            {
                cases.push(Training {
                    model: Model { architecture, loss: Loss::CrossEntropy },
                    algorithm,
                    topology,
                    peers,
                    every,
                    optimizer,
                    reduce_lr_on_plateau: Some(plateau.clone()),
                    epochs: 5,
                    local_epochs: if algorithm == Algorithm::ModelAveraging { 2 } else { 1 },
                    ..training()
                });
            }
        }
    }
    cases
}

#[tokio::test]
async fn gradient_averaging_between_peers() {
    for case in cases(Algorithm::GradientAveraging, Topology::PeerToPeer) {
        compare(case).await;
    }
}

#[tokio::test]
async fn gradient_averaging_at_a_server() {
    for case in cases(Algorithm::GradientAveraging, Topology::ParameterServer) {
        compare(case).await;
    }
}

#[tokio::test]
async fn model_averaging_between_peers() {
    for case in cases(Algorithm::ModelAveraging, Topology::PeerToPeer) {
        compare(case).await;
    }
}

#[tokio::test]
async fn model_averaging_at_a_server() {
    for case in cases(Algorithm::ModelAveraging, Topology::ParameterServer) {
        compare(case).await;
    }
}

#[tokio::test]
async fn the_gradient_of_all_batches_is_the_full_batch_gradient() {
    for architecture in [Architecture::LogisticRegression, Architecture::Mlp] {
        let model = Model { architecture, loss: Loss::CrossEntropy };
        let training = Training { model, every: Every::Epochs(1), ..training() };
        let mut shared = Driver::new(training.clone()).await;
        let next = shared.begin().await.unwrap();
        shared.round(&next).await.unwrap();
        let mut whole = Driver::new(Training { peers: 1, batch_size: 1_000, ..training }).await;
        let next = whole.begin().await.unwrap();
        whole.round(&next).await.unwrap();

        let (mut mean, mut samples) = (None::<Parameters>, 0.0);
        for peer in 1..=4 {
            let file = shared.tensors(&keys::published(RUN, 1, peer)).await;
            let weight = file.sums.samples as f64;
            let weighted = Parameters::of(&file).scaled(weight);
            mean = Some(match mean {
                Some(mean) => mean.plus(&weighted),
                None => weighted,
            });
            samples += weight;
        }
        let found = mean.unwrap().scaled(1.0 / samples);
        let file = whole.tensors(&keys::published(RUN, 1, 1)).await;
        assert_eq!(file.sums.samples as f64, samples);
        assert!(found.difference(&Parameters::of(&file)) < 1e-5);

        // And it is the plain implementation's.
        let initial = Parameters::of(&whole.tensors(&keys::server_replica(RUN, 0)).await);
        let batch = plain::Samples::of(&whole.tensors(&keys::batch(RUN, 1, 1)).await);
        let (sum, _) = Network::of(architecture).gradient_sum(&initial, &batch);
        assert!(found.difference(&sum.scaled(1.0 / samples)) < 1e-5);
    }
}
