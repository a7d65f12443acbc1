//! A run's record: the folder `runs/<id>/`, which is also the root of the run's objects.
//!
//! | file | what |
//! |---|---|
//! | `run.json` | spec digest, seed, versions, status, totals; replaced whole at each change |
//! | `history.jsonl` | every event of every execution; also the log that a killed run continues from |
//! | `history.other.jsonl` | of a run on AWS: events of kinds that the engine never writes, where there were any |
//! | `metrics.jsonl` | a line for each round |
//! | `costs.jsonl` | what each round cost, as far as the history does not tell; round 0 is all outside of rounds |
//! | `faults.yaml`, `faults.json` | of a rerun: what went wrong, as the user wrote it and as it was drawn |
//! | `bundle/` | what was compiled |
//! | `objects/` | what functions read and wrote |
//! | `logs/` | what functions printed |
//! | `init.safetensors`, `model.safetensors` | the parameters before and after |
#![expect(clippy::disallowed_methods, reason = "reads and writes the record")]

mod id;
mod lines;
mod lock;

pub(crate) use id::new_id;
pub(crate) use lines::{Lines, read as lines};

use crate::exit::Exit;
use crate::failure::Failure;
use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use stepgrad_contract::events::FinishReply;

/// The version of `run.json`.
pub(crate) const VERSION: u32 = 1;

/// `run.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Run {
    /// [`VERSION`].
    pub(crate) version: u32,
    /// The run's id.
    pub(crate) run: String,
    /// The spec's name.
    pub(crate) name: String,
    /// SHA-256 of the bundle's `spec.json`.
    pub(crate) spec_sha256: String,
    /// The seed.
    pub(crate) seed: u64,
    /// The version of stepgrad.
    pub(crate) stepgrad: String,
    /// The folder that the spec's paths start from, on this computer; in the copy of a record that goes to AWS it is missing.
    #[serde(default, skip_serializing_if = "is_unknown")]
    pub(crate) root: PathBuf,
    /// When it was started, RFC 3339.
    pub(crate) started: String,
    /// When it ended, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) finished: Option<String>,
    /// Where it stands, with the names of Step Functions.
    pub(crate) status: Status,
    /// The error's name, where it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
    /// The error's cause, where it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cause: Option<String>,
    /// What may help, where it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) hint: Option<String>,
    /// What `finish` replied, where it succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) result: Option<FinishReply>,
    /// Of a run on AWS: where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) aws: Option<OnAws>,
    /// Of a rerun: the run that it repeats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rerun_of: Option<String>,
    /// Of a rerun with faults: SHA-256 of its plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) faults_sha256: Option<String>,
    /// Firings by fault.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) fired: BTreeMap<String, u64>,
    /// Sums over all processes that worked on the run.
    pub(crate) totals: Totals,
}

fn is_unknown(root: &Path) -> bool {
    root.as_os_str().is_empty()
}

/// A run on AWS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OnAws {
    /// The ARN of its execution.
    pub(crate) execution: String,
    /// The ARN of the version of the state machine that was started.
    pub(crate) version: String,
    /// How much of it the functions' logs told; `None` before they were read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) logged: Option<Logged>,
}

/// How much of a run on AWS the functions' logs told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Logged {
    /// Calls whose end stands in them.
    pub(crate) calls: u64,
    /// Calls that ended, by the history.
    pub(crate) of: u64,
}

impl Logged {
    /// Whether nothing is missing.
    pub(crate) const fn is_whole(self) -> bool {
        self.calls >= self.of
    }
}

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum Status {
    /// It goes on, or was killed: `run --resume` continues it.
    Running,
    /// It trained a model.
    Succeeded,
    /// It ended with an error.
    Failed,
    /// It took longer than it may.
    TimedOut,
    /// The user ended it.
    Aborted,
}

impl Status {
    /// As Step Functions writes it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Running => "RUNNING",
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::TimedOut => "TIMED_OUT",
            Self::Aborted => "ABORTED",
        }
    }
}

/// Sums over a run. A record of an older version lacks some.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Totals {
    /// Of the clock.
    pub(crate) seconds: f64,
    /// Of which some function computed the model.
    pub(crate) compute_seconds: f64,
    /// Of which functions only moved tensors.
    pub(crate) exchange_seconds: f64,
    /// Of which functions only read the data, or initialised or wrote the model.
    pub(crate) setup_seconds: f64,
    /// Of which no function was being called.
    pub(crate) waiting_seconds: f64,
    /// Calls of functions.
    pub(crate) invocations: u64,
    /// Calls that ended in an error; the workflow made them again or gave up.
    pub(crate) failed_invocations: u64,
    /// Processes started.
    pub(crate) cold_starts: u64,
    /// Seconds that starting them took, summed over processes.
    pub(crate) cold_start_seconds: f64,
    /// Memory reserved × time billed, in GB seconds.
    pub(crate) gb_seconds: f64,
    /// Bytes of events and replies.
    pub(crate) payload_bytes: u64,
    /// Objects that functions read.
    pub(crate) objects_read: u64,
    /// Their bytes.
    pub(crate) bytes_read: u64,
    /// Objects that functions wrote.
    pub(crate) objects_written: u64,
    /// Their bytes.
    pub(crate) bytes_written: u64,
    /// State transitions, which is what Step Functions bills.
    pub(crate) transitions: u64,
    /// Executions, children included.
    pub(crate) executions: u64,
}

impl Run {
    /// Whether memory, bytes and firings are known: on AWS they stand in logs, which can be late, gone, or not to be read.
    pub(crate) fn costs_are_known(&self) -> bool {
        self.aws.as_ref().is_none_or(|aws| aws.logged.is_some_and(Logged::is_whole))
    }

    /// A run that begins.
    pub(crate) fn begun(
        started: DateTime<Utc>,
        run: String,
        name: String,
        spec_sha256: String,
        seed: u64,
        root: PathBuf,
    ) -> Self {
        Self {
            version: VERSION,
            run,
            name,
            spec_sha256,
            seed,
            stepgrad: env!("CARGO_PKG_VERSION").to_owned(),
            root,
            started: started.to_rfc3339_opts(SecondsFormat::Millis, true),
            finished: None,
            status: Status::Running,
            error: None,
            cause: None,
            hint: None,
            result: None,
            aws: None,
            rerun_of: None,
            faults_sha256: None,
            fired: BTreeMap::new(),
            totals: Totals::default(),
        }
    }
}

/// A key of the store relative to its run's own folder.
pub(crate) fn below(run: &str, key: String) -> String {
    key.strip_prefix(&format!("{run}/")).map(str::to_owned).unwrap_or(key)
}

/// Writes a file of the record in `folder` while its run goes on: whole or not at all, but not waiting for the disk.
pub(crate) fn keep_file(folder: &Path, name: &str, bytes: &[u8]) -> Result<(), Failure> {
    let path = folder.join(name);
    let partial = folder.join(format!("{name}.partial"));
    let written = std::fs::write(&partial, bytes).and_then(|()| std::fs::rename(&partial, &path));
    written.map_err(|error| Failure::file("write", &path, &error))
}

/// A run's folder, held by this process.
#[derive(Debug)]
pub(crate) struct Record {
    /// The folder.
    pub(crate) folder: PathBuf,
    /// Keeps a second process from working on the same run.
    _lock: File,
}

impl Record {
    /// Makes the folder of a new run.
    pub(crate) fn create(runs: &Path, id: &str) -> Result<Self, Failure> {
        std::fs::create_dir_all(runs).map_err(|error| Failure::file("create", runs, &error))?;
        let folder = runs.join(id);
        std::fs::create_dir(&folder).map_err(|error| Failure::file("create", &folder, &error))?;
        Self::lock(folder)
    }

    /// Takes the folder of a run that was begun.
    pub(crate) fn open(runs: &Path, id: &str) -> Result<Self, Failure> {
        let folder = folder_of(runs, id)?;
        Self::lock(folder)
    }

    fn lock(folder: PathBuf) -> Result<Self, Failure> {
        let path = folder.join("run.lock");
        let lock = File::create(&path).map_err(|error| Failure::file("create", &path, &error))?;
        match lock::take(&lock) {
            Ok(true) => Ok(Self { folder, _lock: lock }),
            Ok(false) => Err(Failure::new(
                Exit::Usage,
                format!("{} is being worked on by another process", folder.display()),
            )),
            Err(error) => Err(Failure::file("lock", &path, &error)),
        }
    }

    /// Writes `run.json`, whole or not at all.
    pub(crate) fn write(&self, run: &Run) -> Result<(), Failure> {
        let mut text = serde_json::to_vec_pretty(run)
            .map_err(|error| Failure::new(Exit::Internal, format!("cannot write the record: {error}")))?;
        text.push(b'\n');
        self.replace("run.json", &text)
    }

    /// Writes `run.json` while the run goes on: whole or not at all, but not waiting for the disk.
    pub(crate) fn keep(&self, run: &Run) -> Result<(), Failure> {
        keep_file(&self.folder, "run.json", &serde_json::to_vec_pretty(run).unwrap_or_default())
    }

    /// Writes a file of the record, whole or not at all.
    pub(crate) fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), Failure> {
        let path = self.folder.join(name);
        let partial = self.folder.join(format!("{name}.partial"));
        let folder = path.parent().unwrap_or(&self.folder);
        std::fs::create_dir_all(folder).map_err(|error| Failure::file("create", folder, &error))?;
        let written = File::create(&partial)
            .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
            .and_then(|()| std::fs::rename(&partial, &path));
        written.map_err(|error| Failure::file("write", &path, &error))
    }
}

/// The folder of the run `id`.
pub(crate) fn folder_of(runs: &Path, id: &str) -> Result<PathBuf, Failure> {
    let folder = runs.join(id);
    if is_id(id) && folder.join("run.json").is_file() {
        return Ok(folder);
    }
    let what = format!("there is no run {id} in {}; `stepgrad runs list` shows them", runs.display());
    Err(Failure::new(Exit::Usage, what))
}

/// Whether a text can be a run's id: one is a folder's name, too.
pub(crate) fn is_id(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// Whether a process works on the run of `folder`.
pub(crate) fn is_worked_on(folder: &Path) -> bool {
    File::open(folder.join("run.lock")).is_ok_and(|file| lock::is_taken(&file))
}

/// Reads the `run.json` of a folder.
pub(crate) fn read(folder: &Path) -> Result<Run, Failure> {
    let path = folder.join("run.json");
    let text = std::fs::read_to_string(&path).map_err(|error| Failure::file("read", &path, &error))?;
    serde_json::from_str(&text).map_err(|error| {
        Failure::new(Exit::Internal, format!("{} is not a run's record: {error}", path.display()))
    })
}
