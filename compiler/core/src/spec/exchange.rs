//! `exchange`: how often and by what means the peers combine what they have.

use super::aggregation::{self, AggregationSchema};
use super::choice::{self, Choice, Named, choice};
use super::decode::{Fields, Findings, Value, whole};
use super::signatures::Signatures;
use super::spanned::Spanned;
use super::training::Training;
use super::tree::Kind;
use crate::diagnostic::{Code, Diagnostic};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;
use std::borrow::Cow;
use std::ops::RangeInclusive;
use stepgrad_contract::aggregation::Aggregation;
use stepgrad_contract::training::{Algorithm, Every};

const COUNT: RangeInclusive<u32> = 1..=1_000_000;

/// How often and by what means the peers combine what they have.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Exchange {
    /// How often: `epoch`, `{batches: k}` or `{epochs: k}`.
    #[schemars(with = "EverySchema", default = "every_epoch")]
    pub every: Spanned<Every>,
    /// Where tensors travel.
    #[schemars(with = "Named<Channel>", default = "object_store")]
    pub channel: Spanned<Channel>,
    /// Whether peers wait for one another.
    #[schemars(with = "Named<Synchrony>", default = "bulk")]
    pub synchrony: Spanned<Synchrony>,
    /// How tensors are made smaller on the way.
    #[schemars(with = "Named<Compression>", default = "no_compression")]
    pub compression: Spanned<Compression>,
    /// How the contributions become one.
    #[schemars(with = "AggregationSchema", default = "mean")]
    pub aggregation: Spanned<Aggregation>,
    /// Peers sign what they publish (Ed25519), and what is not rightly signed is left out. Absent, nothing is signed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signatures: Option<Signatures>,
}

/// Where tensors travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    /// Objects in a store: files here, S3 on AWS.
    ObjectStore,
}

/// Whether peers wait for one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Synchrony {
    /// All wait for all: no round starts before the last one is complete.
    Bulk,
}

/// How tensors are made smaller on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// They are not.
    None,
}

fn every_epoch() -> &'static str {
    "epoch"
}

fn object_store() -> Channel {
    Channel::ObjectStore
}

fn bulk() -> Synchrony {
    Synchrony::Bulk
}

fn no_compression() -> Compression {
    Compression::None
}

fn mean() -> Aggregation {
    Aggregation::Mean
}

impl Choice for Channel {
    const WHAT: &'static str = "channel";
    const BUILT: &'static [(&'static str, Self, &'static str)] =
        &[("object_store", Self::ObjectStore, "objects in a store: files on this machine, S3 on AWS")];
    const PLANNED: &'static [&'static str] =
        &["redis", "rabbitmq", "memcached", "sqs", "sns", "dynamodb", "efs", "elasticache", "kafka"];
    const ALIASES: &'static [(&'static str, &'static str)] = &[
        ("s3", "object_store"),
        ("file", "object_store"),
        ("files", "object_store"),
        ("store", "object_store"),
    ];
}

impl Choice for Synchrony {
    const WHAT: &'static str = "synchrony";
    const BUILT: &'static [(&'static str, Self, &'static str)] =
        &[("bulk", Self::Bulk, "all wait for all: no round starts before the last one is complete")];
    const PLANNED: &'static [&'static str] = &["asynchronous", "stale"];
    const ALIASES: &'static [(&'static str, &'static str)] =
        &[("synchronous", "bulk"), ("sync", "bulk"), ("bsp", "bulk"), ("bulk_synchronous", "bulk")];
}

impl Choice for Compression {
    const WHAT: &'static str = "compression";
    const BUILT: &'static [(&'static str, Self, &'static str)] =
        &[("none", Self::None, "tensors travel as they are")];
    const PLANNED: &'static [&'static str] = &[
        "fp16",
        "bf16",
        "int8",
        "qsgd",
        "terngrad",
        "sign_sgd",
        "top_k",
        "random_k",
        "power_sgd",
        "zstd",
        "lz4",
        "gzip",
    ];
}

/// `every` without a count.
#[derive(Debug, Clone, Copy)]
struct Epoch;

impl Choice for Epoch {
    const WHAT: &'static str = "interval";
    const BUILT: &'static [(&'static str, Self, &'static str)] = &[("epoch", Self, "once an epoch")];
    const SHAPES: &'static [&'static str] = &["{batches: k}", "{epochs: k}"];
}

struct EverySchema;

impl JsonSchema for EverySchema {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Every".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let counted = |key: &str, description: &str| {
            let count = json_schema!({
                "type": "integer", "minimum": COUNT.start(), "maximum": COUNT.end(), "description": description,
            });
            let mut schema =
                json_schema!({"type": "object", "required": [key], "additionalProperties": false});
            schema.insert("properties".to_owned(), serde_json::json!({key: count}));
            schema
        };
        json_schema!({"anyOf": [
            choice::names::<Epoch>(),
            counted("batches", "after this many batches of each peer"),
            counted("epochs", "after this many epochs; more than 1 needs model averaging"),
        ]})
    }
}

impl Exchange {
    pub(super) fn read(value: &Value<'_>, cx: &mut Findings) -> Self {
        let mut fields = Fields::open_optional(value, cx);
        let exchange = Self {
            every: fields.or("every", Every::Epochs(1), cx, read_every),
            channel: fields.or("channel", Channel::ObjectStore, cx, choice),
            synchrony: fields.or("synchrony", Synchrony::Bulk, cx, choice),
            compression: fields.or("compression", Compression::None, cx, choice),
            signatures: fields.optional("signatures", cx, Signatures::read),
            aggregation: fields.or("aggregation", Aggregation::Mean, cx, aggregation::read),
        };
        fields.finish(cx);
        exchange
    }

    /// Whether the interval fits what is exchanged.
    pub(super) fn check(&self, training: &Training, cx: &mut Findings) {
        let (Some(Every::Epochs(epochs)), Some(Algorithm::GradientAveraging)) =
            (self.every.known(), training.algorithm.known())
        else {
            return;
        };
        if *epochs > 1 {
            cx.report(
                Diagnostic::error(
                    Code::EpochsNeedModelAveraging,
                    format!("an exchange every {epochs} epochs needs model averaging"),
                )
                .at(&self.every.place(), "gradients at the same parameters cannot span epochs")
                .also(&training.algorithm.place(), "the algorithm")
                .hint("set `training.algorithm: model_averaging`, or exchange every `epoch` or every few `{batches: k}`"),
            );
        }
    }
}

fn read_every(value: &Value<'_>, cx: &mut Findings) -> Spanned<Every> {
    let unknown = Spanned::unknown(Every::Epochs(1));
    if !matches!(value.node.map(|node| &node.kind), Some(Kind::Map(_))) {
        return choice::<Epoch>(value, cx).map(|Epoch| Every::Epochs(1));
    }
    let mut fields = Fields::open(value, cx);
    let batches = fields.take("batches");
    let epochs = fields.take("epochs");
    fields.finish(cx);
    match (batches.is_given(), epochs.is_given()) {
        (true, false) => {
            let count = whole(&batches, &COUNT, cx);
            if count.known().is_some() {
                Spanned::read(Every::Batches(count.value), &value.place())
            } else {
                unknown
            }
        }
        (false, true) => {
            let count = whole(&epochs, &COUNT, cx);
            if count.known().is_some() {
                Spanned::read(Every::Epochs(count.value), &value.place())
            } else {
                unknown
            }
        }
        (true, true) => {
            cx.report(
                Diagnostic::error(Code::OneOf, "`exchange.every` has both `batches` and `epochs`")
                    .at(&epochs.key_place(), "either this one")
                    .also(&batches.key_place(), "or this one")
                    .hint("remove one of the two"),
            );
            unknown
        }
        (false, false) => {
            cx.report(
                Diagnostic::error(Code::OneOf, "`exchange.every` names no interval")
                    .at(&value.key_place(), "needs `batches` or `epochs`")
                    .hint("write `epoch`, `{batches: k}` or `{epochs: k}`"),
            );
            unknown
        }
    }
}
