//! What a run costs, added up while it goes on, and what its calls failed of.

use super::costs::Costs;
use super::logs::Logs;
use super::meter::Meter;
use super::watch::Counts;
use crate::record::Totals;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use stepgrad_compiler::bundle::FunctionEntry;
use stepgrad_engine::host::{Host, InvocationRecord, Outcome};

/// What the host tells of its calls.
#[derive(Debug, Clone, Default)]
pub(super) struct Observed {
    cold_milliseconds: f64,
    last_failure: Option<(String, Outcome)>,
}

/// Shared by the host, which fills it, and the tally.
pub(super) type Shared = Arc<Mutex<Observed>>;

/// Takes the record of a call.
pub(super) fn observe(observed: &Shared, record: &InvocationRecord) {
    let mut observed = observed.lock().unwrap_or_else(PoisonError::into_inner);
    observed.cold_milliseconds += record.init_ms.unwrap_or(0.0);
    if record.outcome != Outcome::Succeeded {
        observed.last_failure = Some((record.function.clone(), record.outcome));
    }
}

/// Everything that is measured of a run.
pub(super) struct Tally {
    pub(super) start: Instant,
    /// What earlier processes spent on the run.
    pub(super) before: Totals,
    pub(super) meter: Arc<Meter>,
    pub(super) host: Host,
    pub(super) logs: Arc<Logs>,
    pub(super) observed: Shared,
    pub(super) counts: Arc<Mutex<Counts>>,
    pub(super) costs: Arc<Costs>,
}

impl Tally {
    /// The sums so far.
    pub(super) fn totals(&self) -> Totals {
        let (before, measured, host) = (&self.before, self.meter.measured(), self.host.totals());
        let traffic = self.logs.traffic();
        let observed = self.observed.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let counts = *self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        Totals {
            seconds: before.seconds + self.start.elapsed().as_secs_f64(),
            compute_seconds: before.compute_seconds + measured.compute.as_secs_f64(),
            exchange_seconds: before.exchange_seconds + measured.exchange.as_secs_f64(),
            setup_seconds: before.setup_seconds + measured.setup.as_secs_f64(),
            waiting_seconds: before.waiting_seconds + measured.waiting.as_secs_f64(),
            failed_invocations: before.failed_invocations + measured.errors,
            cold_starts: before.cold_starts + host.cold_starts,
            cold_start_seconds: before.cold_start_seconds + observed.cold_milliseconds / 1_000.0,
            gb_seconds: before.gb_seconds + host.gb_seconds,
            payload_bytes: before.payload_bytes + measured.payload_bytes,
            bytes_read: before.bytes_read + traffic.bytes_read,
            bytes_written: before.bytes_written + traffic.bytes_written,
            objects_read: before.objects_read + traffic.objects_read,
            objects_written: before.objects_written + traffic.objects_written,
            // Counted on the whole history, the recorded part included.
            invocations: counts.invocations,
            transitions: counts.transitions,
            executions: counts.executions,
        }
    }

    /// What may help against the failure that came last.
    pub(super) fn hint(&self, functions: &[FunctionEntry]) -> Option<String> {
        let observed = self.observed.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (function, outcome) = observed.last_failure?;
        let entry = functions.iter().find(|entry| entry.name == function)?;
        Some(match outcome {
            Outcome::OutOfMemory => format!(
                "`{function}` was ended for its memory: raise functions.{function}.memory_mb above {}",
                entry.memory_mb
            ),
            Outcome::TimedOut => format!(
                "`{function}` was ended for its time: raise functions.{function}.timeout_s above {}",
                entry.timeout_s
            ),
            _ => format!(
                "the last call that failed was of `{function}`: see logs/{function}.log in the record"
            ),
        })
    }
}
