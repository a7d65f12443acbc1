//! The function host: a local AWS Lambda. Every execution environment is a separate process of one executable
//! that speaks the Lambda Runtime API, so a function cannot tell where it runs: real memory and time limits,
//! cold and warm starts, a concurrency limit with a queue, the error payloads and log lines of Lambda.
//!
//! Not here: versions and aliases (every qualifier means `$LATEST`), layers, extensions, asynchronous retries,
//! a share of the CPU by memory size, and Lambda's second try at an init that failed.
//!
//! - [`Host`] implements [`Invoke`]; [`endpoint`] offers it over HTTP as Lambda's Invoke
//! - `pool`: who may run when, and where; `environment`: one process; `runtime_api`: what it sees
//! - `invocation`: a call from its arrival to its end; `limits`: time and memory; `failure`, `report`: what the
//!   caller and the log read then
//! - `guardian`: no function outlives a host that was killed

mod body;
mod clock;
mod config;
pub mod endpoint;
mod environment;
mod error;
mod failure;
mod guardian;
mod ids;
mod invocation;
mod limits;
mod log;
mod name;
mod output;
mod pool;
mod record;
mod report;
mod runtime_api;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::http::HeaderValue;
use bytes::Bytes;
use futures::FutureExt;
use futures::future::{BoxFuture, join_all};
use nix::sys::signal::Signal;
use tokio::time::timeout;

pub use config::{ConfigError, FunctionConfig, HostConfig};
pub use error::HostError;
pub use log::{Discard, LogFolder, LogSink, MAX_LINE};
pub use pool::{ProcessInfo, ProcessState, Start};
pub use record::{InvocationRecord, Observer, Outcome, Totals};

use crate::integrations::lambda::{Invoke, InvokeError, InvokeReply};
use guardian::Guardian;
use ids::Ids;
use pool::Pool;

/// A local AWS Lambda. Clones are handles to the same host; dropping the last one kills its processes.
#[derive(Clone)]
pub struct Host {
    shared: Arc<Shared>,
}

struct Shared {
    config: HostConfig,
    functions: Vec<FunctionConfig>,
    arns: Vec<HeaderValue>,
    by_name: BTreeMap<String, usize>,
    pool: Arc<Pool>,
    sink: Arc<dyn LogSink>,
    observer: Arc<dyn Observer>,
    totals: Mutex<Totals>,
    ids: Ids,
    guardian: Arc<Guardian>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        for environment in self.pool.close() {
            environment.signal(Signal::SIGKILL);
        }
    }
}

impl Host {
    /// A host of `functions`. Processes are started when they are needed. Their output goes to `sink`, and
    /// `observer` is told of every invocation.
    ///
    /// # Errors
    /// If the configuration contradicts itself or Lambda's limits, or the guardian process cannot be started.
    pub fn new(
        config: HostConfig,
        functions: Vec<FunctionConfig>,
        sink: Arc<dyn LogSink>,
        observer: Arc<dyn Observer>,
    ) -> Result<Self, ConfigError> {
        let config = config.check(&functions)?;
        let arn = |function: &FunctionConfig| HeaderValue::from_str(&config.arn(&function.name));
        let arns = functions.iter().map(arn).collect::<Result<_, _>>().map_err(|_| ConfigError::Arn)?;
        let by_name =
            functions.iter().enumerate().map(|(place, function)| (function.name.clone(), place)).collect();
        let guardian = Guardian::start().map_err(|error| ConfigError::Guardian(error.to_string()))?;
        let pool = Pool::new(&config, &functions);
        let shared = Shared {
            config,
            functions,
            arns,
            by_name,
            pool,
            sink,
            observer,
            totals: Mutex::default(),
            ids: Ids::new(),
            guardian: Arc::new(guardian),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Calls a function by name or ARN with an event's JSON bytes. Dropping the future takes the call out of the
    /// queue, or leaves the function running to its end as on AWS; its slot stays taken until then.
    ///
    /// # Errors
    /// If there is no such function, the event is over 6 MiB, the queue is full, or no process could be started.
    pub async fn call(&self, function: &str, payload: Bytes) -> Result<InvokeReply, HostError> {
        self.shared.invoke(function, payload, Start::Any).await
    }

    /// Likewise in a process that has served no call before.
    ///
    /// # Errors
    /// As [`Host::call`].
    pub async fn call_cold(&self, function: &str, payload: Bytes) -> Result<InvokeReply, HostError> {
        self.shared.invoke(function, payload, Start::Cold).await
    }

    /// The ARN of the function called `name`, whether there is one or not.
    #[must_use]
    pub fn arn(&self, name: &str) -> String {
        self.shared.config.arn(name)
    }

    /// The functions, in the order of the configuration.
    #[must_use]
    pub fn functions(&self) -> &[FunctionConfig] {
        &self.shared.functions
    }

    /// The sums over all invocations that have ended.
    #[must_use]
    pub fn totals(&self) -> Totals {
        *self.shared.totals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every process, oldest first.
    #[must_use]
    pub fn live_processes(&self) -> Vec<ProcessInfo> {
        self.shared.pool.processes(&self.shared.functions)
    }

    /// Ends all processes: SIGTERM, and SIGKILL to what is left after the configured grace. Calls that wait are
    /// sent away, those that run answer with `Runtime.ExitError`. Later calls are refused.
    pub async fn shutdown(&self) {
        // Again, as a process may have been on its way when the pool was closed.
        loop {
            let environments = self.shared.pool.close();
            if environments.is_empty() {
                return;
            }
            for environment in &environments {
                environment.signal(Signal::SIGTERM);
            }
            let all_gone = || join_all(environments.iter().map(|environment| environment.gone()));
            if timeout(self.shared.config.shutdown_grace, all_gone()).await.is_err() {
                for environment in &environments {
                    environment.signal(Signal::SIGKILL);
                }
                all_gone().await;
            }
        }
    }
}

impl Invoke for Host {
    fn invoke<'a>(
        &'a self,
        function: &'a str,
        payload: Bytes,
    ) -> BoxFuture<'a, Result<InvokeReply, InvokeError>> {
        async move { Ok(self.shared.invoke(function, payload, Start::Any).await?) }.boxed()
    }
}
