//! The handlers, one file for each function, and [`dispatch`], which finds the one that a Lambda handler name
//! asks for. Events and replies are those of [`stepgrad_contract::events`].
//!
//! Each handler is idempotent: called twice, or twice at the same time, it writes the same bytes under the
//! same keys and gives the same reply.

#[cfg(feature = "torch")]
mod aggregate;
#[cfg(feature = "torch")]
mod claims;
#[cfg(feature = "torch")]
mod combine;
mod cost;
mod environment;
#[cfg(feature = "torch")]
mod evaluate;
#[cfg(feature = "torch")]
mod exchange;
mod fanout;
#[cfg(feature = "torch")]
mod finish;
#[cfg(feature = "torch")]
mod gradient;
mod hand_over;
mod heartbeat;
#[cfg(feature = "torch")]
mod initialise;
mod lineage;
mod membership;
mod prepare;
mod progress;
mod publish;
mod reach;
mod retention;
mod run;
#[cfg(feature = "torch")]
mod synchronise;
#[cfg(feature = "torch")]
mod train;

pub use environment::Environment;
pub use hand_over::Deadline;

use serde::Serialize;
use serde::de::DeserializeOwned;
use stepgrad_contract::{ErrorKind, Function, FunctionError};

/// What Step Functions passes between states (AWS Step Functions, "Service quotas": 256 KiB).
const PAYLOAD: usize = 262_144;

/// Calls `function` with `event` and gives its reply.
///
/// # Errors
/// [`ErrorKind::InvalidEvent`] for an event that is not the function's; what the handler fails with;
/// [`ErrorKind::LimitExceeded`] for a reply that Step Functions would not carry.
pub async fn dispatch(
    function: Function,
    environment: &Environment,
    event: serde_json::Value,
) -> Result<serde_json::Value, FunctionError> {
    #[cfg(feature = "torch")]
    crate::torch::one_thread();
    let environment = environment.of_call(function, &event).await?;
    if let Some(faults) = environment.faults() {
        faults.before().await?;
    }
    let reply = match function.hands_over() {
        true => {
            hand_over::within(function, environment.deadline(), call(function, &environment, event)).await
        }
        false => call(function, &environment, event).await,
    };
    if let Some(faults) = environment.faults() {
        faults.after();
    }
    reply
}

async fn call(
    function: Function,
    environment: &Environment,
    event: serde_json::Value,
) -> Result<serde_json::Value, FunctionError> {
    match function {
        Function::Prepare => reply(function, &prepare::handle(environment, parse(function, event)?).await?),
        #[cfg(feature = "torch")]
        Function::Initialise => {
            reply(function, &initialise::handle(environment, parse(function, event)?).await?)
        }
        #[cfg(feature = "torch")]
        Function::Gradient => reply(function, &gradient::handle(environment, parse(function, event)?).await?),
        #[cfg(feature = "torch")]
        Function::Train => reply(function, &train::handle(environment, parse(function, event)?).await?),
        #[cfg(feature = "torch")]
        Function::Combine => reply(function, &combine::handle(environment, parse(function, event)?).await?),
        Function::Heartbeat => {
            reply(function, &heartbeat::handle(environment, parse(function, event)?).await?)
        }
        Function::Membership => {
            reply(function, &membership::handle(environment, parse(function, event)?).await?)
        }
        #[cfg(feature = "torch")]
        Function::Synchronise => {
            reply(function, &synchronise::handle(environment, parse(function, event)?).await?)
        }
        Function::Reach => reply(function, &reach::handle(environment, parse(function, event)?).await?),
        #[cfg(feature = "torch")]
        Function::Aggregate => {
            reply(function, &aggregate::handle(environment, parse(function, event)?).await?)
        }
        #[cfg(feature = "torch")]
        Function::Evaluate => reply(function, &evaluate::handle(environment, parse(function, event)?).await?),
        #[cfg(feature = "torch")]
        Function::Finish => reply(function, &finish::handle(environment, parse(function, event)?).await?),
        #[cfg(not(feature = "torch"))]
        other => Err(left_out(other)),
    }
}

/// The error of a function that this binary does not serve.
pub(crate) fn left_out(function: Function) -> FunctionError {
    invalid_event(format!(
        "{function} needs libtorch, and this is the small binary without it: give the function the package `{}`",
        function.artefact()
    ))
}

fn parse<T: DeserializeOwned>(function: Function, event: serde_json::Value) -> Result<T, FunctionError> {
    serde_json::from_value(event)
        .map_err(|error| invalid_event(format!("the event is not one of {function}: {error}")))
}

fn reply(function: Function, reply: &impl Serialize) -> Result<serde_json::Value, FunctionError> {
    let internal = |error| {
        FunctionError::new(ErrorKind::Internal, format!("cannot encode the reply of {function}: {error}"))
    };
    let value = serde_json::to_value(reply).map_err(internal)?;
    let size = serde_json::to_vec(&value).map_err(internal)?.len();
    if size > PAYLOAD {
        let message = format!(
            "the reply of {function} has {size} bytes, and a state machine passes on {PAYLOAD}: use fewer peers"
        );
        return Err(FunctionError::new(ErrorKind::LimitExceeded, message));
    }
    Ok(value)
}

fn invalid_event(message: impl Into<String>) -> FunctionError {
    FunctionError::new(ErrorKind::InvalidEvent, message)
}
