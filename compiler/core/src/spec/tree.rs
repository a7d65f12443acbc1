//! The spec as a tree of values, each with its place: what the YAML reader makes and the sections read.

use crate::diagnostic::Place;

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    /// The value itself; for a block collection, the key it stands under.
    pub(crate) place: Place,
    pub(crate) kind: Kind,
}

/// What a value is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    Null,
    Bool(bool),
    Integer(i128),
    Float(f64),
    Text {
        text: String,
        /// Whether it stands in quotes (or in a block), so that it is text whatever it looks like.
        quoted: bool,
    },
    List(Vec<Node>),
    Map(Vec<Entry>),
    /// Something that was reported when it was read.
    Reported,
}

/// A key and its value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_place: Place,
    pub(crate) value: Node,
}

impl Node {
    /// Whether it is this text.
    pub(crate) fn is_text(&self, wanted: &str) -> bool {
        matches!(&self.kind, Kind::Text { text, .. } if text == wanted)
    }

    /// What it is, for "found …".
    pub(crate) fn found(&self) -> String {
        match &self.kind {
            Kind::Null => "nothing".to_owned(),
            Kind::Bool(value) => value.to_string(),
            Kind::Integer(value) => format!("the number {value}"),
            Kind::Float(value) => format!("the number {}", float(*value)),
            Kind::Text { text, quoted: true } => format!("the text \"{}\"", shown(text)),
            Kind::Text { text, quoted: false } => format!("the text `{}`", shown(text)),
            Kind::List(_) => "a list".to_owned(),
            Kind::Map(_) => "a mapping".to_owned(),
            Kind::Reported => "something else".to_owned(),
        }
    }
}

/// A number as YAML writes it.
pub(crate) fn float(value: f64) -> String {
    if value.is_nan() {
        ".nan".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { ".inf".to_owned() } else { "-.inf".to_owned() }
    } else {
        format!("{value:?}")
    }
}

/// A text of the user's in a message: short, on one line.
pub(crate) fn shown(text: &str) -> String {
    const LONGEST: usize = 40;
    let mut out = String::new();
    for (place, letter) in text.chars().enumerate() {
        if place == LONGEST {
            out.push('…');
            break;
        }
        if letter.is_control() || letter == '`' {
            out.extend(letter.escape_default());
        } else {
            out.push(letter);
        }
    }
    out
}
