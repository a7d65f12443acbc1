//! The handwritten digits, trained by four peers to the accuracy that the example promises.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a helper that fails fails the test, and says how it went"
)]

mod driver;

use driver::{Driver, digits, training};
use stepgrad_contract::training::{
    Algorithm, Architecture, Data, Every, Loss, Model, Optimizer, Partition, Preprocess, Target, Topology,
    Training,
};

fn digits_with(architecture: Architecture, loss: Loss) -> Training {
    Training {
        data: Data { preprocess: vec![Preprocess::Standardize], ..digits() },
        model: Model { architecture, loss },
        epochs: 20,
        batch_size: 32,
        optimizer: Optimizer::Sgd { learning_rate: 0.05, momentum: 0.9, weight_decay: 0.0, nesterov: false },
        every: Every::Batches(2),
        retain_rounds: Some(1),
        ..training()
    }
}

async fn accuracy(training: Training) -> f64 {
    let (_, finished) = Driver::new(training).await.run().await.unwrap();
    println!("{finished:?}");
    finished.validation.unwrap().accuracy
}

#[tokio::test]
async fn four_peers_learn_the_digits() {
    let target = Some(Target { accuracy: Some(0.97), loss: None });
    let cnn = digits_with(Architecture::Cnn, Loss::CrossEntropy);
    assert!(accuracy(Training { target, ..cnn }).await >= 0.97);
    let small = |architecture, loss| Training { epochs: 10, ..digits_with(architecture, loss) };
    assert!(accuracy(small(Architecture::LogisticRegression, Loss::CrossEntropy)).await >= 0.93);
    assert!(accuracy(small(Architecture::Svm, Loss::Hinge)).await >= 0.93);
    assert!(accuracy(small(Architecture::Mlp, Loss::CrossEntropy)).await >= 0.95);
}

/// Workers train an epoch on skewed shards; a server averages their models.
#[tokio::test]
async fn four_workers_learn_the_digits_with_a_server() {
    let cnn = digits_with(Architecture::Cnn, Loss::CrossEntropy);
    let training = Training {
        data: Data { partition: Partition::Dirichlet(0.5), ..cnn.data },
        algorithm: Algorithm::ModelAveraging,
        topology: Topology::ParameterServer,
        every: Every::Epochs(1),
        local_epochs: 2,
        target: Some(Target { accuracy: Some(0.97), loss: None }),
        ..cnn
    };
    assert!(accuracy(training).await >= 0.97);
}
