//! What the functions need to know of a spec.

use crate::bound::Bounds;
use crate::spec::{self, Spec};
use stepgrad_contract::Function;
use stepgrad_contract::budget::Budget;
use stepgrad_contract::training::{
    self, Algorithm, Data, EarlyStopping, HandOver, Model, Optimizer, ReduceLrOnPlateau, Synthetic, Target,
    Training, Validation,
};

/// Rounds whose objects are kept behind the current one: a late call of the last round still finds its inputs.
const RETAIN_ROUNDS: u32 = 1;

/// The training configuration of a spec.
pub(crate) fn configuration(spec: &Spec, bounds: &Bounds, budget: Option<Budget>) -> Training {
    let training = &spec.training;
    let spec::Optimizer::Sgd(sgd) = &training.optimizer.value;
    Training {
        version: training::VERSION,
        name: spec.name.value.clone(),
        seed: spec.seed.value,
        data: data(&spec.data),
        model: Model { architecture: spec.model.architecture.value, loss: spec.model.loss.value },
        algorithm: training.algorithm.value,
        epochs: training.epochs.value,
        batch_size: training.batch_size.value,
        local_epochs: training.local_epochs.value,
        optimizer: Optimizer::Sgd {
            learning_rate: sgd.learning_rate.value,
            momentum: sgd.momentum.value,
            weight_decay: sgd.weight_decay.value,
            nesterov: sgd.nesterov.value,
        },
        reduce_lr_on_plateau: training.reduce_lr_on_plateau.as_ref().map(|plateau| ReduceLrOnPlateau {
            factor: plateau.factor.value,
            patience: plateau.patience.value,
            min_learning_rate: plateau.min_learning_rate.value,
        }),
        early_stopping: training
            .early_stopping
            .as_ref()
            .map(|stopping| EarlyStopping { patience: stopping.patience.value }),
        target: training.target.as_ref().map(|target| Target {
            accuracy: target.accuracy.as_ref().map(|accuracy| accuracy.value),
            loss: target.loss.as_ref().map(|loss| loss.value),
        }),
        topology: spec.topology.kind.value,
        peers: spec.topology.peers.value,
        every: spec.exchange.every.value,
        aggregation: spec.exchange.aggregation.value,
        public_keys: spec.exchange.signatures.as_ref().map(|signatures| {
            // The spec's reader has refused what is none.
            signatures.public_keys.iter().filter_map(|key| key.parse().ok()).collect()
        }),
        quorum: spec.fault_tolerance.quorum.value,
        gone_after_rounds: spec.fault_tolerance.gone_after_rounds.as_ref().map(|rounds| rounds.value),
        hand_over: HandOver {
            at_most: spec.functions.hand_over.at_most.value,
            reserve_s: spec.functions.hand_over.reserve_s.as_ref().map(|reserve| reserve.value),
            train_timeout_s: (training.algorithm.value == Algorithm::ModelAveraging)
                .then(|| spec.functions.of(Function::Train).timeout_s.value),
        },
        metrics: spec.functions.metrics.value,
        budget,
        max_concurrency: spec.functions.max_concurrency.value,
        carriers: bounds.carriers,
        rounds_per_segment: bounds.rounds_per_segment,
        retain_rounds: Some(RETAIN_ROUNDS),
        faults: None,
    }
}

fn data(data: &spec::Data) -> Data {
    Data {
        source: data.source.as_ref().map(|source| source.value.clone()).unwrap_or_default(),
        format: data.format.value,
        validation: data.validation.as_ref().map(|validation| match &validation.value {
            spec::Validation::Share(share) => Validation::Share(*share),
            spec::Validation::Source { source } => Validation::Source(source.value.clone()),
        }),
        preprocess: data.preprocess.iter().map(|step| step.value).collect(),
        partition: data.partition.value.clone(),
        label: data.label.as_ref().map(|label| label.value.clone()),
        synthetic: data.synthetic.as_ref().map(|synthetic| Synthetic {
            samples: synthetic.samples.value,
            shape: synthetic.shape.value.clone(),
            classes: synthetic.classes.value,
        }),
    }
}
