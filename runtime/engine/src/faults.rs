//! Calls that go wrong on purpose, between the engine and whoever runs the functions: refused, answered with an error,
//! made twice, or made in a new process. Which call and how is for [`Faults`] to say; the functions know nothing of
//! it.
//!
//! Sources: AWS FIS, "AWS Lambda actions" (`invocation-error` with and without `preventExecution`); AWS Lambda,
//! "Understanding retry behavior": a function may receive the same event more than once.

use crate::host::Host;
use crate::integrations::lambda::{Invoke, InvokeError, InvokeReply};
use bytes::Bytes;
use futures::future::BoxFuture;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// What is due in a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Due {
    /// The caller sees an error.
    Error {
        /// Whether the function is kept from running; if not, its answer is lost.
        prevent_execution: bool,
        /// The error's name.
        error: String,
    },
    /// The call is refused.
    Throttle,
    /// The event is delivered twice.
    Duplicate {
        /// How long after the first delivery the second one starts. Without any, the first answer counts.
        after: Duration,
    },
    /// The call gets a new process.
    ColdStart,
}

/// Says what is due.
pub trait Faults: Send + Sync + 'static {
    /// What is due in a call of `function` with `payload`, while `at_work` other calls are under way.
    fn due(&self, function: &str, payload: &Bytes, at_work: usize) -> Option<Due>;
}

/// Calls with faults.
pub struct Faulty {
    inner: Arc<dyn Invoke>,
    host: Host,
    faults: Arc<dyn Faults>,
    at_work: AtomicUsize,
}

impl Faulty {
    /// Calls go to `inner`; those that get a new process, to `host`.
    #[must_use]
    pub fn new(inner: Arc<dyn Invoke>, host: Host, faults: Arc<dyn Faults>) -> Self {
        Self { inner, host, faults, at_work: AtomicUsize::new(0) }
    }

    async fn call(
        &self,
        due: Option<Due>,
        function: &str,
        payload: Bytes,
    ) -> Result<InvokeReply, InvokeError> {
        match due {
            None => self.inner.invoke(function, payload).await,
            Some(Due::Throttle) => Err(refused("Lambda.TooManyRequestsException", "Rate Exceeded.")),
            Some(Due::Error { prevent_execution: true, error }) => {
                Err(refused(&error, "the call was not made"))
            }
            Some(Due::Error { prevent_execution: false, error }) => {
                // The work is done; whatever came of it, nobody hears.
                drop(self.inner.invoke(function, payload).await);
                Err(refused(&error, "the function ran, and its answer was lost"))
            }
            Some(Due::ColdStart) => Ok(self.host.call_cold(function, payload).await?),
            Some(Due::Duplicate { after }) => {
                let (inner, name, event) = (Arc::clone(&self.inner), function.to_owned(), payload.clone());
                let again = tokio::spawn(async move {
                    tokio::time::sleep(after).await;
                    inner.invoke(&name, event).await
                });
                if !after.is_zero() {
                    return self.inner.invoke(function, payload).await;
                }
                let first = self.inner.invoke(function, payload);
                tokio::select! {
                    reply = first => reply,
                    Ok(reply) = again => reply,
                }
            }
        }
    }
}

impl Invoke for Faulty {
    fn invoke<'a>(
        &'a self,
        function: &'a str,
        payload: Bytes,
    ) -> BoxFuture<'a, Result<InvokeReply, InvokeError>> {
        Box::pin(async move {
            let others = self.at_work.fetch_add(1, Ordering::Relaxed);
            let _at_work = AtWork(&self.at_work);
            let due = self.faults.due(function, &payload, others);
            self.call(due, function, payload).await
        })
    }
}

/// Counts a call until it ends or is given up.
struct AtWork<'a>(&'a AtomicUsize);

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn refused(error: &str, cause: &str) -> InvokeError {
    InvokeError { error: error.to_owned(), cause: format!("{cause} (a fault)") }
}
