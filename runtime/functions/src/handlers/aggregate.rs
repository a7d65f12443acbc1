//! `aggregate`: the server collects what all members published and updates the one model.

use super::Environment;
use super::exchange::{Places, exchange};
use super::lineage::Made;
use stepgrad_contract::FunctionError;
use stepgrad_contract::events::{AggregateEvent, ReplicaReply};
use stepgrad_contract::training::Topology;

pub(super) async fn handle(
    environment: &Environment,
    event: AggregateEvent,
) -> Result<ReplicaReply, FunctionError> {
    let run = environment.run(&event.run).await?;
    run.check_topology(Topology::ParameterServer)?;
    let AggregateEvent { round, view, .. } = event;
    run.check_round(round)?;
    let members = run.members(&environment.store, round, view).await?;
    let before = run.server_before(&environment.store, round).await?;
    let places = Places {
        start: Made::ServerReplica { round: round - 1, view: before },
        state: (round > 1).then(|| Made::ServerOptimizer { round: round - 1, view: before }),
        replica: Made::ServerReplica { round, view },
        state_after: Made::ServerOptimizer { round, view },
    };
    Ok(ReplicaReply { replica: exchange(&run, environment, &members, places).await? })
}
