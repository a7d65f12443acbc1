//! `aggregate`: the server collects what all members published and updates the one model.

use super::Environment;
use super::exchange::{Places, exchange};
use super::lineage::Made;
use stepgrad_contract::events::{ReplicaReply, RoundEvent};
use stepgrad_contract::training::Topology;
use stepgrad_contract::{FunctionError, view};

pub(super) async fn handle(
    environment: &Environment,
    event: RoundEvent,
) -> Result<ReplicaReply, FunctionError> {
    let run = environment.run(&event.run).await?;
    run.check_topology(Topology::ParameterServer)?;
    let round = event.round;
    run.check_round(round)?;
    let members = run.members(&environment.store, round, view::FIRST).await?;
    let places = Places {
        start: Made::ServerReplica { round: round - 1 },
        state: (round > 1).then(|| Made::ServerOptimizer { round: round - 1 }),
        replica: Made::ServerReplica { round },
        state_after: Made::ServerOptimizer { round },
    };
    Ok(ReplicaReply { replica: exchange(&run, environment, &members, places).await? })
}
