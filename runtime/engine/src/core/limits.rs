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
