//! `model`: what is trained, and what is minimised.

use super::choice::{Choice, Named, choice};
use super::data::{Data, read_path};
use super::decode::{Fields, Findings, Value};
use super::spanned::Spanned;
use crate::diagnostic::{Code, Diagnostic, Place};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use stepgrad_contract::training::{Architecture, Format, Loss};

/// What is trained, and what is minimised.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields, extend("oneOf" = json!([
    {"required": ["architecture"]}, {"required": ["torchscript"]}
])))]
pub struct Model {
    /// A model by name; either this or `torchscript`.
    #[serde(skip_serializing_if = "is_scripted")]
    #[schemars(with = "Option<Named<Architecture>>")]
    pub architecture: Spanned<Architecture>,
    /// A file with a scripted module of your own that has trainable parameters; relative, inside the project.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub torchscript: Option<Spanned<String>>,
    /// What is minimised; by default cross_entropy, and hinge for svm.
    #[schemars(with = "Option<Named<Loss>>")]
    pub loss: Spanned<Loss>,
}

fn is_scripted(architecture: &Spanned<Architecture>) -> bool {
    architecture.value == Architecture::TorchScript
}

impl Choice for Architecture {
    const WHAT: &'static str = "architecture";
    const BUILT: &'static [(&'static str, Self, &'static str)] = &[
        ("logistic_regression", Self::LogisticRegression, "softmax regression"),
        ("svm", Self::Svm, "a linear machine under the multi-class hinge loss (Crammer and Singer 2001)"),
        ("mlp", Self::Mlp, "one hidden layer"),
        ("cnn", Self::Cnn, "a small convolutional network for 8×8 to 64×64 images"),
        ("lenet5", Self::LeNet5, "LeNet-5 (LeCun et al. 1998)"),
        ("squeezenet1_1", Self::SqueezeNet11, "SqueezeNet 1.1 (Iandola et al. 2016)"),
        ("mobilenet_v3_small", Self::MobileNetV3Small, "MobileNetV3-Small (Howard et al. 2019)"),
        ("vgg11", Self::Vgg11, "VGG-11 with an adaptive pool (Simonyan and Zisserman 2014)"),
        ("resnet18", Self::ResNet18, "ResNet-18 (He et al. 2016)"),
        ("resnet50", Self::ResNet50, "ResNet-50 (He et al. 2016)"),
        ("densenet121", Self::DenseNet121, "DenseNet-121 (Huang et al. 2017)"),
    ];
    const ALIASES: &'static [(&'static str, &'static str)] = &[
        ("squeezenet", "squeezenet1_1"),
        ("mobilenet", "mobilenet_v3_small"),
        ("mobilenetv3", "mobilenet_v3_small"),
        ("vgg", "vgg11"),
        ("resnet", "resnet18"),
        ("densenet", "densenet121"),
        ("lenet", "lenet5"),
        ("lr", "logistic_regression"),
        ("softmax", "logistic_regression"),
    ];
}

impl Choice for Loss {
    const WHAT: &'static str = "loss";
    const BUILT: &'static [(&'static str, Self, &'static str)] = &[
        ("cross_entropy", Self::CrossEntropy, "softmax cross-entropy"),
        ("hinge", Self::Hinge, "max(0, 1 + the largest other score − the score of the class)"),
    ];
}

impl Model {
    pub(super) fn read(value: &Value<'_>, cx: &mut Findings) -> Self {
        let mut fields = Fields::open(value, cx);
        let named = fields.take("architecture");
        let script = fields.take("torchscript");
        let unknown = Spanned::unknown(Architecture::LogisticRegression);
        let architecture = match (named.is_given(), script.is_given()) {
            (true, true) => {
                cx.report(
                    Diagnostic::error(Code::OneOf, "`model` has both `architecture` and `torchscript`")
                        .at(&script.key_place(), "either this one")
                        .also(&named.key_place(), "or this one")
                        .hint("remove one of the two"),
                );
                unknown
            }
            (false, false) => {
                if !fields.is_silent() {
                    cx.report(
                        Diagnostic::error(Code::OneOf, "`model` names no model")
                            .at(fields.place(), "needs `architecture` or `torchscript`")
                            .hint("`architecture: cnn` takes a model by name, `torchscript: model.pt` one of your own"),
                    );
                }
                unknown
            }
            (true, false) if matches!(named.node, Some(node) if node.is_text("torchscript")) => {
                cx.report(
                    Diagnostic::error(Code::UnknownValue, "there is no architecture `torchscript`")
                        .at(&named.place(), "expected a model by name")
                        .hint("for a scripted module of your own write `torchscript: model.pt` in place of `architecture`"),
                );
                unknown
            }
            (true, false) => choice(&named, cx),
            (false, true) => Spanned::read(Architecture::TorchScript, &script.place()),
        };
        let torchscript = script.is_given().then(|| read_path(&script, cx));
        let default = match architecture.known() {
            Some(Architecture::Svm) => Loss::Hinge,
            _ => Loss::CrossEntropy,
        };
        let loss = fields.or("loss", default, cx, choice);
        fields.finish(cx);
        Self { architecture, torchscript, loss }
    }

    /// Whether model, loss and data fit together.
    pub(super) fn check(&self, data: &Data, cx: &mut Findings) {
        let Some(architecture) = self.architecture.known() else {
            return;
        };
        let name = Architecture::BUILT
            .iter()
            .find(|(_, built, _)| built == architecture)
            .map_or("torchscript", |(name, ..)| *name);
        if *architecture == Architecture::Svm && self.loss.known() == Some(&Loss::CrossEntropy) {
            cx.report(
                Diagnostic::error(Code::LossMismatch, "an svm minimises the hinge loss, not cross_entropy")
                    .at(&self.loss.place(), "does not fit the model")
                    .also(&self.architecture.place(), "the model")
                    .hint("remove `loss` (hinge is the default here), or take `logistic_regression`")
                    .suggest(&self.loss.place(), "hinge"),
            );
        }
        let for_images = !matches!(
            architecture,
            Architecture::LogisticRegression
                | Architecture::Svm
                | Architecture::Mlp
                | Architecture::TorchScript
        );
        let mismatch = |place: &Place, label: &str| {
            Diagnostic::error(
                Code::ImageModel,
                format!("`{name}` is a model for images, which the data are not"),
            )
            .at(&self.architecture.place(), "takes images")
            .also(place, label)
            .hint("models for any data are `logistic_regression`, `svm` and `mlp`")
        };
        match data.format.known() {
            Some(Format::Csv | Format::Libsvm) if for_images => {
                cx.report(mismatch(&data.format.place(), "a table"));
            }
            Some(Format::Synthetic) if for_images => {
                let shape = data.synthetic.as_ref().map(|synthetic| &synthetic.shape);
                if let Some(shape) = shape.filter(|shape| shape.known().is_some_and(|shape| shape.len() != 3))
                {
                    cx.report(mismatch(&shape.place(), "an image has the shape [channels, height, width]"));
                }
            }
            _ => {}
        }
    }
}
