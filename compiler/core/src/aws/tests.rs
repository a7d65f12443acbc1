//! The desired state of trainings of every topology and algorithm.

use super::Policy;
use super::access::access;
use super::names;
use super::objects::Kind;
use super::policy::Effect;
use crate::bundle::Bundle;
use crate::diagnostic::{Code, Source};
use crate::lower::Templates;
use crate::{compile, spec};
use std::collections::{BTreeMap, BTreeSet};
use stepgrad_contract::Function;

/// The bundle of a small training.
pub(crate) fn bundle(topology: &str, algorithm: &str, more: &str) -> Bundle {
    let changed = BTreeMap::new();
    bundle_with(topology, algorithm, more, &Templates::with(changed).unwrap())
}

fn bundle_with(topology: &str, algorithm: &str, more: &str, templates: &Templates) -> Bundle {
    bundle_of(4, topology, algorithm, more, templates)
}

fn bundle_of(peers: u32, topology: &str, algorithm: &str, more: &str, templates: &Templates) -> Bundle {
    // The longest name there is.
    let name = "a".repeat(40);
    let text = format!(
        "version: 1\nname: {name}\ndata: {{format: synthetic, validation: 0.2, synthetic: {{samples: 400, shape: [4], classes: 2}}}}\n\
         model: {{architecture: mlp}}\n\
         training: {{algorithm: {algorithm}, epochs: 2, optimizer: {{sgd: {{learning_rate: 0.1, momentum: 0.9}}}}}}\n\
         topology: {{kind: {topology}, peers: {peers}}}\n{more}"
    );
    let (spec, _) = spec::parse(&Source { name: "a.yaml", text: &text }, &[]).unwrap();
    compile(&spec, templates).unwrap().bundle
}

fn all() -> Vec<Bundle> {
    let mut all = Vec::new();
    for topology in ["peer_to_peer", "parameter_server"] {
        for algorithm in ["gradient_averaging", "model_averaging"] {
            for more in [
                "",
                "aws: {tracing: true, run_retention_days: 9, kms_key: 'arn:aws:kms:eu-west-1:123456789012:key/a-1'}\n",
            ] {
                all.push(bundle(topology, algorithm, more));
            }
        }
    }
    all
}

fn places() -> BTreeMap<String, String> {
    BTreeMap::from(
        [
            ("AWS::Partition", "aws"),
            ("AWS::Region", "eu-west-1"),
            ("AWS::AccountId", "123456789012"),
            ("Bucket", "the-bucket"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned())),
    )
}

fn actions(policy: &Policy) -> BTreeSet<&str> {
    policy.statement.iter().flat_map(|statement| statement.action.iter().map(String::as_str)).collect()
}

#[test]
fn names_fit_what_aws_allows() {
    for bundle in all() {
        let resources = &bundle.resources;
        assert!(resources.roles.iter().all(|role| role.name.len() <= 64), "{:?}", resources.roles);
        let roles: BTreeSet<_> = resources.roles.iter().map(|role| &role.name).collect();
        assert_eq!(roles.len(), resources.roles.len(), "role names are one list");
        assert!(resources.functions.iter().all(|function| function.name.len() <= 64));
        assert!(resources.machines.iter().all(|machine| machine.name.len() <= 80));
        let bucket = names::bucket(&resources.prefix, "123456789012", "ap-southeast-1");
        assert!(bucket.len() <= 63, "{bucket}");
        assert_ne!(bucket, names::bucket(&resources.prefix, "123456789012", "ap-southeast-2"));
        for role in &resources.roles {
            // IAM User Guide, "IAM and AWS STS quotas": inline policies of a role, without white space.
            let size = serde_json::to_string(&role.policy).unwrap().len();
            assert!(size <= crate::limits::ROLE_POLICY_CHARACTERS as usize, "{}: {size}", role.name);
            assert!(serde_json::to_string(&role.trust).unwrap().len() <= 2_048);
            let sids: BTreeSet<_> = role.policy.statement.iter().map(|statement| &statement.sid).collect();
            assert_eq!(sids.len(), role.policy.statement.len());
        }
    }
}

#[test]
fn nothing_is_allowed_on_everything_but_what_has_no_resources() {
    const WITHOUT: [&str; 2] = ["DeliverLogs", "Trace"];
    for bundle in all() {
        let filled = bundle.resources.filled(&places()).unwrap();
        for role in &filled.roles {
            for statement in &role.policy.statement {
                assert_eq!(statement.effect, Effect::Allow);
                assert!(!statement.resource.is_empty(), "{} of {}", statement.sid, role.name);
                assert!(statement.action.iter().all(|action| !action.contains('*')), "{statement:?}");
                let everything = statement.resource.iter().any(|arn| arn == "*");
                assert_eq!(everything, WITHOUT.contains(&statement.sid.as_str()), "{statement:?}");
                for arn in
                    statement.resource.iter().filter(|arn| *arn != "*" && !arn.starts_with("arn:aws:kms:"))
                {
                    let own = arn.contains(&filled.prefix)
                        || arn.contains(":::the-bucket")
                        || arn.ends_with("rule/StepFunctionsGetEventsForStepFunctionsExecutionRule");
                    assert!(own, "{arn}");
                }
            }
        }
    }
}

#[test]
fn machines_may_do_what_their_definitions_do_and_nothing_else() {
    let bundle = bundle("peer_to_peer", "gradient_averaging", "");
    let resources = bundle.resources.filled(&places()).unwrap();
    let prefix = &resources.prefix;
    let role = |machine: &str| {
        resources.roles.iter().find(|role| role.part == format!("machines/{machine}")).unwrap()
    };
    let on = |machine: &str, sid: &str| -> Vec<String> {
        let found = role(machine).policy.statement.iter().find(|statement| statement.sid == sid);
        found.map(|statement| statement.resource.clone()).unwrap_or_default()
    };
    let lambda =
        |function: &str| format!("arn:aws:lambda:eu-west-1:123456789012:function:{prefix}-{function}:*");
    assert_eq!(on("train", "CallFunctions"), ["finish", "initialise", "prepare"].map(lambda));
    assert_eq!(on("segment", "CallFunctions"), [""; 0]);
    assert_eq!(on("gradients", "CallFunctions"), ["gradient"].map(lambda));
    let machine =
        |machine: &str| format!("arn:aws:states:eu-west-1:123456789012:stateMachine:{prefix}-{machine}");
    assert_eq!(on("train", "StartChildren"), ["segment"].map(machine));
    // The round carries small fan-outs inline, and starts their ranges of batches itself.
    assert_eq!(
        on("round", "StartChildren"),
        ["gradients", "resynchronise", "synchronise", "work"].map(machine)
    );
    // Batches call functions and start nothing: no rule, no children.
    assert_eq!(
        actions(&role("gradients").policy)
            .into_iter()
            .filter(|action| !action.starts_with("logs:"))
            .collect::<Vec<_>>(),
        ["lambda:InvokeFunction"]
    );
    assert!(actions(&role("round").policy).contains("events:PutTargets"));
    let order: Vec<_> = resources.machines.iter().map(|machine| machine.machine.as_str()).collect();
    for machine in &resources.machines {
        let place = |name: &str| order.iter().position(|other| *other == name);
        assert!(machine.starts.iter().all(|child| place(child) < place(&machine.machine)), "{order:?}");
    }
    assert_eq!(resources.machines.last().and_then(|machine| machine.alias.as_deref()), Some("live"));
}

#[test]
fn a_changed_template_changes_the_policies_and_what_cannot_be_derived_is_named() {
    let finish = include_str!("../../../../templates/states/task.json")
        .replace("arn:aws:states:::lambda:invoke", "arn:aws:states:::sqs:sendMessage");
    let templates = Templates::with(BTreeMap::from([("states/task.json".to_owned(), finish)])).unwrap();
    let bundle = bundle_with("parameter_server", "model_averaging", "", &templates);
    let train = bundle.resources.machines.last().unwrap();
    assert_eq!(train.calls, [""; 0]);
    assert_eq!(train.gaps[0].calls, "arn:aws:states:::sqs:sendMessage", "{:?}", train.gaps);
}

#[test]
fn functions_may_do_what_their_handlers_do() {
    let bundle = self::bundle("peer_to_peer", "gradient_averaging", "");
    let of = |function| access(function, &bundle.training);
    let combine = of(Function::Combine);
    // Its own, and what it makes again: a gradient, for which a replica, a batch, and what these are made of.
    for kind in [Kind::Published, Kind::Gradients, Kind::Replicas, Kind::Batches] {
        assert!(combine.writes.contains(&kind), "{kind:?}");
    }
    assert!(combine.writes.is_subset(&combine.reads));
    for kind in
        [Kind::Model, Kind::Manifest, Kind::Members, Kind::Progress, Kind::ServerReplicas, Kind::Signatures]
    {
        assert!(!combine.writes.contains(&kind), "{kind:?}");
    }
    let membership = of(Function::Membership);
    assert_eq!(membership.writes, BTreeSet::from([Kind::Members]));
    assert!(membership.reads.contains(&Kind::Progress));
    assert_eq!(of(Function::Evaluate).deletes, BTreeSet::from([Kind::Rounds]));
    assert!(of(Function::Finish).deletes.is_empty());
    // Who trains hands over to itself, and whoever trains in another's name saves where it came to.
    let training = self::bundle("peer_to_peer", "model_averaging", "").training;
    for function in [Function::Train, Function::Synchronise, Function::Finish] {
        assert!(access(function, &training).writes.contains(&Kind::HandedOver), "{function}");
    }
    assert!(!combine.reads.contains(&Kind::HandedOver));
}

#[test]
fn who_signs_may_read_private_keys_and_nobody_else() {
    let public = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
    let more = format!("exchange: {{signatures: {{public_keys: [{public}]}}}}\n");
    for (algorithm, signing) in
        [("gradient_averaging", ["combine", "heartbeat"]), ("model_averaging", ["heartbeat", "train"])]
    {
        let bundle = bundle_of(1, "peer_to_peer", algorithm, &more, &Templates::embedded().unwrap());
        let resources = bundle.resources.filled(&places()).unwrap();
        let arn = format!("arn:aws:ssm:eu-west-1:123456789012:parameter/{}/keys", resources.prefix);
        for function in &resources.functions {
            let signs = signing.contains(&function.handler.as_str());
            let place = function.environment.get("STEPGRAD_KEYS");
            assert_eq!(place.map(String::as_str), signs.then_some(arn.as_str()), "{}", function.handler);
            let role = resources.roles.iter().find(|role| role.name == function.role).unwrap();
            let found = role.policy.statement.iter().find(|statement| statement.sid == "ReadPrivateKeys");
            let on = found.map(|statement| statement.resource.clone());
            assert_eq!(on, signs.then(|| vec![format!("{arn}/*")]), "{}", function.handler);
        }
        let [key] = &resources.keys[..] else { panic!("{:?}", resources.keys) };
        assert_eq!(key.name, format!("/{}/keys/peer-0001.key", resources.prefix));
        assert_eq!((key.part.as_str(), key.public_key.as_str()), ("keys/peer-0001", public));
    }
    assert!(bundle("peer_to_peer", "gradient_averaging", "").resources.keys.is_empty());
}

#[test]
fn what_is_filled_has_no_placeholder_left() {
    let bundle = bundle("peer_to_peer", "gradient_averaging", "");
    let filled = bundle.resources.filled(&places()).unwrap();
    assert_eq!(filled.functions[0].environment["STEPGRAD_STORE"], "s3://the-bucket/runs");
    let mut few = places();
    few.remove("Bucket");
    assert_eq!(bundle.resources.filled(&few).unwrap_err().0, "${Bucket}");
}

#[test]
fn the_example_of_the_page_gives_its_code_and_the_mended_one_none() {
    let found = |text: &str| -> Vec<Code> {
        let (spec, _) = spec::parse(&Source { name: "a.yaml", text }, &[]).unwrap();
        let bundle = compile(&spec, &Templates::embedded().unwrap()).unwrap().bundle;
        super::findings(&spec, &bundle.resources).iter().map(|finding| finding.code).collect()
    };
    let examples = Code::NotOnAws.examples();
    assert_eq!(found(examples[0].text), [Code::NotOnAws]);
    assert_eq!(found(examples[1].text), []);
}
