//! Whole trainings with their objects on S3, every function in a process of its own under the engine's host: the same
//! bytes as on files, whatever happens to a writer.

use crate::driver::{Driver, RUN, digits, training};
use crate::server::{BUCKET, Server};
use crate::sources::{Shelf, put_digits};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use stepgrad_contract::Function;
use stepgrad_contract::faults::{Action, Fault, Plan, Set, Target, VERSION, When};
use stepgrad_contract::training::{Algorithm, Every, Optimizer, Topology, Training};
use stepgrad_engine::host::{Discard, FunctionConfig, Host, HostConfig, InvocationRecord};

fn host(variables: &BTreeMap<String, String>) -> Host {
    host_of(|_| variables.clone())
}

/// A host of functions that each have their own variables.
pub(crate) fn host_of(variables: impl Fn(Function) -> BTreeMap<String, String>) -> Host {
    let config = HostConfig {
        init_timeout: Duration::from_secs(60),
        ..HostConfig::new(env!("CARGO_BIN_EXE_bootstrap"))
    };
    let function = |function: Function| FunctionConfig {
        memory_mb: 2048,
        timeout_s: 120,
        environment: variables(function),
        ..FunctionConfig::new(function.name())
    };
    let functions = Function::ALL.map(function).to_vec();
    Host::new(config, functions, Arc::new(Discard), Arc::new(|_: &InvocationRecord| ())).unwrap()
}

pub(crate) fn trainings() -> [Training; 2] {
    let gradients = Training {
        optimizer: Optimizer::Sgd { learning_rate: 0.1, momentum: 0.9, weight_decay: 0.0, nesterov: false },
        retain_rounds: Some(1),
        ..training()
    };
    let models = Training {
        algorithm: Algorithm::ModelAveraging,
        topology: Topology::ParameterServer,
        every: Every::Epochs(1),
        ..gradients.clone()
    };
    [gradients, models]
}

#[tokio::test]
async fn a_training_on_s3_ends_in_the_bytes_of_one_on_files() {
    let test = "a_training_on_s3_ends_in_the_bytes_of_one_on_files";
    for training in trainings() {
        let training = Training { data: digits(), epochs: 1, batch_size: 64, ..training };
        let Some(server) = Server::start(test).await else { return };
        put_digits(&Shelf::Bucket(&server)).await;
        let on_files = Driver::new(training.clone()).await.run().await.unwrap().1;
        let mut driver = Driver::with_variables(training, &server.variables()).await;
        driver.host = Some(host(&driver.variables));
        let on_s3 = driver.run().await.unwrap().1;
        assert_eq!(on_s3, on_files);
        // Nothing of it was in the folder, and what is behind the last rounds is gone.
        assert!(!driver.path("").join(RUN).join("model.safetensors").exists());
        let store = &driver.environment.store;
        assert!(store.list(RUN).await.unwrap().iter().any(|key| key.ends_with("model.safetensors")));
        driver.host.take().unwrap().shutdown().await;
    }
}

/// A writer that is killed in the middle of its write leaves no object behind, and the next one writes it.
#[tokio::test]
async fn a_killed_writer_leaves_nothing() {
    let Some(server) = Server::start("a_killed_writer_leaves_nothing").await else { return };
    let [training, _] = trainings();
    let on_files = Driver::new(training.clone()).await.run().await.unwrap().1;
    let at = Target { attempt: Some(Set::of([0])), ..Target::default() };
    let plan = Plan {
        version: VERSION,
        seed: 1,
        faults: vec![Fault { id: "killed".to_owned(), at, action: Action::Kill { when: When::During } }],
    };
    let mut driver = Driver::with_faults_and_variables(training, &plan, &server.variables()).await;
    driver.host = Some(host(&driver.variables));
    let on_s3 = driver.run().await.unwrap().1;
    assert_eq!(on_s3.weights_sha256, on_files.weights_sha256);
    let left = server.client().list_multipart_uploads().bucket(BUCKET).send().await.unwrap();
    // Each call of each function was killed once in its first write.
    assert!(left.uploads().len() > 20, "{}", left.uploads().len());
    driver.host.take().unwrap().shutdown().await;
}
