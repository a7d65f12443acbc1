//! The errors a function can answer with. The name is what Step Functions matches in `Retry` and `Catch`
//! (AWS Step Functions, "Handling errors in Step Functions workflows").

use serde::{Deserialize, Serialize};

/// The kind of a function's error. Its name is the `errorType` of the Lambda error response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ErrorKind {
    /// An object could not be read or written for now: not there yet, throttled, an I/O error.
    ObjectUnavailable,
    /// The store refuses: a permission is missing, or the credentials are not valid.
    AccessDenied,
    /// An object is not there: not written yet, or lost.
    ObjectMissing,
    /// An object is there and whole, but it is another one: an earlier round's, or another peer's.
    StaleObject,
    /// An object's bytes do not give the checksum that stands in it.
    ChecksumMismatch,
    /// The event is not one that this function understands.
    InvalidEvent,
    /// The data source is missing or malformed.
    InvalidData,
    /// The model cannot be built or does not fit the data.
    InvalidModel,
    /// An object is there under this name with other, intact bytes: the step was not deterministic.
    DivergentObject,
    /// Replicas that a synchronous exchange has to keep equal differ.
    ReplicasDiverged,
    /// The loss or a parameter is not a finite number.
    NotFinite,
    /// More peers are lost or caught than the aggregation is set to bear.
    RobustnessLost,
    /// Fewer peers than the quorum are left.
    QuorumLost,
    /// What a peer published cannot be read by the others, or theirs not by it: it is left out of a round.
    PeerUnreachable,
    /// A peer's private key is missing, not its own, or lies open to others.
    KeyUnavailable,
    /// The peer has said that it leaves.
    PeerLeft,
    /// The peer has not joined yet.
    PeerAbsent,
    /// The function's time limit ended before the least that a call has to do.
    OutOfTime,
    /// A function handed over as often as it may and is not done.
    TooManyHandOvers,
    /// The round to come does not fit the budget.
    BudgetExceeded,
    /// A count or size goes beyond what the definition can carry.
    LimitExceeded,
    /// A defect of the handler.
    Internal,
}

impl ErrorKind {
    /// Every kind.
    pub const ALL: [Self; 22] = [
        Self::ObjectUnavailable,
        Self::AccessDenied,
        Self::ObjectMissing,
        Self::StaleObject,
        Self::ChecksumMismatch,
        Self::InvalidEvent,
        Self::InvalidData,
        Self::InvalidModel,
        Self::DivergentObject,
        Self::ReplicasDiverged,
        Self::NotFinite,
        Self::RobustnessLost,
        Self::QuorumLost,
        Self::PeerUnreachable,
        Self::KeyUnavailable,
        Self::PeerLeft,
        Self::PeerAbsent,
        Self::OutOfTime,
        Self::TooManyHandOvers,
        Self::BudgetExceeded,
        Self::LimitExceeded,
        Self::Internal,
    ];

    /// The error name, e.g. `Stepgrad.ChecksumMismatch`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ObjectUnavailable => "Stepgrad.ObjectUnavailable",
            Self::AccessDenied => "Stepgrad.AccessDenied",
            Self::ObjectMissing => "Stepgrad.ObjectMissing",
            Self::StaleObject => "Stepgrad.StaleObject",
            Self::ChecksumMismatch => "Stepgrad.ChecksumMismatch",
            Self::InvalidEvent => "Stepgrad.InvalidEvent",
            Self::InvalidData => "Stepgrad.InvalidData",
            Self::InvalidModel => "Stepgrad.InvalidModel",
            Self::DivergentObject => "Stepgrad.DivergentObject",
            Self::ReplicasDiverged => "Stepgrad.ReplicasDiverged",
            Self::NotFinite => "Stepgrad.NotFinite",
            Self::RobustnessLost => "Stepgrad.RobustnessLost",
            Self::QuorumLost => "Stepgrad.QuorumLost",
            Self::PeerUnreachable => "Stepgrad.PeerUnreachable",
            Self::KeyUnavailable => "Stepgrad.KeyUnavailable",
            Self::PeerLeft => "Stepgrad.PeerLeft",
            Self::PeerAbsent => "Stepgrad.PeerAbsent",
            Self::OutOfTime => "Stepgrad.OutOfTime",
            Self::TooManyHandOvers => "Stepgrad.TooManyHandOvers",
            Self::BudgetExceeded => "Stepgrad.BudgetExceeded",
            Self::LimitExceeded => "Stepgrad.LimitExceeded",
            Self::Internal => "Stepgrad.Internal",
        }
    }

    /// Whether the same call can succeed when made again.
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        matches!(
            self,
            Self::ObjectUnavailable
                | Self::ObjectMissing
                | Self::StaleObject
                | Self::ChecksumMismatch
                | Self::OutOfTime
        )
    }
}

/// A function's error: its kind and a message that names the object or value and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct FunctionError {
    /// What kind of error it is; decides whether the workflow tries again.
    pub kind: ErrorKind,
    /// Lower-case, without a full stop, with what to do.
    pub message: String,
}

impl FunctionError {
    /// An error of `kind`.
    #[must_use]
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}
