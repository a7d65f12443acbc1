//! The handwritten digits, trained by four peers to the accuracy that the example promises.

mod driver;

use driver::{Driver, digits, training};
use stepgrad_contract::training::{Architecture, Every, Loss, Model, Optimizer, Target, Training};

#[tokio::test]
async fn four_peers_learn_the_digits() {
    let mut driver = Driver::new(Training {
        data: digits(),
        model: Model { architecture: Architecture::Cnn, loss: Loss::CrossEntropy },
        epochs: 20,
        batch_size: 32,
        optimizer: Optimizer::Sgd { learning_rate: 0.1, momentum: 0.9, weight_decay: 0.0, nesterov: false },
        target: Some(Target { accuracy: Some(0.97), loss: None }),
        every: Every::Batches(3),
        retain_rounds: Some(1),
        ..training()
    })
    .await;
    let (rounds, finished) = driver.run().await.unwrap();
    for reply in rounds.iter().filter(|reply| reply.metrics.validation.is_some()) {
        println!("{:?}", reply.metrics);
    }
    let accuracy = finished.validation.unwrap().accuracy;
    assert!(accuracy >= 0.97, "{accuracy}");
}
