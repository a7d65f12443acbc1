//! Every kind of mistake at its line, the table beside the contract, the schema beside the reader, and draws that
//! depend on nothing but the seed.
#![expect(clippy::disallowed_methods, reason = "the schema, the page and the examples are files")]

use super::actions::{ACTIONS, Kind, Presence};
use super::{Act, Facts, FaultFile, Universe, Verdict, parse, reference, resolve, schema, verdict};
use crate::diagnostic::{Code, Diagnostic, Position, Source};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use stepgrad_contract::faults::{Action, Plan, Set, When, Where};
use stepgrad_contract::manifest::{Manifest, Shard};
use stepgrad_contract::training::{Every, Training};

/// Four peers of six batches each, two epochs of rounds of three batches: four rounds, three retries, 500 events.
pub(super) fn universe() -> Universe {
    universe_of("peer_to_peer")
}

fn universe_of(topology: &str) -> Universe {
    universe_with(topology, "gradient_averaging")
}

fn universe_with(topology: &str, algorithm: &str) -> Universe {
    let spec = format!(
        "version: 1\nname: small\ndata: {{source: data, format: idx}}\nmodel: {{architecture: mlp}}\n\
        training: {{algorithm: {algorithm}, epochs: 2, optimizer: {{sgd: {{learning_rate: 0.1}}}}}}\n\
        topology: {{kind: {topology}, peers: 4}}\nexchange: {{every: {{batches: 3}}}}\n"
    );
    let (spec, _) = crate::spec::parse(&Source { name: "t", text: &spec }, &[]).unwrap();
    let templates = crate::lower::Templates::embedded().unwrap();
    let training: Training = crate::compile(&spec, &templates).unwrap().bundle.training;
    assert_eq!(training.every, Every::Batches(3));
    let shard = Shard { samples: 192, batches: 6 };
    let manifest = Manifest {
        classes: vec!["0".to_owned()],
        shape: vec![1],
        transforms: Vec::new(),
        shards: vec![shard; 4],
        validation: shard,
    };
    Universe::new(&training, &manifest, 3, None, 500).unwrap()
}

fn read(text: &str) -> Result<(FaultFile, Plan, Vec<Diagnostic>), Vec<Diagnostic>> {
    let (file, mut findings) = parse(&Source { name: "faults.yaml", text })?;
    let (plan, more) = resolve(&file, &universe(), 7)?;
    findings.extend(more);
    Ok((file, plan, findings))
}

/// Code and line of every finding.
fn found(text: &str) -> Vec<(Code, usize)> {
    let findings = match read(text) {
        Ok((_, _, findings)) | Err(findings) => findings,
    };
    let line = |finding: &Diagnostic| {
        let span = finding.span.as_ref().unwrap_or_else(|| panic!("no place: {finding:?}"));
        (finding.code, Position::of(text, span.start).line)
    };
    findings.iter().map(line).collect()
}

fn one(fault: &str) -> String {
    format!(
        "version: 1\nfaults:\n  - id: x\n{}",
        fault.lines().map(|line| format!("    {line}\n")).collect::<String>()
    )
}

fn planned(fault: &str) -> Plan {
    read(&one(fault)).unwrap_or_else(|findings| panic!("{fault}: {findings:#?}")).1
}

#[test]
fn the_design_s_file_is_read() {
    let text = "version: 1\nseed: 42\nfaults:\n  - id: lost-ack\n    at: {function: gradient, peer: 2, round: 3, attempt: 0}\n    \
        invocation_error: {prevent_execution: false, error: Lambda.Unknown}\n  - id: slow-quarter\n    \
        at: {function: gradient, peer: {percent: 25}}\n    invocation_delay: {ms: 900, jitter_ms: 200}\n  \
        - id: peer-4-dies\n    at: {peer: 4, rounds: 2..3}\n    outage: {}\n  - id: torn\n    \
        at: {channel: object_store, operation: put, object: gradient}\n    truncate: {bytes: 16}\n\
        expect: {status: SUCCEEDED, same_weights_as: baseline}\n";
    let (file, plan, findings) = read(text).unwrap();
    assert_eq!(findings, []);
    assert_eq!(plan.seed, 42);
    assert_eq!(
        plan.faults[0].action,
        Action::InvocationError { prevent_execution: false, error: "Lambda.Unknown".to_owned() }
    );
    assert_eq!(plan.faults[1].at.peer.as_ref().unwrap().ranges().len(), 1);
    assert_eq!(plan.faults[2].at.round, Some(Set::of([2, 3])));
    assert!(file.expect.same_weights.is_some());
    let json = serde_json::to_string(&plan).unwrap();
    assert_eq!(serde_json::from_str::<Plan>(&json).unwrap(), plan);
}

#[test]
fn every_action_of_the_table_is_one_of_the_contract_with_its_defaults() {
    for entry in ACTIONS {
        let mut fields = Vec::new();
        for field in entry.fields.iter().filter(|field| matches!(field.presence, Presence::Required)) {
            let value = match field.kind {
                Kind::Groups => "[[1, 2], [3, 4]]".to_owned(),
                Kind::Events => "120".to_owned(),
                _ => "16".to_owned(),
            };
            fields.push(format!("{}: {value}", field.name));
        }
        let at = match entry.acts {
            Where::Peer if entry.name != "partition" => "at: {peer: 2, rounds: 2..3}\n",
            _ => "",
        };
        let plan = planned(&format!("{at}{}: {{{}}}", entry.name, fields.join(", ")));
        assert_eq!(plan.faults[0].action.name(), entry.name);
        assert_eq!(plan.faults[0].action.acts(), entry.acts);
    }
    assert_eq!(planned("kill: {}").faults[0].action, Action::Kill { when: When::During });
    let throttle = planned("throttle: {above_concurrency: 2}").faults[0].action.clone();
    assert_eq!(throttle, Action::Throttle { above: Some(2), percent: None });
}

#[test]
fn coordinates_become_sets() {
    let at = |at: &str| planned(&format!("at: {{{at}}}\nkill: {{}}")).faults[0].at.clone();
    assert_eq!(at("peers: [1, 3..4]").peer, Some(Set::of([1, 3, 4])));
    assert_eq!(at("rounds: 3..").round, Some(Set::of([3, 4])));
    assert_eq!(at("epochs: 2").round, Some(Set::of([3, 4])));
    assert_eq!(at("attempt: 0").attempt, Some(Set::of([0])));
    let count = |at: &str| -> u32 {
        let set = planned(&format!("at: {{peer: {at}}}\nkill: {{}}")).faults[0].at.peer.clone().unwrap();
        set.ranges().iter().map(|range| range.last - range.first + 1).sum()
    };
    assert_eq!([count("one"), count("minority"), count("majority"), count("all")], [1, 1, 3, 4]);
    assert_eq!([count("{percent: 1}"), count("{percent: 51}"), count("{count: 2}")], [1, 3, 2]);
    let (_, plan, _) = read(
        "version: 1\nfaults:\n  - id: b\n    at: {peer: 1}\n    startAfter: a\n    kill: {}\n  - id: a\n    at: {round: 2}\n    exit: {}\n",
    )
    .unwrap();
    assert_eq!(plan.faults[0].at.round, Some(Set::of([3, 4])));
    let leave = planned("at: {peer: 2, round: 2}\nleave: {}");
    assert_eq!(leave.faults[0].at.round, Some(Set::of([2, 3, 4])), "who has left does not come back");
}

#[test]
fn rounds_are_drawn_from_those_that_are_left() {
    let text = |share: &str| {
        format!(
            "version: 1\nfaults:\n  - {{id: a, at: {{rounds: 1..2}}, kill: {{}}}}\n  - {{id: b, start_after: a, at: {{{share}}}, exit: {{}}}}\n"
        )
    };
    for share in ["rounds: {count: 2}", "rounds: all", "epochs: one"] {
        let (_, plan, findings) = read(&text(share)).unwrap();
        assert_eq!((plan.faults[1].at.round.clone(), findings), (Some(Set::of([3, 4])), vec![]), "{share}");
    }
    assert_eq!(found(&text("rounds: {count: 3}")), [(Code::FaultBeyond, 4)]);
}

#[test]
fn a_batch_where_no_call_has_one_could_never_match() {
    let universe = universe_with("peer_to_peer", "model_averaging");
    for fault in ["at: {peer: 2, batch: 1}\nsign_flip: {}", "at: {peer: 1, batch: 1}\nkill: {}"] {
        let text = one(fault);
        let (file, _) = parse(&Source { name: "faults.yaml", text: &text }).unwrap();
        let refused = resolve(&file, &universe, 7).unwrap_err();
        assert_eq!(refused.iter().map(|finding| finding.code).collect::<Vec<_>>(), [Code::FaultNever]);
        assert!(resolve(&file, &self::universe(), 7).is_ok());
    }
}

/// Workers of a server read nothing of one another.
#[test]
fn a_partition_of_workers_could_never_fire() {
    let text = "version: 1\nfaults:\n  - id: a\n    partition: {groups: [[1], [2]]}\n";
    let (file, _) = parse(&Source { name: "faults.yaml", text }).unwrap();
    let refused = resolve(&file, &universe_of("parameter_server"), 7).unwrap_err();
    assert_eq!(refused.iter().map(|finding| finding.code).collect::<Vec<_>>(), [Code::FaultNever]);
    assert!(resolve(&file, &universe(), 7).is_ok());
}

#[test]
fn a_partition_of_more_peers_than_a_view_can_tell_is_refused() {
    let text = "version: 1\nfaults:\n  - id: a\n    partition: {groups: [[1], [2]]}\n";
    let (file, _) = parse(&Source { name: "faults.yaml", text }).unwrap();
    let of = |peers| {
        let mut universe = universe();
        universe.peers = peers;
        resolve(&file, &universe, 7)
    };
    let refused = of(257).unwrap_err();
    assert_eq!(refused.iter().map(|finding| finding.code).collect::<Vec<_>>(), [Code::NotBuilt]);
    assert!(of(256).is_ok());
}

#[test]
fn every_mistake_is_shown_at_its_line() {
    use Code::*;
    let wrong = [
        ("at: {function: combine, batch: 3}\nkill: {}", vec![(FaultPlace, 4)]),
        ("at: {object: gradient}\nkill: {}", vec![(FaultPlace, 4)]),
        ("at: {operation: get}\ndrop: {}", vec![(FaultPlace, 4)]),
        ("at: {operation: put}\nstale: {}", vec![(FaultPlace, 4)]),
        ("at: {object: members, owner: 1}\ndelay: {ms: 3}", vec![(FaultPlace, 4)]),
        ("at: {peer: 1}\npartition: {groups: [[1], [2]]}", vec![(FaultPlace, 4)]),
        ("at: {attempt: 0}\nsign_flip: {}", vec![(FaultPlace, 4)]),
        ("at: {function: combine}\nlabel_flip: {}", vec![(FaultPlace, 4)]),
        ("at: {function: evaluate}\nnan: {}", vec![(FaultPlace, 4)]),
        ("at: {round: 1}\nkill_engine: {event: 3}", vec![(FaultPlace, 4)]),
        ("at: {peer: 5}\nkill: {}", vec![(FaultBeyond, 4)]),
        ("at: {rounds: 2..9}\nkill: {}", vec![(FaultBeyond, 4)]),
        ("at: {rounds: 5..}\nkill: {}", vec![(FaultBeyond, 4)]),
        ("at: {epoch: 3}\nkill: {}", vec![(FaultBeyond, 4)]),
        ("at: {batch: 7}\nkill: {}", vec![(FaultBeyond, 4)]),
        ("at: {attempt: 4}\nkill: {}", vec![(FaultBeyond, 4)]),
        ("at: {peer: {count: 5}}\nkill: {}", vec![(FaultBeyond, 4)]),
        ("at: {function: aggregate}\nkill: {}", vec![(FaultBeyond, 4)]),
        ("kill_engine: {event: 501}", vec![(FaultBeyond, 4)]),
        ("partition: {groups: [[1], [5]]}", vec![(FaultBeyond, 4)]),
        ("at: {peers: []}\nkill: {}", vec![(FaultNever, 4)]),
        ("at: {peer: 2, round: 1}\njoin: {}", vec![(FaultNever, 4)]),
        ("at: {function: combine, object: gradient, operation: put}\nbit_flip: {}", vec![(FaultNever, 4)]),
        ("at: {object: model, operation: get}\nunavailable: {}", vec![(FaultNever, 4)]),
        ("partition: {groups: [[1, 2], [2, 3]]}", vec![(FaultNever, 4)]),
        ("partition: {groups: [[1, 2]]}", vec![(FaultNever, 4)]),
        ("at: {rounds: 3..2}\nkill: {}", vec![(OutOfRange, 4)]),
        ("at: {peer: 0}\nkill: {}", vec![(OutOfRange, 4)]),
        ("at: {peer: 1, peers: 2}\nkill: {}", vec![(OneOf, 4)]),
        ("at: {round: 1, epoch: 1}\nkill: {}", vec![(OneOf, 4)]),
        ("at: {shard: 1}\nkill: {}", vec![(NotBuilt, 4)]),
        ("at: {peer: many}\nkill: {}", vec![(UnknownValue, 4)]),
        ("at: {functon: gradient}\nkill: {}", vec![(UnknownKey, 4)]),
        ("at: {function: gradients}\nkill: {}", vec![(UnknownValue, 4)]),
        ("at: {peer: 1}", vec![(OneOf, 3)]),
        ("kill: {}\nexit: {}", vec![(OneOf, 5)]),
        ("kil: {}", vec![(OneOf, 3), (UnknownKey, 4)]),
        ("kill: {when: later}", vec![(UnknownValue, 4)]),
        ("kill:", vec![(WrongType, 4)]),
        ("truncate: {}", vec![(MissingKey, 4)]),
        ("kill_engine: {}", vec![(MissingKey, 4)]),
        ("pause: {ms: 0}", vec![(OutOfRange, 4)]),
        ("exit: {code: 256}", vec![(OutOfRange, 4)]),
        ("scale: {factor: .inf}", vec![(OutOfRange, 4)]),
        ("outage: {}", vec![(MissingKey, 3)]),
        ("at: {peer: 2}\nleave: {}", vec![(MissingKey, 4)]),
        ("start_after: y\nkill: {}", vec![(FaultOrder, 4)]),
        ("start_after: x\nkill: {}", vec![(FaultOrder, 4)]),
    ];
    for (fault, expected) in wrong {
        assert_eq!(found(&one(fault)), expected, "{fault}");
    }
    assert_eq!(found("version: 1\nfaults:\n  - id: X\n    kill: {}\n"), [(FaultId, 3)]);
    assert_eq!(found("version: 2\nfaults: []\n"), [(BadVersion, 1)]);
    assert_eq!(found("version: 1\n"), [(MissingKey, 1)]);
    assert_eq!(found("version: 1\nfaults: []\nexpect: {lost: {5: 2}}\n"), [(FaultBeyond, 3)]);
    assert_eq!(found("version: 1\nfaults: []\nexpect: {error: X}\n"), [(Expectation, 3)]);
    assert_eq!(found("version: 1\nfaults: []\nexpect: {fired: {y: 1}}\n"), [(Expectation, 3)]);
    let after = "version: 1\nfaults:\n  - id: a\n    kill: {}\n  - id: b\n    start_after: a\n    exit: {}\n";
    assert_eq!(found(after), [(FaultOrder, 6)], "the first one has no last round");
    for after in ["kill_engine: {event: 9}", "at: {function: prepare}, exit: {}"] {
        let text = format!(
            "version: 1\nfaults:\n  - {{id: a, at: {{round: 2}}, kill: {{}}}}\n  - {{id: b, start_after: a, {after}}}\n"
        );
        assert_eq!(found(&text), [(FaultPlace, 4)], "{after}");
    }
    assert_eq!(found("version: 1\nfaults: []\nexpect: {status: ABORTED}\n"), [(UnknownValue, 3)]);
    let all = "version: 1\nfaults:\n  - id: a\n    at: {peer: 9}\n    kill: {}\n  - id: a\n    at: {batch: 1}\n    outage: {}\n";
    assert_eq!(found(all).len(), 3, "all that the file alone tells, at once");
}

#[test]
fn the_examples_of_the_pages_give_their_codes_and_the_mended_ones_none() {
    let of_faults = |code: &&Code| code.examples().first().is_some_and(|example| example.phase == "faults");
    let codes: Vec<_> = Code::ALL.iter().filter(of_faults).collect();
    assert_eq!(codes.len(), 7);
    for code in codes {
        let examples = code.examples();
        assert_eq!(
            found(examples[0].text).iter().map(|(code, _)| *code).collect::<Vec<_>>(),
            [*code],
            "{code}"
        );
        for mended in &examples[1..] {
            assert_eq!(found(mended.text), [], "{code}");
        }
    }
}

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().parent().unwrap().to_owned()
}

fn kept(path: &str, text: &str) {
    let path = project().join(path);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(there == text, "{} is not what the tables give: run with UPDATE_DOCS=1", path.display());
}

#[test]
fn the_schema_file_and_the_page_are_the_tables() {
    kept("specs/faults.schema.json", &format!("{:#}\n", schema()));
    kept("docs/faults.md", &reference());
}

#[test]
fn the_schema_accepts_what_the_reader_accepts_and_refuses_what_it_can_tell() {
    let validator = jsonschema::validator_for(&schema()).unwrap();
    let fits = |text: &str| validator.is_valid(&serde_yaml::from_str(text).unwrap());
    for good in [
        "at: {peer: [1, 3..4], rounds: 2.., attempt: 0}\nkill: {when: after}",
        "at: {owner: one, objects: [published, replica], operation: get}\nstale: {rounds: 2}",
        "at: {peer: {percent: 50}, epochs: 1..2}\nscale: {factor: -3}",
        "partition: {groups: [[1, 2], [3..4]]}",
        "kill_engine: {event: 3}",
        "kill_engine: {events: {count: 3}}",
    ] {
        let _ = planned(good);
        assert!(fits(&one(good)), "{good}");
    }
    for bad in [
        "kill: {}\nexit: {}",
        "at: {peer: 1}",
        "kill: {when: later}",
        "at: {functon: gradient}\nkill: {}",
        "at: {peer: 0}\nkill: {}",
        "truncate: {}",
        "kill_engine: {}",
        "kill:",
    ] {
        assert!(!fits(&one(bad)), "{bad}");
    }
}

fn facts(change: impl FnOnce(&mut Facts)) -> Facts {
    let mut facts = Facts {
        status: "SUCCEEDED".to_owned(),
        weights: Some("w".to_owned()),
        baseline_weights: Some("w".to_owned()),
        accuracy: Some(0.8),
        baseline_accuracy: Some(0.9),
        loss: Some(0.3),
        replicas_equal: Some(true),
        fewest_members: Some(3),
        fired: BTreeMap::from([("x".to_owned(), 2)]),
        lost: BTreeMap::from([(4, vec![2, 3])]),
        ..Facts::default()
    };
    change(&mut facts);
    facts
}

#[test]
fn each_expectation_can_hold_and_can_fail() {
    let same = |_: &mut Facts| {};
    type Change = fn(&mut Facts);
    let cases: [(&str, Change, Change); 11] = [
        ("status: SUCCEEDED", same, |facts| facts.status = "FAILED".to_owned()),
        ("same_weights_as: baseline", same, |facts| facts.weights = Some("v".to_owned())),
        ("accuracy_within: 0.11", same, |facts| facts.accuracy = Some(0.7)),
        ("accuracy_at_least: 0.8", same, |facts| facts.accuracy = None),
        ("accuracy_at_most: 0.8", same, |facts| facts.accuracy = Some(0.81)),
        ("loss_at_most: 0.3", same, |facts| facts.loss = Some(f64::NAN)),
        ("max_extra_seconds: 1", same, |facts| facts.extra_seconds = 1.5),
        ("fired: {x: 2..}", same, |facts| facts.fired.clear()),
        ("lost: {4: 2..3}", same, |facts| drop(facts.lost.insert(3, vec![1]))),
        ("members_at_least: 3", same, |facts| facts.fewest_members = Some(2)),
        ("replicas_equal: true", same, |facts| facts.replicas_equal = None),
    ];
    for (expect, good, bad) in cases {
        let text = format!("{}expect: {{{expect}}}\n", one("kill: {}"));
        let (file, _) = parse(&Source { name: "t", text: &text }).unwrap();
        let holds =
            |change: Change| verdict(&file.expect, &facts(change)).iter().all(|line: &Verdict| line.holds);
        assert!(holds(good), "{expect}");
        assert!(!holds(bad), "{expect}");
    }
}

#[test]
fn a_covered_fault_is_warned_of_and_a_share_of_calls_covers_nothing() {
    let two = |first: &str, second: &str| {
        found(&format!("version: 1\nfaults:\n  - {{id: a, {first}}}\n  - {{id: b, {second}}}\n"))
    };
    assert_eq!(two("kill: {}", "at: {peer: 1}, exit: {}"), [(Code::FaultCovered, 4)]);
    assert_eq!(two("drop: {}", "at: {operation: put}, delay: {ms: 1}"), [(Code::FaultCovered, 4)]);
    assert_eq!(two("drop: {}", "delay: {ms: 1}"), []);
    assert_eq!(two("kill: {}", "cold_start: {}"), []);
    assert_eq!(two("throttle: {percent: 50}", "cold_start: {}"), []);
    assert_eq!(two("at: {peer: 1}, kill: {}", "exit: {}"), []);
    assert_eq!(two("at: {peer: 4, rounds: 2..}, outage: {}", "at: {peer: 4, rounds: 2}, join: {}"), []);
    assert_eq!(two("at: {peer: 4, rounds: 2..}, join: {}", "at: {peer: 4, rounds: 3}, outage: {}"), []);
    // A list of functions lies about what each of them makes.
    let both = "at: {peer: 3, function: [gradient, combine]}, sign_flip: {}";
    assert_eq!(two(both, "at: {peer: 3, function: gradient}, nan: {}"), [(Code::FaultCovered, 4)]);
    assert_eq!(two("at: {peer: 3}, sign_flip: {}", both), []);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_same_seed_gives_the_same_plan(seed in any::<u64>(), percent in 1..=100_u32, count in 1..=4_u32) {
        let text = format!("version: 1\nseed: {seed}\nfaults:\n  - id: a\n    at: {{peer: {{percent: {percent}}}, rounds: {{count: {count}}}}}\n    kill: {{}}\n  - id: b\n    kill_engine: {{events: {{count: {count}}}}}\n");
        let (file, plan, _) = read(&text).unwrap();
        prop_assert_eq!(&read(&text).unwrap().1, &plan);
        prop_assert_eq!(resolve(&file, &universe(), seed.wrapping_add(1)).unwrap().0, plan.clone(), "the file's seed counts");
        let size = |set: &Set| set.ranges().iter().map(|range| range.last - range.first + 1).sum::<u32>();
        prop_assert_eq!(size(plan.faults[0].at.peer.as_ref().unwrap()), (4 * percent).div_ceil(100));
        prop_assert_eq!(size(plan.faults[0].at.round.as_ref().unwrap()), count);
        let Action::KillEngine { events } = &plan.faults[1].action else { panic!("an engine's death") };
        prop_assert_eq!(size(events), count);
        prop_assert!(events.last() <= Some(500));
        let is_drawn_later = matches!(file.faults[1].act.value, Act::KillEngine(_));
        prop_assert!(is_drawn_later);
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in "(version: 1\n)?(faults:\n( - (id: [a-c]|at: \\{[a-z]{1,6}: [0-9.]{1,4}\\}|kill: ?(\\{\\})?|[\\[\\]{}:,a-z0-9 ]{0,12})\n(   (kill|at|id): [a-z{}0-9:. ]{0,10}\n)?){0,3})?(expect: [{}a-z:0-9. ]{0,12})?") {
        let _ = read(&text);
    }
}
