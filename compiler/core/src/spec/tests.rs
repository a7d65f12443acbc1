//! The suite (`suite/*.yaml`, each with its expected findings at its top), the pages' examples, the schema, and
//! texts made to break a reader.
//!
//! A case's directives: `# error: CODE PLACE` and `# warning: CODE PLACE` for each finding in order, where the
//! place is `line:column`, `set:column` (in `--set path=value`) or `-`; `# set: path=value` for an override;
//! `# fill: N` for a comment of N bytes at the end.
#![expect(
    clippy::disallowed_methods,
    reason = "cases and the schema are files; the time of parsing is measured"
)]

use super::{MAX_BYTES, Override, Spec, parse, schema};
use crate::diagnostic::{Code, Diagnostic, Position, Severity, Source, render, to_json};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use stepgrad_contract::Function;

const DESIGN: &str = include_str!("suite/ok_every_key.yaml");

/// A spec with its directives.
struct Case {
    text: String,
    overrides: Vec<Override>,
    expected: Vec<String>,
}

impl Case {
    fn new(text: &str) -> Self {
        let mut case = Self { text: text.to_owned(), overrides: Vec::new(), expected: Vec::new() };
        for line in text.trim_start_matches('\u{feff}').lines() {
            if let Some(change) = line.strip_prefix("# set: ") {
                case.overrides.push(change.parse().unwrap());
            } else if let Some(size) = line.strip_prefix("# fill: ") {
                write!(case.text, "\n#{}", " ".repeat(size.parse().unwrap())).unwrap();
            } else if line.starts_with("# error: ") || line.starts_with("# warning: ") {
                case.expected.push(line.trim_start_matches("# ").to_owned());
            }
        }
        case
    }

    fn parse(&self) -> (Option<Spec>, Vec<Diagnostic>) {
        let source = Source { name: "case.yaml", text: &self.text };
        let (spec, findings) = match parse(&source, &self.overrides) {
            Ok((spec, warnings)) => (Some(spec), warnings),
            Err(findings) => (None, findings),
        };
        let errors = findings.iter().any(|finding| finding.severity == Severity::Error);
        assert_eq!(errors, spec.is_none(), "{findings:#?}");
        // Whatever is found can be shown.
        assert_eq!(render(&findings, &source, false).is_empty(), findings.is_empty());
        assert_eq!(to_json(&findings, &source).as_array().map(Vec::len), Some(findings.len()));
        (spec, findings)
    }

    fn found(&self) -> Vec<String> {
        let describe = |finding: &Diagnostic| {
            let place = match (&finding.span, &finding.argument) {
                (Some(span), _) => {
                    let Position { line, column } = Position::of(&self.text, span.start);
                    format!("{line}:{column}")
                }
                (None, Some(argument)) => format!("set:{}", argument.span.start + 1),
                (None, None) => "-".to_owned(),
            };
            format!("{}: {} {place}", finding.severity.name(), finding.code)
        };
        self.parse().1.iter().map(describe).collect()
    }
}

fn suite() -> BTreeMap<PathBuf, Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/spec/suite");
    let cases: BTreeMap<_, _> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.clone(), Case::new(&std::fs::read_to_string(&path).unwrap())))
        .collect();
    assert!(cases.len() > 40);
    cases
}

#[test]
fn every_case_gives_just_what_it_expects() {
    let mut wrong = String::new();
    for (path, case) in suite() {
        let found = case.found();
        if found != case.expected {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let lines =
                |list: &[String]| list.iter().map(|line| format!("\n    # {line}")).collect::<String>();
            writeln!(wrong, "{name}\n  expected:{}\n  found:{}", lines(&case.expected), lines(&found))
                .unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn the_example_of_every_page_gives_its_code_and_the_mended_one_nothing() {
    for code in Code::ALL {
        let examples = code.examples();
        let [bad, mended @ ..] = examples.as_slice() else { panic!("{code}: no example") };
        if !bad.phase.is_empty() {
            continue;
        }
        let codes: BTreeSet<Code> =
            Case::new(bad.text).parse().1.iter().map(|finding| finding.code).collect();
        if *code == Code::TooManyErrors {
            assert!(codes.contains(code), "{codes:?}");
        } else {
            assert_eq!(codes, BTreeSet::from([*code]), "{code}");
        }
        assert!(!mended.is_empty(), "{code}: nothing mends it");
        for example in mended {
            assert_eq!(Case::new(example.text).found(), Vec::<String>::new(), "{code}");
        }
    }
}

#[test]
fn every_code_of_the_spec_has_a_case() {
    let covered: BTreeSet<String> = suite()
        .values()
        .flat_map(|case| case.expected.iter().filter_map(|line| line.split(' ').nth(1).map(str::to_owned)))
        .collect();
    for code in Code::ALL {
        let of_the_spec = code.examples().first().is_some_and(|example| example.phase.is_empty());
        assert!(!of_the_spec || covered.contains(code.name()), "no case in the suite expects {code}");
    }
}

#[test]
fn ten_mistakes_are_shown_at_once() {
    let case = Case::new(include_str!("suite/ten_mistakes.yaml"));
    assert_eq!(case.expected.len(), 10);
    let places: BTreeSet<_> = case.expected.iter().collect();
    assert_eq!(places.len(), 10);
    let codes: BTreeSet<_> = case.expected.iter().map(|line| line.split(' ').nth(1)).collect();
    assert!(codes.len() >= 9, "{codes:?}");
    assert_eq!(case.found(), case.expected);
    let source = Source { name: "ten_mistakes.yaml", text: &case.text };
    insta::assert_snapshot!("ten_mistakes", render(&case.parse().1, &source, false));
}

#[test]
fn a_spec_has_one_canonical_form_that_reads_back_as_itself() {
    let mut read = 0;
    for (path, case) in suite() {
        let (Some(spec), _) = case.parse() else { continue };
        read += 1;
        let json = serde_json::to_string_pretty(&spec).unwrap();
        let again = Case { text: json.clone(), overrides: Vec::new(), expected: Vec::new() };
        let (Some(again), _) = again.parse() else {
            panic!("{}: {:#?}\n{json}", path.display(), again.parse().1)
        };
        assert_eq!(serde_json::to_string_pretty(&again).unwrap(), json, "{}", path.display());
    }
    assert!(read > 5);
    let (spec, _) = Case::new(DESIGN).parse();
    insta::assert_snapshot!("every_key", serde_json::to_string_pretty(&spec.unwrap()).unwrap());
    let (spec, _) = Case::new(include_str!("suite/ok_least.yaml")).parse();
    insta::assert_snapshot!("defaults", serde_json::to_string_pretty(&spec.unwrap()).unwrap());
}

#[test]
fn values_know_their_places() {
    let (spec, _) = Case::new(DESIGN).parse();
    let spec = spec.unwrap();
    let at = |span: &Option<std::ops::Range<usize>>| span.clone().map(|span| &DESIGN[span]);
    assert_eq!(at(&spec.topology.peers.span), Some("4"));
    assert_eq!(at(&spec.model.architecture.span), Some("cnn"));
    assert_eq!(at(&spec.exchange.every.span), Some("{batches: 3}"));
    assert_eq!(at(&spec.training.optimizer.span), Some("optimizer"));
    assert_eq!(at(&spec.training.batch_size.span), Some("32"));
    let (least, _) = Case::new(include_str!("suite/ok_least.yaml")).parse();
    let least = least.unwrap();
    assert_eq!(at(&least.training.batch_size.span), None);
    assert!(!least.training.batch_size.is_given());
    let overridden = Case { overrides: vec!["topology.peers=9".parse().unwrap()], ..Case::new(DESIGN) };
    let (spec, _) = overridden.parse();
    let peers = spec.unwrap().topology.peers;
    assert_eq!((peers.value, peers.span.clone()), (9, None));
    assert_eq!(
        peers.argument.as_ref().map(|argument| argument.text.as_ref()),
        Some("--set topology.peers=9")
    );
    assert!(peers.is_given());
}

#[test]
fn overrides_change_what_is_read() {
    let set = |changes: &[&str]| {
        let overrides = changes.iter().map(|change| change.parse().unwrap()).collect();
        let (spec, findings) = Case { overrides, ..Case::new(DESIGN) }.parse();
        spec.ok_or_else(|| findings.iter().map(|finding| finding.message.clone()).collect::<Vec<_>>())
    };
    let json = |changes: &[&str], pointer: &str| {
        serde_json::to_value(set(changes).unwrap()).unwrap().pointer(pointer).cloned().unwrap_or_default()
    };
    assert_eq!(json(&["training.epochs=3"], "/training/epochs"), 3);
    assert_eq!(json(&["training.epochs=3", "training.epochs=4"], "/training/epochs"), 4);
    assert_eq!(
        json(&["training.optimizer.sgd.learning_rate=1e-2"], "/training/optimizer/sgd/learning_rate"),
        0.01
    );
    assert_eq!(json(&["exchange.every=epoch"], "/exchange/every/epochs"), 1);
    assert_eq!(json(&["data.partition.dirichlet=0.5"], "/data/partition/dirichlet"), 0.5);
    assert_eq!(json(&["data.preprocess=[]"], "/data/preprocess"), serde_json::json!([]));
    assert_eq!(
        json(
            &[
                "functions.train.memory_mb=512",
                "training.algorithm=model_averaging",
                "functions.gradient=null"
            ],
            "/functions/train/memory_mb"
        ),
        512
    );
    assert_eq!(json(&["training.target=null"], "/training/target"), serde_json::Value::Null);
    assert_eq!(json(&["name=abc"], "/name"), "abc");
    assert!(set(&["name=3"]).is_err());
    assert!(set(&["training.epochs='3'"]).is_err());
    assert!(set(&["training.epochs=.nan"]).is_err());
    assert!(set(&["training.epochs=99999999999999999999999999"]).is_err());
    assert!(set(&[&format!("training.epochs={}", "[".repeat(4000))]).is_err());
    assert!(set(&[&format!("training.epochs={}", "9".repeat(5000))]).is_err());
    assert!(set(&["training.epochs=!mine 3"]).is_err());
    assert!(set(&["training..epochs=3"]).is_err());
    assert!(set(&[".=3"]).is_err());
    assert!(set(&["nothing=null"]).is_err());
    assert!(set(&["training.optimizer={sgd: {learning_rate: 1, learning_rate: 2}}"]).is_err());
    assert!("training.epochs".parse::<Override>().is_err());
    assert!("=3".parse::<Override>().is_err());
}

#[test]
fn just_the_functions_that_no_plan_calls_are_warned_of() {
    for kind in ["peer_to_peer", "parameter_server"] {
        for algorithm in ["gradient_averaging", "model_averaging"] {
            for function in Function::ALL {
                let changes = [
                    format!("topology.kind={kind}"),
                    format!("training.algorithm={algorithm}"),
                    "functions.gradient=null".to_owned(),
                    format!("functions.{function}={{memory_mb: 512}}"),
                ];
                let overrides = changes.iter().map(|change| change.parse().unwrap()).collect();
                let (spec, findings) = Case { overrides, ..Case::new(DESIGN) }.parse();
                let spec = spec.unwrap();
                let plan = crate::plan::plan(spec.topology.kind.value, spec.training.algorithm.value);
                let called = plan.stages().iter().any(|stage| stage.function == function);
                assert_eq!(findings.is_empty(), called, "{kind}, {algorithm}, {function}");
            }
        }
    }
}

#[test]
fn the_schema_file_is_the_types() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../specs/train.schema.json");
    let text = serde_json::to_string_pretty(&schema()).unwrap() + "\n";
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let file = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(file == text, "{} is out of date: run this test with UPDATE_SCHEMA=1", path.display());
}

#[test]
fn the_schema_accepts_what_the_reader_accepts_and_little_else() {
    let schema = schema();
    jsonschema::draft202012::meta::validate(&schema).unwrap();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let mut refused = BTreeSet::new();
    let pages = Code::ALL.iter().flat_map(|code| code.examples()).map(|example| Case::new(example.text));
    for case in suite().into_values().chain(pages).filter(|case| case.overrides.is_empty()) {
        let (spec, findings) = case.parse();
        let Ok(json) = serde_yaml::from_str::<serde_json::Value>(&case.text) else {
            continue;
        };
        let accepted = validator.is_valid(&json);
        if let Some(spec) = spec {
            let errors: Vec<_> = validator.iter_errors(&json).map(|error| error.to_string()).collect();
            assert!(accepted, "{errors:?}\n{}", case.text);
            let canonical = serde_json::to_value(&spec).unwrap();
            let errors: Vec<_> = validator.iter_errors(&canonical).map(|error| error.to_string()).collect();
            assert!(errors.is_empty(), "{errors:?}\n{canonical:#}");
        } else if !accepted {
            refused.extend(findings.iter().map(|finding| finding.code));
        }
    }
    for code in [
        Code::UnknownKey,
        Code::MissingKey,
        Code::WrongType,
        Code::UnknownValue,
        Code::NotBuilt,
        Code::OutOfRange,
        Code::BadName,
        Code::BadVersion,
        Code::OneOf,
        Code::ListedTwice,
    ] {
        assert!(refused.contains(&code), "the schema refuses no case of {code}");
    }
}

/// The findings, which have to come soon.
fn bounded(text: &str) -> Vec<Diagnostic> {
    let start = Instant::now();
    let (_, findings) = Case { text: text.to_owned(), overrides: Vec::new(), expected: Vec::new() }.parse();
    let taken = start.elapsed();
    assert!(taken < Duration::from_secs(5), "{taken:?} for {} bytes: {:?}", text.len(), text.get(..40));
    findings
}

#[test]
fn texts_made_to_break_a_reader_end_soon_with_an_error() {
    let mega = MAX_BYTES - 100;
    let bomb = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: [*b,*b,*b,*b,*b,*b]\n";
    let repeated = |text: &str| text.repeat(mega / text.len());
    let keys: String = (0..mega / 12).fold(String::new(), |mut text, key| {
        writeln!(text, "k{key:06}: 1").unwrap();
        text
    });
    let few_keys: String = (0..9_000).fold(String::new(), |mut text, key| {
        writeln!(text, "k{key}: 1").unwrap();
        text
    });
    let pairs: String = (0..8_000).fold(String::new(), |mut text, key| {
        writeln!(text, "{}: 1", "epochs".repeat(1 + key % 9)).unwrap();
        text
    });
    for text in [
        "x".repeat(10 * 1024 * 1024),
        "\u{0}".repeat(mega),
        "- ".repeat(100_000),
        "[".repeat(100_000),
        "{".repeat(100_000),
        "{a: ".repeat(100_000),
        "? ".repeat(100_000),
        "a:\n".repeat(100_000),
        (0..3_000).map(|depth| format!("{}a:\n", " ".repeat(depth % 700))).collect(),
        "[".repeat(31) + &"]".repeat(31),
        repeated("[],"),
        format!("[{}]", repeated("1,")),
        format!("name: {}", "x".repeat(mega)),
        format!("name: \"{}\"", repeated("\\n")),
        format!("name: |\n{}", repeated("  x\n")),
        format!("name: >\n{}", repeated("  x\n\n")),
        repeated("# comment\n"),
        repeated("\n"),
        repeated("\t"),
        repeated("---\n"),
        repeated("...\n"),
        repeated("&a "),
        repeated("*a "),
        repeated("!!x "),
        repeated("\""),
        repeated("'"),
        repeated("a: b: "),
        repeated("\u{feff}"),
        repeated("💥"),
        repeated("%TAG ! x\n"),
        repeated("epochs epochs "),
        format!("{}: 1", "e".repeat(mega)),
        format!("{{{}}}", repeated("a: 1, ")),
        format!("data: {{{}}}", "preprocess: [x], ".repeat(3000)),
        format!("data: {{preprocess: [{}]}}", "x,".repeat(9000)),
        format!("seed: {}", "9".repeat(mega)),
        format!("seed: 0x{}", "f".repeat(mega)),
        format!("seed: 1e{}", "9".repeat(mega)),
        bomb.to_owned(),
        keys,
        few_keys,
        pairs,
    ] {
        assert!(!bounded(&text).is_empty(), "{:?}", text.get(..40));
    }
}

#[test]
fn line_ends_and_byte_order_marks_change_nothing() {
    let (spec, _) = Case::new(DESIGN).parse();
    let canonical = serde_json::to_string(&spec.unwrap()).unwrap();
    for text in [
        DESIGN.replace('\n', "\r\n"),
        DESIGN.replace('\n', "\r"),
        format!("\u{feff}{DESIGN}"),
        format!("---\n{DESIGN}...\n"),
        format!("{DESIGN}\n\n"),
        DESIGN.trim_end().to_owned(),
    ] {
        // A `\r` alone hides the directives' lines from `Case::new`, so the case is built by hand.
        let case = Case { text, overrides: Vec::new(), expected: Vec::new() };
        let (spec, findings) = case.parse();
        assert_eq!(findings, Vec::new());
        assert_eq!(serde_json::to_string(&spec.unwrap()).unwrap(), canonical);
    }
    let mistaken = DESIGN.replace("peers: 4", "peers: 0");
    let plain = Case { text: mistaken.clone(), overrides: Vec::new(), expected: Vec::new() }.found();
    for text in [mistaken.replace('\n', "\r\n"), format!("\u{feff}{mistaken}")] {
        assert_eq!(Case { text, overrides: Vec::new(), expected: Vec::new() }.found(), plain);
    }
}

/// A piece that mutations put in.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("\t".to_owned()),
        Just("[".to_owned()),
        Just("{".to_owned()),
        Just("}]".to_owned()),
        Just("\n".to_owned()),
        Just("\n  ".to_owned()),
        Just(": ".to_owned()),
        Just("- ".to_owned()),
        Just("&a ".to_owned()),
        Just("*a".to_owned()),
        Just("<<: ".to_owned()),
        Just("!!str ".to_owned()),
        Just("\"".to_owned()),
        Just("'".to_owned()),
        Just("|\n".to_owned()),
        Just("# ".to_owned()),
        Just("null".to_owned()),
        Just("-1e999".to_owned()),
        Just(".nan".to_owned()),
        Just("\n---\n".to_owned()),
        Just("\u{feff}".to_owned()),
        Just("ä💥".to_owned()),
        Just("\r".to_owned()),
        Just("\u{85}".to_owned()),
        any::<char>().prop_map(String::from),
        "[ -~]{1,8}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        bounded(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn random_yaml_never_panics(pieces in proptest::collection::vec(piece(), 0..60)) {
        bounded(&pieces.concat());
    }

    #[test]
    fn mutations_of_a_spec_never_panic(
        edits in proptest::collection::vec((any::<prop::sample::Index>(), 0_usize..12, piece()), 1..6)
    ) {
        let mut letters: Vec<char> = DESIGN.chars().collect();
        for (place, removed, piece) in edits {
            let start = place.index(letters.len() + 1);
            let end = (start + removed).min(letters.len());
            letters.splice(start..end, piece.chars());
        }
        let text: String = letters.into_iter().collect();
        let findings = bounded(&text);
        for finding in &findings {
            // A message is one line, whatever the text holds.
            prop_assert!(!finding.message.contains(['\n', '\r']), "{:?}", finding.message);
            for span in finding.span.iter().chain(finding.related.iter().map(|(span, _)| span)) {
                prop_assert!(text.get(span.clone()).is_some(), "{span:?} of {text:?}");
            }
        }
    }

    #[test]
    fn random_overrides_never_panic(path in "[a-z._]{0,20}|training\\.[a-z_.]{1,12}", value in piece()) {
        let overrides = vec![Override { path, value }];
        Case { overrides, ..Case::new(DESIGN) }.parse();
    }
}
