//! What `synchronise` and `aggregate` share: what the members published is made one and becomes a new replica.
//! They differ in whose replica and state it is.

mod ground;
mod robust;

pub(super) use robust::anomalies;

use super::run::Run;
use crate::aggregation::Mean;
use crate::optimizers::sgd::State;
use crate::store::Store;
use stepgrad_contract::progress::Sums;
use stepgrad_contract::tensors::TensorFile;
use stepgrad_contract::training::Algorithm;
use stepgrad_contract::{FunctionError, keys};

/// Where an exchange starts from and ends.
pub(super) struct Places {
    /// The replica before.
    pub(super) start: String,
    /// The optimiser's state before; `None` before the first round.
    pub(super) state: Option<String>,
    /// The replica after.
    pub(super) replica: String,
    /// The optimiser's state after.
    pub(super) state_after: String,
}

/// Writes the replica after the exchange of `round` and gives its digest. The file carries no sums, so that
/// all replicas are the same bytes. Without any samples the replica stays as it was.
pub(super) async fn exchange(
    run: &Run,
    store: &Store,
    round: u32,
    members: &[u32],
    places: Places,
) -> Result<String, FunctionError> {
    let one = match run.training.aggregation.is_mean() {
        true => mean(run, store, round, members).await?,
        false => robust::aggregate(run, store, round, members, &places.start).await?,
    };
    let replica = match (run.training.algorithm, one) {
        (algorithm, None) => {
            if algorithm == Algorithm::GradientAveraging && run.has_momentum() {
                store.put_tensors(&places.state_after, &state_before(store, &places).await?).await?;
            }
            store.get_tensors(&places.start).await?
        }
        (Algorithm::ModelAveraging, Some(model)) => TensorFile { sums: Sums::default(), ..model },
        (Algorithm::GradientAveraging, Some(gradient)) => {
            let learning_rate = run.before(store, round).await?.learning_rate;
            // Of each file the bytes are let go before the next is read.
            let mut replica = run.replica(&store.get_tensors(&places.start).await?)?;
            let mut state = match run.has_momentum() {
                true => State::load(&state_before(store, &places).await?)?,
                false => State::default(),
            };
            replica.step(gradient, &run.training.optimizer, learning_rate, &mut state)?;
            let replica = replica.into_file()?;
            if run.has_momentum() {
                store.put_tensors(&places.state_after, &state.save()?).await?;
            }
            replica
        }
    };
    store.put_tensors(&places.replica, &replica).await
}

/// The mean of what the members published; `None` without any samples.
async fn mean(
    run: &Run,
    store: &Store,
    round: u32,
    members: &[u32],
) -> Result<Option<TensorFile>, FunctionError> {
    let mut mean = Mean::default();
    for peer in members {
        let file = store.get_tensors(&keys::published(&run.id, round, *peer)).await?;
        mean.add(&format!("peer {peer}"), file)?;
    }
    let mean = mean.finish();
    Ok((mean.sums.samples > 0).then_some(mean))
}

async fn state_before(store: &Store, places: &Places) -> Result<TensorFile, FunctionError> {
    match &places.state {
        Some(key) => store.get_tensors(key).await,
        None => Ok(TensorFile::default()),
    }
}
