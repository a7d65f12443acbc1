//! Gradient and model averaging in plain Rust: one process, double precision, no tch, and of the crate under
//! test nothing but the drawn order of batches.

use crate::driver::{Driver, RUN};
use std::collections::BTreeMap;
use stepgrad_contract::keys;
use stepgrad_contract::manifest::Manifest;
use stepgrad_contract::tensors::TensorFile;
use stepgrad_contract::training::{Algorithm, Architecture, Every, Optimizer, Training};
use stepgrad_runtime::data::order;

/// Tensors by name, in double precision.
#[derive(Clone, Debug)]
pub(crate) struct Parameters(BTreeMap<String, Vec<f64>>);

impl Parameters {
    pub(crate) fn of(file: &TensorFile) -> Self {
        let tensors = file.tensors.iter();
        Self(tensors.map(|(name, tensor)| (name.clone(), widen(&tensor.as_f32().unwrap()))).collect())
    }

    pub(crate) fn scaled(&self, factor: f64) -> Self {
        let scale = |(name, values): (&String, &Vec<f64>)| {
            (name.clone(), values.iter().map(|v| v * factor).collect())
        };
        Self(self.0.iter().map(scale).collect())
    }

    pub(crate) fn plus(&self, other: &Self) -> Self {
        let add = |(name, values): (&String, &Vec<f64>)| {
            (name.clone(), values.iter().zip(&other.0[name]).map(|(one, other)| one + other).collect())
        };
        Self(self.0.iter().map(add).collect())
    }

    /// The largest difference in a tensor, relative to its largest value; of the worst tensor.
    pub(crate) fn difference(&self, other: &Self) -> f64 {
        assert_eq!(self.0.keys().collect::<Vec<_>>(), other.0.keys().collect::<Vec<_>>());
        let of = |name: &String| {
            let (one, other) = (&self.0[name], &other.0[name]);
            // A maximum passes over NaN.
            assert!(one.iter().chain(other).all(|value| value.is_finite()), "{name} is not finite");
            let largest = other.iter().map(|value| value.abs()).fold(0.0, f64::max);
            one.iter().zip(other).map(|(one, other)| (one - other).abs()).fold(0.0, f64::max) / largest
        };
        self.0.keys().map(of).fold(0.0, f64::max)
    }
}

fn widen(values: &[f32]) -> Vec<f64> {
    values.iter().map(|value| f64::from(*value)).collect()
}

/// Rows and their classes.
#[derive(Clone)]
pub(crate) struct Samples(Vec<(Vec<f64>, usize)>);

impl Samples {
    pub(crate) fn of(file: &TensorFile) -> Self {
        let (x, y) = (&file.tensors["x"], file.tensors["y"].as_i64().unwrap());
        let rows = widen(&x.as_f32().unwrap());
        let rows = rows.chunks(rows.len() / y.len()).map(<[f64]>::to_vec);
        Self(rows.zip(y.iter().map(|class| *class as usize)).collect())
    }
}

/// Layers of weights and biases with rectifiers between them.
pub(crate) struct Network(Vec<&'static str>);

impl Network {
    pub(crate) fn of(architecture: Architecture) -> Self {
        match architecture {
            Architecture::LogisticRegression => Self(vec!["linear"]),
            Architecture::Mlp => Self(vec!["hidden", "output"]),
            other => panic!("{other:?}"),
        }
    }

    /// The sum over samples of the gradient of the cross-entropy, and of the cross-entropy.
    pub(crate) fn gradient_sum(&self, at: &Parameters, samples: &Samples) -> (Parameters, f64) {
        let (mut sum, mut loss) = (at.scaled(0.0), 0.0);
        for (row, class) in &samples.0 {
            // Inputs of each layer.
            let mut inputs = vec![row.clone()];
            for (place, layer) in self.0.iter().enumerate() {
                let (weights, biases) = (&at.0[&format!("{layer}.weight")], &at.0[&format!("{layer}.bias")]);
                let input = &inputs[place];
                let mut output: Vec<f64> = weights
                    .chunks(input.len())
                    .zip(biases)
                    .map(|(weights, bias)| weights.iter().zip(input).map(|(w, x)| w * x).sum::<f64>() + bias)
                    .collect();
                if place + 1 < self.0.len() {
                    output.iter_mut().for_each(|value| *value = value.max(0.0));
                }
                inputs.push(output);
            }
            let scores = inputs.pop().unwrap();
            let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let total: f64 = scores.iter().map(|score| (score - largest).exp()).sum();
            loss += total.ln() + largest - scores[*class];
            let mut slope: Vec<f64> = scores.iter().map(|score| (score - largest).exp() / total).collect();
            slope[*class] -= 1.0;
            for (layer, input) in self.0.iter().zip(&inputs).rev() {
                let weights = &at.0[&format!("{layer}.weight")];
                let mut below = vec![0.0; input.len()];
                for ((weights, sums), slope) in weights
                    .chunks(input.len())
                    .zip(sum.0.get_mut(&format!("{layer}.weight")).unwrap().chunks_mut(input.len()))
                    .zip(&slope)
                {
                    for (place, x) in input.iter().enumerate() {
                        sums[place] += slope * x;
                        below[place] += slope * weights[place];
                    }
                }
                let biases = sum.0.get_mut(&format!("{layer}.bias")).unwrap();
                biases.iter_mut().zip(&slope).for_each(|(bias, slope)| *bias += slope);
                // Back through the rectifier that made the input.
                slope =
                    below.iter().zip(input).map(|(below, x)| if *x > 0.0 { *below } else { 0.0 }).collect();
            }
        }
        (sum, loss)
    }
}

/// `torch.optim.SGD`, from its documentation.
#[derive(Clone, Default)]
struct Sgd {
    momentum: Option<Parameters>,
}

impl Sgd {
    fn step(&mut self, optimizer: &Optimizer, rate: f64, parameters: &mut Parameters, gradient: &Parameters) {
        let Optimizer::Sgd { momentum, weight_decay, nesterov, .. } = *optimizer;
        let gradient = gradient.plus(&parameters.scaled(weight_decay));
        let buffer = match &self.momentum {
            Some(before) => before.scaled(momentum).plus(&gradient),
            None => gradient.clone(),
        };
        let direction = if nesterov { gradient.plus(&buffer.scaled(momentum)) } else { buffer.clone() };
        *parameters = parameters.plus(&direction.scaled(-rate));
        self.momentum = Some(buffer);
    }
}

/// The plain implementation of one training.
pub(crate) struct Plain {
    training: Training,
    network: Network,
    /// Batches of each peer, by their place in the shard.
    shards: Vec<Vec<Samples>>,
    validation: Samples,
    pub(crate) parameters: Parameters,
    pub(crate) learning_rate: f64,
    pub(crate) validation_loss: f64,
    pub(crate) done: bool,
    global: Sgd,
    local: Vec<Sgd>,
    best: f64,
}

impl Plain {
    pub(crate) async fn new(driver: &Driver, parameters: Parameters) -> Self {
        let store = &driver.environment.store;
        let manifest: Manifest = store.get_document(&keys::manifest(RUN)).await.unwrap();
        let mut shards = Vec::new();
        for (shard, peer) in manifest.shards.iter().zip(1..) {
            let mut batches = Vec::new();
            for batch in 1..=shard.batches {
                batches.push(Samples::of(&driver.tensors(&keys::batch(RUN, peer, batch)).await));
            }
            shards.push(batches);
        }
        let mut validation = Samples(Vec::new());
        for batch in 1..=manifest.validation.batches {
            validation.0.extend(Samples::of(&driver.tensors(&keys::validation_batch(RUN, batch)).await).0);
        }
        let training = driver.training.clone();
        let Optimizer::Sgd { learning_rate, .. } = training.optimizer;
        Self {
            network: Network::of(training.model.architecture),
            local: vec![Sgd::default(); shards.len()],
            training,
            shards,
            validation,
            parameters,
            learning_rate,
            validation_loss: f64::NAN,
            done: false,
            global: Sgd::default(),
            best: f64::INFINITY,
        }
    }

    /// A peer's batches of all its passes of one epoch, in order.
    fn epoch(&self, peer: usize, epoch: u32) -> Vec<&Samples> {
        let passes = self.training.local_epochs;
        let passes = (epoch - 1) * passes + 1..=epoch * passes;
        let shard = &self.shards[peer];
        let order = |pass| order::batches(self.training.seed, pass, peer as u32 + 1, shard.len() as u32);
        passes.flat_map(order).map(|batch| &shard[batch as usize - 1]).collect()
    }

    pub(crate) fn round(&mut self, round: u32) {
        let longest = (0..self.shards.len()).map(|peer| self.epoch(peer, 1).len()).max().unwrap();
        // The epochs of the round, and which places of them: all, or a window.
        let (epochs, window) = match self.training.every {
            Every::Epochs(k) => ((round - 1) * k + 1..=(round * k).min(self.training.epochs), None),
            Every::Batches(k) => {
                let rounds = longest.div_ceil(k as usize) as u32;
                let (epoch, place) = ((round - 1) / rounds + 1, ((round - 1) % rounds * k) as usize);
                (epoch..=epoch, Some((place, place + k as usize)))
            }
        };
        let ends_epoch = window.is_none_or(|(_, end)| end >= longest);
        let last = *epochs.end() == self.training.epochs && ends_epoch;
        let work: Vec<Vec<Samples>> = (0..self.shards.len())
            .map(|peer| {
                let batches: Vec<&Samples> =
                    epochs.clone().flat_map(|epoch| self.epoch(peer, epoch)).collect();
                let (start, end) = window.unwrap_or((0, batches.len()));
                batches[start.min(batches.len())..end.min(batches.len())]
                    .iter()
                    .map(|batch| (*batch).clone())
                    .collect()
            })
            .collect();
        match self.training.algorithm {
            Algorithm::GradientAveraging => {
                let all = Samples(work.into_iter().flatten().flat_map(|batch| batch.0).collect());
                let (sum, _) = self.network.gradient_sum(&self.parameters, &all);
                let gradient = sum.scaled(1.0 / all.0.len() as f64);
                let Self { training, parameters, learning_rate, .. } = self;
                self.global.step(&training.optimizer, *learning_rate, parameters, &gradient);
            }
            Algorithm::ModelAveraging => {
                let (mut sum, mut samples) = (self.parameters.scaled(0.0), 0.0);
                for (peer, batches) in work.iter().enumerate() {
                    let mut local = self.parameters.clone();
                    let mut weight = 0.0;
                    for batch in batches {
                        let (gradient, _) = self.network.gradient_sum(&local, batch);
                        let gradient = gradient.scaled(1.0 / batch.0.len() as f64);
                        self.local[peer].step(
                            &self.training.optimizer,
                            self.learning_rate,
                            &mut local,
                            &gradient,
                        );
                        weight += batch.0.len() as f64;
                    }
                    if window.is_none() {
                        weight /= f64::from(self.training.local_epochs) * epochs.clone().count() as f64;
                    }
                    sum = sum.plus(&local.scaled(weight));
                    samples += weight;
                }
                self.parameters = sum.scaled(1.0 / samples);
            }
        }
        if ends_epoch {
            let (_, loss) = self.network.gradient_sum(&self.parameters, &self.validation);
            self.validation_loss = loss / self.validation.0.len() as f64;
            // Patience 0: every loss that is not better by the threshold lowers the rate.
            let plateau = self.training.reduce_lr_on_plateau.as_ref().unwrap();
            if self.validation_loss < self.best * (1.0 - 1e-4) {
                self.best = self.validation_loss;
            } else {
                self.learning_rate = (self.learning_rate * plateau.factor).max(plateau.min_learning_rate);
            }
        }
        self.done = last;
    }
}
