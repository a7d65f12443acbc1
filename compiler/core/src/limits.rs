//! AWS's limits that the compiler lowers by and holds its output against.

/// Bytes of a payload between states (AWS Step Functions, "Service quotas").
pub const PAYLOAD_BYTES: u64 = 262_144;
/// Events of a Standard execution's history (same page).
pub const HISTORY_EVENTS: u64 = 25_000;
/// Bytes of a definition (same page).
pub const DEFINITION_BYTES: u64 = 1_048_576;
/// Elements that `States.ArrayRange` gives at the most (AWS Step Functions, "Intrinsic functions").
pub const ARRAY_RANGE: u32 = 1_000;
/// Iterations that an inline Map runs at once at the most.
pub const INLINE_MAP_CONCURRENCY: u32 = stepgrad_contract::at_once::ITERATIONS;
/// Seconds that a function may take at the most (AWS Lambda, "Lambda quotas").
pub const FUNCTION_TIMEOUT_S: u32 = 900;
/// MB that a function may have at the most (same page).
pub const FUNCTION_MEMORY_MB: u32 = 10_240;
/// Characters of a role's inline policies, without white space (IAM User Guide, "IAM and AWS STS quotas").
pub const ROLE_POLICY_CHARACTERS: u32 = 10_240;
