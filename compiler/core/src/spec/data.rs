//! `data`: what is learned from, and how it is shared out.

use super::choice::{self, Choice, Named, choice};
use super::decode::{Fields, Findings, INSIDE_UNIT, POSITIVE, Value, list, number, text, whole};
use super::paths;
use super::spanned::Spanned;
use super::tree::{Kind, shown};
use crate::diagnostic::{Code, Diagnostic, Place};
use schemars::transform::Transform;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;
use std::borrow::Cow;
use std::ops::RangeInclusive;
use stepgrad_contract::training::{Format, Partition, Preprocess};

const SAMPLES: RangeInclusive<u64> = 1..=1_000_000_000;
const EXTENT: RangeInclusive<u32> = 1..=1_000_000;
const CLASSES: RangeInclusive<u32> = 2..=100_000;
/// Numbers in one sample at the most: more than any model here takes.
const SAMPLE_SIZE: u64 = 100_000_000;
/// The column that holds the class where `data.label` names none.
const LABEL: &str = "label";

/// What is learned from, and how it is shared out.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Data {
    /// A file or folder; relative, inside the project. Absent for synthetic data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<Spanned<String>>,
    /// The source's format.
    #[schemars(with = "Named<Format>")]
    pub format: Spanned<Format>,
    /// The held-out set: a share of the samples, or another source of the same format. Absent holds out nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation: Option<Spanned<Validation>>,
    /// Changes of the inputs, in this order; their constants come from the training part alone.
    #[schemars(with = "Vec<Named<Preprocess>>", default = "no_preprocess", extend("uniqueItems" = true))]
    pub preprocess: Vec<Spanned<Preprocess>>,
    /// How the samples are shared out over the peers.
    #[schemars(with = "PartitionSchema", default = "iid")]
    pub partition: Spanned<Partition>,
    /// The column that holds the class; for csv only, where it is `label` by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub label: Option<Spanned<String>>,
    /// What to generate; for the format synthetic only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub synthetic: Option<Synthetic>,
}

/// The held-out set.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(deny_unknown_fields)]
pub enum Validation {
    /// This share of the samples, drawn with the seed.
    Share(#[schemars(transform = INSIDE_UNIT.limits())] f64),
    /// Another source of the same format.
    Source {
        /// A file or folder; relative, inside the project.
        source: Spanned<String>,
    },
}

/// Synthetic data: a Gaussian cloud for each class, drawn from the seed.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Synthetic {
    /// Samples in all.
    #[schemars(range(min = *SAMPLES.start(), max = *SAMPLES.end()))]
    pub samples: Spanned<u64>,
    /// The shape of a sample: `[features]` or `[channels, height, width]`.
    #[schemars(length(min = 1, max = 4), inner(range(min = *EXTENT.start(), max = *EXTENT.end())))]
    pub shape: Spanned<Vec<u32>>,
    /// Classes.
    #[schemars(range(min = *CLASSES.start(), max = *CLASSES.end()))]
    pub classes: Spanned<u32>,
}

fn no_preprocess() -> Vec<Spanned<Preprocess>> {
    Vec::new()
}

fn iid() -> Spanned<Partition> {
    Spanned::new(Partition::Iid)
}

impl Choice for Format {
    const WHAT: &'static str = "data format";
    const BUILT: &'static [(&'static str, Self, &'static str)] = &[
        ("idx", Self::Idx, "the IDX files of MNIST, plain or gzip"),
        ("cifar10", Self::Cifar10, "the binary version of CIFAR-10"),
        ("libsvm", Self::Libsvm, "lines of `label index:value …`, indices from 1"),
        ("csv", Self::Csv, "a header row and a column that holds the class"),
        ("npy", Self::Npy, "NumPy arrays: x.npy and y.npy"),
        ("synthetic", Self::Synthetic, "generated from the seed"),
    ];
    const ALIASES: &'static [(&'static str, &'static str)] = &[
        ("mnist", "idx"),
        ("cifar", "cifar10"),
        ("cifar-10", "cifar10"),
        ("svmlight", "libsvm"),
        ("numpy", "npy"),
    ];
}

impl Choice for Preprocess {
    const WHAT: &'static str = "preprocessing step";
    const BUILT: &'static [(&'static str, Self, &'static str)] = &[
        ("min_max", Self::MinMax, "to [0, 1] by the smallest and largest value"),
        ("standardize", Self::Standardize, "to mean 0 and deviation 1"),
        ("normalize", Self::Normalize, "every sample to Euclidean length 1"),
    ];
    const ALIASES: &'static [(&'static str, &'static str)] = &[
        ("standardise", "standardize"),
        ("normalise", "normalize"),
        ("minmax", "min_max"),
        ("z_score", "standardize"),
    ];
}

/// A partition without its settings.
#[derive(Debug, Clone, Copy)]
struct PlainPartition(Shared);

#[derive(Debug, Clone, Copy)]
enum Shared {
    Iid,
    ByLabel,
}

impl Choice for PlainPartition {
    const WHAT: &'static str = "partition";
    const BUILT: &'static [(&'static str, Self, &'static str)] = &[
        ("iid", Self(Shared::Iid), "shuffled, in parts as equal as can be"),
        ("by_label", Self(Shared::ByLabel), "sorted by class, in parts as equal as can be"),
    ];
    const SHAPES: &'static [&'static str] = &["{dirichlet: α}"];
    const ALIASES: &'static [(&'static str, &'static str)] =
        &[("random", "iid"), ("label", "by_label"), ("non_iid", "by_label")];
}

struct PartitionSchema;

impl JsonSchema for PartitionSchema {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Partition".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let mut alpha = json_schema!({
            "type": "number",
            "description": "each class shared out by a draw from Dirichlet(α); small α gives skewed shards (Hsu et al. 2019)",
        });
        let mut interval = POSITIVE;
        interval.transform(&mut alpha);
        json_schema!({"anyOf": [
            choice::names::<PlainPartition>(),
            {"type": "object", "properties": {"dirichlet": alpha}, "required": ["dirichlet"], "additionalProperties": false},
        ]})
    }
}

impl Data {
    pub(super) fn read(value: &Value<'_>, cx: &mut Findings) -> Self {
        let mut fields = Fields::open(value, cx);
        let source = fields.take("source");
        let format: Spanned<Format> = fields.required("format", cx, choice);
        let label = fields.take("label");
        let synthetic = fields.take("synthetic");
        let validation = fields.optional("validation", cx, read_validation);
        let preprocess = fields.optional("preprocess", cx, read_preprocess).unwrap_or_default();
        let partition = fields.or("partition", Partition::Iid, cx, read_partition);
        let is = format.known().copied();
        let generated = is == Some(Format::Synthetic);
        let data = Self {
            source: source.is_given().then(|| read_path(&source, cx)),
            label: match (label.is_given(), is) {
                (true, _) => Some(read_label(&label, cx)),
                (false, Some(Format::Csv)) => Some(Spanned::new(LABEL.to_owned())),
                _ => None,
            },
            synthetic: synthetic.is_given().then(|| Synthetic::read(&synthetic, cx)),
            format,
            validation,
            preprocess,
            partition,
        };
        if is.is_some() {
            let missing = |key: &str, cx: &mut Findings| {
                cx.report(
                    Diagnostic::error(Code::MissingKey, format!("the key `data.{key}` is missing"))
                        .at(fields.place(), format!("needs `{key}`"))
                        .also(&data.format.place(), "this format needs it"),
                );
            };
            match (generated, source.is_given(), synthetic.is_given()) {
                (false, false, _) => missing("source", cx),
                (true, _, false) => missing("synthetic", cx),
                _ => {}
            }
            let foreign = |value: &Value<'_>, of: &str, cx: &mut Findings| {
                cx.report(
                    Diagnostic::error(Code::KeyOfOtherFormat, format!("`{}` is for {of} only", value.path))
                        .at(&value.key_place(), "not for this format")
                        .also(&data.format.place(), "the format")
                        .hint("remove the key, or change the format"),
                );
            };
            if generated && source.is_given() {
                foreign(&source, "data that are read, not generated,", cx);
            }
            if !generated && synthetic.is_given() {
                foreign(&synthetic, "`format: synthetic`", cx);
            }
            if is != Some(Format::Csv) && label.is_given() {
                foreign(&label, "`format: csv`", cx);
            }
            if let (true, Some(Spanned { value: Validation::Source { source }, .. })) =
                (generated, &data.validation)
            {
                cx.report(
                    Diagnostic::error(
                        Code::KeyOfOtherFormat,
                        "synthetic data have no other source to validate on",
                    )
                    .at(&source.place(), "not for this format")
                    .also(&data.format.place(), "the format")
                    .hint("hold out a share, e.g. `validation: 0.1`"),
                );
            }
        }
        fields.finish(cx);
        data
    }
}

impl Synthetic {
    fn read(value: &Value<'_>, cx: &mut Findings) -> Self {
        let mut fields = Fields::open(value, cx);
        let synthetic = Self {
            samples: fields.required("samples", cx, |value, cx| whole(value, &SAMPLES, cx)),
            shape: fields.required("shape", cx, read_shape),
            classes: fields.required("classes", cx, |value, cx| whole(value, &CLASSES, cx)),
        };
        fields.finish(cx);
        synthetic
    }
}

fn read_shape(value: &Value<'_>, cx: &mut Findings) -> Spanned<Vec<u32>> {
    let unknown = Spanned::unknown(Vec::new());
    let Some(items) = list(value, "a list of 1 to 4 sizes, e.g. `[1, 8, 8]`", cx) else {
        return unknown;
    };
    let sizes: Vec<_> = items.iter().map(|item| whole(item, &EXTENT, cx)).collect();
    if sizes.is_empty() || sizes.len() > 4 {
        cx.report(
            Diagnostic::error(Code::OutOfRange, format!("`{}` has {} sizes", value.path, sizes.len()))
                .at(&value.place(), "expected 1 to 4 sizes, e.g. `[1, 8, 8]`"),
        );
        return unknown;
    }
    let Some(shape) = sizes.iter().map(|size| size.known().copied()).collect::<Option<Vec<u32>>>() else {
        return unknown;
    };
    let size = shape.iter().try_fold(1_u64, |size, extent| size.checked_mul(u64::from(*extent)));
    if size.is_none_or(|size| size > SAMPLE_SIZE) {
        cx.report(
            Diagnostic::error(
                Code::OutOfRange,
                format!("a sample of this shape holds more than {SAMPLE_SIZE} numbers"),
            )
            .at(&value.place(), "too large"),
        );
        return unknown;
    }
    Spanned::read(shape, &value.place())
}

fn read_label(value: &Value<'_>, cx: &mut Findings) -> Spanned<String> {
    let label = text(value, "the name of a column", cx);
    if label.known().is_some_and(String::is_empty) {
        cx.report(
            Diagnostic::error(Code::UnknownValue, "the name of a column cannot be empty")
                .at(&value.place(), "expected the name of a column"),
        );
        return Spanned::unknown(String::new());
    }
    label
}

fn read_validation(value: &Value<'_>, cx: &mut Findings) -> Spanned<Validation> {
    match value.node.map(|node| &node.kind) {
        Some(Kind::Map(_)) => {
            let mut fields = Fields::open(value, cx);
            let source = fields.required("source", cx, read_path);
            fields.finish(cx);
            Spanned::read(Validation::Source { source }, &value.place())
        }
        Some(Kind::Text { text, quoted: false }) if scalar_like_path(text) => {
            cx.report(
                Diagnostic::error(
                    Code::WrongType,
                    "`data.validation` has to be a share or `{source: …}`, found text",
                )
                .at(&value.place(), "expected a number between 0 and 1, or `{source: a file or folder}`")
                .hint("for another source, write it as `{source: …}`")
                .suggest(&value.place(), format!("{{source: {text}}}")),
            );
            Spanned::unknown(Validation::Share(0.0))
        }
        _ => number(value, &INSIDE_UNIT, cx).map(Validation::Share),
    }
}

/// Whether a text where a share belongs looks like a path.
fn scalar_like_path(text: &str) -> bool {
    text.contains('/') && !text.contains([',', '{', '}', '[', ']', '\n'])
}

fn read_preprocess(value: &Value<'_>, cx: &mut Findings) -> Vec<Spanned<Preprocess>> {
    let Some(items) = list(value, "a list, e.g. `[min_max]`", cx) else {
        return Vec::new();
    };
    let mut steps: Vec<Spanned<Preprocess>> = Vec::new();
    for item in items {
        let step: Spanned<Preprocess> = choice(&item, cx);
        let Some(known) = step.known() else { continue };
        match steps.iter().find(|earlier| earlier.value == *known) {
            Some(earlier) => cx.report(
                Diagnostic::error(Code::ListedTwice, format!("`{}` lists a step twice", value.path))
                    .at(&step.place(), "the second time")
                    .also(&earlier.place(), "the first time")
                    .hint("remove one of the two: a step that is repeated changes nothing more"),
            ),
            None => steps.push(step),
        }
    }
    steps
}

fn read_partition(value: &Value<'_>, cx: &mut Findings) -> Spanned<Partition> {
    if !matches!(value.node.map(|node| &node.kind), Some(Kind::Map(_))) {
        return if value
            .node
            .is_some_and(|node| matches!(&node.kind, Kind::Text { text, .. } if text == "dirichlet"))
        {
            cx.report(
                Diagnostic::error(Code::WrongType, "`data.partition: dirichlet` needs its α")
                    .at(&value.place(), "expected `{dirichlet: α}`")
                    .hint("small α gives skewed shards, large α equal ones")
                    .suggest(&value.place(), "{dirichlet: 0.5}"),
            );
            Spanned::unknown(Partition::Iid)
        } else {
            choice::<PlainPartition>(value, cx).map(|PlainPartition(shared)| match shared {
                Shared::Iid => Partition::Iid,
                Shared::ByLabel => Partition::ByLabel,
            })
        };
    }
    let mut fields = Fields::open(value, cx);
    let alpha = fields.required("dirichlet", cx, |value, cx| number(value, &POSITIVE, cx));
    fields.finish(cx);
    match alpha.known() {
        Some(_) => Spanned::read(Partition::Dirichlet(alpha.value), &value.place()),
        None => Spanned::unknown(Partition::Iid),
    }
}

/// A path of this project.
pub(super) fn read_path(value: &Value<'_>, cx: &mut Findings) -> Spanned<String> {
    let found = text(value, "a path, e.g. `data/digits`", cx);
    let unknown = Spanned::unknown(String::new());
    let Some(path) = found.known() else { return unknown };
    let place: Place = value.place();
    if path.starts_with("s3://") {
        cx.report(
            Diagnostic::error(
                Code::NotBuilt,
                "data on S3 are not built yet: runs on this machine read local files",
            )
            .at(&place, "not built yet")
            .hint("copy the data into the project and name the folder"),
        );
        return unknown;
    }
    match paths::normalise(path) {
        Ok(path) => Spanned::read(path, &place),
        Err(refusal) => {
            cx.report(
                Diagnostic::error(
                    Code::PathEscapes,
                    format!("`{}` cannot be `{}`: {refusal}", value.path, shown(path)),
                )
                .at(&place, "not a path of this project")
                .hint("a path is relative to the project's folder and stays inside it"),
            );
            unknown
        }
    }
}
