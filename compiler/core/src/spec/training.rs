//! `training`: what is computed, how long, and when it ends.

use super::choice::{Choice, Named, choice};
use super::data::Data;
use super::decode::{
    BELOW_ONE, Expected, Fields, Findings, INSIDE_UNIT, NOT_NEGATIVE, POSITIVE, UP_TO_ONE, Value, boolean,
    number, whole,
};
use super::exchange::Exchange;
use super::spanned::Spanned;
use super::topology::Topology;
use super::tree::{Kind, shown};
use crate::diagnostic::{Code, Diagnostic};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use std::ops::RangeInclusive;
use stepgrad_contract::training::{Algorithm, Every, Topology as Shape};

const EPOCHS: RangeInclusive<u32> = 1..=1_000_000;
const BATCH_SIZE: RangeInclusive<u32> = 1..=1_000_000;
const LOCAL_EPOCHS: RangeInclusive<u32> = 1..=10_000;
/// PyTorch takes 0 here: the first evaluation without a better loss lowers the rate.
const PLATEAU_PATIENCE: RangeInclusive<u32> = 0..=1_000_000;
const STOPPING_PATIENCE: RangeInclusive<u32> = 1..=1_000_000;
const DEFAULT_BATCH_SIZE: u32 = 32;

/// What is computed, how long, and when it ends.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Training {
    /// What the peers exchange; by default gradient_averaging for peer_to_peer and model_averaging for
    /// parameter_server.
    #[schemars(with = "Option<Named<Algorithm>>")]
    pub algorithm: Spanned<Algorithm>,
    /// Passes over the data, at the most.
    #[schemars(range(min = *EPOCHS.start(), max = *EPOCHS.end()))]
    pub epochs: Spanned<u32>,
    /// Samples of a batch; the last one of a shard may be shorter.
    #[schemars(range(min = *BATCH_SIZE.start(), max = *BATCH_SIZE.end()), default = "default_batch_size")]
    pub batch_size: Spanned<u32>,
    /// Passes over its shard that a peer makes in an epoch; more than 1 needs model averaging.
    #[schemars(range(min = *LOCAL_EPOCHS.start(), max = *LOCAL_EPOCHS.end()), default = "default_local_epochs")]
    pub local_epochs: Spanned<u32>,
    /// The optimiser.
    pub optimizer: Spanned<Optimizer>,
    /// Lowers the learning rate where the loss stops falling.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reduce_lr_on_plateau: Option<Spanned<ReduceLrOnPlateau>>,
    /// Ends the training where the loss stops falling.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub early_stopping: Option<Spanned<EarlyStopping>>,
    /// Ends the training where all that is named is reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<Spanned<Target>>,
}

/// The optimiser.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Optimizer {
    /// Stochastic gradient descent, as PyTorch's `torch.optim.SGD` computes it.
    Sgd(Sgd),
}

/// Stochastic gradient descent.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Sgd {
    /// At the start; `reduce_lr_on_plateau` lowers it.
    #[schemars(transform = POSITIVE.limits())]
    pub learning_rate: Spanned<f64>,
    /// 0 for none.
    #[schemars(transform = BELOW_ONE.limits(), default = "zero")]
    pub momentum: Spanned<f64>,
    /// L2 penalty, added to the gradient.
    #[schemars(transform = NOT_NEGATIVE.limits(), default = "zero")]
    pub weight_decay: Spanned<f64>,
    /// Nesterov's momentum; needs a momentum above 0.
    #[schemars(default = "no")]
    pub nesterov: Spanned<bool>,
}

/// Lowers the learning rate where the loss stops falling (PyTorch's `ReduceLROnPlateau`), on the held-out set
/// where there is one.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct ReduceLrOnPlateau {
    /// The rate is multiplied by this.
    #[schemars(transform = INSIDE_UNIT.limits())]
    pub factor: Spanned<f64>,
    /// Evaluations without a better loss that are let pass.
    #[schemars(range(min = *PLATEAU_PATIENCE.start(), max = *PLATEAU_PATIENCE.end()))]
    pub patience: Spanned<u32>,
    /// Not below this.
    #[schemars(transform = NOT_NEGATIVE.limits(), default = "zero")]
    pub min_learning_rate: Spanned<f64>,
}

/// Ends the training where the loss stops falling, on the held-out set where there is one.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct EarlyStopping {
    /// Evaluations without a better loss.
    #[schemars(range(min = *STOPPING_PATIENCE.start(), max = *STOPPING_PATIENCE.end()))]
    pub patience: Spanned<u32>,
}

/// Ends the training where all that is named is reached, on the held-out set where there is one.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields, extend("anyOf" = json!([
    {"required": ["accuracy"]}, {"required": ["loss"]}
])))]
pub struct Target {
    /// At least this share of the samples classified right.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = UP_TO_ONE.limits())]
    pub accuracy: Option<Spanned<f64>>,
    /// At most this mean loss.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = NOT_NEGATIVE.limits())]
    pub loss: Option<Spanned<f64>>,
}

fn default_batch_size() -> u32 {
    DEFAULT_BATCH_SIZE
}

fn default_local_epochs() -> u32 {
    1
}

fn zero() -> u32 {
    0
}

fn no() -> bool {
    false
}

impl Choice for Algorithm {
    const WHAT: &'static str = "algorithm";
    const BUILT: &'static [(&'static str, Self, &'static str)] = &[
        (
            "gradient_averaging",
            Self::GradientAveraging,
            "gradients at the same parameters, averaged; then one optimiser step",
        ),
        ("model_averaging", Self::ModelAveraging, "parameters after local training, averaged"),
    ];
    const PLANNED: &'static [&'static str] = &["admm"];
    const ALIASES: &'static [(&'static str, &'static str)] = &[
        ("fedavg", "model_averaging"),
        ("federated_averaging", "model_averaging"),
        ("local_sgd", "model_averaging"),
        ("ma", "model_averaging"),
        ("ga", "gradient_averaging"),
    ];
}

impl Training {
    pub(super) fn read(value: &Value<'_>, topology: &Topology, cx: &mut Findings) -> Self {
        let mut fields = Fields::open(value, cx);
        let algorithm = fields.take("algorithm");
        let algorithm = match (algorithm.is_given(), topology.kind.known()) {
            (false, Some(Shape::PeerToPeer)) if !fields.is_silent() => {
                Spanned::new(Algorithm::GradientAveraging)
            }
            (false, Some(Shape::ParameterServer)) if !fields.is_silent() => {
                Spanned::new(Algorithm::ModelAveraging)
            }
            _ => choice(&algorithm, cx),
        };
        let training = Self {
            algorithm,
            epochs: fields.required("epochs", cx, |value, cx| whole(value, &EPOCHS, cx)),
            batch_size: fields
                .or("batch_size", DEFAULT_BATCH_SIZE, cx, |value, cx| whole(value, &BATCH_SIZE, cx)),
            local_epochs: fields.or("local_epochs", 1, cx, |value, cx| whole(value, &LOCAL_EPOCHS, cx)),
            optimizer: fields.required("optimizer", cx, Optimizer::read),
            reduce_lr_on_plateau: fields.optional("reduce_lr_on_plateau", cx, ReduceLrOnPlateau::read),
            early_stopping: fields.optional("early_stopping", cx, EarlyStopping::read),
            target: fields.optional("target", cx, Target::read),
        };
        fields.finish(cx);
        training.check_learning_rates(cx);
        training
    }

    fn check_learning_rates(&self, cx: &mut Findings) {
        let Optimizer::Sgd(sgd) = &self.optimizer.value;
        let lowest = self.reduce_lr_on_plateau.as_ref().map(|plateau| &plateau.min_learning_rate);
        let (Some(lowest), Some(first)) = (lowest, sgd.learning_rate.known()) else {
            return;
        };
        if lowest.known().is_some_and(|lowest| lowest > first) {
            cx.report(
                Diagnostic::error(Code::MinLearningRate, "the lowest learning rate is above the first one")
                    .at(&lowest.place(), format!("expected at most {first}"))
                    .also(&sgd.learning_rate.place(), "the first one")
                    .hint("the rate only ever falls"),
            );
        }
    }

    /// Whether the passes fit the exchange, and what steers the training.
    pub(super) fn check(&self, exchange: &Exchange, data: &Data, cx: &mut Findings) {
        if self.local_epochs.known().is_some_and(|epochs| *epochs > 1) {
            let why = match (self.algorithm.known(), exchange.every.known()) {
                (Some(Algorithm::GradientAveraging), _) => Some((
                    self.algorithm.place(),
                    "gradient averaging takes every gradient at the same parameters",
                )),
                (_, Some(Every::Batches(_))) => {
                    Some((exchange.every.place(), "exchanging every few batches cuts the passes short"))
                }
                _ => None,
            };
            if let Some((place, label)) = why {
                cx.report(
                    Diagnostic::error(
                        Code::LocalEpochs,
                        "more than one local epoch needs model averaging and an exchange every few epochs",
                    )
                    .at(&self.local_epochs.place(), "cannot be more than 1 here")
                    .also(&place, label)
                    .hint("set `training.algorithm: model_averaging` and `exchange.every: epoch`, or remove `local_epochs`"),
                );
            }
        }
        if data.validation.is_none() && data.format.known().is_some() {
            let steered = [
                ("reduce_lr_on_plateau", self.reduce_lr_on_plateau.as_ref().map(Spanned::place)),
                ("early_stopping", self.early_stopping.as_ref().map(Spanned::place)),
                ("target", self.target.as_ref().map(Spanned::place)),
            ];
            for (key, place) in steered {
                let Some(place) = place else { continue };
                cx.report(
                    Diagnostic::warning(
                        Code::NoValidation,
                        format!("`training.{key}` goes by the training part: there is no held-out set"),
                    )
                    .at(&place, "measured on what is learned from")
                    .hint("hold out a share, e.g. `data.validation: 0.1`"),
                );
            }
        }
    }
}

impl Optimizer {
    fn read(value: &Value<'_>, cx: &mut Findings) -> Spanned<Self> {
        let absent = |cx: &mut Findings| Sgd::read(&Value::absent(&value.path), cx);
        let sgd = match value.node.map(|node| &node.kind) {
            Some(Kind::Map(entries)) if matches!(entries.as_slice(), [only] if only.key != "sgd") => {
                for entry in entries {
                    let message = format!("there is no optimizer `{}`", shown(&entry.key));
                    cx.report(
                        Diagnostic::error(Code::UnknownValue, message)
                            .at(&entry.key_place, "expected `sgd`")
                            .hint("write `optimizer: {sgd: {learning_rate: 0.1}}`"),
                    );
                }
                absent(cx)
            }
            Some(Kind::Map(_)) => {
                let mut fields = Fields::open(value, cx);
                let sgd = fields.required("sgd", cx, Sgd::read);
                fields.finish(cx);
                sgd
            }
            _ => {
                value.wrong_type(&Expected::Other("`{sgd: {learning_rate: …}}`".to_owned()), cx);
                absent(cx)
            }
        };
        Spanned::read(Self::Sgd(sgd), &value.key_place())
    }
}

impl Sgd {
    fn read(value: &Value<'_>, cx: &mut Findings) -> Self {
        let mut fields = Fields::open(value, cx);
        let sgd = Self {
            learning_rate: fields.required("learning_rate", cx, |value, cx| number(value, &POSITIVE, cx)),
            momentum: fields.or("momentum", 0.0, cx, |value, cx| number(value, &BELOW_ONE, cx)),
            weight_decay: fields.or("weight_decay", 0.0, cx, |value, cx| number(value, &NOT_NEGATIVE, cx)),
            nesterov: fields.or("nesterov", false, cx, boolean),
        };
        fields.finish(cx);
        if let (Some(true), Some(momentum)) = (sgd.nesterov.known(), sgd.momentum.known())
            && *momentum == 0.0
        {
            cx.report(
                Diagnostic::error(Code::Nesterov, "Nesterov's momentum needs a momentum above 0")
                    .at(&sgd.nesterov.place(), "has nothing to work on")
                    .also(&sgd.momentum.place(), "the momentum")
                    .hint("set `momentum`, e.g. to 0.9, or remove `nesterov`"),
            );
        }
        sgd
    }
}

impl ReduceLrOnPlateau {
    fn read(value: &Value<'_>, cx: &mut Findings) -> Spanned<Self> {
        let mut fields = Fields::open(value, cx);
        let plateau = Self {
            factor: fields.required("factor", cx, |value, cx| number(value, &INSIDE_UNIT, cx)),
            patience: fields.required("patience", cx, |value, cx| whole(value, &PLATEAU_PATIENCE, cx)),
            min_learning_rate: fields
                .or("min_learning_rate", 0.0, cx, |value, cx| number(value, &NOT_NEGATIVE, cx)),
        };
        fields.finish(cx);
        Spanned::read(plateau, &value.key_place())
    }
}

impl EarlyStopping {
    fn read(value: &Value<'_>, cx: &mut Findings) -> Spanned<Self> {
        let mut fields = Fields::open(value, cx);
        let patience = fields.required("patience", cx, |value, cx| whole(value, &STOPPING_PATIENCE, cx));
        fields.finish(cx);
        Spanned::read(Self { patience }, &value.key_place())
    }
}

impl Target {
    fn read(value: &Value<'_>, cx: &mut Findings) -> Spanned<Self> {
        let mut fields = Fields::open(value, cx);
        let target = Self {
            accuracy: fields.optional("accuracy", cx, |value, cx| number(value, &UP_TO_ONE, cx)),
            loss: fields.optional("loss", cx, |value, cx| number(value, &NOT_NEGATIVE, cx)),
        };
        if target.accuracy.is_none() && target.loss.is_none() && !fields.is_silent() {
            cx.report(
                Diagnostic::error(Code::OneOf, "`training.target` names no target")
                    .at(fields.place(), "needs `accuracy`, `loss` or both")
                    .hint("remove it to train for all epochs"),
            );
        }
        fields.finish(cx);
        Spanned::read(target, &value.key_place())
    }
}
