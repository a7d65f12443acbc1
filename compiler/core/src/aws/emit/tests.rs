//! What the translations have to hold by themselves; their own checkers look at them in `tests/aws.rs`.

use super::{Language, experiment, files};
use crate::aws::tests::bundle;
use crate::bundle::Bundle;
use crate::diagnostic::{Code, Source};
use crate::faults;
use serde_json::Value;
use std::collections::BTreeSet;

fn written(bundle: &Bundle, language: Language) -> Value {
    let files = files(bundle, language);
    serde_json::from_slice(files.values().next().unwrap()).unwrap()
}

fn strings<'a>(value: &'a Value, all: &mut Vec<&'a str>) {
    match value {
        Value::String(text) => all.push(text),
        Value::Array(items) => items.iter().for_each(|item| strings(item, all)),
        Value::Object(fields) => fields.values().for_each(|field| strings(field, all)),
        _ => {}
    }
}

#[test]
fn every_placeholder_of_a_definition_is_substituted() {
    for (topology, algorithm) in
        [("peer_to_peer", "gradient_averaging"), ("parameter_server", "model_averaging")]
    {
        let bundle = bundle(topology, algorithm, "");
        let template = written(&bundle, Language::CloudFormation);
        for machine in &bundle.machines {
            let found = template["Resources"].as_object().unwrap().values().find_map(|resource| {
                let properties = &resource["Properties"];
                let name = properties["StateMachineName"].as_str()?;
                name.ends_with(&format!("-{}", machine.name)).then_some(properties)
            });
            let properties = found.unwrap();
            let definition = properties["DefinitionString"].as_str().unwrap();
            assert_eq!(serde_json::from_str::<Value>(definition).unwrap(), machine.definition);
            let wanted: BTreeSet<&str> =
                definition.split("${").skip(1).filter_map(|rest| rest.split('}').next()).collect();
            let given: BTreeSet<&str> = properties["DefinitionSubstitutions"]
                .as_object()
                .unwrap()
                .keys()
                .map(String::as_str)
                .collect();
            assert_eq!(wanted, given, "{}", machine.name);
        }
    }
}

#[test]
fn every_reference_of_the_terraform_configuration_leads_somewhere() {
    for more in ["", "aws: {tracing: true, run_retention_days: 9}\n"] {
        let bundle = bundle("peer_to_peer", "model_averaging", more);
        let configuration = written(&bundle, Language::Terraform);
        let mut all = Vec::new();
        strings(&configuration, &mut all);
        let mut references = 0;
        for text in all {
            for expression in text.split("${").skip(1) {
                let expression = expression.split('}').next().unwrap();
                for word in expression
                    .split(|letter: char| !(letter.is_ascii_alphanumeric() || "_.".contains(letter)))
                {
                    let parts: Vec<&str> = word.split('.').collect();
                    let place = match parts.as_slice() {
                        ["data", kind, name, ..] => format!("/data/{kind}/{name}"),
                        ["var", name] => format!("/variable/{name}"),
                        ["local", name] => format!("/locals/{name}"),
                        [kind, name, ..] if kind.starts_with("aws_") => format!("/resource/{kind}/{name}"),
                        _ => continue,
                    };
                    references += 1;
                    assert!(configuration.pointer(&place).is_some(), "{place} of {text}");
                }
            }
        }
        assert!(references > 100, "{references}");
        let roles = configuration["resource"]["aws_iam_role_policy"].as_object().unwrap();
        for (name, role) in roles {
            let text = role["policy"].as_str().unwrap();
            assert!(serde_json::from_str::<Value>(text).is_ok(), "{name}");
            assert!(!text.contains("AWS::"), "{name}: {text}");
        }
    }
}

#[test]
fn an_experiment_has_what_fis_can_do_and_names_the_rest() {
    let bundle = bundle("peer_to_peer", "gradient_averaging", "");
    let text = "version: 1\nfaults:\n  - id: late\n    at: {function: gradient, peer: {percent: 25}}\n    invocation_delay: {ms: 900, jitter_ms: 5}\n  - id: lost\n    start_after: late\n    at: {function: combine}\n    invocation_error: {prevent_execution: false}\n  - id: second\n    at: {peer: 2}\n    kill: {}\n  - id: third\n    at: {function: gradient, round: 3}\n    invocation_delay: {ms: 1}\n  - id: fourth\n    at: {function: train}\n    invocation_delay: {ms: 1}\n";
    // `start_after` wants a window; FIS has one by the clock.
    let text = text.replace("    start_after: late\n", "");
    let (file, _) = faults::parse(&Source { name: "f.yaml", text: &text }).unwrap();
    let experiment = experiment(&bundle, &file);
    let template: Value = serde_json::from_slice(&experiment.files["fis/experiment.json"]).unwrap();
    let actions = template["actions"].as_object().unwrap();
    assert_eq!(actions.keys().collect::<Vec<_>>(), ["late", "lost"]);
    let late = &actions["late"];
    assert_eq!(late["actionId"], "aws:lambda:invocation-add-delay");
    assert_eq!(late["parameters"]["startupDelayMilliseconds"], "900");
    assert_eq!(late["parameters"]["invocationPercentage"], "25");
    assert_eq!(actions["lost"]["parameters"]["preventExecution"], "false");
    let target = late["targets"]["Functions"].as_str().unwrap();
    assert!(template["targets"][target]["resourceArns"][0].as_str().unwrap().ends_with("-gradient"));
    // FIS takes five functions a target: a fault of all has more than one, and an action for each.
    let all = "version: 1\nfaults:\n  - id: all\n    invocation_delay: {ms: 1}\n";
    let (file, _) = faults::parse(&Source { name: "f.yaml", text: all }).unwrap();
    let wide: Value =
        serde_json::from_slice(&super::experiment(&bundle, &file).files["fis/experiment.json"]).unwrap();
    let targets = wide["targets"].as_object().unwrap();
    let sizes: Vec<usize> =
        targets.values().map(|target| target["resourceArns"].as_array().unwrap().len()).collect();
    assert_eq!(sizes.iter().sum::<usize>(), bundle.resources.functions.len());
    assert!(sizes.len() > 1 && sizes.iter().all(|size| (1..=5).contains(size)), "{sizes:?}");
    assert_eq!(wide["actions"].as_object().unwrap().len(), sizes.len());
    let readme = String::from_utf8(experiment.files["fis/README.md"].clone()).unwrap();
    for id in ["second", "third", "fourth"] {
        assert!(readme.split("cannot do").nth(1).unwrap().contains(&format!("`{id}`: ")), "{readme}");
    }
    assert_eq!(
        experiment.findings.len(),
        5,
        "two are done otherwise, three not at all: {:#?}",
        experiment.findings
    );
    assert!(
        experiment.findings.iter().all(|finding| finding.span.is_some() && finding.code == Code::FisCannot)
    );
}

#[test]
fn the_example_of_the_page_gives_its_code_and_the_mended_one_none() {
    let bundle = bundle("peer_to_peer", "gradient_averaging", "");
    let examples = Code::FisCannot.examples();
    let found = |text: &str| {
        let (file, _) = faults::parse(&Source { name: "f.yaml", text }).unwrap();
        experiment(&bundle, &file).findings.len()
    };
    assert_eq!((found(examples[0].text), found(examples[1].text)), (1, 0));
}
