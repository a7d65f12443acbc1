//! Codes and pages belong together, and findings are shown at their places.

use super::{Argument, Code, Diagnostic, Place, Severity, Source, render, to_json};
use std::collections::BTreeSet;

const TEXT: &str = "version: 1\ntraining:\n  epcohs: 3\n  peers: ä 0\n";

fn findings() -> Vec<Diagnostic> {
    let key = Place::Source(23..29);
    let argument = Argument { text: "--set training.epochs=x".into(), span: 22..23, index: 0 };
    vec![
        Diagnostic::error(Code::UnknownKey, "unknown key `epcohs` in `training`")
            .at(&key, "no such key")
            .hint("did you mean `epochs`?")
            .suggest(&key, "epochs"),
        Diagnostic::error(Code::Quorum, "two places")
            .at(&Place::Source(42..46), "here")
            .also(&key, "and here"),
        Diagnostic::error(Code::WrongType, "an argument").at(&Place::Argument(argument), "expected a number"),
        Diagnostic::warning(Code::NoValidation, "no place").at(&Place::Nowhere, "").hint("do it"),
    ]
}

#[test]
fn findings_are_shown_at_their_places() {
    let source = Source { name: "train.yaml", text: TEXT };
    insta::assert_snapshot!("rendered", render(&findings(), &source, false));
    let coloured = render(&findings(), &source, true);
    assert!(coloured.contains("\u{1b}["));
    insta::assert_snapshot!("json", serde_json::to_string_pretty(&to_json(&findings(), &source)).unwrap());
    assert_eq!(render(&[], &source, false), "");
}

#[test]
fn odd_spans_are_shown_all_the_same() {
    for text in [TEXT.to_owned(), String::new(), "ä".repeat(5_000), "a\r\n".repeat(9_000), "\t".repeat(30)] {
        for (start, end) in
            [(0, 0), (1, 2), (43, 44), (9_999, 99_999), (5, 3), (text.len(), text.len()), (0, usize::MAX)]
        {
            let place = Place::Source(start..end);
            let finding =
                Diagnostic::error(Code::Syntax, "x").at(&place, "y").also(&place, "z").suggest(&place, "é");
            let source = Source { name: "t", text: &text };
            assert!(render(std::slice::from_ref(&finding), &source, false).contains("SG001"));
            assert!(to_json(&[finding], &source).is_array());
        }
    }
}

#[test]
fn findings_are_ordered_by_place() {
    let mut list = findings();
    list.reverse();
    list.sort_by_key(Diagnostic::order);
    assert_eq!(list, findings());
}

#[test]
fn every_code_has_its_page() {
    let mut names = BTreeSet::new();
    for code in Code::ALL {
        assert!(names.insert(code.name()));
        assert_eq!(code.name().parse(), Ok(*code));
        assert_eq!(code.name().to_lowercase().parse(), Ok(*code));
        let page = code.page();
        assert!(page.starts_with(&format!("# {code}: {}\n", code.title())), "{code}: {}", code.title());
        for heading in ["\n## Why\n", "\n## Example\n", "\n## How to mend it\n"] {
            assert!(page.contains(heading), "{code} has no {heading:?}");
        }
        assert!(code.examples().len() >= 2, "{code}");
    }
    let error = "SG999".parse::<Code>().unwrap_err().to_string();
    assert_eq!(error, "no diagnostic has the code `SG999`; codes look like SG010");
    assert_eq!(Severity::Warning.name(), "warning");
}
