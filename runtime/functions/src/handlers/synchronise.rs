//! `synchronise`: one peer collects what all members published and updates its own replica.

use super::exchange::{Places, exchange};
use super::lineage::Made;
use super::run::start_after;
use super::{Environment, invalid_event};
use stepgrad_contract::FunctionError;
use stepgrad_contract::events::{ExchangeEvent, SynchroniseReply};
use stepgrad_contract::training::Topology;

pub(super) async fn handle(
    environment: &Environment,
    event: ExchangeEvent,
) -> Result<SynchroniseReply, FunctionError> {
    let run = environment.run(&event.run).await?;
    run.check_topology(Topology::PeerToPeer)?;
    let ExchangeEvent { round, view, peer, .. } = event;
    run.work(round, peer)?;
    let store = &environment.store;
    let members = run.members(store, round, view).await?;
    if !members.members.contains(&peer) {
        return Err(invalid_event(format!("peer {peer} is not a member of round {round}")));
    }
    let before = run.predecessor(store, round, peer).await?;
    let places = Places {
        start: start_after(round, before),
        state: before.map(|(view, peer)| Made::Optimizer { round: round - 1, view, peer }),
        replica: Made::Replica { round, view, peer },
        state_after: Made::Optimizer { round, view, peer },
    };
    Ok(SynchroniseReply { peer, replica: exchange(&run, environment, &members, places).await? })
}
