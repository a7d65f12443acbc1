//! Objects by how they came to be. An object that a step reads and does not find, or finds damaged or another one in
//! its place, is made again by the step that made it: every step is pure, so it gives the same bytes. Nobody has to
//! be asked, and no peer waits for another one's repetition.
//!
//! Source: lineage as in Zaharia et al., "Resilient Distributed Datasets" (NSDI 2012), section 2.1.

use super::run::Run;
use super::{Environment, prepare};
use crate::data::Place;
use crate::store;
use bytes::Bytes;
use futures::future::BoxFuture;
use std::io::Write;
use stepgrad_contract::faults::Call;
use stepgrad_contract::progress::Sums;
use stepgrad_contract::tensors::TensorFile;
use stepgrad_contract::training::{Algorithm, Topology};
use stepgrad_contract::{ErrorKind, Function, FunctionError, keys};

/// A tensor file, by what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Made {
    /// A batch of a peer's shard, by its place in it.
    Batch { peer: u32, batch: u32 },
    /// A batch of the held-out set.
    ValidationBatch { batch: u32 },
    /// One batch's gradient.
    Gradient { round: u32, peer: u32, batch: u32 },
    /// What a peer published.
    Published { round: u32, peer: u32 },
    /// A peer's replica, of a view of the round's members.
    Replica { round: u32, view: u32, peer: u32 },
    /// A peer's optimiser state, likewise; where it comes from training, of the first.
    Optimizer { round: u32, view: u32, peer: u32 },
    /// The server's model, of a view of the round's members; in round 0, what every replica starts from.
    ServerReplica { round: u32, view: u32 },
    /// The server's optimiser state, likewise.
    ServerOptimizer { round: u32, view: u32 },
}

impl Made {
    /// Its key.
    pub(super) fn key(self, run: &Run) -> String {
        let id = &run.id;
        match self {
            Self::Batch { peer, batch } => keys::batch(id, peer, batch),
            Self::ValidationBatch { batch } => keys::validation_batch(id, batch),
            Self::Gradient { round, peer, batch } => keys::batch_gradient(id, round, peer, batch),
            Self::Published { round, peer } => keys::published(id, round, peer),
            Self::Replica { round, view, peer } => keys::in_view(keys::replica(id, round, peer), view),
            Self::Optimizer { round, view, peer } => keys::in_view(keys::optimizer(id, round, peer), view),
            Self::ServerReplica { round, view } => keys::in_view(keys::server_replica(id, round), view),
            Self::ServerOptimizer { round, view } => keys::in_view(keys::server_optimizer(id, round), view),
        }
    }

    /// The file, made again where it has to be.
    ///
    /// # Errors
    /// As [`crate::store::Store::get_tensors`], and as the step that makes it.
    pub(super) async fn get(self, environment: &Environment, run: &Run) -> Result<TensorFile, FunctionError> {
        Ok(self.read(environment, run).await?.1)
    }

    /// The file and its bytes.
    ///
    /// # Errors
    /// As [`Made::get`].
    pub(super) async fn read(
        self,
        environment: &Environment,
        run: &Run,
    ) -> Result<(Bytes, TensorFile), FunctionError> {
        let key = self.key(run);
        match read(environment, &key).await {
            Err(error) if is_lost(&error) => {}
            other => return other,
        }
        // It may have been damaged on its way here only.
        match read(environment, &key).await {
            Err(error) if is_lost(&error) => self.make(environment, run, error).await?,
            other => return other,
        }
        read(environment, &key).await
    }

    /// The file's sums, of which the header alone is read.
    ///
    /// # Errors
    /// As [`Made::get`].
    pub(super) async fn sums(self, environment: &Environment, run: &Run) -> Result<Sums, FunctionError> {
        match environment.store.get_sums(&self.key(run)).await {
            // A file that ends within its header is one that cannot be read.
            Err(error) if error.kind.is_retryable() => Ok(self.get(environment, run).await?.sums),
            other => other,
        }
    }

    async fn make(
        self,
        environment: &Environment,
        run: &Run,
        lost: FunctionError,
    ) -> Result<(), FunctionError> {
        let maker = self.maker(run);
        let Some(environment) = environment.of_repair(maker) else { return Err(lost) };
        tell(&self.key(run), &lost);
        // Of all that `prepare` writes, one batch.
        match self {
            Self::Batch { peer, batch } => {
                prepare::again(&environment, run, Place::Shard { peer, batch }).await
            }
            Self::ValidationBatch { batch } => {
                prepare::again(&environment, run, Place::Validation { batch }).await
            }
            Self::Replica { view, .. }
            | Self::Optimizer { view, .. }
            | Self::ServerReplica { view, .. }
            | Self::ServerOptimizer { view, .. } => again(&environment, run, maker, Some(view)).await,
            _ => again(&environment, run, maker, None).await,
        }
    }

    /// The call that makes it.
    fn maker(self, run: &Run) -> Call {
        let call = |function, round, peer| Call { function, peer, round, batch: None, attempt: 0 };
        match self {
            Self::Batch { .. } | Self::ValidationBatch { .. } => call(Function::Prepare, None, None),
            Self::ServerReplica { round: 0, .. } => call(Function::Initialise, None, None),
            Self::Gradient { round, peer, batch } => {
                Call { batch: Some(batch), ..call(Function::Gradient, Some(round), Some(peer)) }
            }
            Self::Published { round, peer } if run.training.algorithm == Algorithm::GradientAveraging => {
                call(Function::Combine, Some(round), Some(peer))
            }
            Self::Published { round, peer } => call(Function::Train, Some(round), Some(peer)),
            Self::Optimizer { round, peer, .. } if run.training.algorithm == Algorithm::ModelAveraging => {
                call(Function::Train, Some(round), Some(peer))
            }
            Self::Replica { round, peer, .. } | Self::Optimizer { round, peer, .. } => {
                match run.training.topology {
                    Topology::PeerToPeer => call(Function::Synchronise, Some(round), Some(peer)),
                    Topology::ParameterServer => call(Function::Aggregate, Some(round), None),
                }
            }
            Self::ServerReplica { round, .. } | Self::ServerOptimizer { round, .. } => {
                call(Function::Aggregate, Some(round), None)
            }
        }
    }
}

/// Makes the call again.
fn again<'a>(
    environment: &'a Environment,
    run: &Run,
    maker: Call,
    view: Option<u32>,
) -> BoxFuture<'a, Result<(), FunctionError>> {
    let mut event = serde_json::Map::from_iter([("run".to_owned(), run.id.as_str().into())]);
    let coordinates = [("round", maker.round), ("peer", maker.peer), ("batch", maker.batch), ("view", view)];
    for (key, value) in coordinates {
        event.extend(value.map(|value| (key.to_owned(), value.into())));
    }
    Box::pin(async move { super::call(maker.function, environment, event.into()).await.map(drop) })
}

async fn read(environment: &Environment, key: &str) -> Result<(Bytes, TensorFile), FunctionError> {
    let bytes = environment.store.get(key).await?;
    let file = store::decode(key, &bytes)?;
    Ok((bytes, file))
}

/// Whether the object itself is at fault, and not the way to it.
pub(super) fn is_lost(error: &FunctionError) -> bool {
    matches!(error.kind, ErrorKind::ObjectMissing | ErrorKind::ChecksumMismatch | ErrorKind::StaleObject)
}

/// Writes a line about the repair to the log.
pub(super) fn tell(key: &str, lost: &FunctionError) {
    let line = serde_json::json!({"kind": "repair", "object": key, "error": lost.kind.name()});
    // Standard output is the function's log; where it is closed nobody reads it.
    drop(writeln!(std::io::stdout(), "{line}"));
}
