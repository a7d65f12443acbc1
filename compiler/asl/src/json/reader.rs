//! The reader: text to tree.

use super::node::{Member, Node, NodeKind, Span};
use serde_json::Value;

/// Values may stand this deep inside each other.
pub const MAX_DEPTH: usize = 200;

/// The text is not JSON, or nested too deep.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct JsonError {
    /// What is wrong and what was expected.
    pub message: String,
    /// The byte at which it was found.
    pub offset: usize,
}

/// Reads one JSON value (RFC 8259) that is the whole of `text`.
///
/// # Errors
/// [`JsonError`] at the first byte that cannot stand where it does.
pub fn read(text: &str) -> Result<Node, JsonError> {
    let mut reader = Reader { text, bytes: text.as_bytes(), at: 0 };
    reader.skip_space();
    let node = reader.value(0)?;
    reader.skip_space();
    if reader.at < reader.bytes.len() {
        return Err(reader.error("expected the end of the text after the value"));
    }
    Ok(node)
}

struct Reader<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn error(&self, message: impl Into<String>) -> JsonError {
        JsonError { message: message.into(), offset: self.at }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn value(&mut self, depth: usize) -> Result<Node, JsonError> {
        if depth > MAX_DEPTH {
            return Err(self.error(format!("nested deeper than {MAX_DEPTH} levels")));
        }
        let start = self.at;
        let kind = match self.peek() {
            Some(b'{') => self.object(depth)?,
            Some(b'[') => self.array(depth)?,
            Some(b'"') => NodeKind::String(self.string()?),
            Some(b't') => self.word("true", Value::Bool(true))?,
            Some(b'f') => self.word("false", Value::Bool(false))?,
            Some(b'n') => self.word("null", Value::Null)?,
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(_) => return Err(self.error("expected a JSON value")),
            None => return Err(self.error("expected a JSON value, found the end of the text")),
        };
        Ok(Node { span: Span { start, end: self.at }, kind })
    }

    fn word(&mut self, word: &str, value: Value) -> Result<NodeKind, JsonError> {
        if self.bytes.get(self.at..).is_some_and(|rest| rest.starts_with(word.as_bytes())) {
            self.at += word.len();
            Ok(NodeKind::Plain(value))
        } else {
            Err(self.error(format!("expected {word}")))
        }
    }

    /// The extent is found here, the conversion and the grammar's finer points are serde_json's.
    fn number(&mut self) -> Result<NodeKind, JsonError> {
        let start = self.at;
        while matches!(self.peek(), Some(b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9')) {
            self.at += 1;
        }
        let text = self.text.get(start..self.at).unwrap_or_default();
        match serde_json::from_str::<Value>(text) {
            Ok(value @ Value::Number(_)) => Ok(NodeKind::Plain(value)),
            _ => Err(JsonError { message: format!("{text:?} is not a JSON number"), offset: start }),
        }
    }

    fn string(&mut self) -> Result<String, JsonError> {
        let start = self.at;
        self.at += 1;
        loop {
            match self.peek() {
                None => return Err(JsonError { message: "a string without an end".into(), offset: start }),
                Some(b'"') => break,
                Some(b'\\') => self.at += 2,
                Some(byte) if byte < 0x20 => {
                    return Err(self.error("a control character in a string: write it as an escape"));
                }
                Some(_) => self.at += 1,
            }
        }
        self.at += 1;
        let text = self.text.get(start..self.at).unwrap_or_default();
        serde_json::from_str(text)
            .map_err(|_| JsonError { message: "a bad escape in a string".into(), offset: start })
    }

    fn array(&mut self, depth: usize) -> Result<NodeKind, JsonError> {
        self.at += 1;
        let mut items = Vec::new();
        self.skip_space();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(NodeKind::Array(items));
        }
        loop {
            self.skip_space();
            items.push(self.value(depth + 1)?);
            self.skip_space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(NodeKind::Array(items));
                }
                _ => return Err(self.error("expected `,` or `]`")),
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<NodeKind, JsonError> {
        self.at += 1;
        let mut members = Vec::new();
        self.skip_space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(NodeKind::Object(members));
        }
        loop {
            self.skip_space();
            if self.peek() != Some(b'"') {
                return Err(self.error("expected a member's name in quotes"));
            }
            let start = self.at;
            let key = self.string()?;
            let key_span = Span { start, end: self.at };
            self.skip_space();
            if self.peek() != Some(b':') {
                return Err(self.error("expected `:`"));
            }
            self.at += 1;
            self.skip_space();
            let value = self.value(depth + 1)?;
            members.push(Member { key, key_span, value });
            self.skip_space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(NodeKind::Object(members));
                }
                _ => return Err(self.error("expected `,` or `}`")),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{MAX_DEPTH, read};
    use crate::json::Position;
    use proptest::prelude::*;

    #[test]
    fn keeps_places_and_duplicates() {
        let text = "{\n  \"a\": 1,\n  \"a\": \"ü\", \"b\": [true]\n}";
        let node = read(text).unwrap();
        let members = node.members().unwrap();
        assert_eq!(members.len(), 3);
        assert_eq!(Position::of(text, members[2].key_span.start), Position { line: 3, column: 13 });
        assert_eq!(node.to_value(), serde_json::json!({"a": "ü", "b": [true]}));
    }

    #[test]
    fn bounds_the_nesting() {
        assert!(read(&"[".repeat(100_000)).unwrap_err().message.contains("nested deeper"));
        let fits = "[".repeat(MAX_DEPTH) + &"]".repeat(MAX_DEPTH);
        assert!(read(&fits).is_ok());
    }

    #[test]
    fn refuses_what_is_not_json() {
        for bad in
            ["", "{", "{]", "[1,]", "{\"a\"}", "01", "1.", "--1", "\"\\x\"", "\"\\", "tru", "1 2", "\"\n\""]
        {
            assert!(read(bad).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in "\\PC*") {
            let _ = read(&text);
        }

        #[test]
        fn agrees_with_serde_json(text in "[\\[\\]{}\":,0-9a-z \\\\.eE+-]{0,40}") {
            let reference = serde_json::from_str::<serde_json::Value>(&text).ok();
            prop_assert_eq!(read(&text).ok().map(|node| node.to_value()), reference);
        }
    }
}
