//! The files that a compilation gives: definitions, the functions' configurations, the training configuration,
//! the spec as understood. Canonical: the same spec gives the same bytes.

use crate::aws::Resources;
use crate::aws::emit::dockerfile;
use crate::lower::{Machine, machine_placeholder};
use crate::spec::{Processor, Spec};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use stepgrad_contract::digest::sha256;
use stepgrad_contract::function::Artefact;
use stepgrad_contract::{Function, Training};

/// The version of `bundle.json`.
pub const VERSION: u32 = 1;
/// The file of the index.
pub const INDEX: &str = "bundle.json";

/// `bundle.json`: what the bundle holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    /// [`VERSION`].
    pub version: u32,
    /// The spec's name.
    pub name: String,
    /// SHA-256 of `spec.json`.
    pub spec_sha256: String,
    /// The state machines; the first one is started.
    pub machines: Vec<MachineEntry>,
    /// The functions that the machines call.
    pub functions: Vec<FunctionEntry>,
    /// Function environments that may run at once.
    pub max_concurrency: u32,
    /// Every file of the bundle but this one.
    #[serde(default)]
    pub files: Vec<String>,
}

/// A state machine of the bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineEntry {
    /// Its name.
    pub name: String,
    /// Its file below the bundle.
    pub file: String,
    /// What stands for its ARN in the definitions, e.g. `${RoundStateMachineArn}`.
    pub placeholder: String,
    /// SHA-256 of the file.
    pub sha256: String,
}

/// A function of the bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionEntry {
    /// Its name.
    pub name: String,
    /// Its handler.
    pub handler: String,
    /// What stands for its ARN in the definitions, e.g. `${GradientFunctionArn}`.
    pub placeholder: String,
    /// Its memory.
    pub memory_mb: u32,
    /// Its timeout.
    pub timeout_s: u32,
    /// `arm64` or `x86_64`.
    pub architecture: String,
    /// What it runs from; in a bundle of an older version, the binary that serves every function.
    #[serde(default)]
    pub artefact: Artefact,
}

/// The files by path below the bundle's folder.
#[derive(Debug, Clone, PartialEq)]
pub struct Bundle {
    /// What stands in `bundle.json`.
    pub index: Index,
    /// What stands in `training.json`.
    pub training: Training,
    /// The state machines.
    pub machines: Vec<Machine>,
    /// What it is on AWS; stands in `aws.json`.
    pub resources: Resources,
    /// All files.
    pub files: BTreeMap<String, Vec<u8>>,
}

impl Bundle {
    pub(crate) fn new(
        spec: &Spec,
        training: Training,
        machines: Vec<Machine>,
        functions: &[Function],
    ) -> Self {
        let spec_text = json(spec);
        let entries = machines.iter().map(|machine| MachineEntry {
            name: machine.name.clone(),
            file: machine_file(&machine.name),
            placeholder: machine_placeholder(&machine.name),
            sha256: sha256(machine.text.as_bytes()),
        });
        let mut index = Index {
            version: VERSION,
            name: training.name.clone(),
            spec_sha256: sha256(&spec_text),
            machines: entries.collect(),
            functions: functions.iter().map(|function| function_entry(spec, *function)).collect(),
            max_concurrency: spec.functions.max_concurrency.value,
            files: Vec::new(),
        };
        let resources = Resources::new(spec, &index, &training, &machines);
        let mut files: BTreeMap<_, _> = machines
            .iter()
            .map(|machine| (machine_file(&machine.name), machine.text.clone().into_bytes()))
            .collect();
        files.insert("spec.json".to_owned(), spec_text);
        files.insert("training.json".to_owned(), json(&training));
        files.extend(resources.files());
        files.insert("Dockerfile".to_owned(), dockerfile(&index).into_bytes());
        index.files = files.keys().cloned().collect();
        files.insert(INDEX.to_owned(), json(&index));
        Self { index, training, machines, resources, files }
    }

    /// Adds files, which then stand in the index too.
    pub fn add(&mut self, files: impl IntoIterator<Item = (String, Vec<u8>)>) {
        self.files.extend(files);
        self.index.files = self.files.keys().filter(|file| *file != INDEX).cloned().collect();
        self.files.insert(INDEX.to_owned(), json(&self.index));
    }

    /// Sets how many rounds' objects a run keeps behind the current one; `None` keeps all.
    pub fn retain_rounds(&mut self, rounds: Option<u32>) {
        self.training.retain_rounds = rounds;
        self.files.insert("training.json".to_owned(), json(&self.training));
    }
}

fn function_entry(spec: &Spec, function: Function) -> FunctionEntry {
    let settings = spec.functions.of(function);
    FunctionEntry {
        name: function.name().to_owned(),
        handler: function.name().to_owned(),
        placeholder: function.placeholder(),
        memory_mb: settings.memory_mb.value,
        timeout_s: settings.timeout_s.value,
        architecture: match spec.functions.architecture.value {
            Processor::Arm64 => "arm64",
            Processor::X86 => "x86_64",
        }
        .to_owned(),
        artefact: function.artefact(),
    }
}

fn machine_file(name: &str) -> String {
    format!("machines/{name}.asl.json")
}

/// JSON as files hold it: two spaces, the types' order of keys, a newline at the end.
pub(crate) fn json(value: &impl Serialize) -> Vec<u8> {
    // Serialising these types cannot fail: their keys are strings and their numbers finite.
    let mut bytes = serde_json::to_vec_pretty(value).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}
