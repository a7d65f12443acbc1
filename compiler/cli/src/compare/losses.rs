//! How long it took a run to go on without a peer, and to have it back.

use super::Told;
use std::collections::BTreeMap;
use stepgrad_compiler::faults::LostPeer;
use stepgrad_contract::events::RoundMetrics;

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
    let decided = |round: u32| told.rounds.get(&round).and_then(|round| round.decided);
    let of_peer = told.firings.iter().filter(|(_, fired)| fired.peer == Some(peer));
    let faults: Vec<(i64, u32)> = of_peer
        .filter_map(|(time, fired)| Some((*time, fired.round?)))
        .filter(|(_, round)| (before + 1..=last).contains(round))
        .collect();
    // The row of rounds with faults that led to the loss: one that was survived before is not its beginning.
    let until = faults.iter().rev().filter(|(_, round)| *round <= first);
    let row = until.scan(first, |next, fault| {
        let follows = fault.1 + 1 >= *next;
        *next = fault.1;
        follows.then_some(fault)
    });
    let start = row.last();
    let end = faults.last();
    let rejoined = told
        .rounds
        .range(last + 1..)
        .find(|(_, round)| {
            round.metrics.as_ref().is_some_and(|metrics| absent(metrics).all(|absent| absent != peer))
        })
        .map(|(round, _)| *round);
    let seconds = |from: Option<&(i64, u32)>, round: Option<u32>| {
        let (from, to) = (from?.0, decided(round?)?);
        Some((to - from) as f64 / 1_000.0)
    };
    LostPeer {
        peer,
        failed_round: start.map(|(_, round)| *round),
        excluded_round: first,
        last_lost_round: last,
        rejoined_round: rejoined,
        healed_round: end.map(|(_, round)| *round),
        exclude_seconds: seconds(start, Some(first)),
        rejoin_seconds: seconds(end, rejoined),
    }
}
