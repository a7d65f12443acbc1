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
    /// What is limited, for programs.
    pub quantity: Quantity,
    /// What is limited.
    pub name: &'static str,
    /// So much at the most.
    pub most: u64,
    /// Of these.
    pub unit: &'static str,
    /// What happens beyond it.
    pub beyond: &'static str,
}

/// What is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantity {
    /// The definition's text.
    Definition,
    /// A state's name.
    Name,
    /// A distributed Map's Label.
    Label,
    /// What goes from state to state.
    Payload,
    /// A Standard execution's history.
    Events,
    /// An inline Map's iterations at a time.
    Iterations,
    /// A distributed Map's child executions at a time.
    Children,
    /// How long an Express execution takes.
    Express,
    /// How long a Wait takes.
    Wait,
}

const fn limit(
    quantity: Quantity,
    name: &'static str,
    most: u64,
    unit: &'static str,
    beyond: &'static str,
) -> Limit {
    Limit { quantity, name, most, unit, beyond }
}

/// The limits that this engine enforces (AWS: "Step Functions service quotas"). How near a machine comes to them is
/// told by [`crate::explain`].
pub const LIMITS: &[Limit] = &[
    limit(Quantity::Definition, "definition", 1_048_576, "bytes", "the definition is refused (ASL003)"),
    limit(Quantity::Name, "a state's name", 80, "characters", "the definition is refused (ASL025)"),
    limit(Quantity::Label, "a Map's Label", 40, "characters", "the definition is refused (ASL044)"),
    limit(
        Quantity::Payload,
        "payload between states",
        MAX_PAYLOAD as u64,
        "bytes",
        "the state fails with States.DataLimitExceeded",
    ),
    limit(
        Quantity::Events,
        "history of a Standard execution",
        MAX_EVENTS,
        "events",
        "the last event is ExecutionFailed with States.Runtime",
    ),
    limit(
        Quantity::Iterations,
        "iterations of an inline Map at a time",
        MAX_INLINE_CONCURRENCY as u64,
        "iterations",
        "the others wait; a larger MaxConcurrency counts as this",
    ),
    limit(
        Quantity::Children,
        "child executions of a distributed Map at a time",
        MAX_DISTRIBUTED_CONCURRENCY as u64,
        "executions",
        "the others wait; a larger MaxConcurrency counts as this",
    ),
    limit(
        Quantity::Express,
        "duration of an Express execution",
        MAX_EXPRESS_DURATION as u64 / 1_000,
        "seconds",
        "the execution is TIMED_OUT",
    ),
    limit(
        Quantity::Wait,
        "a Wait",
        MAX_WAIT_SECONDS as u64,
        "seconds",
        "the state fails with States.Runtime",
    ),
];
