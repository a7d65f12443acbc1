//! What is known of an invocation afterwards.

use serde::Serialize;

/// How an invocation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The function replied.
    Succeeded,
    /// The function answered with an error.
    FunctionError,
    /// The process answered that it cannot start, or could not be started.
    InitFailed,
    /// The process exited or was killed by someone else.
    Exited,
    /// The process was killed for its time.
    TimedOut,
    /// The process was killed for its memory.
    OutOfMemory,
    /// The reply was larger than Lambda passes on.
    ResponseTooLarge,
}

/// One invocation.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct InvocationRecord {
    /// The function's plain name.
    pub function: String,
    /// Its request id.
    pub request_id: String,
    /// Whether a process had to be started for it.
    pub cold: bool,
    /// How long it waited for its turn.
    pub queued_ms: f64,
    /// How long the process took from its start to asking for an invocation.
    pub init_ms: Option<f64>,
    /// How long the function took, without `init_ms`.
    pub duration_ms: f64,
    /// What Lambda would bill: `duration_ms` and `init_ms`, rounded up.
    pub billed_ms: u64,
    /// The function's memory size.
    pub memory_mb: u32,
    /// The most memory that the process has held so far, in MB.
    pub max_memory_mb: u64,
    /// The event's size.
    pub request_bytes: usize,
    /// The reply's size.
    pub response_bytes: usize,
    /// How it ended.
    pub outcome: Outcome,
    /// The process, unless none could be started.
    pub pid: Option<u32>,
}

/// Is told of each invocation when it ends, before its caller is. Called from the hot path: it should not wait.
pub trait Observer: Send + Sync + 'static {
    /// An invocation has ended.
    fn invocation(&self, record: &InvocationRecord);
}

impl<F: Fn(&InvocationRecord) + Send + Sync + 'static> Observer for F {
    fn invocation(&self, record: &InvocationRecord) {
        self(record);
    }
}

/// Sums over all invocations of a host.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Totals {
    /// Invocations that ended.
    pub invocations: u64,
    /// Those for which a process was started.
    pub cold_starts: u64,
    /// Those that did not succeed.
    pub errors: u64,
    /// Calls refused because the queue was full.
    pub throttles: u64,
    /// Billed milliseconds.
    pub billed_ms: u64,
    /// Billed memory times time, in GB-seconds.
    pub gb_seconds: f64,
    /// The most memory a process has held, in MB.
    pub max_memory_mb: u64,
}

impl Totals {
    pub(super) fn add(&mut self, record: &InvocationRecord) {
        self.invocations += 1;
        self.cold_starts += u64::from(record.cold);
        self.errors += u64::from(record.outcome != Outcome::Succeeded);
        self.billed_ms += record.billed_ms;
        self.gb_seconds += f64::from(record.memory_mb) / 1024.0 * record.billed_ms as f64 / 1000.0;
        self.max_memory_mb = self.max_memory_mb.max(record.max_memory_mb);
    }
}
