//! The handwritten digits, trained by four peers to the accuracy that the example promises.

mod driver;

use driver::{Driver, digits, training};
use stepgrad_contract::training::{
    Architecture, Data, Every, Loss, Model, Optimizer, Preprocess, Target, Training,
};

#[tokio::test]
async fn four_peers_learn_the_digits() {
    let mut driver = Driver::new(Training {
        data: Data { preprocess: vec![Preprocess::Standardize], ..digits() },
        model: Model { architecture: Architecture::Cnn, loss: Loss::CrossEntropy },
        epochs: 20,
        batch_size: 32,
        optimizer: Optimizer::Sgd { learning_rate: 0.05, momentum: 0.9, weight_decay: 0.0, nesterov: false },
        target: Some(Target { accuracy: Some(0.97), loss: None }),
        every: Every::Batches(2),
        retain_rounds: Some(1),
        ..training()
    })
    .await;
    let (_, finished) = driver.run().await.unwrap();
    let accuracy = finished.validation.unwrap().accuracy;
    assert!(accuracy >= 0.97, "{accuracy}");
}
