//! The model of a run: its replicas, and the batches that they are computed on.

use super::super::lineage::Made;
use super::super::{Environment, invalid_event};
use super::Run;
use crate::models::{Input, Replica, Start};
use crate::store::Store;
use crate::{data, seeds, torch};
use bytes::Bytes;
use stepgrad_contract::manifest::Manifest;
use stepgrad_contract::schedule::Work;
use stepgrad_contract::tensors::TensorFile;
use stepgrad_contract::training::{Architecture, Training};
use stepgrad_contract::{FunctionError, keys};

/// What a replica is built from.
#[derive(Debug)]
pub(super) struct Model {
    input: Input,
    script: Option<Bytes>,
}

impl Model {
    pub(super) async fn load(
        store: &Store,
        id: &str,
        training: &Training,
        manifest: &Manifest,
    ) -> Result<Self, FunctionError> {
        let script = match training.model.architecture {
            Architecture::TorchScript => Some(store.get(&keys::torchscript(id)).await?),
            _ => None,
        };
        Ok(Self { input: Input::of(manifest)?, script })
    }
}

impl Run {
    /// A replica that starts where every replica does; checked against the data.
    pub(in super::super) fn initial(&self) -> Result<Replica, FunctionError> {
        torch::deterministic(seeds::torch(self.training.seed, "model", &[]), || {
            let replica = self.build(Start::Random)?;
            replica.check(&self.model.input)?;
            Ok(replica)
        })
    }

    /// A replica with the parameters of a file.
    pub(in super::super) fn replica(&self, file: &TensorFile) -> Result<Replica, FunctionError> {
        let mut replica = self.blank()?;
        replica.load(file)?;
        Ok(replica)
    }

    /// A replica without values, for what is known of the model without them.
    pub(in super::super) fn blank(&self) -> Result<Replica, FunctionError> {
        self.build(Start::Blank)
    }

    fn build(&self, start: Start) -> Result<Replica, FunctionError> {
        Replica::build(
            self.training.model.architecture,
            self.model.script.as_deref(),
            &self.model.input,
            start,
        )
    }

    /// The seed of what is computed on one batch.
    pub(in super::super) fn batch_seed(&self, round: u32, peer: u32, batch: u32) -> i64 {
        seeds::torch(self.training.seed, "batch", &[round.into(), peer.into(), batch.into()])
    }

    /// The raw values of place `place` of a peer's work.
    pub(in super::super) async fn batch(
        &self,
        environment: &Environment,
        peer: u32,
        work: Work,
        place: u32,
    ) -> Result<TensorFile, FunctionError> {
        let (pass, place) = self.schedule.pass(peer, work, place);
        let order = data::order::batches(self.training.seed, pass, peer, self.schedule.batches(peer));
        let batch = (place as usize).checked_sub(1).and_then(|place| order.get(place));
        let batch = batch.ok_or_else(|| invalid_event(format!("peer {peer} has no batch {place}")))?;
        Made::Batch { peer, batch: *batch }.get(environment, self).await
    }
}
