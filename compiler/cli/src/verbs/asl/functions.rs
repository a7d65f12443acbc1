//! Where the functions of a state machine are.

use crate::exit::Exit;
use crate::failure::Failure;
use std::sync::Arc;
use stepgrad_engine::integrations::lambda::{Invoke, InvokeError, InvokeReply};
use stepgrad_engine::integrations::lambda_endpoint::LambdaEndpoint;

/// Answers every call with the error of a function that is not there.
struct NoFunctions;

impl Invoke for NoFunctions {
    fn invoke<'a>(
        &'a self,
        function: &'a str,
        _: bytes::Bytes,
    ) -> futures::future::BoxFuture<'a, Result<InvokeReply, InvokeError>> {
        Box::pin(async move {
            Err(InvokeError {
                error: "Lambda.ResourceNotFoundException".to_owned(),
                cause: format!("{function} cannot be called: say where functions are with --lambda-endpoint"),
            })
        })
    }
}

/// The functions behind `url`, or none.
pub(super) fn at(url: Option<&str>) -> Result<Arc<dyn Invoke>, Failure> {
    match url {
        None => Ok(Arc::new(NoFunctions)),
        Some(url) => {
            let endpoint =
                LambdaEndpoint::new(url).map_err(|error| Failure::new(Exit::Usage, error.to_string()))?;
            Ok(Arc::new(endpoint))
        }
    }
}

/// What drives calls: one thread is enough for one machine.
pub(super) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Internal, format!("cannot start: {error}")))
}
