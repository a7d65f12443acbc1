//! Where a value came from, and offsets as lines and columns.

use std::ops::Range;
use std::sync::Arc;

/// A command-line argument, e.g. `--set training.epochs=3`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Argument {
    /// The argument as it would be typed.
    pub text: Arc<str>,
    /// Bytes of `text`.
    pub span: Range<usize>,
    /// Which of the overrides it is, from 0.
    pub index: usize,
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Bytes of the source.
    Source(Range<usize>),
    /// A command-line argument.
    Argument(Argument),
    /// A default.
    Nowhere,
}

/// A place for people: both count from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The character in the line.
    pub column: usize,
}

impl Position {
    /// The position of byte `offset` of `text`; offsets past the end give the end.
    #[must_use]
    pub fn of(text: &str, offset: usize) -> Self {
        let offset = floor(text, offset);
        let before = text.get(..offset).unwrap_or_default();
        let start = line_start(text, offset);
        let mut line = before.get(start..).unwrap_or_default();
        if start == 0 {
            // A byte order mark takes no column.
            line = line.strip_prefix('\u{feff}').unwrap_or(line);
        }
        Self {
            line: before.bytes().filter(|byte| *byte == b'\n').count() + 1,
            column: line.chars().count() + 1,
        }
    }
}

/// The nearest character boundary at or before `offset`.
pub(super) fn floor(text: &str, offset: usize) -> usize {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}

/// `span` on character boundaries within `text`.
pub(super) fn clamp(text: &str, span: &Range<usize>) -> Range<usize> {
    let start = floor(text, span.start);
    start..floor(text, span.end).max(start)
}

/// The first byte of the line that holds `offset`.
pub(super) fn line_start(text: &str, offset: usize) -> usize {
    text.get(..offset).and_then(|before| before.rfind('\n')).map_or(0, |newline| newline + 1)
}

/// The byte after the line that holds `offset`, without its line break.
pub(super) fn line_end(text: &str, offset: usize) -> usize {
    text.get(offset..).and_then(|after| after.find('\n')).map_or(text.len(), |newline| offset + newline)
}

#[cfg(test)]
mod tests {
    use super::Position;

    #[test]
    fn columns_count_characters() {
        let text = "\u{feff}äb\r\ncd";
        assert_eq!(Position::of(text, 3), Position { line: 1, column: 1 });
        assert_eq!(Position::of(text, 5), Position { line: 1, column: 2 });
        assert_eq!(Position::of(text, 4), Position { line: 1, column: 1 });
        assert_eq!(Position::of(text, 9), Position { line: 2, column: 2 });
        assert_eq!(Position::of(text, 999), Position { line: 2, column: 3 });
        assert_eq!(Position::of("", 0), Position { line: 1, column: 1 });
    }
}
