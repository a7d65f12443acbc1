//! `stepgrad asl test-state`: one state by itself, as AWS's TestState has it, in one line of JSON.

use super::{functions, read};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;
use serde_json::Value;
use std::path::PathBuf;
use stepgrad_engine::integrations::lambda_reply;
use stepgrad_engine::test_state::{lambda_call, test_state};

/// What it takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The call, a JSON file with the members of AWS's TestState: definition, stateName, input, inspectionLevel, mock,
    /// stateConfiguration, context, variables, roleArn. What the API has as JSON in a string may be JSON itself.
    #[arg(long = "case", value_name = "FILE")]
    case: PathBuf,
    /// Where functions are called that are not mocked: POST URL/2015-03-31/functions/NAME/invocations.
    #[arg(long, value_name = "URL")]
    lambda_endpoint: Option<String>,
}

#[expect(clippy::disallowed_methods, reason = "the context object has the time")]
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let request: Value = serde_json::from_str(&read(&args.case)?).map_err(|error| {
        Failure::new(Exit::Invalid, format!("{} is not JSON: {error}", args.case.display()))
    })?;
    let now = chrono::Utc::now().timestamp_millis();
    let response = match &args.lambda_endpoint {
        None => test_state(&request, now, None),
        Some(url) => {
            let (invoke, runtime) = (functions::at(Some(url))?, functions::runtime()?);
            let mut work = |resource: &_, arguments: &_| {
                let (function, payload, shape) = lambda_call(resource, arguments)?;
                let payload = bytes::Bytes::copy_from_slice(payload.text().as_bytes());
                lambda_reply::outcome(shape, runtime.block_on(invoke.invoke(&function, payload)))
            };
            test_state(&request, now, Some(&mut work))
        }
    };
    output::json(&response);
    Ok(())
}
