//! `functions`: what each function gets of memory and time.

use super::choice::{Choice, Named, choice};
use super::decode::{Fields, Findings, Value, whole};
use super::spanned::Spanned;
use super::topology::Topology;
use super::training::Training;
use crate::diagnostic::{Code, Diagnostic, Place};
use crate::limits;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use stepgrad_contract::Function;
use stepgrad_contract::metrics::Metrics;
use stepgrad_contract::training::{self, Algorithm, Topology as Kind};

const MEMORY_MB: RangeInclusive<u32> = 128..=limits::FUNCTION_MEMORY_MB;
const TIMEOUT_S: RangeInclusive<u32> = 1..=limits::FUNCTION_TIMEOUT_S;
/// AWS Step Functions, "Distributed Map": the most child executions at once.
const CONCURRENCY: RangeInclusive<u32> = 1..=10_000;
const RESERVE_S: RangeInclusive<u32> = 1..=600;
const HAND_OVERS: RangeInclusive<u32> = 1..=100;

/// What the functions get.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Functions {
    /// Memory and time of every function.
    #[serde(flatten)]
    pub settings: BTreeMap<Function, Settings>,
    /// Calls that are under way at the same time, at the most: here and on AWS.
    pub max_concurrency: Spanned<u32>,
    /// The processor they are built for.
    pub architecture: Spanned<Processor>,
    /// When a call that comes near its timeout hands over to another one.
    pub hand_over: HandOver,
    /// Where metrics of calls go.
    pub metrics: Spanned<Metrics>,
}

/// When a call of `train` or `prepare` that comes near its timeout hands over to another one.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct HandOver {
    /// Seconds of the timeout that are kept for what cannot be foreseen, beside the longest step so far and the saving;
    /// by default a tenth of the timeout.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<u32>", range(min = *RESERVE_S.start(), max = *RESERVE_S.end()))]
    pub reserve_s: Option<Spanned<u32>>,
    /// Times that one piece of work is handed over, at the most; one more fails it.
    #[schemars(range(min = *HAND_OVERS.start(), max = *HAND_OVERS.end()), default = "default_hand_overs")]
    pub at_most: Spanned<u32>,
}

fn default_hand_overs() -> u32 {
    training::HandOver::AT_MOST
}

impl HandOver {
    fn read(value: &Value<'_>, cx: &mut Findings) -> Self {
        let mut fields = Fields::open_optional(value, cx);
        let hand_over = Self {
            reserve_s: fields.optional("reserve_s", cx, |value, cx| whole(value, &RESERVE_S, cx)),
            at_most: fields
                .or("at_most", default_hand_overs(), cx, |value, cx| whole(value, &HAND_OVERS, cx)),
        };
        fields.finish(cx);
        hand_over
    }

    /// A reserve of the whole timeout leaves a call nothing.
    fn check(
        &self,
        settings: &BTreeMap<Function, Settings>,
        algorithm: Option<&Algorithm>,
        cx: &mut Findings,
    ) {
        let Some((reserve, seconds)) =
            self.reserve_s.as_ref().and_then(|reserve| Some((reserve, *reserve.known()?)))
        else {
            return;
        };
        let calls = |function: &Function| {
            function.hands_over()
                && (*function != Function::Train || algorithm == Some(&Algorithm::ModelAveraging))
        };
        for (function, Settings { timeout_s, .. }) in settings.iter().filter(|(function, _)| calls(function))
        {
            let Some(timeout) = timeout_s.known().filter(|timeout| **timeout <= seconds) else { continue };
            let message = format!("a reserve of {seconds} s leaves `{function}` nothing of its {timeout} s");
            let mut finding = Diagnostic::error(Code::OutOfRange, message)
                .at(&reserve.place(), format!("expected less than {timeout}"));
            if timeout_s.is_given() {
                finding = finding.also(&timeout_s.place(), "the timeout");
            }
            cx.report(finding.hint("without the key a tenth of each timeout is kept"));
        }
    }
}

/// Memory and time of one function.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Settings {
    /// Memory in MB; a share of a processor comes with it (1,769 MB are one).
    #[schemars(with = "Option<u32>", range(min = *MEMORY_MB.start(), max = *MEMORY_MB.end()))]
    pub memory_mb: Spanned<u32>,
    /// Seconds after which a call is given up.
    #[schemars(with = "Option<u32>", range(min = *TIMEOUT_S.start(), max = *TIMEOUT_S.end()))]
    pub timeout_s: Spanned<u32>,
}

impl Settings {
    /// The settings of a function that the spec says nothing of.
    #[must_use]
    pub const fn default_of(function: Function) -> Self {
        let memory_mb = if function.computes() { 2048 } else { 1024 };
        let timeout_s = match function {
            Function::Prepare => 900,
            // It answers at once, or its peer is not there.
            Function::Heartbeat => 30,
            _ => 300,
        };
        Self { memory_mb: Spanned::new(memory_mb), timeout_s: Spanned::new(timeout_s) }
    }

    fn read(value: &Value<'_>, function: Function, cx: &mut Findings) -> Self {
        let Self { memory_mb, timeout_s } = Self::default_of(function);
        let mut fields = Fields::open_optional(value, cx);
        let settings = Self {
            memory_mb: fields.or("memory_mb", memory_mb.value, cx, |value, cx| whole(value, &MEMORY_MB, cx)),
            timeout_s: fields.or("timeout_s", timeout_s.value, cx, |value, cx| whole(value, &TIMEOUT_S, cx)),
        };
        fields.finish(cx);
        settings
    }
}

/// The processor that functions are built for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Processor {
    /// AWS Graviton.
    Arm64,
    /// Intel and AMD.
    #[serde(rename = "x86_64")]
    X86,
}

impl Choice for Processor {
    const WHAT: &'static str = "processor architecture";
    const BUILT: &'static [(&'static str, Self, &'static str)] =
        &[("arm64", Self::Arm64, "AWS Graviton"), ("x86_64", Self::X86, "Intel and AMD")];
    const ALIASES: &'static [(&'static str, &'static str)] =
        &[("aarch64", "arm64"), ("arm", "arm64"), ("x86", "x86_64"), ("amd64", "x86_64"), ("x64", "x86_64")];
}

impl Choice for Metrics {
    const WHAT: &'static str = "place for metrics";
    const BUILT: &'static [(&'static str, Self, &'static str)] = &[
        ("none", Self::None, "nowhere"),
        ("cloudwatch", Self::Cloudwatch, "CloudWatch, from the log; each metric of each function is charged"),
    ];
    const ALIASES: &'static [(&'static str, &'static str)] =
        &[("emf", "cloudwatch"), ("aws", "cloudwatch"), ("embedded", "cloudwatch"), ("off", "none")];
}

impl JsonSchema for Functions {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Functions".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut properties = serde_json::Map::new();
        for function in Function::ALL {
            let mut settings = Settings::json_schema(generator);
            let default = Settings::default_of(function);
            for (key, value) in [("memory_mb", default.memory_mb), ("timeout_s", default.timeout_s)] {
                if let Some(property) = settings.pointer_mut(&format!("/properties/{key}")) {
                    property["default"] = value.value.into();
                }
            }
            settings.insert("description".to_owned(), format!("Memory and time of `{function}`.").into());
            properties.insert(function.name().to_owned(), settings.to_value());
        }
        let concurrency = json_schema!({
            "type": "integer",
            "minimum": CONCURRENCY.start(),
            "maximum": CONCURRENCY.end(),
            "default": training::MAX_CONCURRENCY,
            "description": "Calls of functions that one training has under way at the same time, at the most: here and on AWS.",
        });
        properties.insert("max_concurrency".to_owned(), concurrency.to_value());
        let mut processor = Named::<Processor>::json_schema(generator);
        processor.insert("description".to_owned(), "The processor they are built for.".into());
        processor.insert("default".to_owned(), "arm64".into());
        properties.insert("architecture".to_owned(), processor.to_value());
        let mut hand_over = HandOver::json_schema(generator);
        hand_over.insert(
            "description".to_owned(),
            "When a call of `train` or `prepare` that comes near its timeout hands over to another one."
                .into(),
        );
        properties.insert("hand_over".to_owned(), hand_over.to_value());
        let mut metrics = Named::<Metrics>::json_schema(generator);
        metrics.insert("description".to_owned(), "Where metrics of calls go.".into());
        metrics.insert("default".to_owned(), "none".into());
        properties.insert("metrics".to_owned(), metrics.to_value());
        json_schema!({"type": "object", "properties": properties, "additionalProperties": false})
    }
}

impl Functions {
    /// The settings of `function`.
    #[must_use]
    pub fn of(&self, function: Function) -> Settings {
        self.settings.get(&function).cloned().unwrap_or_else(|| Settings::default_of(function))
    }

    pub(super) fn read(
        value: &Value<'_>,
        topology: &Topology,
        training: &Training,
        cx: &mut Findings,
    ) -> Self {
        let mut fields = Fields::open_optional(value, cx);
        let mut settings = BTreeMap::new();
        for function in Function::ALL {
            let value = fields.take(function.name());
            if value.is_given() {
                warn_of_unused(function, &value.key_place(), topology, training, cx);
            }
            settings.insert(function, Settings::read(&value, function, cx));
        }
        let functions = Self {
            settings,
            max_concurrency: fields.or("max_concurrency", training::MAX_CONCURRENCY, cx, |value, cx| {
                whole(value, &CONCURRENCY, cx)
            }),
            architecture: fields.or("architecture", Processor::Arm64, cx, choice),
            hand_over: HandOver::read(&fields.take("hand_over"), cx),
            metrics: fields.or("metrics", Metrics::None, cx, choice),
        };
        fields.finish(cx);
        functions.hand_over.check(&functions.settings, training.algorithm.known(), cx);
        functions
    }
}

/// Settings of a function that this training never calls have no effect.
fn warn_of_unused(
    function: Function,
    place: &Place,
    topology: &Topology,
    training: &Training,
    cx: &mut Findings,
) {
    let because = match function {
        Function::Aggregate if topology.kind.known() == Some(&Kind::PeerToPeer) => {
            (topology.kind.place(), "in this topology no server aggregates")
        }
        Function::Synchronise if topology.kind.known() == Some(&Kind::ParameterServer) => {
            (topology.kind.place(), "in this topology the server aggregates")
        }
        Function::Train if training.algorithm.known() == Some(&Algorithm::GradientAveraging) => {
            (training.algorithm.place(), "this algorithm trains no local models")
        }
        Function::Gradient | Function::Combine
            if training.algorithm.known() == Some(&Algorithm::ModelAveraging) =>
        {
            (training.algorithm.place(), "this algorithm averages models, not gradients")
        }
        _ => return,
    };
    cx.report(
        Diagnostic::warning(Code::UnusedFunction, format!("this training never calls `{function}`"))
            .at(place, "has no effect")
            .also(&because.0, because.1)
            .hint("remove the settings"),
    );
}
