//! `prepare`: reads the data source, shares it out over the peers, writes batches and the manifest.

use super::{Environment, fanout};
use crate::data::{self, Place};
use futures::{StreamExt, TryStreamExt};
use stepgrad_contract::events::{Action, Next, RunEvent};
use stepgrad_contract::{FunctionError, keys};

/// Objects written at the same time.
const CONCURRENCY: usize = 8;

pub(super) async fn handle(environment: &Environment, event: RunEvent) -> Result<Next, FunctionError> {
    let training = environment.training(&event.run).await?;
    let prepared = data::prepare(&training, &environment.data)?;
    let writes = prepared.batches().map(|(place, file)| {
        let key = match place {
            Place::Shard { peer, batch } => keys::batch(&event.run, peer, batch),
            Place::Validation { batch } => keys::validation_batch(&event.run, batch),
        };
        let store = &environment.store;
        async move { store.put_tensors(&key, &file?).await }
    });
    let writes = futures::stream::iter(writes).buffer_unordered(CONCURRENCY);
    writes.try_for_each(|_| futures::future::ready(Ok(()))).await?;
    // Last: where the manifest is, the batches are.
    environment.store.put_document(&keys::manifest(&event.run), &prepared.manifest).await?;
    let run = environment.run(&event.run).await?;
    Ok(Next { round: 1, next: Action::Round, fanout: fanout::of_round(&run, 1)? })
}
