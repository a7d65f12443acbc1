//! One state by itself, as AWS's TestState has it (AWS: "Using TestState API to test a state in Step Functions"): what
//! it makes of an input, every step of the way, with the service's reply mocked or real. No execution is started.
//!
//! - `request`: what is asked, as the API takes it
//! - `definition`: the state, found in a machine or put into one
//! - `mock`, `shapes`: whether a mocked result can be one of the service
//! - `scope`: what its expressions can reach
//! - `evaluate`: the state itself

mod definition;
mod evaluate;
mod mock;
mod request;
mod scope;
mod shapes;
#[cfg(test)]
mod tests;

pub use request::{ApiError, Level, Request};

use crate::core::{ReplyShape, TaskError, Time};
use serde_json::{Value, json};
use stepgrad_asl::Payload;
use stepgrad_asl::program::Resource;

/// Does a task's work where nothing is mocked: the resource, and the task's arguments. Its output, or how it failed.
pub type Work<'a> = &'a mut dyn FnMut(&Resource, &Payload) -> Result<Payload, TaskError>;

/// The function, payload and shape of the reply of a task that calls a Lambda function: what [`Work`] needs to do it.
///
/// # Errors
/// [`TaskError`] where the task calls something else, or its arguments name no function.
pub fn lambda_call(
    resource: &Resource,
    arguments: &Payload,
) -> Result<(String, Payload, ReplyShape), TaskError> {
    let failed = |error: &str, cause: String| TaskError { error: error.to_owned(), cause: Some(cause) };
    match resource {
        Resource::Function(arn) => Ok((arn.clone(), arguments.clone(), ReplyShape::Payload)),
        Resource::LambdaInvoke(_) => crate::core::states::evaluation::call(arguments)
            .map(|(function, payload)| (function, payload, ReplyShape::Response))
            .map_err(|cause| failed("Lambda.ValidationException", cause)),
        other => Err(failed(
            "States.Runtime",
            format!("{}:{} can only be tested with a mock", other.service(), other.action()),
        )),
    }
}

/// The response of TestState to `request` (a JSON object): `{"status", "output", "error", "cause", "nextState",
/// "inspectionData"}`, those that apply; or `{"api_error": {"Code", "Message"}}`. Outputs are JSON, not text.
/// `now` is the context object's time; without `work` only mocked tasks can be tested.
#[must_use]
pub fn test_state(request: &Value, now: Time, work: Option<Work<'_>>) -> Value {
    let response = Request::read(request).and_then(|request| {
        let located = definition::locate(&request)?;
        mock::check(&request, &located)?;
        evaluate::evaluate(&request, &located, now, work)
    });
    response.unwrap_or_else(|error| json!({"api_error": {"Code": error.code, "Message": error.message}}))
}
