//! The fault file: what goes wrong where in a rerun, and what is expected of it all the same.
//!
//! One file for each part: [`actions`](self) is the table of what can go wrong, `coordinates` how a place in a run is
//! named, `places` which action can act where, `expect` what is expected, `resolve` how a file becomes the
//! [`stepgrad_contract::faults::Plan`] of one run, with every draw made. Read with the machinery of specs: every
//! mistake at once, each with its line. Knows nothing of how faults are brought about.

mod actions;
mod chaos;
mod coordinates;
mod expect;
mod names;
mod on_aws;
mod places;
mod reference;
mod resolve;
mod schema;
mod verdict;

#[cfg(test)]
mod tests;

pub use actions::Act;
pub use chaos::chaos;
pub use coordinates::{At, Share, Wanted};
pub use expect::{Expect, RunStatus};
pub use on_aws::refused_on_aws;
pub use reference::reference;
pub use resolve::{Universe, resolve};
pub use schema::schema;
pub use verdict::{Facts, LostPeer, Verdict, verdict};

use crate::diagnostic::{Code, Diagnostic, Place, Source};
use crate::spec::Spanned;
use crate::spec::decode::{Document, Fields, Findings, Value, list, text, whole};
use crate::spec::tree::shown;
use crate::spec::yaml;
use std::collections::BTreeMap;

/// The version of the format.
pub const VERSION: u32 = 1;

/// A fault file.
#[derive(Debug, Clone, PartialEq)]
pub struct FaultFile {
    /// Where the draws start; the run's seed if it is not given.
    pub seed: Option<Spanned<u64>>,
    /// In the file's order: the first match wins.
    pub faults: Vec<Entry>,
    /// What is expected of the rerun.
    pub expect: Expect,
}

/// One fault of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Its name in the history and in `expect`.
    pub id: Spanned<String>,
    /// Where.
    pub at: At,
    /// What.
    pub act: Spanned<Act>,
    /// The fault after whose window this one starts.
    pub start_after: Option<Spanned<String>>,
    /// Where `at` stands, or the fault without one.
    pub place: Place,
}

/// Reads a fault file. The second part are warnings.
///
/// # Errors
/// Every error of the file at once, by place, as [`crate::spec::parse`] gives those of a spec.
pub fn parse(source: &Source<'_>) -> Result<(FaultFile, Vec<Diagnostic>), Vec<Diagnostic>> {
    let mut cx = Findings::of(Document::Faults);
    let Some(root) = yaml::tree(source.text, &mut cx) else {
        return Err(cx.finish());
    };
    let file = FaultFile::read(&Value::root(&root), &mut cx);
    let failed = cx.has_errors();
    let findings = cx.finish();
    if failed { Err(findings) } else { Ok((file, findings)) }
}

impl FaultFile {
    fn read(value: &Value<'_>, cx: &mut Findings) -> Self {
        let mut fields = Fields::open(value, cx);
        fields.required("version", cx, read_version);
        let seed = fields.optional("seed", cx, |value, cx| whole(value, &(0..=u64::MAX), cx));
        let faults = fields.required("faults", cx, |value, cx| {
            let entries = list(value, "a list of faults", cx).unwrap_or_default();
            entries.iter().map(|entry| Entry::read(entry, cx)).collect::<Vec<_>>()
        });
        let expect = Expect::read(&fields.take("expect"), cx);
        fields.finish(cx);
        let file = Self { seed, faults, expect };
        file.check(cx);
        file
    }

    /// Whether ids are unique, and what names an id names one.
    fn check(&self, cx: &mut Findings) {
        let mut seen: BTreeMap<&str, &Spanned<String>> = BTreeMap::new();
        for entry in &self.faults {
            let Some(id) = entry.id.known() else { continue };
            if let Some(first) = seen.get(id.as_str()) {
                cx.report(
                    Diagnostic::error(Code::FaultId, format!("two faults are called `{}`", shown(id)))
                        .at(&entry.id.place(), "the second one")
                        .also(&first.place(), "the first one")
                        .hint("the history tells firings by their ids: give each fault its own"),
                );
            } else {
                seen.insert(id, &entry.id);
            }
        }
        let ids: Vec<&str> = seen.keys().copied().collect();
        for entry in &self.faults {
            if let Some(after) = &entry.start_after
                && let Some(name) = after.known()
            {
                names::one(name, &ids, "fault", &after.place(), Code::FaultOrder, cx);
            }
        }
        self.check_cycles(cx);
        self.expect.check(&ids, cx);
    }

    /// Whether every `start_after` ends somewhere.
    fn check_cycles(&self, cx: &mut Findings) {
        let after: BTreeMap<&str, &Spanned<String>> = self
            .faults
            .iter()
            .filter_map(|entry| Some((entry.id.value.as_str(), entry.start_after.as_ref()?)))
            .collect();
        for (id, first) in &after {
            let (mut current, mut steps) = (*first, 0);
            while current.value != **id && steps <= after.len() {
                let Some(next) = after.get(current.value.as_str()) else { break };
                (current, steps) = (next, steps + 1);
            }
            if current.value == **id {
                cx.report(
                    Diagnostic::error(Code::FaultOrder, format!("`{}` would start after itself", shown(id)))
                        .at(&first.place(), "leads back to this fault")
                        .hint("remove one start_after of the circle"),
                );
            }
        }
    }
}

impl Entry {
    fn read(value: &Value<'_>, cx: &mut Findings) -> Self {
        let mut fields = Fields::open(value, cx);
        let id = fields.required("id", cx, read_id);
        let at_value = fields.take("at");
        let at = At::read(&at_value, cx);
        let after = coordinates::either(&mut fields, "start_after", "startAfter", cx);
        let start_after = after.is_given().then(|| text(&after, "the id of a fault", cx));
        let act = actions::read(&mut fields, cx);
        fields.finish(cx);
        let place = if at_value.is_given() { at_value.key_place() } else { value.place() };
        let entry = Self { id, at, act, start_after, place };
        places::check(&entry, cx);
        entry
    }
}

fn read_version(value: &Value<'_>, cx: &mut Findings) {
    let version = whole(value, &(0..=u32::MAX), cx);
    if let Some(other) = version.known().filter(|version| **version != VERSION) {
        cx.report(
            Diagnostic::error(
                Code::BadVersion,
                format!("this stepgrad reads fault files of version {VERSION}, not {other}"),
            )
            .at(&version.place(), format!("expected {VERSION}"))
            .suggest(&version.place(), VERSION.to_string()),
        );
    }
}

fn read_id(value: &Value<'_>, cx: &mut Findings) -> Spanned<String> {
    let id = text(value, "a name, e.g. `lost-ack`", cx);
    let Some(found) = id.known() else { return id };
    let fits = (1..=64).contains(&found.len())
        && found.starts_with(|letter: char| letter.is_ascii_lowercase())
        && found
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte));
    if fits {
        return id;
    }
    cx.report(Diagnostic::error(Code::FaultId, format!("`{}` is not an id", shown(found))).at(
        &id.place(),
        "expected a small letter, then at most 63 small letters, digits, hyphens and underscores",
    ));
    Spanned::unknown(String::new())
}
