//! Serves one function on the Lambda Runtime API: the handler that `_HANDLER` names, one event after the other,
//! until the API is gone. What the function computes stands in [`crate::handlers`].
#![expect(clippy::disallowed_methods, reason = "the log says when a call ended and how long it took")]

use std::any::Any;
use std::future::Future;
use std::io::Write;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use futures::FutureExt;
use futures::future::BoxFuture;
use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use lambda_runtime_api_client::{PooledClient, body::Body, build_request};
use serde_json::Value;
use stepgrad_contract::call_log::{CallLog, Kind, Traffic};
use stepgrad_contract::{ErrorKind, Function, FunctionError, metrics};

use crate::handlers::{self, Deadline, Environment};

/// What Lambda sets in every execution environment, and `lambda_runtime` panics without.
const VARIABLES: [&str; 5] = [
    "AWS_LAMBDA_RUNTIME_API",
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
    "AWS_LAMBDA_FUNCTION_VERSION",
    "_HANDLER",
];

/// Why a process serves nothing, or no longer.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Nobody would send events.
    #[error("{0} is not set: bootstrap is started by AWS Lambda or by stepgrad's function host, not by hand")]
    NotInLambda(&'static str),
    /// The function cannot start; the Runtime API has been told so.
    #[error("{name}: {0}", name = .0.kind.name())]
    Init(FunctionError),
    /// The Runtime API is gone.
    #[error("the Runtime API is gone: {0}")]
    Api(lambda_runtime::Error),
}

/// What is done with an event; [`handlers::dispatch`] but for tests that show what becomes of a wrong one.
pub type Step = for<'a> fn(Function, &'a Environment, Value) -> BoxFuture<'a, Result<Value, FunctionError>>;

/// Serves the function that the environment variables `get` name.
///
/// # Errors
/// If this is no execution environment of Lambda, the function cannot start, or the Runtime API is gone.
pub async fn serve(get: impl Fn(&str) -> Option<String>) -> Result<(), ServeError> {
    serve_with(get, |function, environment, event| handlers::dispatch(function, environment, event).boxed())
        .await
}

/// Likewise with another step in the handlers' place.
///
/// # Errors
/// As [`serve`].
pub async fn serve_with(get: impl Fn(&str) -> Option<String>, step: Step) -> Result<(), ServeError> {
    if let Some(missing) = VARIABLES.into_iter().find(|name| get(name).is_none()) {
        return Err(ServeError::NotInLambda(missing));
    }
    let (function, environment) = match start(&get) {
        Ok(started) => started,
        Err(error) => {
            report(&error).await.map_err(ServeError::Api)?;
            return Err(ServeError::Init(error));
        }
    };
    let environment = Arc::new(environment);
    let service = service_fn(move |event: LambdaEvent<Value>| {
        let environment = Arc::clone(&environment);
        async move {
            let mut call = call(function, &event);
            let environment = environment.until(Deadline::of_invocation(event.context.deadline));
            let before = environment.store.traffic();
            let began = Instant::now();
            let reply = guard(function, step(function, &environment, event.payload)).await;
            call.traffic = environment.store.traffic().since(&before);
            call.time = now();
            call.duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
            call.error = reply.as_ref().err().map(|error| error.kind.name().to_owned());
            call.message = reply.as_ref().err().map(|error| error.message.clone());
            let counted = call.run.as_deref().and_then(|run| environment.counted(run));
            log(&call, counted.as_deref());
            reply.map_err(|error| {
                complain(&call.request_id, &error);
                diagnostic(&error)
            })
        }
    });
    lambda_runtime::run(service).await.map_err(ServeError::Api)
}

/// The function and what it finds in its environment.
fn start(get: impl Fn(&str) -> Option<String>) -> Result<(Function, Environment), FunctionError> {
    let handler = get("_HANDLER").unwrap_or_default();
    let function = Function::from_name(&handler).ok_or_else(|| {
        let names = Function::ALL.map(Function::name).join(", ");
        let message =
            format!("there is no handler `{handler}`: set the function's handler to one of {names}");
        FunctionError::new(ErrorKind::InvalidEvent, message)
    })?;
    if cfg!(not(feature = "torch")) && function.needs_torch() {
        return Err(handlers::left_out(function));
    }
    Ok((function, Environment::from_variables(get)?))
}

/// Tells the Runtime API that the function cannot start, so that its caller reads why.
async fn report(error: &FunctionError) -> Result<(), lambda_runtime::Error> {
    let request = build_request()
        .method("POST")
        .uri("/2018-06-01/runtime/init/error")
        .header("lambda-runtime-function-error-type", error.kind.name())
        .body(Body::from(serde_json::to_vec(&diagnostic(error))?))?;
    PooledClient::builder().build().call(request).await?;
    Ok(())
}

/// Makes a panic of a handler an error of the function: the process goes on with the next event.
async fn guard<T>(
    function: Function,
    work: impl Future<Output = Result<T, FunctionError>>,
) -> Result<T, FunctionError> {
    // Handlers share nothing that a panic could leave half done: what they write is written whole or not at all.
    AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|panic| {
        let message = format!("the handler {function} panicked, please report it: {}", text(&*panic));
        Err(FunctionError::new(ErrorKind::Internal, message))
    })
}

/// What a panic said; a C++ stack trace that follows libtorch's message is left to the log.
fn text(panic: &(dyn Any + Send)) -> &str {
    let whole = panic.downcast_ref::<&str>().copied();
    let whole = whole.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    whole.and_then(|text| text.lines().next()).unwrap_or("no message")
}

fn diagnostic(error: &FunctionError) -> Diagnostic {
    Diagnostic { error_type: error.kind.name().to_owned(), error_message: error.message.clone() }
}

/// What the log says of a call, before it is made.
fn call(function: Function, event: &LambdaEvent<Value>) -> CallLog {
    let number = |key: &str| event.payload.get(key).and_then(Value::as_u64);
    CallLog {
        kind: Kind::Call,
        function: function.name().to_owned(),
        request_id: event.context.request_id.clone(),
        run: event.payload.get("run").and_then(Value::as_str).map(str::to_owned),
        round: number("round"),
        peer: number("peer"),
        batch: number("batch"),
        attempt: number("attempt"),
        continuation: event.payload["handed_over"]["continuation"].as_u64().filter(|number| *number > 0),
        time: 0,
        duration_ms: 0,
        error: None,
        message: None,
        traffic: Traffic::default(),
    }
}

/// Writes the call's line, with metrics where it is one of a training that leaves them.
fn log(call: &CallLog, counted: Option<&str>) {
    let line = match counted {
        None => serde_json::to_string(call),
        Some(training) => serde_json::to_string(&metrics::embedded(call, training, call.time)),
    };
    if let Ok(mut line) = line {
        line.push('\n');
        // Standard output is the function's log; where it is closed nobody reads it.
        drop(std::io::stdout().write_all(line.as_bytes()));
    }
}

/// Milliseconds since 1970.
fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

fn complain(request_id: &str, error: &FunctionError) {
    // Standard error is the function's log; where it is closed nobody reads it.
    drop(writeln!(std::io::stderr(), "ERROR RequestId: {request_id} {}: {error}", error.kind.name()));
}

#[cfg(test)]
mod tests {
    use super::{guard, serve, start};
    use stepgrad_contract::{ErrorKind, Function, FunctionError};

    #[tokio::test]
    async fn a_panic_is_an_error_of_the_function() {
        let panicking = async {
            if Function::ALL.len() > 1 {
                panic!("index out of range\nstack trace");
            }
            Ok(())
        };
        let error = guard(Function::Gradient, panicking).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Internal);
        let text = "the handler gradient panicked, please report it: index out of range";
        assert_eq!(error.message, text);
        let passed = guard(Function::Gradient, async { Ok::<_, FunctionError>(1) }).await;
        assert_eq!(passed, Ok(1));
    }

    #[test]
    fn an_unknown_handler_is_answered_with_the_names() {
        let error = start(|name| (name == "_HANDLER").then(|| "gradients".to_owned())).unwrap_err();
        assert!(error.message.starts_with("there is no handler `gradients`: "), "{error}");
        assert!(Function::ALL.iter().all(|function| error.message.contains(function.name())), "{error}");
    }

    #[tokio::test]
    async fn started_by_hand_it_says_by_whom_it_is_started() {
        let error = serve(|_| None).await.unwrap_err();
        assert!(error.to_string().starts_with("AWS_LAMBDA_RUNTIME_API is not set: bootstrap is started by"));
    }
}
