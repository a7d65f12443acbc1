//! `membership`: decides from the peers' reports who takes part in a round's exchange, and whether the quorum
//! holds.

use super::{Environment, fanout, invalid_event};
use std::collections::BTreeMap;
use stepgrad_contract::events::{MembershipEvent, MembershipReply, Reports};
use stepgrad_contract::progress::{Lost, Members};
use stepgrad_contract::{FunctionError, keys};

pub(super) async fn handle(
    environment: &Environment,
    event: MembershipEvent,
) -> Result<MembershipReply, FunctionError> {
    let run = environment.run(&event.run).await?;
    run.check_round(event.round)?;
    let mut errors = BTreeMap::new();
    for report in event.reports.iter().flat_map(Reports::each) {
        if errors.insert(report.peer, report.loss()).is_some() {
            return Err(invalid_event(format!("peer {} is reported twice", report.peer)));
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
