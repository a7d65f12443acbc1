//! What `synchronise` and `aggregate` share: what the members published is made one and becomes a new replica.
//! They differ in whose replica and state it is.

mod ground;
mod published;
mod robust;

use super::Environment;
use super::lineage::Made;
use super::run::Run;
use crate::aggregation::Mean;
use crate::optimizers::sgd::State;
use stepgrad_contract::anomaly::{Anomalies, Anomaly};
use stepgrad_contract::progress::{Members, Sums};
use stepgrad_contract::tensors::TensorFile;
use stepgrad_contract::training::Algorithm;
use stepgrad_contract::{FunctionError, keys};

/// Where an exchange starts from and ends.
pub(super) struct Places {
    /// The replica before.
    pub(super) start: Made,
    /// The optimiser's state before; `None` before the first round.
    pub(super) state: Option<Made>,
    /// The replica after.
    pub(super) replica: Made,
    /// The optimiser's state after.
    pub(super) state_after: Made,
}

/// Writes the replica after the exchange of `members` and gives its digest. The file carries no sums, so that
/// all replicas are the same bytes. Without any samples the replica stays as it was.
pub(super) async fn exchange(
    run: &Run,
    environment: &Environment,
    members: &Members,
    places: Places,
) -> Result<String, FunctionError> {
    let (store, round) = (&environment.store, members.round);
    let (one, start) = match run.training.aggregation.is_mean() {
        true => (mean(run, environment, members).await?, None),
        false => robust::aggregate(run, environment, members, places.start).await?,
    };
    let start = async || match start {
        Some(file) => Ok(file),
        None => places.start.get(environment, run).await,
    };
    let replica = match (run.training.algorithm, one) {
        (algorithm, None) => {
            if algorithm == Algorithm::GradientAveraging && run.has_momentum() {
                let state = state_before(environment, run, &places).await?;
                store.put_tensors(&places.state_after.key(run), &state).await?;
            }
            start().await?
        }
        (Algorithm::ModelAveraging, Some(model)) => TensorFile { sums: Sums::default(), ..model },
        (Algorithm::GradientAveraging, Some(gradient)) => {
            let learning_rate = run.before(store, round).await?.learning_rate;
            // Of each file the bytes are let go before the next is read.
            let mut replica = run.replica(&start().await?)?;
            let mut state = match run.has_momentum() {
                true => State::load(&state_before(environment, run, &places).await?)?,
                false => State::default(),
            };
            replica.step(gradient, &run.training.optimizer, learning_rate, &mut state)?;
            let replica = replica.into_file()?;
            if run.has_momentum() {
                store.put_tensors(&places.state_after.key(run), &state.save()?).await?;
            }
            replica
        }
    };
    store.put_tensors(&places.replica.key(run), &replica).await
}

/// The mean of what the members published; `None` without any samples.
async fn mean(
    run: &Run,
    environment: &Environment,
    members: &Members,
) -> Result<Option<TensorFile>, FunctionError> {
    let (mut mean, mut refused) = (Mean::default(), Vec::new());
    for peer in &members.members {
        match published::read(run, environment, members.round, *peer).await? {
            Ok(file) => mean.add(&format!("peer {peer}"), file)?,
            Err(why) => refused.push(Anomaly::new(*peer, why, None)),
        }
    }
    published::check_quorum(run, members, &refused)?;
    if run.training.reports() {
        let report = Anomalies { anomalous: refused, skipped: None };
        environment.store.put_document(&anomalies_key(run, members), &report).await?;
    }
    let mean = mean.finish();
    Ok((mean.sums.samples > 0).then_some(mean))
}

/// What the exchange of `members` found amiss.
pub(super) async fn anomalies(
    run: &Run,
    environment: &Environment,
    members: &Members,
) -> Result<Anomalies, FunctionError> {
    match run.training.reports() {
        true => environment.store.get_document(&anomalies_key(run, members)).await,
        false => Ok(Anomalies::default()),
    }
}

/// Where it stands.
fn anomalies_key(run: &Run, members: &Members) -> String {
    keys::in_view(keys::anomalies(&run.id, members.round), members.view)
}

async fn state_before(
    environment: &Environment,
    run: &Run,
    places: &Places,
) -> Result<TensorFile, FunctionError> {
    match places.state {
        Some(state) => state.get(environment, run).await,
        None => Ok(TensorFile::default()),
    }
}
