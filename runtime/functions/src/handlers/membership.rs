//! `membership`: decides from the peers' reports who takes part in a round's exchange, and whether the quorum
//! holds. The first view of the members are those whose work was done. A second one is decided where the quorum has no
//! replica after the exchange: those members of the first that reach one another ([`stepgrad_contract::view`]), or that
//! the server reaches, where there is one.

use super::run::Run;
use super::{Environment, fanout, invalid_event};
use std::collections::BTreeMap;
use stepgrad_contract::events::{MembershipEvent, MembershipReply, Report, Reports};
use stepgrad_contract::progress::{Lost, Members, Progress};
use stepgrad_contract::training::{Algorithm, HandOver, Topology, Training};
use stepgrad_contract::view::{self, Reached, agreeing};
use stepgrad_contract::{ErrorKind, FunctionError, keys};

pub(super) async fn handle(
    environment: &Environment,
    event: MembershipEvent,
) -> Result<MembershipReply, FunctionError> {
    let run = environment.run(&event.run).await?;
    let MembershipEvent { round, view, .. } = event;
    run.check_round(round)?;
    let server = event.reports.iter().find_map(|reports| match reports {
        Reports::Server { reached } => Some(*reached),
        _ => None,
    });
    let mut reports = BTreeMap::new();
    for report in event.reports.iter().flat_map(Reports::each) {
        let peer = report.peer;
        if reports.insert(peer, report).is_some() {
            return Err(invalid_event(format!("peer {peer} is reported twice")));
        }
    }
    let members = match view {
        view::FIRST => by_work(&run, &run.before(&environment.store, round).await?, round, reports)?,
        view::LAST => {
            let first = run.members(&environment.store, round, view::FIRST).await?;
            match server {
                Some(reached) => by_server(&run, &first, reached)?,
                None => by_reach(&first, &reports)?,
            }
        }
        other => return Err(invalid_event(format!("a round has no view {other} of its members"))),
    };
    let quorum = members.members.len() >= run.training.quorum.max(1) as usize;
    if quorum {
        let key = keys::in_view(keys::members(&run.id, round), view);
        environment.store.put_document(&key, &members).await?;
    }
    let fanout = fanout::of_members(&run, &members.members)?;
    let mut cause = cause(&members, run.training.topology, run.training.peers, run.training.quorum);
    if let Some(advice) = advice(&members.lost, &run.training) {
        cause = format!("{cause}; {advice}");
    }
    Ok(MembershipReply { quorum, fanout, cause })
}

/// Those whose work was done.
fn by_work(
    run: &Run,
    before: &Progress,
    round: u32,
    reports: BTreeMap<u32, Report>,
) -> Result<Members, FunctionError> {
    if !reports.keys().copied().eq(run.present(before)) {
        return Err(invalid_event(format!(
            "{} reports, where each of {} peers, but for {} that are gone, has to have one",
            reports.len(),
            run.training.peers,
            before.gone.len()
        )));
    }
    let mut members = Members { round, view: view::FIRST, members: Vec::new(), lost: Vec::new() };
    for (peer, report) in reports {
        match report.loss() {
            None => members.members.push(peer),
            Some(error) => members.lost.push(Lost { peer, error }),
        }
    }
    Ok(members)
}

/// Those of the first view that reach one another. Who has a replica could read all; who neither has one nor tells
/// whom it reaches is lost as it is reported.
fn by_reach(first: &Members, reports: &BTreeMap<u32, Report>) -> Result<Members, FunctionError> {
    if !reports.keys().eq(&first.members) {
        return Err(invalid_event(format!(
            "{} members report their exchange, where round {} has {}",
            reports.len(),
            first.round,
            first.members.len()
        )));
    }
    let reach = |report: &Report| match (report.loss(), report.reached) {
        (None, _) => Some(first.members.iter().copied().collect()),
        (Some(_), Some(reached)) => Some(reached.of_members(&first.members)),
        (Some(_), None) => None,
    };
    let reached = reports.iter().filter_map(|(peer, report)| Some((*peer, reach(report)?))).collect();
    let silent = |peer: u32| reports.get(&peer).filter(|report| report.reached.is_none())?.loss();
    Ok(second(first, agreeing(&reached), silent))
}

/// Those of the first view that the server reaches.
fn by_server(run: &Run, first: &Members, reached: Reached) -> Result<Members, FunctionError> {
    run.check_topology(Topology::ParameterServer)?;
    let reached = reached.of_members(&first.members);
    Ok(second(first, reached.iter().copied().collect(), |_| None))
}

/// The second view of `members`; of the others `why` tells another error than that they are not reached.
fn second(first: &Members, members: Vec<u32>, why: impl Fn(u32) -> Option<String>) -> Members {
    let left_out = first.members.iter().filter(|peer| !members.contains(peer)).map(|peer| Lost {
        peer: *peer,
        error: why(*peer).unwrap_or_else(|| ErrorKind::PeerUnreachable.name().to_owned()),
    });
    let mut lost: Vec<Lost> = first.lost.iter().cloned().chain(left_out).collect();
    lost.sort_by_key(|lost| lost.peer);
    Members { round: first.round, view: view::LAST, members, lost }
}

/// Who is there and who is not, in words; the first few of the lost by name.
fn cause(members: &Members, topology: Topology, peers: u32, quorum: u32) -> String {
    const NAMED: usize = 8;
    let (here, round) = (members.members.len(), members.round);
    let did = match (members.view, topology) {
        (view::FIRST, _) => "finished their work of",
        (_, Topology::PeerToPeer) => "reach one another in",
        (_, Topology::ParameterServer) => "are reached by the server in",
    };
    let mut text = format!("{here} of {peers} peers {did} round {round}, the quorum is {quorum}");
    let named: Vec<_> = members.lost.iter().take(NAMED).map(ToString::to_string).collect();
    if !named.is_empty() {
        text = format!("{text}; lost: {}", named.join(", "));
    }
    match members.lost.len().saturating_sub(NAMED) {
        0 => text,
        more => format!("{text} and {more} more"),
    }
}

/// What to do about peers that ran out of time.
fn advice(lost: &[Lost], training: &Training) -> Option<String> {
    let too_often = lost.iter().any(|lost| lost.error == ErrorKind::TooManyHandOvers.name());
    let late = [ErrorKind::OutOfTime.name(), "Sandbox.Timedout", "States.Timeout"];
    let too_slow = lost.iter().any(|lost| late.contains(&lost.error.as_str()));
    let HandOver { at_most, train_timeout_s, .. } = training.hand_over;
    match (training.algorithm, train_timeout_s) {
        (Algorithm::ModelAveraging, Some(limit)) if too_often => Some(format!(
            "train was not done after {} calls of up to {limit} s each: raise functions.train.timeout_s or functions.hand_over.at_most",
            at_most.saturating_add(1)
        )),
        (Algorithm::ModelAveraging, Some(limit)) if too_slow => Some(format!(
            "a call of train may take {limit} s: where that does not hold one batch, raise functions.train.timeout_s or lower training.batch_size"
        )),
        (Algorithm::GradientAveraging, _) if too_slow => Some(
            "calls ran out of time: raise functions.gradient.timeout_s or functions.combine.timeout_s, or lower training.batch_size"
                .to_owned(),
        ),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{by_reach, cause};
    use std::collections::BTreeMap;
    use stepgrad_contract::events::{Report, Status};
    use stepgrad_contract::progress::{Lost, Members};
    use stepgrad_contract::training::Topology;
    use stepgrad_contract::view::{self, Reached};

    #[test]
    fn the_cause_names_the_first_of_the_lost() {
        let lost = (2..=12).map(|peer| Lost { peer, error: "Runtime.ExitError".to_owned() }).collect();
        let text = cause(
            &Members { round: 3, view: view::FIRST, members: vec![1], lost },
            Topology::PeerToPeer,
            12,
            6,
        );
        assert!(
            text.starts_with("1 of 12 peers finished their work of round 3, the quorum is 6; lost: peer 2 "),
            "{text}"
        );
        assert!(text.ends_with("peer 9 (Runtime.ExitError) and 3 more"), "{text}");
    }

    #[test]
    fn a_second_view_are_those_that_reach_one_another() {
        let lost = |peer, error: &str| Lost { peer, error: error.to_owned() };
        let first = Members {
            round: 3,
            view: view::FIRST,
            members: vec![1, 2, 4, 5, 6],
            lost: vec![lost(3, "Runtime.ExitError")],
        };
        let report = |peer, reached: Option<[u32; 5]>| Report {
            peer,
            status: Status::Lost,
            error: Some("Sandbox.Timedout".to_owned()),
            replica: None,
            reached: reached.and_then(|reached| Reached::of(&reached.map(|bit| bit == 1))),
        };
        let held = Report { status: Status::Ok, replica: Some("0".repeat(64)), ..report(6, None) };
        // 1 and 2 reach 6 alone beside one another; so do 4 and 6; 5 died.
        let reports: BTreeMap<u32, Report> = [
            report(1, Some([1, 1, 0, 0, 1])),
            report(2, Some([1, 1, 0, 0, 1])),
            report(4, Some([0, 0, 1, 0, 1])),
            report(5, None),
            held,
        ]
        .map(|report| (report.peer, report))
        .into();
        let second = by_reach(&first, &reports).unwrap();
        assert_eq!((second.view, &second.members[..]), (view::LAST, &[1, 2, 6][..]));
        let errors =
            [lost(3, "Runtime.ExitError"), lost(4, "Stepgrad.PeerUnreachable"), lost(5, "Sandbox.Timedout")];
        assert_eq!(second.lost, errors);
        let text = cause(&second, Topology::PeerToPeer, 6, 4);
        assert!(
            text.starts_with("3 of 6 peers reach one another in round 3, the quorum is 4; lost"),
            "{text}"
        );
        let few = reports.into_iter().skip(1).collect();
        assert!(by_reach(&first, &few).is_err(), "every member has to be told of");
    }
}
