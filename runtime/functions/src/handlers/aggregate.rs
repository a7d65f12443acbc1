//! `aggregate`: the server collects what all members published and updates the one model.

use super::Environment;
use super::exchange::{Places, exchange};
use stepgrad_contract::events::{ReplicaReply, RoundEvent};
use stepgrad_contract::training::Topology;
use stepgrad_contract::{FunctionError, keys};

pub(super) async fn handle(
    environment: &Environment,
    event: RoundEvent,
) -> Result<ReplicaReply, FunctionError> {
    let run = environment.run(&event.run).await?;
    run.check_topology(Topology::ParameterServer)?;
    let round = event.round;
    run.check_round(round)?;
    let store = &environment.store;
    let members = run.members(store, round).await?.members;
    let places = Places {
        start: keys::server_replica(&run.id, round - 1),
        state: (round > 1).then(|| keys::server_optimizer(&run.id, round - 1)),
        replica: keys::server_replica(&run.id, round),
        state_after: keys::server_optimizer(&run.id, round),
    };
    Ok(ReplicaReply { replica: exchange(&run, store, round, &members, places).await? })
}
