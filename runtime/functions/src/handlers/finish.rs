//! `finish`: writes the trained model into the record.

use super::evaluate::replica_of;
use super::{Environment, invalid_event};
use stepgrad_contract::events::{FinishReply, RoundEvent};
use stepgrad_contract::{FunctionError, keys};

pub(super) async fn handle(
    environment: &Environment,
    event: RoundEvent,
) -> Result<FinishReply, FunctionError> {
    let run = environment.run(&event.run).await?;
    let (round, store) = (event.round, &environment.store);
    run.check_round(round)?;
    let progress = run.progress(store, round).await?;
    let stop = progress
        .stop
        .ok_or_else(|| invalid_event(format!("round {round} is not the last: the training goes on")))?;
    let replica = replica_of(&run, round, progress.view, &progress.holders)?;
    let model = replica.get(environment, &run).await?;
    let weights_sha256 = store.put_tensors(&keys::trained_model(&run.id), &model).await?;
    Ok(FinishReply {
        weights_sha256,
        rounds: round,
        epochs: progress.epochs,
        training: progress.epoch_training.metrics(),
        validation: progress.validation,
        stop,
    })
}
