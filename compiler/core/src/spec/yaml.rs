//! From text to [`Node`]s with places, within strict budgets.
//!
//! The events come from the parser inside serde-saphyr; its own `Spanned<T>` loses the line inside untagged and
//! flattened types, and a tree type of a YAML crate would recurse as deep as the text does. Here the open
//! collections lie on a stack of their own and their number is bounded, so no text overflows anything.
//!
//! Aliases are refused, not resolved: a spec is small, so they save nothing; an error at an aliased value would
//! have two places, neither of which is the wrong one; and what cannot be expanded cannot be a bomb.

use super::decode::Findings;
use super::scalar;
use super::tree::{Entry, Kind, Node, shown};
use crate::diagnostic::{Code, Diagnostic, Place};
use serde_saphyr::granit_parser::{
    self, ErrorKind, Event, Options, Parser, ScalarStyle, ScanError, Span, StructureStyle,
};
use std::collections::BTreeMap;
use std::ops::Range;

/// The largest spec, in bytes.
pub const MAX_BYTES: usize = 1024 * 1024;

/// The most collections inside one another.
pub const MAX_DEPTH: usize = 32;

/// The most values, keys not counted.
pub const MAX_NODES: usize = 10_000;

/// The most places shown of anchors, aliases and merge keys.
const MAX_REFERENCES: usize = 6;

/// The tree of `text`; `None` where there is none to go on with, which is then reported.
pub(crate) fn tree(text: &str, findings: &mut Findings) -> Option<Node> {
    if text.len() > MAX_BYTES {
        findings.report(
            Diagnostic::error(
                Code::TooLarge,
                format!("{} has {} bytes, more than {MAX_BYTES}", findings.document.name(), text.len()),
            )
            .hint("a spec describes a training in some dozen lines: is this the right file?"),
        );
        return None;
    }
    // A byte order mark may stand at the very start, and is no part of the text.
    let skipped = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
    let body = text.get(skipped..).unwrap_or_default();
    let options = granit_parser::options! {
        emit_comments: false,
        emit_unresolved_aliases: true,
        emit_anchor_events: true,
        disallow_directives: true,
        flow_nesting_limit: MAX_DEPTH * 2,
        block_nesting_limit: MAX_DEPTH * 2,
    };
    let mut builder =
        Builder { text, skipped, references: Vec::new(), open: Vec::new(), root: None, nodes: 0 };
    let read = builder.run(body, options, findings);
    builder.report_references(findings);
    read.ok()?;
    let root = builder.root.take();
    if root.as_ref().is_none_or(|node| node.kind == Kind::Null) {
        findings.empty();
        return None;
    }
    root
}

/// The reading cannot go on; why has been reported.
struct Stop;

struct Builder<'a> {
    text: &'a str,
    /// Bytes before those that the parser sees.
    skipped: usize,
    /// The first anchors, aliases and merge keys, each with what it is.
    references: Vec<(Place, &'static str)>,
    open: Vec<Open>,
    root: Option<Node>,
    nodes: usize,
}

/// A collection whose end has not come yet.
enum Open {
    List { extent: Extent, items: Vec<Node> },
    Map { extent: Extent, entries: Vec<Entry>, seen: BTreeMap<String, Range<usize>>, key: Key },
}

/// Where a collection starts, and what to show for it: a block collection is shown by its key, or by its first
/// letter where it has none, a flow collection whole.
struct Extent {
    start: usize,
    shown: Option<Range<usize>>,
}

impl Extent {
    fn place(self, end: usize) -> Place {
        Place::Source(self.shown.unwrap_or(self.start..end.max(self.start)))
    }
}

/// What a mapping waits for.
enum Key {
    /// A key.
    Awaited,
    /// The value of this key.
    Read(String, Range<usize>),
    /// The value of a key that was reported, to be dropped.
    Dropped,
}

impl Builder<'_> {
    fn run(&mut self, body: &str, options: Options, findings: &mut Findings) -> Result<(), Stop> {
        let mut documents = 0;
        for event in Parser::new_from_str_with_options(body, options) {
            let (event, span) = match event {
                Ok(pair) => pair,
                Err(error) => {
                    findings.report(self.scan_error(&error));
                    return Err(Stop);
                }
            };
            if matches!(event, Event::DocumentStart(..)) {
                documents += 1;
            }
            if documents > 1 {
                findings.report(
                    Diagnostic::error(Code::SeveralDocuments, "the file holds more than one document")
                        .at(&self.place(&span), "the second one starts here")
                        .hint("keep one document in one file"),
                );
                return Ok(());
            }
            self.event(event, &span, findings)?;
        }
        Ok(())
    }

    fn range(&self, span: &Span) -> Range<usize> {
        let range = span.byte_range().unwrap_or(0..0);
        let range = range.start + self.skipped..range.end + self.skipped;
        // Block scalars and implicit ends reach over the line breaks that follow.
        let trimmed = self.text.get(range.clone()).map_or(0, |text| text.trim_end().len());
        range.start..(range.start + trimmed).max(range.start)
    }

    fn place(&self, span: &Span) -> Place {
        Place::Source(self.range(span))
    }

    /// Where a value stands; one without text of its own stands at its key.
    fn value_place(&self, range: &Range<usize>) -> Place {
        if range.is_empty()
            && let Some(Open::Map { key: Key::Read(_, key), .. }) = self.open.last()
        {
            return Place::Source(key.clone());
        }
        Place::Source(range.clone())
    }

    fn event(&mut self, event: Event<'_>, span: &Span, findings: &mut Findings) -> Result<(), Stop> {
        match event {
            Event::Scalar(text, style, _, tag) => {
                self.tag(tag.is_some(), span, findings);
                let range = self.range(span);
                if self.awaits_key() {
                    self.key(&text, range, findings);
                    return Ok(());
                }
                let kind = match style {
                    ScalarStyle::Plain => scalar::plain(&text),
                    _ => Kind::Text { text: text.into_owned(), quoted: true },
                };
                let place = self.value_place(&range);
                self.value(Node { place, kind }, findings)
            }
            Event::Anchor(..) => {
                self.reference(self.place(span), "an anchor");
                Ok(())
            }
            Event::Alias(_) | Event::UnresolvedAlias(_) => {
                let place = self.place(span);
                self.reference(place.clone(), "an alias");
                if self.awaits_key() {
                    self.set_key(Key::Dropped);
                    return Ok(());
                }
                self.value(Node { place, kind: Kind::Reported }, findings)
            }
            Event::SequenceStart(style, _, tag) => {
                self.tag(tag.is_some(), span, findings);
                let extent = self.begin(style, span, findings)?;
                self.open.push(Open::List { extent, items: Vec::new() });
                Ok(())
            }
            Event::MappingStart(style, _, tag) => {
                self.tag(tag.is_some(), span, findings);
                let extent = self.begin(style, span, findings)?;
                let (entries, seen) = (Vec::new(), BTreeMap::new());
                self.open.push(Open::Map { extent, entries, seen, key: Key::Awaited });
                Ok(())
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(span, findings),
            _ => Ok(()),
        }
    }

    fn awaits_key(&self) -> bool {
        matches!(self.open.last(), Some(Open::Map { key: Key::Awaited, .. }))
    }

    fn set_key(&mut self, new: Key) {
        if let Some(Open::Map { key, .. }) = self.open.last_mut() {
            *key = new;
        }
    }

    /// Remembers an anchor, alias or merge key; a bomb of them makes one finding.
    fn reference(&mut self, place: Place, what: &'static str) {
        if self.references.len() < MAX_REFERENCES {
            self.references.push((place, what));
        }
    }

    /// Reports the anchors, aliases and merge keys, if any.
    fn report_references(&mut self, findings: &mut Findings) {
        let mut references = self.references.drain(..);
        let Some((place, what)) = references.next() else {
            return;
        };
        let finding = Diagnostic::error(Code::Alias, "anchors, aliases and merge keys are refused")
            .at(&place, what)
            .hint("write the value out where it is needed");
        findings.report(references.fold(finding, |finding, (place, what)| finding.also(&place, what)));
    }

    fn tag(&self, tagged: bool, span: &Span, findings: &mut Findings) {
        if tagged {
            let place = span.tag_span().map_or_else(|| self.place(span), |tag| self.place(&tag));
            findings.report(
                Diagnostic::error(Code::Tag, "tags are refused")
                    .at(&place, "a tag")
                    .hint("remove it: every value has the type that its key asks for"),
            );
        }
    }

    /// A collection starts.
    fn begin(&mut self, style: StructureStyle, span: &Span, findings: &mut Findings) -> Result<Extent, Stop> {
        let range = self.range(span);
        if self.open.len() >= MAX_DEPTH {
            findings.report(too_deep(&Place::Source(range)));
            return Err(Stop);
        }
        let shown = match (style, self.open.last()) {
            (StructureStyle::Flow, _) => None,
            (StructureStyle::Block, Some(Open::Map { key: Key::Read(_, key), .. })) => Some(key.clone()),
            (StructureStyle::Block, _) => {
                let first = self.text.get(range.start..).and_then(|rest| rest.chars().next());
                Some(range.start..range.start + first.map_or(0, char::len_utf8))
            }
        };
        Ok(Extent { start: range.start, shown })
    }

    fn end(&mut self, span: &Span, findings: &mut Findings) -> Result<(), Stop> {
        let end = self.range(span).end;
        let node = match self.open.pop() {
            Some(Open::List { extent, items }) => Node { place: extent.place(end), kind: Kind::List(items) },
            Some(Open::Map { extent, entries, .. }) => {
                Node { place: extent.place(end), kind: Kind::Map(entries) }
            }
            None => return Ok(()),
        };
        if self.awaits_key() {
            findings.report(
                Diagnostic::error(Code::KeyNotText, format!("{} cannot be a key", node.found()))
                    .at(&node.place, "expected a name")
                    .hint("write `key: value`; text with `[`, `{` or `? ` at its start needs quotes"),
            );
            self.set_key(Key::Dropped);
            return Ok(());
        }
        self.value(node, findings)
    }

    fn key(&mut self, text: &str, range: Range<usize>, findings: &mut Findings) {
        if text == "<<" {
            self.reference(Place::Source(range), "a merge key");
            self.set_key(Key::Dropped);
            return;
        }
        let Some(Open::Map { seen, key, .. }) = self.open.last_mut() else {
            return;
        };
        if let Some(first) = seen.get(text) {
            findings.report(
                Diagnostic::error(Code::DuplicateKey, format!("the key `{}` stands twice", shown(text)))
                    .at(&Place::Source(range), "the second one")
                    .also(&Place::Source(first.clone()), "the first one")
                    .hint("keep one of the two"),
            );
            *key = Key::Dropped;
        } else {
            seen.insert(text.to_owned(), range.clone());
            *key = Key::Read(text.to_owned(), range);
        }
    }

    /// A value is complete: into the collection that is open.
    fn value(&mut self, node: Node, findings: &mut Findings) -> Result<(), Stop> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            findings.report(
                Diagnostic::error(
                    Code::TooDeep,
                    format!("{} holds more than {MAX_NODES} values", findings.document.name()),
                )
                .at(&node.place, "too many")
                .hint("a spec describes a training in some dozen lines: is this the right file?"),
            );
            return Err(Stop);
        }
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open::List { items, .. }) => items.push(node),
            Some(Open::Map { entries, key, .. }) => {
                if let Key::Read(key, range) = std::mem::replace(key, Key::Awaited) {
                    entries.push(Entry { key, key_place: Place::Source(range), value: node });
                }
            }
        }
        Ok(())
    }

    fn scan_error(&self, error: &ScanError) -> Diagnostic {
        let start = error.marker().byte_offset().unwrap_or(0) + self.skipped;
        let end = self.text.get(start..).and_then(|rest| rest.chars().next());
        let end = end.filter(|letter| !letter.is_control()).map_or(start, |letter| start + letter.len_utf8());
        let place = Place::Source(start..end);
        match error.kind() {
            ErrorKind::RecursionLimitExceeded => too_deep(&place),
            ErrorKind::DirectiveDisallowed => Diagnostic::error(Code::Tag, "directives are refused")
                .at(&place, "a directive")
                .hint("remove the line"),
            ErrorKind::UndeclaredTagHandle => {
                Diagnostic::error(Code::Tag, "tags are refused").at(&place, "a tag").hint("remove it")
            }
            kind => {
                let finding =
                    Diagnostic::error(Code::Syntax, format!("not valid YAML: {kind}")).at(&place, "here");
                hints(kind).iter().fold(finding, |finding, hint| finding.hint(*hint))
            }
        }
    }
}

fn too_deep(place: &Place) -> Diagnostic {
    Diagnostic::error(Code::TooDeep, format!("the spec is nested deeper than {MAX_DEPTH} levels"))
        .at(place, "this goes too deep")
        .hint("no key of a spec needs more than four levels: look for brackets that were not closed")
}

fn hints(kind: &ErrorKind) -> &'static [&'static str] {
    match kind {
        ErrorKind::TabNotAllowed
        | ErrorKind::TabInBlockIndentation
        | ErrorKind::TabInIndentation
        | ErrorKind::TabAtBlockScalarStart
        | ErrorKind::TabInPlainScalar => &["indent with spaces: YAML allows no tab there"],
        ErrorKind::UnclosedQuotedScalar
        | ErrorKind::InvalidQuotedScalarIndent
        | ErrorKind::DocumentIndicatorInQuotedScalar => &["close the quote that was opened"],
        ErrorKind::UnclosedFlowCollection { .. }
        | ErrorKind::UnexpectedEofFlowMapping
        | ErrorKind::UnexpectedEofFlowSequence
        | ErrorKind::UnexpectedEofImplicitFlowMapping
        | ErrorKind::MismatchedFlowCollectionEnd { .. }
        | ErrorKind::MisplacedFlowCollectionEnd
        | ErrorKind::ExpectedFlowMappingSeparator
        | ErrorKind::ExpectedFlowSequenceSeparator => {
            &["every `{` and `[` needs its own `}` and `]`, and commas between"]
        }
        ErrorKind::MappingValueNotAllowed | ErrorKind::InvalidColonPlacement => &[
            "a value that itself contains `: ` needs quotes",
            "keys of one mapping start in the same column",
        ],
        ErrorKind::ExpectedBlockMappingKey
        | ErrorKind::InvalidIndentation
        | ErrorKind::BlockSequenceEntryNotAllowed
        | ErrorKind::ExpectedBlockSequenceEntry
        | ErrorKind::MappingKeyNotAllowed
        | ErrorKind::SimpleKeyExpected
        | ErrorKind::InvalidSimpleKey => {
            &["a line of a mapping is `key: value`, and keys of one mapping start in the same column"]
        }
        ErrorKind::UnexpectedCharacter { .. } => &["text with such a character at its start needs quotes"],
        _ => &[],
    }
}
