//! Diagnostics as text, in the manner of rustc.

use super::place::{clamp, line_end, line_start};
use super::{Diagnostic, Position, Severity, Source};
use annotate_snippets::{AnnotationKind, Group, Level, Origin, Patch, Renderer, Snippet};
use std::borrow::Cow;
use std::ops::Range;

/// A line longer than this is named, not shown: the window on it would say little and cost much.
const LONGEST_LINE: usize = 2_000;

/// Places further apart than this are shown in windows of their own.
const WIDEST_WINDOW: usize = 8_000;

/// The diagnostics as text: for each one `error[SG012]: …`, `file:line:column`, the source line with the span
/// marked, hints, and the replacement to offer. `colour` adds ANSI styles. Ends with a line break unless empty.
#[must_use]
pub fn render(diagnostics: &[Diagnostic], source: &Source<'_>, colour: bool) -> String {
    let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
    let mut text = String::new();
    for diagnostic in diagnostics {
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&renderer.render(&groups(diagnostic, source)));
        text.push('\n');
    }
    text
}

fn groups<'a>(diagnostic: &'a Diagnostic, source: &Source<'a>) -> Vec<Group<'a>> {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let title = level.primary_title(diagnostic.message.as_str()).id(diagnostic.code.name());
    let mut group = Group::with_title(title);
    if let Some(argument) = &diagnostic.argument {
        let text = argument.text.as_ref();
        group = marked(
            group,
            Source { name: "command line", text },
            &[(AnnotationKind::Primary, clamp(text, &argument.span), diagnostic.label.as_str())],
        );
    }
    let mut marks = Vec::new();
    if let Some(span) = &diagnostic.span {
        marks.push((AnnotationKind::Primary, clamp(source.text, span), diagnostic.label.as_str()));
    }
    for (span, label) in &diagnostic.related {
        marks.push((AnnotationKind::Context, clamp(source.text, span), label.as_str()));
    }
    if window(source.text, &marks).len() <= WIDEST_WINDOW {
        group = marked(group, *source, &marks);
    } else {
        for mark in marks {
            group = marked(group, *source, &[mark]);
        }
    }
    if diagnostic.span.is_none() && diagnostic.argument.is_none() {
        group = group.element(Origin::path(source.name));
    }
    for hint in &diagnostic.hints {
        group = group.element(Level::HELP.message(hint.as_str()));
    }
    let mut groups = vec![group];
    if let Some(suggestion) = &diagnostic.suggestion {
        let span = clamp(source.text, &suggestion.span);
        let place = window(source.text, &[(AnnotationKind::Primary, span.clone(), "")]);
        if place.len() <= WIDEST_WINDOW && longest_line(source.text, &place) <= LONGEST_LINE {
            let patch = Patch::new(within(&span, &place), suggestion.replacement.as_str());
            let title = Level::HELP.secondary_title("this would be accepted here");
            groups.push(title.element(snippet(*source, &place).patch(patch)));
        }
    }
    groups
}

type Mark<'a> = (AnnotationKind, Range<usize>, &'a str);

fn marked<'a>(group: Group<'a>, source: Source<'a>, marks: &[Mark<'a>]) -> Group<'a> {
    let Some((_, first, label)) = marks.first() else {
        return group;
    };
    let place = window(source.text, marks);
    if longest_line(source.text, &place) > LONGEST_LINE {
        let Position { line, column } = Position::of(source.text, first.start);
        let group = group.element(Origin::path(source.name).line(line).char_column(column));
        return if label.is_empty() { group } else { group.element(Level::NOTE.message(*label)) };
    }
    let mut shown = snippet(source, &place);
    for (kind, span, label) in marks {
        let label = Some(*label).filter(|label| !label.is_empty());
        shown = shown.annotation(kind.span(within(span, &place)).label(label));
    }
    group.element(shown)
}

/// The lines that hold all marks. Only these are handed to the renderer, which reads all it gets.
fn window(text: &str, marks: &[Mark<'_>]) -> Range<usize> {
    let start = marks.iter().map(|(_, span, _)| line_start(text, span.start)).min().unwrap_or(0);
    // A byte order mark would be shown as a letter.
    let start = if start == 0 && text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { start };
    let end = marks.iter().map(|(_, span, _)| line_end(text, span.end)).max().unwrap_or(start);
    start..end.max(start)
}

fn longest_line(text: &str, window: &Range<usize>) -> usize {
    text.get(window.clone()).unwrap_or_default().lines().map(str::len).max().unwrap_or(0)
}

/// `span` of the source as one of the window.
fn within(span: &Range<usize>, window: &Range<usize>) -> Range<usize> {
    let place = |offset: usize| offset.clamp(window.start, window.end) - window.start;
    place(span.start)..place(span.end)
}

fn snippet<'a, T: Clone>(source: Source<'a>, window: &Range<usize>) -> Snippet<'a, T> {
    let text = source.text.get(window.clone()).unwrap_or_default();
    // The first half of a line break would be shown as a letter.
    let text = if text.contains('\r') { Cow::Owned(text.replace('\r', " ")) } else { Cow::Borrowed(text) };
    Snippet::source(text).path(source.name).line_start(Position::of(source.text, window.start).line)
}
