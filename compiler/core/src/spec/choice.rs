//! Values that are one of several names: what is built, what a later version will know, and the slips that
//! have a right word. One table serves the reader, the messages and the JSON Schema.

use super::decode::{Expected, Findings, Value};
use super::spanned::Spanned;
use super::suggest::{nearest, one_of};
use super::tree::{Kind, shown};
use crate::diagnostic::{Code, Diagnostic, Place};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use std::borrow::Cow;
use std::marker::PhantomData;

/// A set of names.
pub(crate) trait Choice: Copy + 'static {
    /// What one of them is, e.g. `data format`.
    const WHAT: &'static str;
    /// Those that work, each with its description. The first one stands in for what cannot be read.
    const BUILT: &'static [(&'static str, Self, &'static str)];
    /// Those to come.
    const PLANNED: &'static [&'static str] = &[];
    /// Words that people use for one of them.
    const ALIASES: &'static [(&'static str, &'static str)] = &[];
    /// The shapes beside names, for "expected …", e.g. `{dirichlet: α}`.
    const SHAPES: &'static [&'static str] = &[];
}

/// One of the names of `T`.
pub(crate) fn choice<T: Choice>(value: &Value<'_>, cx: &mut Findings) -> Spanned<T> {
    // Every table has a first name: it is a constant.
    let unknown = Spanned::unknown(T::BUILT[0].1);
    let Some(node) = value.node else { return unknown };
    match &node.kind {
        Kind::Text { text, .. } => match T::BUILT.iter().find(|(name, ..)| name == text) {
            Some((_, found, _)) => Spanned::read(*found, &node.place),
            None => {
                refuse::<T>(&value.path, text, &node.place, cx);
                unknown
            }
        },
        // A name with settings, e.g. `{trimmed_mean: 0.2}`, that will be built one day.
        Kind::Map(entries) if matches!(entries.as_slice(), [only] if T::PLANNED.contains(&only.key.as_str())) =>
        {
            if let [only] = entries.as_slice() {
                refuse::<T>(&value.path, &only.key, &only.key_place, cx);
            }
            unknown
        }
        _ => {
            value.wrong_type(&expected::<T>(), cx);
            unknown
        }
    }
}

/// What the key asks for.
pub(crate) fn expected<T: Choice>() -> Expected {
    let names = T::BUILT.iter().map(|(name, ..)| *name).chain(T::SHAPES.iter().copied());
    if T::SHAPES.is_empty() { Expected::Text(one_of(names)) } else { Expected::Other(one_of(names)) }
}

/// Reports that `name` is none of those that work.
pub(crate) fn refuse<T: Choice>(path: &str, name: &str, place: &Place, cx: &mut Findings) {
    let built = one_of(T::BUILT.iter().map(|(name, ..)| *name).chain(T::SHAPES.iter().copied()));
    if T::PLANNED.contains(&name) {
        cx.report(
            Diagnostic::error(Code::NotBuilt, format!("the {} `{name}` is not built yet", T::WHAT))
                .at(place, "not built yet")
                .hint(format!("`{path}` can be {built}")),
        );
        return;
    }
    let finding = Diagnostic::error(Code::UnknownValue, format!("there is no {} `{}`", T::WHAT, shown(name)))
        .at(place, format!("expected {built}"));
    let names = T::BUILT.iter().map(|(name, ..)| *name);
    let alias = T::ALIASES.iter().find(|(word, _)| word.eq_ignore_ascii_case(name)).map(|(_, name)| *name);
    let near = alias.or_else(|| nearest(name, names));
    cx.report(match near {
        Some(near) => finding.hint(format!("did you mean `{near}`?")).suggest(place, near),
        None => match nearest(name, T::PLANNED.iter().copied()) {
            Some(near) => finding.hint(format!("did you mean `{near}`? It is not built yet")),
            None => finding,
        },
    });
}

/// The JSON Schema of a choice: the names, each with its description.
#[derive(Debug)]
pub(crate) struct Named<T>(PhantomData<T>);

impl<T: Choice> JsonSchema for Named<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        T::WHAT.into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        names::<T>()
    }
}

/// `oneOf` the names.
pub(crate) fn names<T: Choice>() -> Schema {
    let names: Vec<_> = T::BUILT
        .iter()
        .map(|(name, _, description)| json_schema!({"const": name, "description": description}))
        .collect();
    json_schema!({"oneOf": names})
}
