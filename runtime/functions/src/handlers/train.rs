//! `train`: trains a local model on the peer's batches of the round, from the parameters the round starts
//! from, and publishes its parameters. The momentum stays with the peer from round to round; where the peer
//! was lost in the round before, it begins anew.
//!
//! The published sums are those of one pass: with whole passes a round (`every: epoch`) the last one's, else
//! those of the round's batches.

use super::Environment;
use super::gradient::reply;
use super::lineage::Made;
use super::publish::publish;
use super::run::Run;
use crate::data::Batch;
use crate::optimizers::sgd::{self, State};
use crate::torch;
use stepgrad_contract::events::{PeerEvent, WorkReply};
use stepgrad_contract::progress::Sums;
use stepgrad_contract::tensors::TensorFile;
use stepgrad_contract::training::Algorithm;
use stepgrad_contract::{FunctionError, keys, view};

pub(super) async fn handle(environment: &Environment, event: PeerEvent) -> Result<WorkReply, FunctionError> {
    let run = environment.run(&event.run).await?;
    run.check_algorithm(Algorithm::ModelAveraging)?;
    let PeerEvent { round, peer, .. } = event;
    let (work, store) = (run.work(round, peer)?, &environment.store);
    let state = state_before(&run, environment, round, peer).await?;
    let (published, state) = match work.places().next() {
        None => (TensorFile::default(), state),
        Some(_) => {
            let learning_rate = run.before(store, round).await?.learning_rate;
            let start = run.start(store, round, peer).await?;
            let mut replica = run.replica(&start.get(environment, &run).await?)?;
            let mut optimizer = State::load(&state)?;
            drop(state);
            let mut sums = Sums::default();
            for place in work.places() {
                if run.schedule.whole_passes() && (place - 1) % run.schedule.batches(peer).max(1) == 0 {
                    sums = Sums::default();
                }
                let raw = run.batch(environment, peer, work, place).await?;
                let loss = torch::deterministic(run.batch_seed(round, peer, place), || {
                    let batch = environment.labelled(Batch::load(&raw, &run.manifest)?, &run);
                    let (gradients, sums) = replica.gradient(&batch, run.training.model.loss)?;
                    let parameters = replica.parameters();
                    sgd::step(
                        &run.training.optimizer,
                        learning_rate,
                        parameters,
                        &gradients,
                        &mut optimizer,
                    )?;
                    Ok::<_, FunctionError>(sums)
                })?;
                sums.add(&loss);
            }
            let trained = TensorFile { sums, ..replica.into_file()? };
            // Only a liar needs to know where it started.
            let published = match environment.lies() {
                true => environment.published(trained, Some(&start.get(environment, &run).await?)),
                false => trained,
            };
            (published, optimizer.save()?)
        }
    };
    if run.has_momentum() {
        store.put_tensors(&keys::optimizer(&run.id, round, peer), &state).await?;
    }
    publish(environment, &run, round, peer, &published).await?;
    Ok(reply(peer, &published.sums))
}

async fn state_before(
    run: &Run,
    environment: &Environment,
    round: u32,
    peer: u32,
) -> Result<TensorFile, FunctionError> {
    if !run.has_momentum() || round <= 1 {
        return Ok(TensorFile::default());
    }
    // Whoever published has a state, even if it was lost afterwards.
    if !run.members(&environment.store, round - 1, view::FIRST).await?.members.contains(&peer) {
        return Ok(TensorFile::default());
    }
    Made::Optimizer { round: round - 1, view: view::FIRST, peer }.get(environment, run).await
}
