//! `train`: trains a local model on the peer's batches of the round, from the parameters the round starts
//! from, and publishes its parameters. The momentum stays with the peer from round to round; where the peer
//! was lost in the round before, it begins anew.
//!
//! The published sums are those of one pass: with whole passes a round (`every: epoch`) the last one's, else
//! those of the round's batches.
//!
//! A round of many batches can take longer than a call may: then it is handed over (see [`super::hand_over`]).

use super::gradient::reply;
use super::hand_over::Watch;
use super::lineage::{Made, is_lost, tell};
use super::publish::publish;
use super::run::Run;
use super::{Environment, invalid_event};
use crate::data::Batch;
use crate::models::Replica;
use crate::optimizers::sgd::{self, State};
use crate::torch;
use stepgrad_contract::events::{HandedOver, TrainEvent, TrainReply};
use stepgrad_contract::progress::Sums;
use stepgrad_contract::schedule::Work;
use stepgrad_contract::tensors::TensorFile;
use stepgrad_contract::training::Algorithm;
use stepgrad_contract::{ErrorKind, Function, FunctionError, keys, view};

pub(super) async fn handle(
    environment: &Environment,
    event: TrainEvent,
) -> Result<TrainReply, FunctionError> {
    let run = environment.run(&event.run).await?;
    run.check_algorithm(Algorithm::ModelAveraging)?;
    let TrainEvent { round, peer, handed_over, .. } = event;
    let (work, store) = (run.work(round, peer)?, &environment.store);
    let is_continued = handed_over.continuation > 0;
    if is_continued && !work.places().skip(1).any(|place| place == handed_over.next) {
        let HandedOver { next, .. } = handed_over;
        return Err(invalid_event(format!("peer {peer} cannot go on from batch {next} of round {round}")));
    }
    let local = Local { environment, run: &run, round, peer, work };
    let mut watch = Watch::begin(Function::Train, environment, &run.training.hand_over);
    let (published, state) = if work.places().next().is_none() {
        (TensorFile::default(), local.state_before().await?)
    } else {
        let learning_rate = run.before(store, round).await?.learning_rate;
        let Begin { place: first, model, momentum } = local.begin(handed_over).await?;
        let mut sums = model.sums;
        let mut replica = run.replica(&model)?;
        drop(model);
        let mut optimizer = State::load(&momentum)?;
        drop(momentum);
        watch.loaded()?;
        for place in first..=work.last {
            if run.schedule.whole_passes() && (place - 1) % run.schedule.batches(peer).max(1) == 0 {
                sums = Sums::default();
            }
            let raw = run.batch(environment, peer, work, place).await?;
            let loss = torch::deterministic(run.batch_seed(round, peer, place), || {
                let batch = environment.labelled(Batch::load(&raw, &run.manifest)?, &run);
                let (gradients, sums) = replica.gradient(&batch, run.training.model.loss)?;
                let parameters = replica.parameters();
                sgd::step(&run.training.optimizer, learning_rate, parameters, &gradients, &mut optimizer)?;
                Ok::<_, FunctionError>(sums)
            })?;
            sums.add(&loss);
            if watch.stepped() && place < work.last {
                local.save(place + 1, sums, replica, optimizer).await?;
                local.is_answerable(place)?;
                let continuation = handed_over.continuation.saturating_add(1);
                let handed_over = Some(HandedOver { continuation, next: place + 1 });
                return Ok(TrainReply { work: reply(peer, &sums), handed_over });
            }
        }
        let trained = TensorFile { sums, ..replica.into_file()? };
        // Only a liar needs to know where it started.
        let published = match environment.lies() {
            true => {
                let start = run.start(store, round, peer).await?;
                environment.published(trained, Some(&start.get(environment, &run).await?))
            }
            false => trained,
        };
        (published, optimizer.save()?)
    };
    if run.has_momentum() {
        store.put_tensors(&keys::optimizer(&run.id, round, peer), &state).await?;
    }
    publish(environment, &run, round, peer, &published).await?;
    Ok(TrainReply { work: reply(peer, &published.sums), handed_over: None })
}

/// What a call goes on from.
struct Begin {
    /// The place of its first batch.
    place: u32,
    /// Parameters and buffers, and the sums so far.
    model: TensorFile,
    momentum: TensorFile,
}

/// A peer's local training in one round.
struct Local<'a> {
    environment: &'a Environment,
    run: &'a Run,
    round: u32,
    peer: u32,
    work: Work,
}

impl Local<'_> {
    /// Where a call begins: where the call before handed over, or at an earlier place of the round that is saved, or at
    /// the round's beginning.
    async fn begin(&self, handed_over: HandedOver) -> Result<Begin, FunctionError> {
        let Self { environment, run, round, peer, work } = self;
        // Who trains in another's name was handed nothing over, and takes what there is.
        let next = if environment.is_repair() { work.last + 1 } else { handed_over.next };
        let is_continued = handed_over.continuation > 0;
        if is_continued && let Some(begin) = self.saved(next).await? {
            return Ok(begin);
        }
        if is_continued || environment.is_repair() {
            let keys = environment.store.list(&keys::local_states(&run.id, *round, *peer)).await?;
            let places = keys.iter().rev().filter_map(|key| keys::local_place(key));
            for place in places.filter(|place| *place > work.first && *place < next) {
                if let Some(begin) = self.saved(place).await? {
                    return Ok(begin);
                }
            }
        }
        let momentum = self.state_before().await?;
        let start = run.start(&environment.store, *round, *peer).await?.get(environment, run).await?;
        Ok(Begin { place: work.first, model: TensorFile { sums: Sums::default(), ..start }, momentum })
    }

    /// What was saved before the batch at `place`; `None` where it is lost or damaged.
    async fn saved(&self, place: u32) -> Result<Option<Begin>, FunctionError> {
        let Self { environment, run, round, peer, .. } = self;
        let store = &environment.store;
        let intact = async |key: String| match store.get_tensors(&key).await {
            Err(lost) if is_lost(&lost) => {
                tell(&key, &lost);
                Ok(None)
            }
            other => other.map(Some),
        };
        let momentum = match run.has_momentum() {
            true => intact(keys::local_optimizer(&run.id, *round, *peer, place)).await?,
            false => Some(TensorFile::default()),
        };
        let Some(momentum) = momentum else { return Ok(None) };
        let model = intact(keys::local_model(&run.id, *round, *peer, place)).await?;
        Ok(model.map(|model| Begin { place, model, momentum }))
    }

    /// Saves what the call that begins with the batch at `place` needs.
    async fn save(
        &self,
        place: u32,
        sums: Sums,
        replica: Replica,
        optimizer: State,
    ) -> Result<(), FunctionError> {
        let Self { environment, run, round, peer, .. } = self;
        let store = &environment.store;
        let model = TensorFile { sums, ..replica.into_file()? };
        store.put_tensors(&keys::local_model(&run.id, *round, *peer, place), &model).await?;
        drop(model);
        if run.has_momentum() {
            let key = keys::local_optimizer(&run.id, *round, *peer, place);
            store.put_tensors(&key, &optimizer.save()?).await?;
        }
        Ok(())
    }

    /// Checks that whoever called knows how to call again: not so where the model is made again for another step, whose
    /// own repetition then goes on from what is saved.
    fn is_answerable(&self, place: u32) -> Result<(), FunctionError> {
        if !self.environment.is_repair() {
            return Ok(());
        }
        let message = format!(
            "what peer {} published in round {} is made again, and is after {} of {} batches: call again",
            self.peer,
            self.round,
            place + 1 - self.work.first,
            self.work.places().count()
        );
        Err(FunctionError::new(ErrorKind::ObjectMissing, message))
    }

    /// The momentum before the round.
    async fn state_before(&self) -> Result<TensorFile, FunctionError> {
        let Self { environment, run, round, peer, .. } = *self;
        if !run.has_momentum() || round <= 1 {
            return Ok(TensorFile::default());
        }
        // Whoever published has a state, even if it was lost afterwards.
        if !run.members(&environment.store, round - 1, view::FIRST).await?.members.contains(&peer) {
            return Ok(TensorFile::default());
        }
        Made::Optimizer { round: round - 1, view: view::FIRST, peer }.get(environment, run).await
    }
}
