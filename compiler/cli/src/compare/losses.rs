//! How long it took a run to go on without a peer, and to have it back.

use super::Told;
use std::collections::BTreeMap;
use stepgrad_compiler::faults::LostPeer;
use stepgrad_contract::events::RoundMetrics;
use stepgrad_contract::faults::{Fired as Firing, ObjectKind, Where};

/// Every loss of a peer, by peer and round.
pub(super) fn of(told: &Told) -> Vec<LostPeer> {
    let rounds: Vec<_> = told.rounds.values().filter_map(|round| round.metrics.as_ref()).collect();
    let mut spans: BTreeMap<u32, Vec<(u32, u32)>> = BTreeMap::new();
    for metrics in &rounds {
        for peer in absent(metrics) {
            let spans = spans.entry(peer).or_default();
            match spans.last_mut() {
                Some((_, last)) if *last + 1 == metrics.round => *last = metrics.round,
                _ => spans.push((metrics.round, metrics.round)),
            }
        }
    }
    let mut losses = Vec::new();
    for (peer, spans) in spans {
        let mut before = 0;
        for (first, last) in spans {
            losses.push(loss(told, peer, before, first, last));
            before = last;
        }
    }
    losses
}

/// Peers that took no part in a round: those that were lost in it, and those that are gone.
fn absent(metrics: &RoundMetrics) -> impl Iterator<Item = u32> {
    metrics.lost.iter().map(|lost| lost.peer).chain(metrics.gone.iter().copied())
}

/// The loss of `peer` from round `first` to round `last`, where the one before ended with round `before`.
fn loss(told: &Told, peer: u32, before: u32, first: u32, last: u32) -> LostPeer {
    let faults = told.firings.iter().filter(|(_, fired)| concerns(fired, peer));
    let faults = faults.filter_map(|(time, fired)| Some((weight(told, fired), (fired.round?, *time))));
    let (start, end) = around(heaviest(faults.collect(), first), before, first, last);
    let of_first = told.rounds.get(&first);
    let noticed = of_first.and_then(|round| round.noticed.get(&peer).copied());
    // Who takes part is decided when the work is done. Who is lost after that is left out when the round is evaluated.
    let excluded = of_first.and_then(|round| {
        let decided = round.decided?;
        let last = noticed.or(start.filter(|start| start.0 == first).map(|start| start.1));
        if last.is_some_and(|last| last > decided) {
            round.evaluated.or(round.decided)
        } else {
            Some(decided)
        }
    });
    let rejoined = told
        .rounds
        .range(last + 1..)
        .find(|(_, round)| {
            round.metrics.as_ref().is_some_and(|metrics| absent(metrics).all(|absent| absent != peer))
        })
        .map(|(round, _)| *round);
    let back = rejoined.and_then(|round| told.rounds.get(&round)?.decided);
    let seconds = |from: Option<Fired>, to: Option<i64>| Some((to? - from?.1) as f64 / 1_000.0);
    LostPeer {
        peer,
        failed_round: start.map(|(round, _)| round),
        excluded_round: first,
        last_lost_round: last,
        rejoined_round: rejoined,
        healed_round: end.map(|(round, _)| round),
        detect_seconds: seconds(start, noticed.or(excluded)),
        exclude_seconds: seconds(start, excluded),
        rejoin_seconds: seconds(end, back),
    }
}

/// Whether a fault can be why a peer is lost: it met one of its calls, or others on their way to what it wrote.
fn concerns(fired: &Firing, peer: u32) -> bool {
    let owner = || fired.object.as_deref().and_then(ObjectKind::of_key).and_then(|(_, owner)| owner);
    fired.peer == Some(peer) || owner() == Some(peer)
}

/// How surely a fault of that place loses a peer, the surest first.
fn weight(told: &Told, fired: &Firing) -> u8 {
    let mut faults = told.plan.iter().flat_map(|plan| &plan.faults);
    match faults.find(|fault| fault.id == fired.fault).map(|fault| fault.action.acts()) {
        Some(Where::Peer) => 0,
        Some(Where::Process) => 1,
        Some(Where::Invocation | Where::Object) => 2,
        Some(Where::Gradient | Where::Workflow) | None => 3,
    }
}

/// Those of the surest kind that fired in round `first`; all, where none did. A peer that is slow or lies in every round was not
/// lost by that when it dies in one of them.
fn heaviest(mut faults: Vec<(u8, Fired)>, first: u32) -> Vec<Fired> {
    let of_first = faults.iter().filter(|(_, (round, _))| *round == first);
    if let Some(surest) = of_first.map(|(weight, _)| *weight).min() {
        faults.retain(|(weight, _)| *weight == surest);
    }
    faults.into_iter().map(|(_, fault)| fault).collect()
}

/// The round in which a fault fired, and the time in milliseconds.
type Fired = (u32, i64);

/// The first and the last of a peer's `faults` that belong to its loss from round `first` to round `last`, where the one
/// before ended with round `before`.
///
/// By round and not by time: a call that its round has given up may be under way still, and meet its fault while a later
/// round goes on.
fn around(mut faults: Vec<Fired>, before: u32, first: u32, last: u32) -> (Option<Fired>, Option<Fired>) {
    faults.retain(|(round, _)| (before + 1..=last).contains(round));
    faults.sort_unstable();
    // The row of rounds with faults that led to the loss: one that was survived before is not its beginning.
    let until = faults.iter().rev().filter(|(round, _)| *round <= first);
    let row = until.scan(first, |next, fault| {
        let follows = fault.0 + 1 >= *next;
        *next = fault.0;
        follows.then_some(*fault)
    });
    (row.last(), faults.last().copied())
}

#[cfg(test)]
mod tests {
    use super::{around, concerns, heaviest};
    use stepgrad_contract::faults::Fired;
    use stepgrad_contract::keys;

    #[test]
    fn who_is_slow_in_every_round_is_not_lost_by_it() {
        let slow = (1..=6).map(|round| (2, (round, 10 * i64::from(round))));
        let faults: Vec<_> = slow.chain([(0, (5, 51)), (0, (6, 61))]).collect();
        assert_eq!(heaviest(faults.clone(), 5), [(5, 51), (6, 61)]);
        assert_eq!(heaviest(faults.clone(), 3).len(), 6);
        assert_eq!(heaviest(faults, 9).len(), 8);
    }

    #[test]
    fn what_keeps_others_from_a_peers_objects_concerns_it() {
        let object = Some(keys::published("r", 4, 3));
        let fired = Fired {
            fault: "gone".to_owned(),
            action: "unavailable".to_owned(),
            function: Some("synchronise".to_owned()),
            peer: Some(1),
            round: Some(4),
            batch: None,
            attempt: Some(0),
            object,
        };
        assert!(concerns(&fired, 1) && concerns(&fired, 3) && !concerns(&fired, 2));
    }

    #[test]
    fn a_fault_that_comes_late_is_of_its_own_round() {
        // A call of round 3, which was given up, dies after the heartbeat of round 4.
        let faults = vec![(3, 10), (3, 20), (4, 30), (3, 40)];
        assert_eq!(around(faults, 0, 3, 4), (Some((3, 10)), Some((4, 30))));
    }

    #[test]
    fn a_loss_begins_with_the_row_of_faults_that_leads_to_it() {
        // What was survived in round 2 did not lead to the loss in 5, nor is what comes after it of it.
        let faults = vec![(2, 10), (4, 20), (5, 30), (6, 40), (9, 50)];
        assert_eq!(around(faults.clone(), 0, 5, 6), (Some((4, 20)), Some((6, 40))));
        assert_eq!(around(faults, 6, 9, 9), (Some((9, 50)), Some((9, 50))));
        assert_eq!(around(vec![], 0, 1, 1), (None, None));
    }
}
