//! What a function process has from its environment, and what a warm one remembers.

use super::invalid_event;
use super::run::Run;
use crate::data::Root;
use crate::store::Store;
use std::sync::{Arc, Mutex, PoisonError};
use stepgrad_contract::FunctionError;

/// The store, the data's root, and the run that was asked for last.
#[derive(Debug)]
pub struct Environment {
    /// Where objects are.
    pub store: Store,
    /// Where relative data sources stand.
    pub data: Root,
    warm: Mutex<Option<Arc<Run>>>,
}

impl Environment {
    /// From environment variables: `STEPGRAD_STORE`, the root URL of runs, and `STEPGRAD_DATA`, the root of
    /// relative data sources.
    ///
    /// # Errors
    /// [`stepgrad_contract::ErrorKind::InvalidEvent`] where one is missing or not understood.
    pub fn from_variables(get: impl Fn(&str) -> Option<String>) -> Result<Self, FunctionError> {
        let variable = |name: &str, what: &str| {
            get(name).filter(|value| !value.is_empty()).ok_or_else(|| {
                invalid_event(format!("the environment variable {name} is not set: set it to {what}"))
            })
        };
        let store = variable("STEPGRAD_STORE", "the root of runs, e.g. file:///home/me/runs")?;
        let data = variable("STEPGRAD_DATA", "the folder that data sources are relative to")?;
        Ok(Self::new(Store::open(&store)?, Root::new(&data)?))
    }

    /// With these roots.
    #[must_use]
    pub fn new(store: Store, data: Root) -> Self {
        Self { store, data, warm: Mutex::new(None) }
    }

    /// A run after its preparation. The documents read never change, so a warm process reads them once;
    /// parameters are not kept.
    pub(super) async fn run(&self, id: &str) -> Result<Arc<Run>, FunctionError> {
        let warm = self.warm.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(run) = warm.filter(|run| run.id == id) {
            return Ok(run);
        }
        let run = Arc::new(Run::load(&self.store, id).await?);
        *self.warm.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&run));
        Ok(run)
    }
}
