//! `prepare`: reads the data source, shares it out over the peers, writes batches and the manifest.

use super::run::Run;
use super::{Environment, fanout};
use crate::data::{self, Place};
use futures::{StreamExt, TryStreamExt};
use stepgrad_contract::events::{Action, Next, RunEvent};
use stepgrad_contract::{ErrorKind, FunctionError, keys};

/// Objects written at the same time.
const CONCURRENCY: usize = 8;

pub(super) async fn handle(environment: &Environment, event: RunEvent) -> Result<Next, FunctionError> {
    let training = environment.training(&event.run).await?;
    let prepared = data::prepare(&training, &environment.data)?;
    let writes = prepared.batches().map(|(place, file)| {
        let key = key(&event.run, place);
        let store = &environment.store;
        async move { store.put_tensors(&key, &file?).await }
    });
    let writes = futures::stream::iter(writes).buffer_unordered(CONCURRENCY);
    writes.try_for_each(|_| futures::future::ready(Ok(()))).await?;
    // Last: where the manifest is, the batches are.
    environment.store.put_document(&keys::manifest(&event.run), &prepared.manifest).await?;
    let run = environment.run(&event.run).await?;
    Ok(Next {
        round: 1,
        next: Action::Round,
        fanout: fanout::of_round(&run, 1, &run.before(&environment.store, 1).await?)?,
    })
}

/// Writes one batch again.
pub(super) async fn again(environment: &Environment, run: &Run, place: Place) -> Result<(), FunctionError> {
    let prepared = data::prepare(&run.training, &environment.data)?;
    let file = prepared.batch(place).filter(|_| prepared.manifest == run.manifest).ok_or_else(|| {
        let message =
            "the data source is not what it was when the run was prepared: put it back, or run anew";
        FunctionError::new(ErrorKind::InvalidData, message)
    })?;
    environment.store.put_tensors(&key(&run.id, place), &file?).await.map(drop)
}

fn key(run: &str, place: Place) -> String {
    match place {
        Place::Shard { peer, batch } => keys::batch(run, peer, batch),
        Place::Validation { batch } => keys::validation_batch(run, batch),
    }
}
