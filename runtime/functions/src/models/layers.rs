//! What the models are built of. tch's own layers panic where an input does not fit and start BatchNorm at
//! random; these answer with an error and start as PyTorch's do.

use std::cell::RefCell;
use std::collections::BTreeMap;
use tch::{Device, Kind, TchError, Tensor};

/// A part of a network.
pub(super) trait Layer: Send {
    /// The output for `input`; in training BatchNorm uses and updates its statistics and dropout drops.
    fn forward(&self, input: &Tensor, train: bool) -> Result<Tensor, TchError>;
}

impl<F: Fn(&Tensor, bool) -> Result<Tensor, TchError> + Send> Layer for F {
    fn forward(&self, input: &Tensor, train: bool) -> Result<Tensor, TchError> {
        self(input, train)
    }
}

/// A layer of any kind.
pub(super) type Boxed = Box<dyn Layer>;

/// Layers one after the other.
#[derive(Default)]
pub(super) struct Sequential(Vec<Boxed>);

impl Sequential {
    /// With `layer` at the end.
    pub(super) fn then(mut self, layer: impl Layer + 'static) -> Self {
        self.0.push(Box::new(layer));
        self
    }
}

impl Layer for Sequential {
    fn forward(&self, input: &Tensor, train: bool) -> Result<Tensor, TchError> {
        self.0.iter().try_fold(input.shallow_clone(), |input, layer| layer.forward(&input, train))
    }
}

/// Tensors by name.
pub(super) type Named = BTreeMap<String, Tensor>;

/// Collects the tensors of a model while it is built.
pub(super) struct Builder {
    /// Trainable.
    pub(super) parameters: RefCell<Named>,
    /// Not trained, but part of the state: BatchNorm's statistics.
    pub(super) buffers: RefCell<Named>,
    random: bool,
}

impl Builder {
    /// A model that starts at random values, from libtorch's generator; or at zero, to be loaded.
    pub(super) fn new(random: bool) -> Self {
        Self { parameters: RefCell::default(), buffers: RefCell::default(), random }
    }

    /// Where the outermost names stand.
    pub(super) fn root(&self) -> Scope<'_> {
        Scope { builder: self, prefix: String::new() }
    }
}

/// A place in the model's names, e.g. `layer1.0`.
#[derive(Clone)]
pub(super) struct Scope<'a> {
    builder: &'a Builder,
    prefix: String,
}

impl Scope<'_> {
    /// The place `name` below this one.
    pub(super) fn at(&self, name: impl std::fmt::Display) -> Self {
        Self { builder: self.builder, prefix: self.name(&name.to_string()) }
    }

    fn name(&self, name: &str) -> String {
        if self.prefix.is_empty() { name.to_owned() } else { format!("{}.{name}", self.prefix) }
    }

    fn parameter(&self, name: &str, shape: &[i64], start: Start) -> Result<Tensor, TchError> {
        let start = if self.builder.random { start } else { Start::Constant(0.0) };
        let options = (Kind::Float, Device::Cpu);
        let tensor = match start {
            Start::Constant(value) => Tensor::f_full(shape, value, options)?,
            Start::Uniform(bound) => Tensor::f_zeros(shape, options)?.f_uniform_(-bound, bound)?,
            Start::Normal(deviation) => Tensor::f_zeros(shape, options)?.f_normal_(0.0, deviation)?,
        };
        let tensor = tensor.f_set_requires_grad(true)?;
        self.builder.parameters.borrow_mut().insert(self.name(name), tensor.shallow_clone());
        Ok(tensor)
    }

    fn buffer(&self, name: &str, shape: &[i64], value: f64) -> Result<Tensor, TchError> {
        let tensor = Tensor::f_full(shape, value, (Kind::Float, Device::Cpu))?;
        self.builder.buffers.borrow_mut().insert(self.name(name), tensor.shallow_clone());
        Ok(tensor)
    }
}

#[derive(Clone, Copy)]
enum Start {
    Constant(f64),
    /// Between minus this and this.
    Uniform(f64),
    /// Of this deviation.
    Normal(f64),
}

/// How the weights of a linear or convolutional layer start, and with them its biases.
#[derive(Clone, Copy)]
pub(super) enum Weights {
    /// PyTorch's own: weights and biases uniform within 1 / √fan_in.
    Default,
    /// Kaiming, normal, by fan in; biases 0.
    KaimingIn,
    /// Kaiming, normal, by fan out; biases 0.
    KaimingOut,
    /// Kaiming, uniform, by fan in; biases 0.
    KaimingUniform,
    /// Normal with this deviation; biases 0.
    Normal(f64),
}

impl Weights {
    #[expect(clippy::cast_precision_loss, reason = "sizes of layers stay far below 2^53")]
    fn starts(self, fan_in: i64, fan_out: i64) -> (Start, Start) {
        let (fan_in, fan_out) = (fan_in.max(1) as f64, fan_out.max(1) as f64);
        let zero = Start::Constant(0.0);
        match self {
            Self::Default => (Start::Uniform(fan_in.powf(-0.5)), Start::Uniform(fan_in.powf(-0.5))),
            Self::KaimingIn => (Start::Normal((2.0 / fan_in).sqrt()), zero),
            Self::KaimingOut => (Start::Normal((2.0 / fan_out).sqrt()), zero),
            Self::KaimingUniform => (Start::Uniform((6.0 / fan_in).sqrt()), zero),
            Self::Normal(deviation) => (Start::Normal(deviation), zero),
        }
    }
}

/// A fully connected layer: `weight` [outputs, inputs], `bias` [outputs].
pub(super) fn linear(
    scope: &Scope<'_>,
    inputs: i64,
    outputs: i64,
    weights: Weights,
) -> Result<impl Layer + use<>, TchError> {
    let (weight, bias) = weights.starts(inputs, outputs);
    let weight = scope.parameter("weight", &[outputs, inputs], weight)?;
    let bias = scope.parameter("bias", &[outputs], bias)?;
    Ok(move |input: &Tensor, _: bool| input.f_linear(&weight, Some(&bias)))
}

/// The geometry of a convolution with a square kernel.
#[derive(Clone, Copy)]
pub(super) struct Convolution {
    pub(super) kernel: i64,
    pub(super) stride: i64,
    pub(super) padding: i64,
    pub(super) groups: i64,
    pub(super) bias: bool,
    pub(super) weights: Weights,
}

impl Default for Convolution {
    fn default() -> Self {
        Self { kernel: 1, stride: 1, padding: 0, groups: 1, bias: true, weights: Weights::Default }
    }
}

/// A convolution of images: `weight` [outputs, inputs / groups, kernel, kernel], `bias` [outputs].
pub(super) fn conv2d(
    scope: &Scope<'_>,
    inputs: i64,
    outputs: i64,
    shape: Convolution,
) -> Result<impl Layer + use<>, TchError> {
    let Convolution { kernel, stride, padding, groups, .. } = shape;
    let (inputs, area) = (inputs / groups, kernel * kernel);
    let (weight, bias) = shape.weights.starts(inputs * area, outputs * area);
    let weight = scope.parameter("weight", &[outputs, inputs, kernel, kernel], weight)?;
    let bias = if shape.bias { Some(scope.parameter("bias", &[outputs], bias)?) } else { None };
    Ok(move |input: &Tensor, _: bool| {
        let (stride, padding) = ([stride, stride], [padding, padding]);
        input.f_conv2d(&weight, bias.as_ref(), stride, padding, [1_i64, 1], groups)
    })
}

/// A convolution without a bias that keeps an image's size but for its stride; a norm comes behind it.
pub(super) fn same_size(
    scope: &Scope<'_>,
    inputs: i64,
    outputs: i64,
    kernel: i64,
    stride: i64,
    weights: Weights,
) -> Result<impl Layer + use<>, TchError> {
    let shape =
        Convolution { kernel, stride, padding: kernel / 2, bias: false, weights, ..Convolution::default() };
    conv2d(scope, inputs, outputs, shape)
}

/// [`batch_norm`] with PyTorch's own epsilon and momentum.
pub(super) fn norm(scope: &Scope<'_>, channels: i64) -> Result<impl Layer + use<>, TchError> {
    batch_norm(scope, channels, 1e-5, 0.1)
}

/// BatchNorm over channels: `weight`, `bias`, and the buffers `running_mean`, `running_var`.
///
/// A batch with one value a channel (one sample at 1×1) has no variance: it is normalised by the running
/// statistics and leaves them alone, where PyTorch would refuse it; a short last batch is not dropped.
pub(super) fn batch_norm(
    scope: &Scope<'_>,
    channels: i64,
    epsilon: f64,
    momentum: f64,
) -> Result<impl Layer + use<>, TchError> {
    let weight = scope.parameter("weight", &[channels], Start::Constant(1.0))?;
    let bias = scope.parameter("bias", &[channels], Start::Constant(0.0))?;
    let mean = scope.buffer("running_mean", &[channels], 0.0)?;
    let variance = scope.buffer("running_var", &[channels], 1.0)?;
    Ok(move |input: &Tensor, train: bool| {
        let train = train && i64::try_from(input.numel()).is_ok_and(|values| values > channels);
        input.f_batch_norm(
            Some(&weight),
            Some(&bias),
            Some(&mean),
            Some(&variance),
            train,
            momentum,
            epsilon,
            false,
        )
    })
}

/// Rectifier.
pub(super) fn relu(input: &Tensor, _: bool) -> Result<Tensor, TchError> {
    input.f_relu()
}

/// All but the first dimension in one.
pub(super) fn flatten(input: &Tensor, _: bool) -> Result<Tensor, TchError> {
    input.f_flatten(1, -1)
}

/// The greatest of each window.
pub(super) fn max_pool(kernel: i64, stride: i64, padding: i64, ceil: bool) -> impl Layer {
    move |input: &Tensor, _: bool| {
        let (kernel, stride, padding) = ([kernel, kernel], [stride, stride], [padding, padding]);
        input.f_max_pool2d(kernel, stride, padding, [1_i64, 1], ceil)
    }
}

/// The mean of each 2×2 window.
pub(super) fn halve_by_mean(input: &Tensor, _: bool) -> Result<Tensor, TchError> {
    input.f_avg_pool2d([2_i64, 2], [2_i64, 2], [0_i64, 0], false, true, None::<i64>)
}

/// Means over as many windows as give a `size` × `size` image.
pub(super) fn adaptive_mean(size: i64) -> impl Layer {
    move |input: &Tensor, _: bool| input.f_adaptive_avg_pool2d([size, size])
}

/// Drops a share of the values in training, from libtorch's generator.
pub(super) fn dropout(share: f64) -> impl Layer {
    move |input: &Tensor, train: bool| input.f_dropout(share, train)
}
