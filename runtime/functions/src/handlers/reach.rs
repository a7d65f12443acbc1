//! `reach`: a peer, or the server, that could not read all that the members published tells which of it it can read.
//! Nobody is made to publish again, nothing is written: what comes of the reports is decided by `membership`.

use super::{Environment, invalid_event};
use stepgrad_contract::events::{ReachEvent, ReachReply};
use stepgrad_contract::training::Topology;
use stepgrad_contract::view::{self, Reached};
use stepgrad_contract::{ErrorKind, FunctionError, keys};

pub(super) async fn handle(
    environment: &Environment,
    event: ReachEvent,
) -> Result<ReachReply, FunctionError> {
    let run = environment.run(&event.run).await?;
    let ReachEvent { round, peer, .. } = event;
    run.check_topology(if peer.is_some() { Topology::PeerToPeer } else { Topology::ParameterServer })?;
    run.check_round(round)?;
    let store = &environment.store;
    let members = run.members(store, round, view::FIRST).await?.members;
    if let Some(peer) = peer
        && !members.contains(&peer)
    {
        return Err(invalid_event(format!("peer {peer} is not a member of round {round}")));
    }
    if members.len() > view::MEMBERS {
        let message = format!(
            "a second view is decided for {} members at the most, and round {round} has {}",
            view::MEMBERS,
            members.len()
        );
        return Err(FunctionError::new(ErrorKind::LimitExceeded, message));
    }
    let mut reached = Vec::with_capacity(members.len());
    for other in members {
        // What is missing or damaged can be made again; what cannot be reached stays where it is.
        let sums = store.get_sums(&keys::published(&run.id, round, other)).await;
        reached.push(!sums.is_err_and(|error| error.kind == ErrorKind::ObjectUnavailable));
    }
    let reached = Reached::of(&reached)
        .ok_or_else(|| FunctionError::new(ErrorKind::Internal, "more members than a report has places"))?;
    Ok(ReachReply { peer, reached })
}
