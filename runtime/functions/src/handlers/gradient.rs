//! `gradient`: the gradient of the loss on one batch, at the parameters the peer starts the round from.

use super::{Environment, invalid_event};
use crate::data::Batch;
use crate::torch;
use stepgrad_contract::events::{GradientEvent, WorkReply};
use stepgrad_contract::progress::Sums;
use stepgrad_contract::training::Algorithm;
use stepgrad_contract::{FunctionError, keys};

pub(super) async fn handle(
    environment: &Environment,
    event: GradientEvent,
) -> Result<WorkReply, FunctionError> {
    let run = environment.run(&event.run).await?;
    run.check_algorithm(Algorithm::GradientAveraging)?;
    let GradientEvent { round, peer, batch, .. } = event;
    let work = run.work(round, peer)?;
    if !work.places().any(|place| place == batch) {
        return Err(invalid_event(format!(
            "batch {batch} is not one of peer {peer}'s in round {round}: those are {} to {}",
            work.first, work.last
        )));
    }
    let store = &environment.store;
    let start = run.start(store, round, peer).await?.get(environment, &run).await?;
    let raw = run.batch(environment, peer, work, batch).await?;
    let file = torch::deterministic(run.batch_seed(round, peer, batch), || {
        let replica = run.replica(&start)?;
        drop(start);
        let batch = environment.labelled(Batch::load(&raw, &run.manifest)?, &run);
        let (gradients, sums) = replica.gradient(&batch, run.training.model.loss)?;
        replica.into_published(gradients, sums)
    })?;
    let file = environment.published(file, None);
    store.put_tensors(&keys::batch_gradient(&run.id, round, peer, batch), &file).await?;
    Ok(reply(peer, &file.sums))
}

/// What a peer's work is told as. JSON has no infinity: a loss beyond all numbers is told as the largest one;
/// `evaluate` ends such a training.
pub(super) fn reply(peer: u32, sums: &Sums) -> WorkReply {
    let loss = sums.metrics().map_or(0.0, |metrics| metrics.loss);
    WorkReply { peer, samples: sums.samples, loss: if loss.is_finite() { loss } else { f64::MAX } }
}
