//! The training configuration: what the functions need to know of a spec. The compiler writes it, canonical,
//! as `training.json` of the bundle; a run puts it into the store, where every function reads it.

use crate::aggregation::Aggregation;
use crate::budget::Budget;
use crate::fanout::Carriers;
use crate::metrics::Metrics;
use crate::signing::PublicKey;
use serde::{Deserialize, Serialize};

/// The version of this document.
pub const VERSION: u32 = 1;

/// What the functions need to know of a spec.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Training {
    /// [`VERSION`].
    pub version: u32,
    /// The spec's name.
    pub name: String,
    /// Where every random choice of the run starts.
    pub seed: u64,
    /// The data and how it is shared out.
    pub data: Data,
    /// The model.
    pub model: Model,
    /// What the peers exchange.
    pub algorithm: Algorithm,
    /// Epochs at the most.
    pub epochs: u32,
    /// Samples of a batch; the last of a shard may be shorter.
    pub batch_size: u32,
    /// Passes over its shard that a worker makes in an epoch of model averaging; 1 for gradient averaging.
    pub local_epochs: u32,
    /// The optimiser.
    pub optimizer: Optimizer,
    /// Lowers the learning rate where the loss stops falling.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reduce_lr_on_plateau: Option<ReduceLrOnPlateau>,
    /// Ends the training where the loss stops falling.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub early_stopping: Option<EarlyStopping>,
    /// Ends the training where this is reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    /// Who exchanges with whom.
    pub topology: Topology,
    /// Peers (workers).
    pub peers: u32,
    /// How often they exchange.
    pub every: Every,
    /// How the contributions become one.
    #[serde(default, skip_serializing_if = "Aggregation::is_mean")]
    pub aggregation: Aggregation,
    /// The public keys of the peers in their order, where what they publish is signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_keys: Option<Vec<PublicKey>>,
    /// Members at the least for a round to count.
    pub quorum: u32,
    /// Rounds in a row without a peer after which it is not called any more; absent for never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gone_after_rounds: Option<u32>,
    /// When functions hand over for want of time.
    #[serde(default)]
    pub hand_over: HandOver,
    /// Where metrics of calls go.
    #[serde(default, skip_serializing_if = "Metrics::is_none")]
    pub metrics: Metrics,
    /// What it may cost; absent for whatever it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<Budget>,
    /// Calls that are under way at once at the most.
    #[serde(default = "default_max_concurrency")]
    pub max_concurrency: u32,
    /// How the fan-out is carried, by its size.
    pub carriers: Carriers,
    /// Rounds of one `segment` execution at the most, so that its history stays in bounds.
    pub rounds_per_segment: u32,
    /// Rounds whose objects are kept behind the current one; absent keeps all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retain_rounds: Option<u32>,
    /// SHA-256 of the fault plan at [`crate::keys::faults`]; absent in a run without faults.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub faults: Option<String>,
}

/// Calls at once where a spec does not say.
pub const MAX_CONCURRENCY: u32 = 100;

const fn default_max_concurrency() -> u32 {
    MAX_CONCURRENCY
}

impl Training {
    /// Whether exchanges report what they found amiss: all but a plain mean of unsigned contributions.
    #[must_use]
    pub const fn reports(&self) -> bool {
        !self.aggregation.is_mean() || self.public_keys.is_some()
    }

    /// Rounds of the whole training at the most, where the peer with the most batches has `largest_shard`.
    #[must_use]
    pub fn rounds(&self, largest_shard: u32) -> u64 {
        let epochs = u64::from(self.epochs);
        match self.every {
            Every::Batches(batches) => epochs * u64::from(largest_shard.div_ceil(batches.max(1))),
            Every::Epochs(every) => epochs.div_ceil(u64::from(every.max(1))),
        }
    }
}

/// When a function that approaches its time limit hands over to another call of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HandOver {
    /// Times that one piece of work is handed over at the most. The definitions count; this is for people.
    pub at_most: u32,
    /// Seconds of the limit that are kept for what cannot be foreseen; absent for a tenth of the limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reserve_s: Option<u32>,
    /// Seconds that a call of `train` may take, where the training calls it. The host keeps it; this is for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train_timeout_s: Option<u32>,
}

impl HandOver {
    /// Times at the most where the spec says nothing.
    pub const AT_MOST: u32 = 4;
}

impl Default for HandOver {
    fn default() -> Self {
        Self { at_most: Self::AT_MOST, reserve_s: None, train_timeout_s: None }
    }
}

/// The data and how it is shared out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Data {
    /// A file or folder, relative to the data root; empty for synthetic data.
    pub source: String,
    /// The source's format.
    pub format: Format,
    /// The held-out set; absent where the spec names none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation: Option<Validation>,
    /// Applied in this order; constants are those of the training part.
    #[serde(default)]
    pub preprocess: Vec<Preprocess>,
    /// How samples are shared out over the peers.
    pub partition: Partition,
    /// The column that holds the class, for csv.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// What to generate, for synthetic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub synthetic: Option<Synthetic>,
}

/// The format of a data source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// The IDX files of MNIST, plain or gzip.
    Idx,
    /// CIFAR-10's binary version: records of 1 + 3072 bytes.
    Cifar10,
    /// `label index:value …`, indices from 1.
    Libsvm,
    /// A header row and a class column.
    Csv,
    /// NumPy arrays: `x.npy` and `y.npy`.
    Npy,
    /// Generated from the seed.
    Synthetic,
}

/// The held-out set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Validation {
    /// This share of the samples, drawn with the seed.
    Share(f64),
    /// Another file or folder of the same format.
    Source(String),
}

/// A change of the inputs. Constants come from the training part alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Preprocess {
    /// To [0, 1] by the smallest and largest value (per feature for tables, over all pixels for images).
    MinMax,
    /// To mean 0 and deviation 1 (per feature for tables, per channel for images).
    Standardize,
    /// Every sample to Euclidean length 1.
    Normalize,
}

/// How samples are shared out over the peers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Partition {
    /// Shuffled, in parts as equal as can be.
    Iid,
    /// Each class shared out by a draw from Dirichlet(α); small α gives skewed shards (Hsu et al. 2019).
    Dirichlet(f64),
    /// Sorted by class, in parts as equal as can be.
    ByLabel,
}

/// Synthetic data: a Gaussian cloud for each class.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Synthetic {
    /// Samples in all.
    pub samples: u64,
    /// Shape of a sample, e.g. `[20]` or `[1, 8, 8]`.
    pub shape: Vec<u32>,
    /// Classes.
    pub classes: u32,
}

/// The model and its loss.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// Which model.
    pub architecture: Architecture,
    /// What is minimised.
    pub loss: Loss,
}

/// Which model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Architecture {
    /// Softmax regression: `linear.weight` [classes, features], `linear.bias` [classes].
    LogisticRegression,
    /// A linear machine under the multi-class hinge loss (Crammer and Singer 2001).
    Svm,
    /// One hidden layer.
    Mlp,
    /// A small convolutional network for 8×8 to 64×64 images.
    Cnn,
    /// LeNet-5 (LeCun et al. 1998).
    #[serde(rename = "lenet5")]
    LeNet5,
    /// SqueezeNet 1.1 (Iandola et al. 2016).
    #[serde(rename = "squeezenet1_1")]
    SqueezeNet11,
    /// MobileNetV3-Small (Howard et al. 2019).
    #[serde(rename = "mobilenet_v3_small")]
    MobileNetV3Small,
    /// VGG-11 with an adaptive pool (Simonyan and Zisserman 2014).
    Vgg11,
    /// ResNet-18 (He et al. 2016).
    #[serde(rename = "resnet18")]
    ResNet18,
    /// ResNet-50 (He et al. 2016).
    #[serde(rename = "resnet50")]
    ResNet50,
    /// DenseNet-121 (Huang et al. 2017).
    #[serde(rename = "densenet121")]
    DenseNet121,
    /// A scripted module of the user's, at [`crate::keys::torchscript`].
    #[serde(rename = "torchscript")]
    TorchScript,
}

/// What is minimised; the mean over samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Loss {
    /// Softmax cross-entropy.
    CrossEntropy,
    /// max(0, 1 + max of the other scores − score of the class) (Crammer and Singer 2001).
    Hinge,
}

/// What the peers exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Algorithm {
    /// Gradients at the same parameters, averaged; then one optimiser step.
    GradientAveraging,
    /// Parameters after local training, averaged.
    ModelAveraging,
}

/// The optimiser.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Optimizer {
    /// Stochastic gradient descent, as PyTorch's `torch.optim.SGD` computes it.
    Sgd {
        /// At the start; `reduce_lr_on_plateau` lowers it.
        learning_rate: f64,
        /// 0 for none.
        momentum: f64,
        /// L2 penalty added to the gradient.
        weight_decay: f64,
        /// Nesterov's momentum.
        nesterov: bool,
    },
}

/// Lowers the learning rate where the loss stops falling (PyTorch's `ReduceLROnPlateau`, mode min,
/// relative threshold 1e-4, no cooldown). The loss is the validation set's where there is one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReduceLrOnPlateau {
    /// The rate is multiplied by this.
    pub factor: f64,
    /// After this many evaluations without a better loss.
    pub patience: u32,
    /// Not below this.
    pub min_learning_rate: f64,
}

/// Ends the training after `patience` evaluations without a better loss.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EarlyStopping {
    /// Evaluations without a better loss.
    pub patience: u32,
}

/// Ends the training where all that is named is reached, on the validation set where there is one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// At least this share of the samples classified right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<f64>,
    /// At most this mean loss.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<f64>,
}

/// Who exchanges with whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Topology {
    /// Every peer collects from all others and updates its own replica.
    PeerToPeer,
    /// A server collects from all workers and updates the one model.
    ParameterServer,
}

/// How often the peers exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Every {
    /// After this many batches of each peer.
    Batches(u32),
    /// After this many epochs; `epoch` in the spec is 1.
    Epochs(u32),
}
