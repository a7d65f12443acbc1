//! A run as its functions see it: the configuration, the manifest, the schedule, and where a replica's
//! parameters of the round before are.

#[cfg(feature = "torch")]
mod model;

use super::invalid_event;
use super::lineage::Made;
use crate::store::Store;
use stepgrad_contract::fanout::Choice;
use stepgrad_contract::manifest::Manifest;
use stepgrad_contract::progress::{Members, Progress};
use stepgrad_contract::schedule::{Schedule, Work};
use stepgrad_contract::training::{Algorithm, Optimizer, Topology, Training, VERSION};
use stepgrad_contract::{ErrorKind, FunctionError, keys, view};

/// A run.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) id: String,
    pub(super) training: Training,
    pub(super) manifest: Manifest,
    pub(super) schedule: Schedule,
    #[cfg(feature = "torch")]
    model: model::Model,
}

/// The training configuration of a run.
pub(super) async fn training(store: &Store, id: &str) -> Result<Training, FunctionError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if id.is_empty() || id.len() > 128 || id.starts_with('.') || !id.bytes().all(plain) {
        return Err(invalid_event(format!("{id:?} is no run: an id has letters, digits, -, _ and dots")));
    }
    let training: Training = store.get_json(&keys::training(id)).await?;
    if training.version != VERSION {
        let message = format!(
            "training.json has version {} and these functions know {VERSION}: compile and deploy both anew",
            training.version
        );
        return Err(invalid_event(message));
    }
    Ok(training)
}

impl Run {
    pub(super) async fn load(store: &Store, id: &str, training: Training) -> Result<Self, FunctionError> {
        let manifest: Manifest = store.get_document(&keys::manifest(id)).await?;
        #[cfg(feature = "torch")]
        let model = model::Model::load(store, id, &training, &manifest).await?;
        let schedule = Schedule::new(&training, &manifest)?;
        Ok(Self {
            id: id.to_owned(),
            training,
            manifest,
            schedule,
            #[cfg(feature = "torch")]
            model,
        })
    }

    /// What a peer works on in a round; checks that both are.
    pub(super) fn work(&self, round: u32, peer: u32) -> Result<Work, FunctionError> {
        self.check_round(round)?;
        if peer == 0 || peer > self.training.peers {
            return Err(invalid_event(format!("peer {peer} is none of the {} peers", self.training.peers)));
        }
        Ok(self.schedule.work(round, peer))
    }

    /// Checks that there is such a round.
    pub(super) fn check_round(&self, round: u32) -> Result<(), FunctionError> {
        match round > 0 && (round == 1 || !self.schedule.is_last(round - 1)) {
            true => Ok(()),
            false => Err(invalid_event(format!("round {round} is none of the training's rounds"))),
        }
    }

    /// Checks that the training has the stage that is asked for.
    pub(super) fn check_algorithm(&self, algorithm: Algorithm) -> Result<(), FunctionError> {
        match self.training.algorithm == algorithm {
            true => Ok(()),
            false => Err(invalid_event(format!(
                "the training has no such stage: it is {:?}",
                self.training.algorithm
            ))),
        }
    }

    /// Checks that the training has the stage that is asked for.
    pub(super) fn check_topology(&self, topology: Topology) -> Result<(), FunctionError> {
        match self.training.topology == topology {
            true => Ok(()),
            false => Err(invalid_event(format!(
                "the training has no such stage: it is {:?}",
                self.training.topology
            ))),
        }
    }

    /// How the fan-out of every round is carried; `None` where it cannot be.
    pub(super) fn choice(&self) -> Option<Choice> {
        let batches = match self.training.algorithm {
            Algorithm::GradientAveraging => {
                let peers = 1..=self.training.peers;
                peers.map(|peer| self.schedule.work(1, peer).last).max().unwrap_or(0)
            }
            Algorithm::ModelAveraging => 0,
        };
        self.training.carriers.choose(self.training.peers, batches)
    }

    /// Whether the optimiser has a state.
    pub(super) fn has_momentum(&self) -> bool {
        let Optimizer::Sgd { momentum, .. } = self.training.optimizer;
        momentum != 0.0
    }

    /// What was known after the round before `round`.
    pub(super) async fn before(&self, store: &Store, round: u32) -> Result<Progress, FunctionError> {
        if round <= 1 {
            let Optimizer::Sgd { learning_rate, .. } = self.training.optimizer;
            return Ok(Progress::start(learning_rate));
        }
        self.progress(store, round - 1).await
    }

    /// Peers that are not gone, ascending.
    pub(super) fn present(&self, before: &Progress) -> impl Iterator<Item = u32> {
        (1..=self.training.peers).filter(move |peer| !before.gone.contains(peer))
    }

    /// What was known after a round.
    pub(super) async fn progress(&self, store: &Store, round: u32) -> Result<Progress, FunctionError> {
        let progress: Progress = store.get_document(&keys::progress(&self.id, round)).await?;
        of_round(progress.round, round, "progress")?;
        Ok(progress)
    }

    /// Who took part in a round's exchange, in a view of it.
    pub(super) async fn members(
        &self,
        store: &Store,
        round: u32,
        view: u32,
    ) -> Result<Members, FunctionError> {
        let members: Members =
            store.get_document(&keys::in_view(keys::members(&self.id, round), view)).await?;
        of_round(members.round, round, "members")?;
        Ok(members)
    }

    /// The view that the round before was settled in, and whose replica and state of it `peer` goes on from in a
    /// peer-to-peer exchange: its own, or that of the lowest peer that has one, where it was lost; `None` before the
    /// first round.
    pub(super) async fn predecessor(
        &self,
        store: &Store,
        round: u32,
        peer: u32,
    ) -> Result<Option<(u32, u32)>, FunctionError> {
        if round <= 1 {
            return Ok(None);
        }
        let Progress { view, holders, .. } = self.progress(store, round - 1).await?;
        if holders.contains(&peer) {
            return Ok(Some((view, peer)));
        }
        holders.first().map(|peer| Some((view, *peer))).ok_or_else(|| {
            let message = format!("nobody has a replica of round {}", round - 1);
            FunctionError::new(ErrorKind::Internal, message)
        })
    }

    /// The view that the round before was settled in, where a server has the one model.
    pub(super) async fn server_before(&self, store: &Store, round: u32) -> Result<u32, FunctionError> {
        match round {
            0 | 1 => Ok(view::FIRST),
            _ => Ok(self.progress(store, round - 1).await?.view),
        }
    }

    /// The parameters that `peer` starts `round` from.
    pub(super) async fn start(&self, store: &Store, round: u32, peer: u32) -> Result<Made, FunctionError> {
        if self.training.topology == Topology::ParameterServer {
            let view = self.server_before(store, round).await?;
            return Ok(Made::ServerReplica { round: round.saturating_sub(1), view });
        }
        Ok(start_after(round, self.predecessor(store, round, peer).await?))
    }
}

/// The parameters that a peer starts `round` from whose predecessor, with its view, is `before`.
pub(super) const fn start_after(round: u32, before: Option<(u32, u32)>) -> Made {
    match before {
        Some((view, peer)) => Made::Replica { round: round - 1, view, peer },
        None => Made::ServerReplica { round: 0, view: view::FIRST },
    }
}

/// Checks that a document is that of the round that was asked for.
fn of_round(found: u32, round: u32, what: &str) -> Result<(), FunctionError> {
    match found == round {
        true => Ok(()),
        false => Err(FunctionError::new(
            ErrorKind::StaleObject,
            format!("the {what} read for round {round} are those of round {found}"),
        )),
    }
}
