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
    self, ErrorKind, Event, Parser, ScalarStyle, ScanError, Span, StructureStyle,
};
use std::collections::BTreeMap;
use std::ops::Range;

/// The largest spec, in bytes.
pub const MAX_BYTES: usize = 1024 * 1024;

/// The most collections inside one another.
pub const MAX_DEPTH: usize = 32;

/// The most values, keys not counted.
pub const MAX_NODES: usize = 10_000;

/// The tree of `text`; `None` where there is none to go on with, which is then reported.
pub(super) fn tree(text: &str, findings: &mut Findings) -> Option<Node> {
    if text.len() > MAX_BYTES {
        findings.report(
            Diagnostic::error(
                Code::TooLarge,
                format!("the spec has {} bytes, more than {MAX_BYTES}", text.len()),
            )
            .hint("a spec describes a training in some dozen lines: is this the right file?"),
        );
        return None;
    }
    // A byte order mark may stand at the very start, and is no part of the text.
    let skipped = if text.starts_with('\u{feff}') {
        '\u{feff}'.len_utf8()
    } else {
        0
    };
    let body = text.get(skipped..).unwrap_or_default();
    let options = granit_parser::options! {
        emit_comments: false,
        emit_unresolved_aliases: true,
        disallow_directives: true,
        flow_nesting_limit: MAX_DEPTH * 2,
        block_nesting_limit: MAX_DEPTH * 2,
    };
    let mut builder = Builder {
        text,
        skipped,
        open: Vec::new(),
        root: None,
        nodes: 0,
    };
    let mut documents = 0;
    for event in Parser::new_from_str_with_options(body, options) {
        let (event, span) = match event {
            Ok(pair) => pair,
            Err(error) => {
                findings.report(builder.scan_error(&error));
                return None;
            }
        };
        if matches!(event, Event::DocumentStart(..)) {
            documents += 1;
            if documents > 1 {
                let place = builder.place(&span);
                findings.report(
                    Diagnostic::error(Code::SeveralDocuments, "the file holds more than one document")
                        .at(&place, "the second one starts here")
                        .hint("keep one spec in one file"),
                );
                break;
            }
        }
        if builder.event(event, &span, findings).is_err() {
            return None;
        }
    }
    let root = builder.root.take();
    if root.as_ref().is_none_or(|node| node.kind == Kind::Null) {
        findings.report(
            Diagnostic::error(Code::Empty, "the spec is empty")
                .hint("`stepgrad init` writes a commented one to start from"),
        );
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
    open: Vec<Open>,
    root: Option<Node>,
    nodes: usize,
}

/// A collection whose end has not come yet.
enum Open {
    List {
        start: Range<usize>,
        place: Place,
        items: Vec<Node>,
    },
    Map {
        start: Range<usize>,
        place: Place,
        entries: Vec<Entry>,
        seen: BTreeMap<String, Range<usize>>,
        key: Key,
    },
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
    fn range(&self, span: &Span) -> Range<usize> {
        let range = span.byte_range().unwrap_or(0..0);
        let range = range.start + self.skipped..range.end + self.skipped;
        // Block scalars and implicit ends reach over the line breaks that follow.
        let trimmed = self
            .text
            .get(range.clone())
            .map_or(0, |text| text.trim_end().len());
        range.start..(range.start + trimmed).max(range.start)
    }

    fn place(&self, span: &Span) -> Place {
        Place::Source(self.range(span))
    }

    /// Where a value stands; one without text of its own stands at its key.
    fn value_place(&self, range: &Range<usize>) -> Place {
        if range.is_empty()
            && let Some(Open::Map {
                key: Key::Read(_, key),
                ..
            }) = self.open.last()
        {
            return Place::Source(key.clone());
        }
        Place::Source(range.clone())
    }

    fn event(&mut self, event: Event<'_>, span: &Span, findings: &mut Findings) -> Result<(), Stop> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.properties(anchor, tag.is_some(), span, findings);
                let range = self.range(span);
                if self.awaits_key() {
                    self.key(&text, range, findings);
                    return Ok(());
                }
                let kind = match style {
                    ScalarStyle::Plain => scalar::plain(&text),
                    _ => Kind::Text {
                        text: text.into_owned(),
                        quoted: true,
                    },
                };
                let place = self.value_place(&range);
                self.value(Node { place, kind }, findings)
            }
            Event::Alias(_) | Event::UnresolvedAlias(_) => {
                let place = self.place(span);
                findings.report(alias("aliases are refused", &place, "an alias"));
                if self.awaits_key() {
                    self.set_key(Key::Dropped);
                    return Ok(());
                }
                self.value(
                    Node {
                        place,
                        kind: Kind::Reported,
                    },
                    findings,
                )
            }
            Event::SequenceStart(style, anchor, tag) => {
                self.properties(anchor, tag.is_some(), span, findings);
                let (start, place) = self.begin(style, span, findings)?;
                self.open.push(Open::List {
                    start,
                    place,
                    items: Vec::new(),
                });
                Ok(())
            }
            Event::MappingStart(style, anchor, tag) => {
                self.properties(anchor, tag.is_some(), span, findings);
                let (start, place) = self.begin(style, span, findings)?;
                let (entries, seen) = (Vec::new(), BTreeMap::new());
                self.open.push(Open::Map {
                    start,
                    place,
                    entries,
                    seen,
                    key: Key::Awaited,
                });
                Ok(())
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(span, findings),
            _ => Ok(()),
        }
    }

    fn awaits_key(&self) -> bool {
        matches!(
            self.open.last(),
            Some(Open::Map {
                key: Key::Awaited,
                ..
            })
        )
    }

    fn set_key(&mut self, new: Key) {
        if let Some(Open::Map { key, .. }) = self.open.last_mut() {
            *key = new;
        }
    }

    fn properties(&self, anchor: usize, tagged: bool, span: &Span, findings: &mut Findings) {
        if anchor != 0 {
            // The anchor stands before the value; without anchor events its own place is not told.
            findings.report(alias(
                "anchors are refused",
                &self.place(span),
                "this value has an anchor",
            ));
        }
        if tagged {
            let place = span
                .tag_span()
                .map_or_else(|| self.place(span), |tag| self.place(&tag));
            findings.report(
                Diagnostic::error(Code::Tag, "tags are refused")
                    .at(&place, "a tag")
                    .hint("remove it: every value of a spec has the type that its key asks for"),
            );
        }
    }

    /// A collection starts: its first bytes, and the place to show for it.
    fn begin(
        &mut self,
        style: StructureStyle,
        span: &Span,
        findings: &mut Findings,
    ) -> Result<(Range<usize>, Place), Stop> {
        let range = self.range(span);
        if self.open.len() >= MAX_DEPTH {
            findings.report(too_deep(&Place::Source(range)));
            return Err(Stop);
        }
        let place = match (style, self.open.last()) {
            (
                StructureStyle::Block,
                Some(Open::Map {
                    key: Key::Read(_, key),
                    ..
                }),
            ) => Place::Source(key.clone()),
            _ => Place::Source(range.clone()),
        };
        Ok((range, place))
    }

    fn end(&mut self, span: &Span, findings: &mut Findings) -> Result<(), Stop> {
        let end = self.range(span).end;
        let whole = |start: Range<usize>, place: Place| match place {
            // A flow collection is shown whole, a block collection by its key.
            Place::Source(range) if range == start => Place::Source(start.start..end.max(start.end)),
            other => other,
        };
        let node = match self.open.pop() {
            Some(Open::List { start, place, items }) => Node {
                place: whole(start, place),
                kind: Kind::List(items),
            },
            Some(Open::Map {
                start,
                place,
                entries,
                ..
            }) => Node {
                place: whole(start, place),
                kind: Kind::Map(entries),
            },
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
        let Some(Open::Map { seen, key, .. }) = self.open.last_mut() else {
            return;
        };
        if text == "<<" {
            findings.report(alias(
                "merge keys are refused",
                &Place::Source(range),
                "a merge key",
            ));
            *key = Key::Dropped;
        } else if let Some(first) = seen.get(text) {
            findings.report(
                Diagnostic::error(
                    Code::DuplicateKey,
                    format!("the key `{}` stands twice", shown(text)),
                )
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
                    format!("the spec holds more than {MAX_NODES} values"),
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
                    entries.push(Entry {
                        key,
                        key_place: Place::Source(range),
                        value: node,
                    });
                }
            }
        }
        Ok(())
    }

    fn scan_error(&self, error: &ScanError) -> Diagnostic {
        let start = error.marker().byte_offset().unwrap_or(0) + self.skipped;
        let end = self.text.get(start..).and_then(|rest| rest.chars().next());
        let end = end
            .filter(|letter| !letter.is_control())
            .map_or(start, |letter| start + letter.len_utf8());
        let place = Place::Source(start..end);
        match error.kind() {
            ErrorKind::RecursionLimitExceeded => too_deep(&place),
            ErrorKind::DirectiveDisallowed => Diagnostic::error(Code::Tag, "directives are refused")
                .at(&place, "a directive")
                .hint("remove the line"),
            ErrorKind::UndeclaredTagHandle => Diagnostic::error(Code::Tag, "tags are refused")
                .at(&place, "a tag")
                .hint("remove it"),
            kind => {
                let finding =
                    Diagnostic::error(Code::Syntax, format!("not valid YAML: {kind}")).at(&place, "here");
                hints(kind)
                    .iter()
                    .fold(finding, |finding, hint| finding.hint(*hint))
            }
        }
    }
}

fn alias(message: &str, place: &Place, label: &str) -> Diagnostic {
    Diagnostic::error(Code::Alias, message)
        .at(place, label)
        .hint("write the value out where it is needed")
}

fn too_deep(place: &Place) -> Diagnostic {
    Diagnostic::error(
        Code::TooDeep,
        format!("the spec is nested deeper than {MAX_DEPTH} levels"),
    )
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
        ErrorKind::UnclosedQuotedScalar | ErrorKind::DocumentIndicatorInQuotedScalar => {
            &["close the quote that was opened"]
        }
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
