//! `prepare`: reads the data source, shares it out over the peers, writes batches and the manifest.
//!
//! Many batches can take longer than a call may: then it is handed over (see [`super::hand_over`]), and the next call
//! reads the source again and writes on.

use super::hand_over::Watch;
use super::run::Run;
use super::{Environment, cost, fanout};
use crate::data::{self, Place, Prepared};
use futures::StreamExt;
use stepgrad_contract::events::{Action, HandedOver, Next, PrepareEvent, PrepareReply};
use stepgrad_contract::fanout::Fanout;
use stepgrad_contract::training::Training;
use stepgrad_contract::{ErrorKind, Function, FunctionError, keys};

/// Objects written at the same time.
const CONCURRENCY: usize = 8;

pub(super) async fn handle(
    environment: &Environment,
    event: PrepareEvent,
) -> Result<PrepareReply, FunctionError> {
    let training = environment.training(&event.run).await?;
    let mut watch = Watch::begin(Function::Prepare, environment, &training.hand_over);
    let prepared = read(environment, &training).await?;
    watch.loaded()?;
    let mut written = event.handed_over.next;
    let writes = prepared.batches(written as usize).map(|(place, file)| {
        let key = key(&event.run, place);
        let store = &environment.store;
        async move { store.put_tensors(&key, &file?).await }
    });
    // In order, so that a count says which are there.
    let mut writes = futures::stream::iter(writes).buffered(CONCURRENCY);
    while let Some(write) = writes.next().await {
        write?;
        written += 1;
        if watch.stepped() {
            let continuation = event.handed_over.continuation.saturating_add(1);
            return Ok(PrepareReply {
                next: Next { round: 1, next: Action::Round, fanout: Fanout::nobody() },
                handed_over: Some(HandedOver { continuation, next: written }),
                cost: cost::open(&training, event.began.as_ref())?,
            });
        }
    }
    // Last: where the manifest is, the batches are.
    environment.store.put_document(&keys::manifest(&event.run), &prepared.manifest).await?;
    let run = environment.run(&event.run).await?;
    let before = run.before(&environment.store, 1).await?;
    let fanout = fanout::of_round(&run, 1, &before)?;
    let cost = cost::begin(&run, event.began.as_ref(), &before)?;
    Ok(PrepareReply { next: Next { round: 1, next: Action::Round, fanout }, handed_over: None, cost })
}

/// The data, read and shared out. What was fetched for it is gone then: the samples are kept in a file of their own.
async fn read(environment: &Environment, training: &Training) -> Result<Prepared, FunctionError> {
    let sources = environment.data.sources(&training.data).await?;
    data::prepare(training, &sources)
}

/// Writes one batch again.
pub(super) async fn again(environment: &Environment, run: &Run, place: Place) -> Result<(), FunctionError> {
    let prepared = read(environment, &run.training).await?;
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
