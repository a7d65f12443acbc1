//! `heartbeat`: a peer that was left out of the round before says that it is there for this one. It answers only if it
//! can go on: if it reaches the replica that it would start from, a survivor's, and if, where peers sign what they
//! publish, it has the key that the spec lists for it. Nothing is written.

use super::Environment;
use super::lineage::is_lost;
use super::publish::own_key;
use stepgrad_contract::FunctionError;
use stepgrad_contract::events::{HeartbeatReply, PeerEvent};

pub(super) async fn handle(
    environment: &Environment,
    event: PeerEvent,
) -> Result<HeartbeatReply, FunctionError> {
    let run = environment.run(&event.run).await?;
    let PeerEvent { round, peer, .. } = event;
    run.work(round, peer)?;
    own_key(environment, &run, peer).await?;
    let start = run.start(&environment.store, round, peer).await?;
    match environment.store.get_sums(&start.key(&run)).await {
        // What is missing or damaged is made again by who reads the whole.
        Err(error) if !is_lost(&error) => Err(error),
        _ => Ok(HeartbeatReply { round, peer }),
    }
}
