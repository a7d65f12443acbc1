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
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;

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

/// Says what is due, and is told when it happens.
pub trait Faults: Send + Sync + 'static {
    /// What is due in a call of `function` with `payload`, while `at_work` other calls are under way.
    fn due(&self, function: &str, payload: &Bytes, at_work: usize) -> Option<Due>;

    /// What was said to be due with the same arguments happens now: a late duplicate when it is delivered again, all
    /// else with the call.
    fn happens(&self, function: &str, payload: &Bytes, at_work: usize);
}

/// Calls with faults.
pub struct Faulty {
    inner: Arc<dyn Invoke>,
    host: Host,
    faults: Arc<dyn Faults>,
    at_work: AtomicUsize,
    /// Second deliveries, made or to be made.
    again: Mutex<JoinSet<()>>,
    /// Whether those that are not made yet are made now.
    ending: watch::Sender<bool>,
}

impl Faulty {
    /// Calls go to `inner`; those that get a new process, to `host`.
    #[must_use]
    pub fn new(inner: Arc<dyn Invoke>, host: Host, faults: Arc<dyn Faults>) -> Self {
        let (again, ending) = (Mutex::default(), watch::Sender::new(false));
        Self { inner, host, faults, at_work: AtomicUsize::new(0), again, ending }
    }

    /// Makes the second deliveries whose time has not come, and waits until all are answered; not longer than
    /// `patience`. For the end of a run, before the host's: false where some were not answered.
    pub async fn settle(&self, patience: Duration) -> bool {
        self.ending.send_replace(true);
        let mut again = std::mem::take(&mut *self.again());
        tokio::time::timeout(patience, async { while again.join_next().await.is_some() {} }).await.is_ok()
    }

    fn again(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.again.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Delivers the event once more, `after` so long or at the end. Its reply, if anybody wants it.
    fn deliver_again(
        &self,
        after: Duration,
        function: &str,
        payload: &Bytes,
        at_work: usize,
    ) -> oneshot::Receiver<Result<InvokeReply, InvokeError>> {
        let (inner, faults) = (Arc::clone(&self.inner), Arc::clone(&self.faults));
        let (name, event) = (function.to_owned(), payload.clone());
        let mut ending = self.ending.subscribe();
        let (sender, reply) = oneshot::channel();
        let mut again = self.again();
        // Those that are over need not be kept.
        while again.try_join_next().is_some() {}
        again.spawn(async move {
            tokio::select! {
                () = tokio::time::sleep(after) => {}
                _ = ending.wait_for(|ending| *ending) => {}
            }
            if !after.is_zero() {
                faults.happens(&name, &event, at_work);
            }
            drop(sender.send(inner.invoke(&name, event).await));
        });
        reply
    }

    async fn call(
        &self,
        due: Option<Due>,
        function: &str,
        payload: Bytes,
        at_work: usize,
    ) -> Result<InvokeReply, InvokeError> {
        // Told before the call is made: an engine that dies with the answer would not tell it any more.
        match &due {
            None => {}
            Some(Due::Duplicate { after }) if !after.is_zero() => {}
            Some(_) => self.faults.happens(function, &payload, at_work),
        }
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
                let again = self.deliver_again(after, function, &payload, at_work);
                let first = self.inner.invoke(function, payload);
                if !after.is_zero() {
                    return first.await;
                }
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
            self.call(due, function, payload, others).await
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
