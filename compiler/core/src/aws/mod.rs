//! What a bundle is on AWS, as plain data: the *desired state* of a deployment. Names, policies and settings of the
//! bucket, the roles, the log groups, the functions and the state machines, from which the deployment, the
//! `CloudFormation`, SAM and Terraform files and the policies of the bundle are all made.
//!
//! Policies are derived and not written: those of a state machine from its definition ([`graph`]), those of a function
//! from what its handler reads and writes ([`access`]). What is known only where it is deployed stands as a placeholder
//! ([`names`]); [`Resources::filled`] puts the values in their place.
//!
//! Calls nothing and knows no SDK.

pub mod access;
mod bucket;
pub mod emit;
mod functions;
pub mod graph;
mod keys;
mod machines;
pub mod names;
pub mod objects;
mod operator;
pub mod policy;

#[cfg(test)]
mod tests;

pub use bucket::{Bucket, Encryption, LifecycleRule};
pub use functions::FunctionResource;
pub(crate) use functions::storage_mb;
pub use graph::Gap;
pub use keys::KeyResource;
pub use machines::{Logging, MachineResource};
pub use policy::{Policy, Statement};

use crate::bundle::Index;
use crate::diagnostic::{Code, Diagnostic};
use crate::lower::Machine;
use crate::spec::Spec;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use stepgrad_asl::program::substitute;
use stepgrad_contract::Training;

/// The version of `aws.json`.
pub const VERSION: u32 = 1;

/// `aws.json`: everything that a deployment makes. Lists are in the order of the bundle's index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resources {
    /// [`VERSION`].
    pub version: u32,
    /// How every name begins: `stepgrad-` and the spec's name.
    pub prefix: String,
    /// The tags of every resource. With `stepgrad:part`, which names the one, they tell what a deployment made.
    pub tags: BTreeMap<String, String>,
    /// Where data, code and runs are.
    pub bucket: Bucket,
    /// One for each function and each state machine.
    pub roles: Vec<Role>,
    /// One for each function and each state machine.
    pub log_groups: Vec<LogGroup>,
    /// The peers' private keys, without what they hold; none where nothing is signed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<KeyResource>,
    /// The functions.
    pub functions: Vec<FunctionResource>,
    /// The state machines, those that others start before those.
    pub machines: Vec<MachineResource>,
    /// What somebody needs who starts, watches, stops and redrives runs; no role of the deployment has it.
    pub operator: Policy,
}

/// A role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Role {
    /// Its name, at most 64 characters.
    pub name: String,
    /// What it is for, e.g. `functions/gradient`: also the policy's file below `policies/`.
    pub part: String,
    /// Who may assume it.
    pub trust: Policy,
    /// Its only policy, inline.
    pub policy: Policy,
}

/// A log group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogGroup {
    /// Its name.
    pub name: String,
    /// What it is for, e.g. `machines/round`.
    pub part: String,
    /// Days that its events are kept.
    pub retention_days: u32,
}

/// A placeholder is left of which no value was given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no value was given for the placeholder {0}")]
pub struct Unfilled(pub String);

/// The tag that says whose a thing is: `stepgrad` for what `deploy` made.
pub const MADE_BY: &str = "stepgrad:made-by";

impl Resources {
    /// The desired state of a bundle.
    #[must_use]
    pub fn new(spec: &Spec, index: &Index, training: &Training, machines: &[Machine]) -> Self {
        let prefix = names::prefix(&index.name);
        let graph = graph::graph(index, machines);
        let context = Context {
            prefix: &prefix,
            aws: &spec.aws,
            index,
            training,
            graph: &graph,
            definitions: machines,
        };
        let mut roles = functions::roles(&context);
        roles.extend(machines::roles(&context));
        let functions = functions::resources(&context);
        let machines = machines::resources(&context);
        let retention_days = spec.aws.log_retention_days.value;
        let group = |name: &String, part: String| LogGroup { name: name.clone(), part, retention_days };
        let log_groups = functions
            .iter()
            .map(|function| group(&function.log_group, names::function_part(&function.handler)))
            .chain(
                machines
                    .iter()
                    .map(|machine| group(&machine.log_group, names::machine_part(&machine.machine))),
            )
            .collect();
        Self {
            version: VERSION,
            tags: BTreeMap::from([
                ("stepgrad:project".to_owned(), index.name.clone()),
                (MADE_BY.to_owned(), "stepgrad".to_owned()),
            ]),
            bucket: Bucket::new(&spec.aws),
            operator: operator::policy(&context),
            keys: keys::resources(&context),
            roles,
            log_groups,
            functions,
            machines,
            prefix,
        }
    }

    /// The same with values in the place of placeholders, by name without `${` and `}` (see [`names`]).
    ///
    /// # Errors
    /// Where a placeholder is left.
    pub fn filled(&self, values: &BTreeMap<String, String>) -> Result<Self, Unfilled> {
        // Serialising these types cannot fail, and substitution keeps JSON what it is.
        let text = substitute(&serde_json::to_string(self).unwrap_or_default(), values);
        if let Some(rest) = text.split_once("${").map(|(_, rest)| rest) {
            let name = rest.split(['}', '"']).next().unwrap_or_default();
            return Err(Unfilled(format!("${{{name}}}")));
        }
        serde_json::from_str(&text).map_err(|error| Unfilled(error.to_string()))
    }

    /// The tags of one resource: all of [`Resources::tags`], and which part it is.
    #[must_use]
    pub fn tags_of(&self, part: &str) -> BTreeMap<String, String> {
        let mut tags = self.tags.clone();
        tags.insert("stepgrad:part".to_owned(), part.to_owned());
        tags
    }

    /// The files of the bundle that are made of it: `aws.json`, and each policy by itself.
    #[must_use]
    pub fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::from([
            ("aws.json".to_owned(), crate::bundle::json(self)),
            ("policies/bucket.json".to_owned(), crate::bundle::json(&self.bucket.policy)),
            ("policies/operator.json".to_owned(), crate::bundle::json(&self.operator)),
        ]);
        for role in &self.roles {
            files.insert(format!("policies/{}.json", role.part), crate::bundle::json(&role.policy));
            files.insert(format!("policies/{}.trust.json", role.part), crate::bundle::json(&role.trust));
        }
        files
    }
}

/// What a spec asks for and a deployment would not have, and what of the state machines no permission covers.
#[must_use]
pub fn findings(spec: &Spec, resources: &Resources) -> Vec<Diagnostic> {
    let mut all = Vec::new();
    if let Some(signatures) = &spec.exchange.signatures {
        all.push(
            Diagnostic::warning(Code::NotOnAws, "no template makes the private keys of peers that sign")
                .at(&signatures.public_keys.place(), "what they hold must not stand in a file")
                .hint("`stepgrad deploy` puts them; beside a stack, `aws ssm put-parameter` does, by the names in aws.json"),
        );
    }
    let gaps = resources.machines.iter().flat_map(|machine| &machine.gaps);
    all.extend(gaps.map(|gap| {
        Diagnostic::warning(Code::NotOnAws, format!("{gap}, for which no permission could be derived"))
            .hint("add it to the role of the state machine by hand")
    }));
    all
}

/// What the parts of the desired state are made of.
struct Context<'a> {
    prefix: &'a str,
    aws: &'a crate::spec::Aws,
    index: &'a Index,
    training: &'a Training,
    graph: &'a graph::Graph,
    definitions: &'a [Machine],
}
