//! A fault file as an experiment template of AWS Fault Injection Service, as far as FIS goes: it can delay a function's
//! calls and let them fail, for a share of the calls and for a time. It knows functions and no rounds, peers, batches or
//! attempts, no objects and no processes. What it cannot do is named, each fault with the reason, in the findings and in
//! the README beside the template; on AWS the functions carry those out themselves, as they do here.
//!
//! Sources: AWS FIS User Guide, "AWS FIS Actions reference" (`aws:lambda:invocation-add-delay`: `duration`,
//! `startupDelayMilliseconds` 0 to 900,000, `invocationPercentage`; `aws:lambda:invocation-error`: `preventExecution`;
//! `aws:lambda:invocation-http-integration-response` is about what answers a load balancer or an API gateway, and Step
//! Functions is neither), "Use the AWS FIS aws:lambda:function actions" (the extension, where it reads what to do, the
//! permissions), "Actions for AWS FIS" (`startAfter`); AWS FIS API Reference, "CreateExperimentTemplate".

use crate::aws::names;
use crate::aws::policy::{Policy, Statement, condition};
use crate::bundle::{Bundle, json};
use crate::diagnostic::{Code, Diagnostic};
use crate::faults::{Act, At, Entry, FaultFile, Share, Wanted};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use stepgrad_contract::faults::Action;

/// How long each action lasts. FIS ends it by the clock; it knows no rounds.
const DURATION: &str = "PT30M";
/// What Lambda itself allows a call.
const LONGEST_DELAY_MS: u64 = 900_000;
/// Functions of one target (AWS FIS API Reference, `CreateExperimentTemplateTargetInput`).
const FUNCTIONS: usize = 5;
/// Where FIS and its extension speak to each other, below the bucket.
const CONFIGS: &str = "fis";

/// A fault file for FIS.
#[derive(Debug)]
pub struct Experiment {
    /// The files by path below the bundle.
    pub files: BTreeMap<String, Vec<u8>>,
    /// What FIS does otherwise or not at all, each with its place in the fault file.
    pub findings: Vec<Diagnostic>,
}

/// What FIS makes of one fault.
struct Made {
    id: String,
    functions: BTreeSet<String>,
    action: &'static str,
    parameters: Map<String, Value>,
    /// What is not quite the same.
    differs: Vec<String>,
}

impl Made {
    /// The names of its actions: one for each target that its functions fill.
    fn parts(&self) -> Vec<String> {
        let name = |number: usize| match number {
            0 => self.id.clone(),
            number => format!("{}-{}", self.id, number + 1),
        };
        (0..self.functions.len().div_ceil(FUNCTIONS)).map(name).collect()
    }
}

/// The experiment of a fault file.
#[must_use]
pub fn experiment(bundle: &Bundle, file: &FaultFile) -> Experiment {
    let (mut made, mut refused, mut findings) = (Vec::new(), Vec::new(), Vec::new());
    let all: Vec<_> = file.faults.iter().map(|entry| (entry, make(bundle, entry))).collect();
    let can: BTreeSet<&str> =
        all.iter().filter(|(_, action)| action.is_ok()).map(|(entry, _)| entry.id.value.as_str()).collect();
    let cannot = |entry: &Entry| {
        let after = entry.start_after.as_ref().filter(|after| !can.contains(after.value.as_str()))?;
        Some(format!(
            "it starts at once, for FIS cannot bring `{}` about, after which it is to start",
            after.value
        ))
    };
    let waits: Vec<_> = all.iter().map(|(entry, _)| cannot(entry)).collect();
    for ((entry, action), waits) in all.into_iter().zip(waits) {
        match action {
            Ok(mut action) => {
                action.differs.extend(waits);
                if !action.differs.is_empty() {
                    let message = format!("FIS brings `{}` about in its own way", entry.id.value);
                    let why = action.differs.join("; ");
                    findings.push(Diagnostic::warning(Code::FisCannot, message).at(&entry.place, why));
                }
                made.push((entry, action));
            }
            Err(why) => {
                let message = format!("FIS cannot bring `{}` about", entry.id.value);
                findings.push(
                    Diagnostic::warning(Code::FisCannot, message)
                        .at(&entry.place, why.clone())
                        .hint("`stepgrad rerun RUN --faults FILE` brings it about, here or with `--on aws`; `stepgrad explain SG108` says what FIS knows"),
                );
                refused.push((entry.id.value.clone(), why));
            }
        }
    }
    let mut files = policies(bundle);
    // FIS takes no template without an action.
    if !made.is_empty() {
        files.insert("fis/experiment.json".to_owned(), json(&template(bundle, &made)));
    }
    files.insert("fis/README.md".to_owned(), readme(bundle, &made, &refused).into_bytes());
    findings.sort_by_key(Diagnostic::order);
    Experiment { files, findings }
}

fn make(bundle: &Bundle, entry: &Entry) -> Result<Made, String> {
    let Act::Fixed(action) = &entry.act.value else {
        return Err("it has no action on the engine: on AWS the engine is AWS's own".to_owned());
    };
    let mut differs = Vec::new();
    let mut parameters = Map::from_iter([("duration".to_owned(), json!(DURATION))]);
    let id = match action {
        Action::InvocationDelay { ms, .. } if *ms > LONGEST_DELAY_MS => {
            return Err(format!("its delays are of {LONGEST_DELAY_MS} ms at the most"));
        }
        Action::InvocationDelay { ms, jitter_ms } => {
            if *jitter_ms > 0 {
                differs.push(format!("every call is late by {ms} ms, without the jitter of {jitter_ms} ms"));
            }
            parameters.insert("startupDelayMilliseconds".to_owned(), json!(ms.to_string()));
            "aws:lambda:invocation-add-delay"
        }
        Action::InvocationError { prevent_execution, error } => {
            differs.push(format!("the error's name is FIS's own and not {error}"));
            parameters.insert("preventExecution".to_owned(), json!(prevent_execution.to_string()));
            "aws:lambda:invocation-error"
        }
        other => return Err(format!("none of its actions on functions is a `{}`", other.name())),
    };
    if let Some(percent) = share(&entry.at)? {
        differs.push(format!("it draws {percent} % of the calls, whoever makes them"));
        parameters.insert("invocationPercentage".to_owned(), json!(percent.to_string()));
    }
    let of_bundle: BTreeSet<String> =
        bundle.resources.functions.iter().map(|function| function.handler.clone()).collect();
    let functions = match &entry.at.function {
        None => of_bundle,
        Some(wanted) => {
            let wanted: BTreeSet<String> =
                wanted.value.iter().map(|function| function.name().to_owned()).collect();
            of_bundle.intersection(&wanted).cloned().collect()
        }
    };
    if functions.is_empty() {
        return Err("the training calls none of these functions".to_owned());
    }
    Ok(Made { id: entry.id.value.clone(), functions, action: id, parameters, differs })
}

/// The share of calls that a place comes to; an error names the coordinates that FIS does not know.
fn share(at: &At) -> Result<Option<u32>, String> {
    let numbers = [
        ("peer", &at.peer),
        ("round", &at.round),
        ("epoch", &at.epoch),
        ("batch", &at.batch),
        ("attempt", &at.attempt),
    ];
    let given: Vec<_> =
        numbers.into_iter().filter_map(|(name, wanted)| Some((name, &wanted.as_ref()?.value))).collect();
    match given.as_slice() {
        [] => Ok(None),
        [("peer" | "batch", Wanted::Drawn(Share::Percent(percent)))] => Ok(Some((*percent).clamp(1, 100))),
        [("peer" | "batch", Wanted::Drawn(Share::All))] => Ok(None),
        _ => {
            let names: Vec<_> = given.iter().map(|(name, _)| format!("`{name}`")).collect();
            Err(format!("it knows functions and shares of their calls, and no {}", names.join(", ")))
        }
    }
}

/// The name of the target of a place in the list of them: 64 characters at the most.
fn target(place: usize) -> String {
    format!("functions-{}", place + 1)
}

fn template(bundle: &Bundle, made: &[(&Entry, Made)]) -> Value {
    let resources = &bundle.resources;
    let arn = |function: &String| {
        names::arn("lambda", &format!("function:{}", names::function(&resources.prefix, function)))
    };
    let parts: BTreeMap<&str, Vec<String>> =
        made.iter().map(|(_, action)| (action.id.as_str(), action.parts())).collect();
    let mut places: Vec<Vec<String>> = Vec::new();
    let mut actions = Map::new();
    for (entry, action) in made {
        let after = entry.start_after.as_ref().and_then(|after| parts.get(after.value.as_str()));
        let functions: Vec<String> = action.functions.iter().map(arn).collect();
        for (name, arns) in action.parts().into_iter().zip(functions.chunks(FUNCTIONS)) {
            let place = places.iter().position(|place| place == arns).unwrap_or_else(|| {
                places.push(arns.to_vec());
                places.len() - 1
            });
            let description =
                if action.differs.is_empty() { action.id.clone() } else { action.differs.join("; ") };
            let mut fields = json!({
                "actionId": action.action,
                "description": description,
                "parameters": action.parameters,
                "targets": {"Functions": target(place)},
            });
            if let Some(after) = after {
                fields["startAfter"] = json!(after);
            }
            actions.insert(name, fields);
        }
    }
    let targets: Map<String, Value> = places
        .into_iter()
        .enumerate()
        .map(|(place, arns)| {
            let all =
                json!({"resourceType": "aws:lambda:function", "resourceArns": arns, "selectionMode": "ALL"});
            (target(place), all)
        })
        .collect();
    json!({
        "description": format!("faults of the training {}; README.md tells what is not in it", bundle.index.name),
        "roleArn": names::role_arn(&role(bundle)),
        "stopConditions": [{"source": "none"}],
        "targets": targets,
        "actions": actions,
        "tags": resources.tags_of("fis"),
    })
}

fn role(bundle: &Bundle) -> String {
    names::experiments_role(&bundle.resources.prefix)
}

/// FIS's own role, and what every function's role needs beside its own policy while the extension is in it.
fn policies(bundle: &Bundle) -> BTreeMap<String, Vec<u8>> {
    let functions = bundle
        .resources
        .functions
        .iter()
        .map(|function| names::arn("lambda", &format!("function:{}", function.name)));
    let configs = names::objects_arn(&format!("{CONFIGS}/*"));
    let own = Policy::of([
        Statement::allow("TellTheExtension", &["s3:DeleteObject", "s3:PutObject"], [configs.clone()]),
        Statement::allow("SeeFunctions", &["lambda:GetFunction"], functions),
        // Tags are looked up over all of an account; there is no resource to name.
        Statement::allow("SeeTags", &["tag:GetResources"], ["*"]),
    ]);
    let extension = Policy::of([
        Statement {
            condition: condition("StringLike", "s3:prefix", format!("{CONFIGS}/*")),
            ..Statement::allow("FindWhatToDo", &["s3:ListBucket"], [names::bucket_arn()])
        },
        Statement::allow("ReadWhatToDo", &["s3:GetObject"], [configs]),
    ]);
    let trust = Policy::trust("fis.amazonaws.com", BTreeMap::new());
    BTreeMap::from([
        ("fis/role.json".to_owned(), json(&own)),
        ("fis/role.trust.json".to_owned(), json(&trust)),
        ("fis/extension.json".to_owned(), json(&extension)),
    ])
}

fn readme(bundle: &Bundle, made: &[(&Entry, Made)], refused: &[(String, String)]) -> String {
    let mut text = format!(
        "# Faults of {} for AWS Fault Injection Service\n\n\
         `experiment.json` is what `aws fis create-experiment-template --cli-input-json` takes, `role.json` and\n\
         `role.trust.json` are the role that it names. Replace the placeholders `${{…}}` first.\n\n\
         FIS acts through an extension inside the functions. Before an experiment, each function it is about needs\n\n\
         - the layer of the SSM parameter `/aws/service/fis/lambda-extension/AWS-FIS-extension-{}/1.x.x`;\n\
         - the variables `AWS_LAMBDA_EXEC_WRAPPER=/opt/aws-fis/bootstrap` and `AWS_FIS_CONFIGURATION_LOCATION={}`;\n\
         - the statements of `extension.json` beside its own policy;\n\
         - a new version with these settings, which the definitions name in the place of the one before.\n\n\
         Lambda does not honour `AWS_LAMBDA_EXEC_WRAPPER` for the runtime `provided.al2023`; `bootstrap` does it itself.\n\n\
         An action lasts {DURATION} by the clock.\n\n",
        bundle.index.name,
        bundle.resources.functions.first().map_or("arm64", |function| function.architecture.as_str()),
        names::objects_arn(&format!("{CONFIGS}/")),
    );
    // Writing into a string cannot fail.
    let _ = writeln!(text, "## What FIS does\n");
    if made.is_empty() {
        let _ = writeln!(text, "Nothing: there is no `experiment.json`.");
    }
    for (_, action) in made {
        let differs: String = action.differs.iter().map(|differs| format!("; {differs}")).collect();
        let _ = writeln!(text, "- `{}`: {}{differs}", action.id, action.action);
    }
    let _ = writeln!(text, "\n## What it cannot do\n");
    if refused.is_empty() {
        let _ = writeln!(text, "Nothing of this file.");
    }
    for (id, why) in refused {
        let _ = writeln!(text, "- `{id}`: {why}");
    }
    text
}
