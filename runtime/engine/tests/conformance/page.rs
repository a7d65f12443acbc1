//! `docs/conformance.md`: how the engine is measured, and what it does not match.

use super::known::{KNOWN, Kind};
use super::{FILES, Verdict};
use std::fmt::Write as _;
use std::path::PathBuf;

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/conformance.md")
}

/// Without the cases only the table can be compared.
pub(super) fn has_every_known_case() {
    let written = std::fs::read_to_string(path()).unwrap_or_default();
    for known in KNOWN {
        assert!(written.contains(&row(known.id, known.reason)), "docs/conformance.md has not {}", known.id);
    }
}

pub(super) fn is_up_to_date(verdicts: &[Verdict]) {
    let page = page(verdicts);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path(), &page).unwrap();
    }
    assert!(
        std::fs::read_to_string(path()).unwrap_or_default() == page,
        "docs/conformance.md is out of date: UPDATE_DOCS=1 cargo test -p stepgrad-engine --test conformance"
    );
}

fn row(id: &str, reason: &str) -> String {
    format!("| `{}` | {reason} |", id.replace('|', "\\|"))
}

fn page(verdicts: &[Verdict]) -> String {
    let mut page = String::from(
        "# How the engine is measured\n\n\
         The engine is compared with what AWS recorded: executions of state machines with their outputs, errors, calls of \
         functions and histories, calls of TestState, and verdicts on definitions. Unit tests of other engines, worked \
         examples of the specification, the linters' own tests and the JSONata reference suite are added, for what \
         nobody recorded. The cases are not part of the project; where they are at hand, `cargo test` runs all of them in \
         process, and says that it skipped them where they are not.\n\n\
         Compared are the status, the output or the error's name, the number of calls of functions, the states that were \
         entered, in order where nothing runs at the same time, and how many events the history has of each type. Texts \
         for people (causes) are not compared, unless they are JSON. Cases whose sources contradict each other (confidence \
         low) are left out, and of the JSONata suite those that need `$eval` or a newer JSONata than AWS has.\n\n\
         This page is written by a test, which fails when a case differs that is not listed here, and when one is listed \
         that does not (`UPDATE_DOCS=1 cargo test -p stepgrad-engine --test conformance`); do not edit it.\n\n\
         ## Counts\n\n| cases | what they are | run | as recorded |\n|---|---|---|---|\n",
    );
    for (file, what) in FILES {
        let of_file = verdicts.iter().filter(|verdict| verdict.file == *file);
        let same = of_file.clone().filter(|verdict| verdict.differences.is_empty()).count();
        writeln!(page, "| {file} | {what} | {} | {same} |", of_file.count()).unwrap();
    }
    page.push_str("\n## What is not matched, and why\n");
    for (kind, title) in [
        (Kind::Outcome, "Other outcomes"),
        (Kind::Times, "Times that were masked when they were recorded"),
        (Kind::Events, "Other numbers of events, with the same outcome"),
    ] {
        writeln!(page, "\n### {title}\n\n| case | reason |\n|---|---|").unwrap();
        for known in KNOWN.iter().filter(|known| known.kind == kind) {
            writeln!(page, "{}", row(known.id, known.reason)).unwrap();
        }
    }
    page
}
