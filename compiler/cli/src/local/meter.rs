//! Where a run's time goes, second by second of the clock: at each moment it is computing if any function
//! computes the model, else exchanging if any function moves tensors, else waiting.
#![expect(clippy::disallowed_methods, reason = "measures")]

use super::costs::Costs;
use futures::future::BoxFuture;
use serde::Deserialize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use stepgrad_contract::Function;
use stepgrad_engine::integrations::lambda::{Invoke, InvokeError, InvokeReply};

/// What was measured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Measured {
    /// Some function computed the model (gradient, train, evaluate).
    pub(crate) compute: Duration,
    /// No function computed, some moved tensors (combine, membership, synchronise, aggregate).
    pub(crate) exchange: Duration,
    /// Neither, and the data was read, or the model initialised or written.
    pub(crate) setup: Duration,
    /// No function was being called.
    pub(crate) waiting: Duration,
    /// Calls that ended in an error.
    pub(crate) errors: u64,
    /// Bytes of events and replies.
    pub(crate) payload_bytes: u64,
}

#[derive(Debug)]
struct Clock {
    measured: Measured,
    computing: usize,
    exchanging: usize,
    setting_up: usize,
    since: Instant,
}

impl Clock {
    /// Books the time since the last change.
    fn book(&mut self) {
        let now = Instant::now();
        let passed = now.duration_since(self.since);
        self.since = now;
        let account = if self.computing > 0 {
            &mut self.measured.compute
        } else if self.exchanging > 0 {
            &mut self.measured.exchange
        } else if self.setting_up > 0 {
            &mut self.measured.setup
        } else {
            &mut self.measured.waiting
        };
        *account += passed;
    }

    fn active(&mut self, function: &str) -> &mut usize {
        // The name is the last part of an ARN.
        match function.rsplit(':').next().and_then(Function::from_name) {
            Some(function) if function.computes() => &mut self.computing,
            Some(Function::Prepare | Function::Initialise | Function::Finish) => &mut self.setting_up,
            _ => &mut self.exchanging,
        }
    }
}

/// Measures the calls that pass through it.
pub(crate) struct Meter {
    inner: Arc<dyn Invoke>,
    clock: Mutex<Clock>,
    costs: Arc<Costs>,
}

/// What an event says of its round.
#[derive(Debug, Deserialize)]
struct At {
    round: Option<u32>,
}

impl Meter {
    /// Measures the calls of `inner`, from now on; what each round costs goes to `costs`.
    pub(super) fn new(inner: Arc<dyn Invoke>, costs: Arc<Costs>) -> Self {
        let clock = Clock {
            measured: Measured::default(),
            computing: 0,
            exchanging: 0,
            setting_up: 0,
            since: Instant::now(),
        };
        Self { inner, clock: Mutex::new(clock), costs }
    }

    /// What was measured so far.
    pub(crate) fn measured(&self) -> Measured {
        self.with(|clock| {
            clock.book();
            clock.measured
        })
    }

    fn with<T>(&self, change: impl FnOnce(&mut Clock) -> T) -> T {
        change(&mut self.clock.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Invoke for Meter {
    fn invoke<'a>(
        &'a self,
        function: &'a str,
        payload: bytes::Bytes,
    ) -> BoxFuture<'a, Result<InvokeReply, InvokeError>> {
        Box::pin(async move {
            let sent = payload.len() as u64;
            let _active = Active::new(self, function, sent);
            let round = serde_json::from_slice::<At>(&payload).ok().and_then(|at| at.round).unwrap_or(0);
            self.costs.called(round);
            let result = self.inner.invoke(function, payload).await;
            if let Ok(reply) = &result {
                self.costs.told(round, &reply.request_id);
            }
            self.with(|clock| match &result {
                Ok(reply) => {
                    clock.measured.payload_bytes += reply.payload.len() as u64;
                    clock.measured.errors += u64::from(reply.function_error.is_some());
                }
                Err(_) => clock.measured.errors += 1,
            });
            result
        })
    }
}

/// A call under way; a guard, because a call that is given up is dropped in the middle.
struct Active<'a> {
    meter: &'a Meter,
    function: &'a str,
}

impl<'a> Active<'a> {
    fn new(meter: &'a Meter, function: &'a str, sent: u64) -> Self {
        meter.with(|clock| {
            clock.book();
            *clock.active(function) += 1;
            clock.measured.payload_bytes += sent;
        });
        Self { meter, function }
    }
}

impl Drop for Active<'_> {
    fn drop(&mut self) {
        self.meter.with(|clock| {
            clock.book();
            let active = clock.active(self.function);
            *active = active.saturating_sub(1);
        });
    }
}
