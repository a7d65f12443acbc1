//! Every model at its shape: the published count of parameters, one forward and backward pass, the same bits
//! each time.

use super::{Input, Replica, Start};
use crate::data::Batch;
use crate::torch::deterministic;
use std::collections::BTreeMap;
use stepgrad_contract::ErrorKind;
use stepgrad_contract::progress::Sums;
use stepgrad_contract::tensors::TensorFile;
use stepgrad_contract::training::{Architecture, Loss};
use tch::{Device, Kind, Tensor};

fn batch(samples: i64, input: &Input) -> Batch {
    deterministic(3, || {
        let shape: Vec<i64> = std::iter::once(samples).chain(input.shape.iter().copied()).collect();
        let x = Tensor::randn(&shape, (Kind::Float, Device::Cpu));
        let y = Tensor::randint(input.classes, [samples], (Kind::Int64, Device::Cpu));
        Batch { x, y }
    })
}

fn gradient(replica: &Replica, batch: &Batch, loss: Loss) -> (BTreeMap<String, Tensor>, Sums) {
    deterministic(5, || replica.gradient(batch, loss)).unwrap()
}

/// Builds the model from a seed, checks its size, and takes the gradient twice: at the model as built, and at
/// one that was loaded from its file.
fn check(architecture: Architecture, shape: &[i64], parameters: u64) {
    let input = Input { shape: shape.to_vec(), classes: 10 };
    let build = |start| deterministic(1, || Replica::build(architecture, None, &input, start)).unwrap();
    let first = build(Start::Random);
    assert_eq!(first.parameter_count(), parameters, "{architecture:?}");
    deterministic(0, || first.check(&input)).unwrap();
    let file = first.save().unwrap();
    assert!(file.sums == Sums::default() && file.tensors.keys().is_sorted());

    let loss = if architecture == Architecture::Svm { Loss::Hinge } else { Loss::CrossEntropy };
    let samples = batch(3, &input);
    let (gradients, sums) = gradient(&first, &samples, loss);
    assert_eq!(sums.samples, 3);
    assert!(sums.loss.is_finite() && sums.loss > 0.0);
    assert_eq!(gradients.values().map(Tensor::numel).sum::<usize>() as u64, parameters);
    assert!(gradients.values().all(|gradient| bool::try_from(gradient.isfinite().all()).unwrap()));
    assert!(gradients.values().any(|gradient| gradient.abs().max().double_value(&[]) > 0.0));
    let after = first.publish(&BTreeMap::new(), sums).unwrap();
    drop(first);

    let mut second = build(Start::Blank);
    second.load(&file).unwrap();
    drop(file);
    let (again, same) = gradient(&second, &samples, loss);
    assert_eq!(sums, same, "{architecture:?}");
    assert!(gradients.iter().zip(&again).all(|(one, other)| one.0 == other.0 && one.1.equal(other.1)));
    assert_eq!(after, second.publish(&BTreeMap::new(), sums).unwrap(), "the buffers of {architecture:?}");
}

#[test]
fn logistic_regression() {
    check(Architecture::LogisticRegression, &[1, 8, 8], 650);
    check(Architecture::LogisticRegression, &[784], 7_850);
}

#[test]
fn svm() {
    check(Architecture::Svm, &[123], 1_240);
}

#[test]
fn mlp() {
    check(Architecture::Mlp, &[1, 28, 28], 101_770);
}

#[test]
fn cnn() {
    check(Architecture::Cnn, &[1, 8, 8], 53_002);
    check(Architecture::Cnn, &[3, 64, 64], 2_117_962);
}

/// LeCun et al. 1998 count 60,000 with sparse connections; fully connected it is 61,706.
#[test]
fn lenet5() {
    check(Architecture::LeNet5, &[1, 32, 32], 61_706);
    check(Architecture::LeNet5, &[1, 28, 28], 61_706);
}

// The counts of torchvision's models, whose 1,000 classes are 10 here.

#[test]
fn squeezenet1_1() {
    check(Architecture::SqueezeNet11, &[3, 32, 32], 1_235_496 - 513 * 990);
}

#[test]
fn mobilenet_v3_small() {
    check(Architecture::MobileNetV3Small, &[3, 32, 32], 2_542_856 - 1_025 * 990);
}

#[test]
fn vgg11() {
    check(Architecture::Vgg11, &[3, 32, 32], 132_863_336 - 4_097 * 990);
}

#[test]
fn resnet18() {
    check(Architecture::ResNet18, &[3, 32, 32], 11_689_512 - 513 * 990);
}

#[test]
fn resnet50() {
    check(Architecture::ResNet50, &[3, 32, 32], 25_557_032 - 2_049 * 990);
}

#[test]
fn densenet121() {
    check(Architecture::DenseNet121, &[3, 32, 32], 7_978_856 - 1_025 * 990);
}

#[test]
fn other_channels_and_sizes_fit() {
    for architecture in [
        Architecture::SqueezeNet11,
        Architecture::MobileNetV3Small,
        Architecture::ResNet18,
        Architecture::DenseNet121,
    ] {
        let input = Input { shape: vec![1, 40, 56], classes: 7 };
        let replica = deterministic(1, || Replica::build(architecture, None, &input, Start::Random)).unwrap();
        deterministic(0, || replica.check(&input)).unwrap();
    }
}

#[test]
fn a_batch_of_one_sample_leaves_the_statistics_whole() {
    let input = Input { shape: vec![3, 32, 32], classes: 4 };
    let replica =
        deterministic(1, || Replica::build(Architecture::ResNet18, None, &input, Start::Random)).unwrap();
    let (gradients, _) = gradient(&replica, &batch(1, &input), Loss::CrossEntropy);
    assert!(gradients.values().all(|gradient| bool::try_from(gradient.isfinite().all()).unwrap()));
    let finite = |tensor: &stepgrad_contract::tensors::Tensor| {
        tensor.as_f32().unwrap().iter().all(|value| value.is_finite())
    };
    assert!(replica.save().unwrap().tensors.values().all(finite));
}

#[test]
fn what_does_not_fit_is_refused_with_the_reason() {
    let refused = |architecture, shape: &[i64]| {
        let input = Input { shape: shape.to_vec(), classes: 10 };
        let error = Replica::build(architecture, None, &input, Start::Random).unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidModel);
        error.message
    };
    assert!(refused(Architecture::Cnn, &[20]).contains("needs images"));
    assert!(refused(Architecture::ResNet18, &[3, 8, 8]).contains("32×32"));
    assert!(refused(Architecture::LeNet5, &[1, 8, 8]).contains("12×12"));
    assert!(refused(Architecture::Vgg11, &[0, 32, 32]).contains("0 channels"));
    assert!(refused(Architecture::TorchScript, &[5]).contains("no scripted module"));
    assert!(refused(Architecture::LogisticRegression, &[0]).contains("no values"));

    let input = Input { shape: vec![5], classes: 2 };
    let build = |architecture| Replica::build(architecture, None, &input, Start::Blank).unwrap();
    let file = build(Architecture::Mlp).save().unwrap();
    let error = build(Architecture::LogisticRegression).load(&file).unwrap_err();
    assert!(error.message.contains("hidden.bias"));
    assert!(build(Architecture::Mlp).load(&TensorFile::default()).unwrap_err().message.contains("missing"));
}

#[test]
fn a_scripted_module_is_trained_with_its_buffers() {
    let script = include_bytes!("../../tests/torchscript/normalised.pt").as_slice();
    let input = Input { shape: vec![1, 8, 8], classes: 10 };
    let load = || Replica::build(Architecture::TorchScript, Some(script), &input, Start::Blank).unwrap();
    let mut replica = load();
    deterministic(0, || replica.check(&input)).unwrap();
    assert_eq!(replica.parameter_count(), 64 + 64 + 640 + 10 + 2);
    let names = ["norm.bias", "norm.weight", "output.bias", "output.weight", "unused"];
    assert!(replica.parameters().keys().eq(names));
    let before = replica.save().unwrap();
    assert_eq!(before.tensors.len(), 5 + 4, "{:?}", before.tensors.keys());
    assert_eq!(before.tensors["temperature"].as_f32().unwrap(), [2.0], "a frozen parameter is state");

    let samples = batch(16, &input);
    let (gradients, sums) = gradient(&replica, &samples, Loss::CrossEntropy);
    assert_eq!(Vec::<f32>::try_from(&gradients["unused"]).unwrap(), [0.0, 0.0]);
    let published = replica.publish(&gradients, sums).unwrap();
    assert_eq!(published.tensors["norm.num_batches_tracked"].as_i64().unwrap(), [1]);
    assert_ne!(published.tensors["norm.running_mean"], before.tensors["norm.running_mean"]);

    // The same module, called again and again, and one of another process: the same bits.
    for _ in 0..4 {
        replica.load(&before).unwrap();
        let (gradients, sums) = gradient(&replica, &samples, Loss::CrossEntropy);
        assert_eq!(replica.publish(&gradients, sums).unwrap(), published);
    }
    let mut other = load();
    other.load(&before).unwrap();
    let (gradients, sums) = gradient(&other, &samples, Loss::CrossEntropy);
    assert_eq!(other.publish(&gradients, sums).unwrap(), published);
    // Without dropout and at the running statistics.
    let measured = deterministic(0, || other.measure(&samples, Loss::CrossEntropy)).unwrap();
    assert_ne!(measured.loss, sums.loss);
}

#[test]
fn a_scripted_module_that_cannot_be_trained_is_refused() {
    let input = Input { shape: vec![1, 8, 8], classes: 10 };
    let refused = |script: &[u8]| {
        let built = Replica::build(Architecture::TorchScript, Some(script), &input, Start::Blank);
        let error = built.and_then(|replica| replica.check(&input)).unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidModel);
        error.message
    };
    let constant = include_bytes!("../../tests/torchscript/constant.pt");
    assert!(refused(constant).contains("no trainable parameters"));
    assert!(refused(b"not a module").contains("torch.jit.save"));
    assert!(refused(&constant[..300]).contains("torch.jit.save"));
    let script = include_bytes!("../../tests/torchscript/normalised.pt").as_slice();
    for (shape, classes) in [(vec![1, 9, 9], 10), (vec![1, 8, 8], 3)] {
        let input = Input { shape, classes };
        let replica = Replica::build(Architecture::TorchScript, Some(script), &input, Start::Blank).unwrap();
        assert_eq!(deterministic(0, || replica.check(&input)).unwrap_err().kind, ErrorKind::InvalidModel);
    }
}
