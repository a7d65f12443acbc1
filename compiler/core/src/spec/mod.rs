//! The spec: from YAML to types, every key checked, every default filled in, every mistake shown at once.
//!
//! One file for each section, with its documentation, its types, how it is read and what is checked; `yaml`
//! makes the tree that they read, `decode` and `choice` are how. Knows nothing of plans or state machines.

mod aggregation;
mod aws;
mod budget;
pub(crate) mod choice;
mod data;
pub(crate) mod decode;
mod exchange;
mod fault_tolerance;
mod functions;
mod model;
mod overrides;
mod paths;
mod scalar;
mod schema;
mod signatures;
pub(crate) mod spanned;
pub(crate) mod suggest;
mod topology;
mod training;
pub(crate) mod tree;
pub(crate) mod yaml;

#[cfg(test)]
mod tests;

pub use aws::Aws;
pub use budget::Budget;
pub use data::{Data, Synthetic, Validation};
pub use exchange::{Channel, Compression, Exchange, Synchrony};
pub use fault_tolerance::{FaultTolerance, Retries};
pub use functions::{Functions, Processor, Settings};
pub use model::Model;
pub use overrides::{NotAnOverride, Override};
pub use schema::schema;
pub use signatures::Signatures;
pub use spanned::Spanned;
pub use topology::Topology;
pub use training::{EarlyStopping, Optimizer, ReduceLrOnPlateau, Sgd, Target, Training};
pub use yaml::{MAX_BYTES, MAX_DEPTH, MAX_NODES};

use crate::diagnostic::{Code, Diagnostic, Source};
use decode::{Fields, Findings, Value, text, whole};
use schemars::JsonSchema;
use serde::Serialize;

/// The version of the spec's language.
pub const VERSION: u32 = 1;

const NAME_PATTERN: &str = "^[a-z][a-z0-9-]{0,39}$";

/// A training for stepgrad: what is learned from what data, by which model and algorithm, over which topology of
/// peers, and what the functions get.
///
/// It serialises canonically: keys in the order of the types, every default filled in, no places; and what it
/// serialises to is itself a spec that reads back as the same one.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(
    title = "stepgrad training spec",
    description = "A training: what is learned from what data, by which model, over which topology of peers.",
    deny_unknown_fields
)]
pub struct Spec {
    /// The version of this format: 1.
    #[schemars(extend("const" = 1))]
    pub version: Spanned<u32>,
    /// Names the run and what is deployed: a small letter, then at most 39 small letters, digits and hyphens.
    #[schemars(regex(pattern = NAME_PATTERN))]
    pub name: Spanned<String>,
    /// Where every random choice of the run starts.
    #[schemars(default = "default_seed")]
    pub seed: Spanned<u64>,
    /// What is learned from, and how it is shared out.
    pub data: Data,
    /// What is trained, and what is minimised.
    pub model: Model,
    /// What is computed, how long, and when it ends.
    pub training: Training,
    /// Who exchanges with whom.
    pub topology: Topology,
    /// How often and by what means the peers combine what they have.
    #[schemars(with = "Option<Exchange>")]
    pub exchange: Exchange,
    /// What the functions get.
    #[schemars(with = "Option<Functions>")]
    pub functions: Functions,
    /// What a run survives.
    #[schemars(with = "Option<FaultTolerance>")]
    pub fault_tolerance: FaultTolerance,
    /// What a deployment to AWS gets beside the functions.
    #[schemars(with = "Option<Aws>")]
    pub aws: Aws,
    /// What a training may cost; absent for whatever it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<Budget>,
}

fn default_seed() -> u64 {
    0
}

/// Reads a spec and puts the overrides over it.
///
/// The second part are warnings, by place.
///
/// # Errors
/// Every error (and warning) of the spec at once, by place: the source first, then the overrides. Only what is
/// not YAML at all, or beyond [`MAX_BYTES`], [`MAX_DEPTH`] or [`MAX_NODES`], stops at its first error.
pub fn parse(
    source: &Source<'_>,
    overrides: &[Override],
) -> Result<(Spec, Vec<Diagnostic>), Vec<Diagnostic>> {
    let mut cx = Findings::default();
    let Some(mut root) = yaml::tree(source.text, &mut cx) else {
        return Err(cx.finish());
    };
    overrides::apply(&mut root, overrides, &mut cx);
    let spec = Spec::read(&Value::root(&root), &mut cx);
    let failed = cx.has_errors();
    let findings = cx.finish();
    if failed { Err(findings) } else { Ok((spec, findings)) }
}

impl Spec {
    fn read(value: &Value<'_>, cx: &mut Findings) -> Self {
        let mut fields = Fields::open(value, cx);
        let version = fields.required("version", cx, read_version);
        let name = fields.required("name", cx, read_name);
        let seed = fields.or("seed", 0, cx, |value, cx| whole(value, &(0..=u64::MAX), cx));
        let data = fields.required("data", cx, Data::read);
        let model = fields.required("model", cx, Model::read);
        // The defaults of a training depend on its topology, which a spec gives after it.
        let training = fields.demand("training");
        let topology = fields.required("topology", cx, Topology::read);
        let training = Training::read(&training, &topology, cx);
        let spec = Self {
            version,
            name,
            seed,
            data,
            model,
            exchange: Exchange::read(&fields.take("exchange"), cx),
            functions: Functions::read(&fields.take("functions"), &topology, &training, cx),
            fault_tolerance: FaultTolerance::read(&fields.take("fault_tolerance"), &topology, cx),
            aws: Aws::read(&fields.take("aws"), cx),
            budget: fields.optional("budget", cx, Budget::read),
            training,
            topology,
        };
        fields.finish(cx);
        spec.model.check(&spec.data, cx);
        spec.exchange.check(&spec.training, cx);
        aggregation::check(&spec, cx);
        signatures::check(&spec, cx);
        spec.training.check(&spec.exchange, &spec.data, cx);
        spec
    }
}

fn read_version(value: &Value<'_>, cx: &mut Findings) -> Spanned<u32> {
    let version = whole(value, &(0..=u32::MAX), cx);
    if let Some(other) = version.known().filter(|version| **version != VERSION) {
        cx.report(
            Diagnostic::error(
                Code::BadVersion,
                format!("this stepgrad reads version {VERSION}, not {other}"),
            )
            .at(&version.place(), format!("expected {VERSION}"))
            .suggest(&version.place(), VERSION.to_string()),
        );
        return Spanned::unknown(VERSION);
    }
    version
}

fn read_name(value: &Value<'_>, cx: &mut Findings) -> Spanned<String> {
    let name = text(value, "a name, e.g. `digits-p2p`", cx);
    let Some(found) = name.known() else { return name };
    let fits = found.len() <= 40
        && found.starts_with(|letter: char| letter.is_ascii_lowercase())
        && found.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if fits {
        return name;
    }
    let slug = slug(found);
    let message = match found.as_str() {
        "" => "the name is empty".to_owned(),
        other => format!("`{}` is not a name", tree::shown(other)),
    };
    let mut finding = Diagnostic::error(Code::BadName, message)
        .at(&name.place(), "expected a small letter, then at most 39 small letters, digits and hyphens");
    if !slug.is_empty() {
        finding = finding.hint(format!("`{slug}` would be one")).suggest(&name.place(), slug);
    }
    cx.report(finding);
    Spanned::unknown(String::new())
}

/// The name that `text` might have meant.
fn slug(text: &str) -> String {
    let mut slug = String::new();
    for letter in text.chars().take(200) {
        match letter.to_ascii_lowercase() {
            letter if letter.is_ascii_lowercase() => slug.push(letter),
            letter if letter.is_ascii_digit() && !slug.is_empty() => slug.push(letter),
            _ if !slug.is_empty() && !slug.ends_with('-') => slug.push('-'),
            _ => {}
        }
    }
    slug.truncate(40);
    slug.trim_end_matches('-').to_owned()
}
