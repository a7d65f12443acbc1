//! `finish`: writes the trained model into the record.

use super::evaluate::replica_key;
use super::{Environment, invalid_event};
use crate::store::whole_tensors;
use stepgrad_contract::digest::sha256;
use stepgrad_contract::events::{FinishReply, RoundEvent};
use stepgrad_contract::progress::Progress;
use stepgrad_contract::{FunctionError, keys};

pub(super) async fn handle(
    environment: &Environment,
    event: RoundEvent,
) -> Result<FinishReply, FunctionError> {
    let run = environment.run(&event.run).await?;
    let (round, store) = (event.round, &environment.store);
    run.check_round(round)?;
    let progress: Progress = store.get_json(&keys::progress(&run.id, round)).await?;
    let stop = progress
        .stop
        .ok_or_else(|| invalid_event(format!("round {round} is not the last: the training goes on")))?;
    let key = replica_key(&run, round, &run.members(store, round).await?)?;
    let bytes = store.get(&key).await?;
    crate::store::decode(&key, &bytes)?;
    let weights_sha256 = sha256(&bytes);
    store.put_new(&keys::trained_model(&run.id), bytes.into(), whole_tensors).await?;
    Ok(FinishReply {
        weights_sha256,
        rounds: round,
        epochs: progress.epochs,
        training: progress.epoch_training.metrics(),
        validation: progress.validation,
        stop,
    })
}
