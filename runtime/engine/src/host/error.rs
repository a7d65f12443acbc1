//! Why the host refuses a call. An error of the function itself is a reply, not one of these.

use crate::integrations::lambda::InvokeError;

/// The host refused or lost a call, with the names and status codes of the Lambda API.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// No function of this name.
    #[error("Function not found: {arn}")]
    NotFound {
        /// What was asked for, as an ARN if it can be written as one.
        arn: String,
        /// The request.
        request_id: String,
    },
    /// All environments are busy and the queue is full.
    #[error("Rate Exceeded.")]
    Throttled {
        /// Whether the function's own reservation was the limit.
        reserved: bool,
        /// The request.
        request_id: String,
    },
    /// The event is larger than Lambda takes.
    #[error("{bytes} byte payload is too large for the {kind} invocation type (limit {limit} bytes)")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The largest size.
        limit: usize,
        /// `RequestResponse` or `Event`.
        kind: &'static str,
        /// The request.
        request_id: String,
    },
    /// The host could not run the function; the same call may succeed later.
    #[error("{message}")]
    Service {
        /// What went wrong.
        message: String,
        /// The request.
        request_id: String,
    },
}

impl HostError {
    /// The exception's name in the Lambda API.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "ResourceNotFoundException",
            Self::Throttled { .. } => "TooManyRequestsException",
            Self::TooLarge { .. } => "RequestTooLargeException",
            Self::Service { .. } => "ServiceException",
        }
    }

    /// The HTTP status of the exception.
    #[must_use]
    pub const fn status(&self) -> u16 {
        match self {
            Self::NotFound { .. } => 404,
            Self::Throttled { .. } => 429,
            Self::TooLarge { .. } => 413,
            Self::Service { .. } => 500,
        }
    }

    /// The request that was refused.
    #[must_use]
    pub fn request_id(&self) -> &str {
        match self {
            Self::NotFound { request_id, .. }
            | Self::Throttled { request_id, .. }
            | Self::TooLarge { request_id, .. }
            | Self::Service { request_id, .. } => request_id,
        }
    }
}

impl From<HostError> for InvokeError {
    /// The error as Step Functions reports it: `Lambda.` and the exception, the SDK's text as the cause.
    fn from(error: HostError) -> Self {
        Self {
            error: format!("Lambda.{}", error.name()),
            cause: format!(
                "{error} (Service: Lambda, Status Code: {}, Request ID: {})",
                error.status(),
                error.request_id()
            ),
        }
    }
}
