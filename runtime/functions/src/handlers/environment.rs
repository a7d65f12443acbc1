//! What a function process has from its environment, and what a warm one remembers.

use super::hand_over::Deadline;
use super::invalid_event;
use super::run::{self, Run};
#[cfg(feature = "torch")]
use crate::data::Batch;
use crate::data::Root;
use crate::faults::Faults;
use crate::private_keys::PrivateKeys;
use crate::store::Store;
use std::sync::{Arc, Mutex, PoisonError};
use stepgrad_contract::digest::sha256;
use stepgrad_contract::faults::{self, Call, Plan};
use stepgrad_contract::signing::FOLDER_VARIABLE;
use stepgrad_contract::tensors::TensorFile;
use stepgrad_contract::training::Training;
use stepgrad_contract::{ErrorKind, Function, FunctionError, keys};

/// Of an environment that names none: Lambda's own default.
const MEMORY_MB: u64 = 128;
/// Objects that are made again for the sake of one another, at the most: a gradient for an average for a replica
/// for the next one, and as much again for one that was damaged meanwhile.
const REPAIRS: u32 = 8;

/// What is there of a run before its preparation.
#[derive(Debug)]
struct Configuration {
    run: String,
    training: Training,
    plan: Option<Arc<Plan>>,
}

/// The store, the data's root, and the run that was asked for last.
#[derive(Debug, Clone)]
pub struct Environment {
    /// Where objects are.
    pub store: Store,
    /// Where relative data sources stand.
    pub data: Root,
    /// Where private keys are, for functions that sign.
    pub keys: Option<PrivateKeys>,
    memory_mb: u64,
    warm: Arc<Mutex<Option<Arc<Run>>>>,
    known: Arc<Mutex<Option<Arc<Configuration>>>>,
    faults: Option<Faults>,
    deadline: Deadline,
    /// How many objects are being made again, each for the other's sake.
    repairs: u32,
}

impl Environment {
    /// From environment variables: `STEPGRAD_STORE`, the root URL of runs, and `STEPGRAD_DATA`, the root of
    /// relative data sources; `STEPGRAD_KEYS`, the place of private keys, where peers sign; for what is on S3 those
    /// of [`Store::open`].
    ///
    /// # Errors
    /// [`ErrorKind::InvalidEvent`] where one is missing or not understood; [`ErrorKind::KeyUnavailable`] for keys
    /// that are in no place of which that is known.
    pub fn from_variables(get: impl Fn(&str) -> Option<String>) -> Result<Self, FunctionError> {
        let variable = |name: &str, what: &str| {
            get(name).filter(|value| !value.is_empty()).ok_or_else(|| {
                invalid_event(format!("the environment variable {name} is not set: set it to {what}"))
            })
        };
        let store =
            variable("STEPGRAD_STORE", "the root of runs, e.g. file:///home/me/runs or s3://bucket/runs")?;
        let data = variable(
            "STEPGRAD_DATA",
            "the root that data sources are relative to, e.g. file:///home/me or s3://bucket/data",
        )?;
        let memory_mb = get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE").and_then(|size| size.parse().ok());
        let keys = get(FOLDER_VARIABLE).filter(|value| !value.is_empty());
        let keys = keys.map(|root| PrivateKeys::at(&root, &get)).transpose()?;
        let environment = Self::new(Store::open(&store, &get)?, Root::open(&data, &get)?);
        Ok(Self { keys, memory_mb: memory_mb.unwrap_or(MEMORY_MB), ..environment })
    }

    /// With these roots.
    #[must_use]
    pub fn new(store: Store, data: Root) -> Self {
        Self {
            store,
            data,
            keys: None,
            memory_mb: MEMORY_MB,
            warm: Arc::default(),
            known: Arc::default(),
            faults: None,
            deadline: Deadline::Never,
            repairs: 0,
        }
    }

    /// The environment of a call that is ended then.
    #[must_use]
    pub fn until(&self, deadline: Deadline) -> Self {
        Self { deadline, ..self.clone() }
    }

    /// When this call is ended.
    pub(super) const fn deadline(&self) -> Deadline {
        self.deadline
    }

    /// The environment of one call, with the faults that are due in it.
    pub(super) async fn of_call(
        &self,
        function: Function,
        event: &serde_json::Value,
    ) -> Result<Self, FunctionError> {
        let plan = match event.get("run").and_then(serde_json::Value::as_str) {
            Some(run) => self.configuration(run).await?.plan.clone(),
            None => None,
        };
        let faults = plan.map(|plan| Faults::new(plan, function, event, self.memory_mb));
        Ok(Self { store: self.store.with_faults(faults.clone()), faults, ..self.clone() })
    }

    /// The faults of this call; `None` in a run without any.
    pub(super) fn faults(&self) -> Option<&Faults> {
        self.faults.as_ref()
    }

    /// Whether the peer of this call makes something else of a result before it publishes it.
    pub(super) fn lies(&self) -> bool {
        self.faults.as_ref().is_some_and(Faults::corrupts)
    }

    /// What the peer of this call makes of a result before it publishes it: nothing else, if it is honest.
    pub(super) fn published(&self, file: TensorFile, start: Option<&TensorFile>) -> TensorFile {
        match &self.faults {
            Some(faults) => faults.corrupt(file, start),
            None => file,
        }
    }

    /// A batch with the labels that the peer of this call gives it.
    #[cfg(feature = "torch")]
    pub(super) fn labelled(&self, batch: Batch, run: &Run) -> Batch {
        match &self.faults {
            Some(faults) if faults.flips_labels() => batch.with_mirrored_labels(run.manifest.classes.len()),
            _ => batch,
        }
    }

    /// Whether this call makes an object again for another one's sake, and on another peer's behalf.
    pub(super) fn is_repair(&self) -> bool {
        self.repairs > 0
    }

    /// The environment in which what `maker` makes is made again; `None` where that goes too far back.
    pub(super) fn of_repair(&self, maker: Call) -> Option<Self> {
        if self.repairs >= REPAIRS {
            return None;
        }
        let faults = self.faults.as_ref().map(|faults| faults.of_repair(maker));
        let store = self.store.with_faults(faults.clone());
        Some(Self { store, faults, repairs: self.repairs + 1, ..self.clone() })
    }

    /// The name of the training whose calls leave metrics; `None` where `run` leaves none, or is not known to this process.
    pub(crate) fn counted(&self, run: &str) -> Option<String> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.as_ref().filter(|known| known.run == run);
        known.filter(|known| !known.training.metrics.is_none()).map(|known| known.training.name.clone())
    }

    /// The training configuration of a run.
    pub(super) async fn training(&self, run: &str) -> Result<Training, FunctionError> {
        Ok(self.configuration(run).await?.training.clone())
    }

    /// What a run is to do, and what goes wrong in it. The documents read never change, so a warm process reads them
    /// once.
    async fn configuration(&self, run: &str) -> Result<Arc<Configuration>, FunctionError> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(known) = known.filter(|known| known.run == run) {
            return Ok(known);
        }
        let training = run::training(&self.store, run).await?;
        let plan = match &training.faults {
            None => None,
            Some(digest) => {
                let bytes = self.store.get(&keys::faults(run)).await?;
                let plan = serde_json::from_slice::<Plan>(&bytes).ok().filter(|_| sha256(&bytes) == *digest);
                let plan = plan.filter(|plan| plan.version == faults::VERSION).ok_or_else(|| {
                    let message = format!(
                        "object {} is not the fault plan that training.json names",
                        keys::faults(run)
                    );
                    FunctionError::new(ErrorKind::ChecksumMismatch, message)
                })?;
                Some(Arc::new(plan))
            }
        };
        let read = Arc::new(Configuration { run: run.to_owned(), training, plan });
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&read));
        Ok(read)
    }

    /// A run after its preparation; likewise read once. Parameters are not kept.
    pub(super) async fn run(&self, id: &str) -> Result<Arc<Run>, FunctionError> {
        let warm = self.warm.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(run) = warm.filter(|run| run.id == id) {
            return Ok(run);
        }
        let training = self.training(id).await?;
        let run = Arc::new(Run::load(&self.store, id, training).await?);
        *self.warm.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&run));
        Ok(run)
    }
}
