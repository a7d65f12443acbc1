//! `membership`: decides from the peers' reports who takes part in a round's exchange, and whether the quorum
//! holds.

use super::{Environment, fanout, invalid_event};
use std::collections::BTreeMap;
use stepgrad_contract::events::{MembershipEvent, MembershipReply, Report, Reports, Status};
use stepgrad_contract::progress::Members;
use stepgrad_contract::{FunctionError, keys};

pub(super) async fn handle(
    environment: &Environment,
    event: MembershipEvent,
) -> Result<MembershipReply, FunctionError> {
    let run = environment.run(&event.run).await?;
    run.check_round(event.round)?;
    let reports = event.reports.iter().flat_map(|reports| match reports {
        Reports::One(report) => std::slice::from_ref(report),
        Reports::Group(reports) => reports.as_slice(),
    });
    let mut statuses = BTreeMap::new();
    for Report { peer, status, .. } in reports {
        if statuses.insert(*peer, *status).is_some() {
            return Err(invalid_event(format!("peer {peer} is reported twice")));
        }
    }
    if !statuses.keys().copied().eq(1..=run.training.peers) {
        let reported = statuses.len();
        return Err(invalid_event(format!(
            "{reported} reports, where each of the {} peers has to have one",
            run.training.peers
        )));
    }
    let of =
        |status| statuses.iter().filter(move |(_, found)| **found == status).map(|(peer, _)| *peer).collect();
    let members = Members { members: of(Status::Ok), lost: of(Status::Lost) };
    let quorum = members.members.len() >= run.training.quorum.max(1) as usize;
    if quorum {
        environment.store.put_json(&keys::members(&run.id, event.round), &members).await?;
    }
    let fanout = fanout::of_members(&run, &members.members)?;
    Ok(MembershipReply { quorum, fanout, lost: members.lost })
}
