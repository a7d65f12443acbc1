//! What the engine asks of whoever runs Lambda functions: the function host of this crate, or an Invoke endpoint.

use crate::core::{Invocation, TaskError};
use bytes::Bytes;
use futures::future::BoxFuture;
use stepgrad_asl::Payload;

/// Runs functions, in the manner of Lambda's Invoke with `RequestResponse`.
pub trait Invoke: Send + Sync + 'static {
    /// Calls `function` (name or ARN as in the definition, after placeholder substitution) with `payload` (the
    /// event's JSON bytes). Dropping the future gives the call up: the reply is not wanted any more.
    ///
    /// # Errors
    /// [`InvokeError`] where the service refused the call; an error of the function itself is a reply with
    /// [`InvokeReply::function_error`].
    fn invoke<'a>(
        &'a self,
        function: &'a str,
        payload: Bytes,
    ) -> BoxFuture<'a, Result<InvokeReply, InvokeError>>;

    /// The outcome of a task that is not to be called at all, because it is mocked. Asked before every call.
    fn answer(&self, _invocation: &Invocation) -> Option<Result<Payload, TaskError>> {
        None
    }
}

/// What a function answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvokeReply {
    /// The reply's JSON bytes; with `function_error`, an object of `errorMessage` and `errorType`.
    pub payload: Bytes,
    /// The header X-Amz-Function-Error: `Handled` or `Unhandled`.
    pub function_error: Option<String>,
    /// The header X-Amz-Executed-Version, e.g. `$LATEST`.
    pub executed_version: String,
    /// The header x-amzn-RequestId.
    pub request_id: String,
}

/// The service refused or lost the call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{error}: {cause}")]
pub struct InvokeError {
    /// The error's name in a Retry or Catch, e.g. `Lambda.TooManyRequestsException`.
    pub error: String,
    /// The service's message.
    pub cause: String,
}
