//! `initialise`: writes the parameters that every replica starts from, into round 0 and into the record.

use super::Environment;
use stepgrad_contract::events::{InitialiseReply, RunEvent};
use stepgrad_contract::{FunctionError, keys};

pub(super) async fn handle(
    environment: &Environment,
    event: RunEvent,
) -> Result<InitialiseReply, FunctionError> {
    let run = environment.run(&event.run).await?;
    let (parameters, file) = {
        let replica = run.initial()?;
        (replica.parameter_count(), replica.into_file()?)
    };
    let replica = environment.store.put_tensors(&keys::server_replica(&run.id, 0), &file).await?;
    environment.store.put_tensors(&keys::initial_model(&run.id), &file).await?;
    Ok(InitialiseReply { parameters, replica })
}
