//! The quotas that AWS enforces while a machine runs (AWS: "Step Functions service quotas").

/// Bytes of a payload between states, as UTF-8 JSON.
pub const MAX_PAYLOAD: usize = 262_144;

/// Events of a Standard execution: this one is itself ExecutionFailed.
pub const MAX_EVENTS: u64 = 25_000;

/// Iterations of an inline Map at a time.
pub const MAX_INLINE_CONCURRENCY: usize = 40;

/// Child executions of a distributed Map at a time.
pub const MAX_DISTRIBUTED_CONCURRENCY: usize = 10_000;

/// How long an Express execution may run, in milliseconds.
pub const MAX_EXPRESS_DURATION: i64 = 300_000;

/// Transitions in one step: after so many the driver is given the chance to write what was recorded.
pub(super) const MAX_TRANSITIONS_PER_STEP: usize = 4_096;

/// A Wait cannot be longer than 2³¹ − 1 seconds, as recorded.
pub(super) const MAX_WAIT_SECONDS: f64 = 2_147_483_647.0;

/// A limit as it is told to people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// What is limited.
    pub name: &'static str,
    /// So much at the most.
    pub most: u64,
    /// Of these.
    pub unit: &'static str,
    /// What happens beyond it.
    pub beyond: &'static str,
}

const fn limit(name: &'static str, most: u64, unit: &'static str, beyond: &'static str) -> Limit {
    Limit { name, most, unit, beyond }
}

/// The limits that this engine enforces (AWS: "Step Functions service quotas").
pub const LIMITS: &[Limit] = &[
    limit("definition", 1_048_576, "bytes", "the definition is refused (ASL003)"),
    limit(
        "payload between states",
        MAX_PAYLOAD as u64,
        "bytes",
        "the state fails with States.DataLimitExceeded",
    ),
    limit(
        "history of a Standard execution",
        MAX_EVENTS,
        "events",
        "the last event is ExecutionFailed with States.Runtime",
    ),
    limit(
        "iterations of an inline Map at a time",
        MAX_INLINE_CONCURRENCY as u64,
        "iterations",
        "the others wait; a larger MaxConcurrency counts as this",
    ),
    limit(
        "child executions of a distributed Map at a time",
        MAX_DISTRIBUTED_CONCURRENCY as u64,
        "executions",
        "the others wait; a larger MaxConcurrency counts as this",
    ),
    limit(
        "duration of an Express execution",
        MAX_EXPRESS_DURATION as u64 / 1_000,
        "seconds",
        "the execution is TIMED_OUT",
    ),
    limit("a Wait", MAX_WAIT_SECONDS as u64, "seconds", "the state fails with States.Runtime"),
];
