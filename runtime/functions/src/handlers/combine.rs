//! `combine`: averages one peer's batch gradients of a round, weighted by samples, and publishes the average.
//! Which gradients those are is known from the schedule; what else lies in the store does not matter.

use super::Environment;
use super::gradient::reply;
use super::lineage::Made;
use super::publish::publish;
use crate::aggregation::Mean;
use stepgrad_contract::FunctionError;
use stepgrad_contract::events::{PeerEvent, WorkReply};
use stepgrad_contract::training::Algorithm;

pub(super) async fn handle(environment: &Environment, event: PeerEvent) -> Result<WorkReply, FunctionError> {
    let run = environment.run(&event.run).await?;
    run.check_algorithm(Algorithm::GradientAveraging)?;
    let PeerEvent { round, peer, .. } = event;
    let mut mean = Mean::default();
    for batch in run.work(round, peer)?.places() {
        let file = Made::Gradient { round, peer, batch }.get(environment, &run).await?;
        mean.add(&format!("batch {batch} of peer {peer}"), file)?;
    }
    let file = environment.published(mean.finish(), None);
    publish(environment, &run, round, peer, &file).await?;
    Ok(reply(peer, &file.sums))
}
