//! `membership`: decides from the peers' reports who takes part in a round's exchange, and whether the quorum
//! holds.

use super::{Environment, fanout, invalid_event};
use std::collections::BTreeMap;
use stepgrad_contract::events::{MembershipEvent, MembershipReply, Report, Reports, Status};
use stepgrad_contract::progress::{Lost, Members};
use stepgrad_contract::{FunctionError, keys};

pub(super) async fn handle(
    environment: &Environment,
    event: MembershipEvent,
) -> Result<MembershipReply, FunctionError> {
    let run = environment.run(&event.run).await?;
    run.check_round(event.round)?;
    let mut errors = BTreeMap::new();
    for (peer, error) in event.reports.iter().flat_map(outcomes) {
        if errors.insert(peer, error).is_some() {
            return Err(invalid_event(format!("peer {peer} is reported twice")));
        }
    }
    if !errors.keys().copied().eq(1..=run.training.peers) {
        let reported = errors.len();
        return Err(invalid_event(format!(
            "{reported} reports, where each of the {} peers has to have one",
            run.training.peers
        )));
    }
    let mut members = Members { round: event.round, members: Vec::new(), lost: Vec::new() };
    for (peer, error) in errors {
        match error {
            None => members.members.push(peer),
            Some(error) => members.lost.push(Lost { peer, error }),
        }
    }
    let quorum = members.members.len() >= run.training.quorum.max(1) as usize;
    if quorum {
        environment.store.put_document(&keys::members(&run.id, event.round), &members).await?;
    }
    let fanout = fanout::of_members(&run, &members.members)?;
    let cause = cause(&members, run.training.peers, run.training.quorum, event.round);
    Ok(MembershipReply { quorum, fanout, cause })
}

/// Each reported peer, with its error if it is lost.
fn outcomes(reports: &Reports) -> Vec<(u32, Option<String>)> {
    let outcome = |report: &Report| {
        let error = match report.status {
            Status::Ok => None,
            Status::Lost => Some(report.error.clone().unwrap_or_else(|| "States.TaskFailed".to_owned())),
        };
        (report.peer, error)
    };
    match reports {
        Reports::One(report) => vec![outcome(report)],
        Reports::Group(reports) => reports.iter().map(outcome).collect(),
        Reports::Failed { lost, error } => lost.iter().map(|peer| (*peer, Some(error.clone()))).collect(),
    }
}

/// Who is there and who is not, in words; the first few of the lost by name.
fn cause(members: &Members, peers: u32, quorum: u32, round: u32) -> String {
    const NAMED: usize = 8;
    let here = members.members.len();
    let mut text =
        format!("{here} of {peers} peers finished their work of round {round}, the quorum is {quorum}");
    let named: Vec<_> = members.lost.iter().take(NAMED).map(ToString::to_string).collect();
    if !named.is_empty() {
        text = format!("{text}; lost: {}", named.join(", "));
    }
    match members.lost.len().saturating_sub(NAMED) {
        0 => text,
        more => format!("{text} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::cause;
    use stepgrad_contract::progress::{Lost, Members};

    #[test]
    fn the_cause_names_the_first_of_the_lost() {
        let lost = (2..=12).map(|peer| Lost { peer, error: "Runtime.ExitError".to_owned() }).collect();
        let text = cause(&Members { round: 3, members: vec![1], lost }, 12, 6, 3);
        assert!(
            text.starts_with("1 of 12 peers finished their work of round 3, the quorum is 6; lost: peer 2 "),
            "{text}"
        );
        assert!(text.ends_with("peer 9 (Runtime.ExitError) and 3 more"), "{text}");
    }
}
