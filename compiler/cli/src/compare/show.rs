//! The comparison for people: tables that fit a hundred columns.

use super::{Comparison, Pair, Round};
use comfy_table::{CellAlignment, Table, presets};
use std::fmt::Write;
use stepgrad_contract::counted::counted;

/// Rounds that are shown; of more, the first and the last.
const ROUNDS: usize = 40;

/// The tables and the verdict.
pub(crate) fn text(comparison: &Comparison) -> String {
    let mut text = String::new();
    let (one, other) = (&comparison.baseline, &comparison.rerun);
    // Writing into a String cannot fail.
    let _ = writeln!(text, "baseline {} → {}\n", one.run, other.run);
    if !comparison.same_spec {
        let _ =
            writeln!(text, "the two runs are of different specs: what differs need not come from faults\n");
    }
    let _ = writeln!(text, "{}\n", rounds(&comparison.rounds));
    let _ = writeln!(text, "{}\n", totals(comparison));
    if !comparison.lost_peers.is_empty() {
        let _ = writeln!(text, "{}\n", lost(comparison));
    }
    let yes = |value: Option<bool>| value.map_or("not known", |value| if value { "yes" } else { "no" });
    let invariants = &comparison.invariants;
    let _ = writeln!(text, "same weights: {}", yes(invariants.same_weights));
    let _ = writeln!(text, "replicas equal: {}", yes(invariants.replicas_equal));
    match &invariants.miscounted {
        None => text.push_str("nothing counted twice: yes\n"),
        Some(what) => drop(writeln!(text, "nothing counted twice: no: {what}")),
    }
    if !comparison.fired.is_empty() {
        let fired: Vec<_> = comparison.fired.iter().map(|(id, times)| format!("{id} {times}×")).collect();
        let _ = writeln!(text, "fired: {}", fired.join(", "));
    }
    for id in &comparison.never_fired {
        let _ = writeln!(text, "fault {id} never fired: the run never came to what it is about");
    }
    for line in &comparison.verdict {
        let holds = if line.holds { "holds" } else { "DOES NOT HOLD" };
        let _ =
            writeln!(text, "expect {}: {} — found {}: {holds}", line.expectation, line.expected, line.found);
    }
    text
}

/// Both values, or the one that they share.
fn both(one: Option<String>, other: Option<String>) -> String {
    match (one, other) {
        (None, None) => "–".to_owned(),
        (Some(one), Some(other)) if one == other => one,
        (one, other) => {
            format!("{}→{}", one.unwrap_or_else(|| "–".to_owned()), other.unwrap_or_else(|| "–".to_owned()))
        }
    }
}

fn right(table: &mut Table, columns: usize) {
    for column in 1..columns {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}

fn rounds(pairs: &[Pair]) -> String {
    let mut table = Table::new();
    let header =
        ["round", "training loss", "accuracy", "seconds", "calls", "retries", "GB s", "kB", "members"];
    table.load_style(presets::NOTHING).set_header(header);
    let hidden = pairs.len().saturating_sub(ROUNDS);
    for (place, pair) in pairs.iter().enumerate() {
        if hidden > 0 && place == ROUNDS / 2 {
            table.add_row([format!("… {hidden}")]);
        }
        if hidden > 0 && (ROUNDS / 2..ROUNDS / 2 + hidden).contains(&place) {
            continue;
        }
        let cell = |of: &dyn Fn(&Round) -> Option<String>| {
            both(pair.baseline.as_ref().and_then(of), pair.rerun.as_ref().and_then(of))
        };
        table.add_row([
            pair.round.to_string(),
            cell(&|round| {
                let metrics = round.metrics.as_ref()?;
                metrics.training.map(|metrics| format!("{:.4}", metrics.loss))
            }),
            cell(&|round| {
                let metrics = round.metrics.as_ref()?;
                metrics
                    .validation
                    .or(metrics.training)
                    .map(|metrics| format!("{:.1}%", metrics.accuracy * 100.0))
            }),
            cell(&|round| round.seconds.map(|seconds| format!("{seconds:.2}"))),
            cell(&|round| Some(round.invocations.to_string())),
            cell(&|round| Some(round.retries.to_string())),
            cell(&|round| round.gb_seconds.map(|cost| format!("{cost:.2}"))),
            cell(&|round| round.bytes.map(|bytes| (bytes / 1_000).to_string())),
            cell(&|round| round.metrics.as_ref().map(|metrics| metrics.members.to_string())),
        ]);
    }
    right(&mut table, header.len());
    table.trim_fmt()
}

fn totals(comparison: &Comparison) -> String {
    let (one, other) = (&comparison.baseline, &comparison.rerun);
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(["in all", "baseline", "rerun"]);
    let number = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| format!("{value:.4}"));
    let cost = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| format!("{value:.2}"));
    let weights = |digest: &Option<String>| {
        digest.as_deref().and_then(|digest| digest.get(..12)).unwrap_or("–").to_owned()
    };
    let rows = [
        ("status", one.status.name().to_owned(), other.status.name().to_owned()),
        ("loss at the end", number(one.loss), number(other.loss)),
        ("accuracy at the end", number(one.accuracy), number(other.accuracy)),
        ("seconds", format!("{:.2}", one.seconds), format!("{:.2}", other.seconds)),
        ("GB seconds", cost(one.gb_seconds), cost(other.gb_seconds)),
        ("calls", one.calls.to_string(), other.calls.to_string()),
        ("calls lost (failed or made again)", one.lost_calls.to_string(), other.lost_calls.to_string()),
        ("weights", weights(&one.weights_sha256), weights(&other.weights_sha256)),
    ];
    for (what, one, other) in rows {
        table.add_row([what.to_owned(), one, other]);
    }
    right(&mut table, 3);
    let mut text = table.trim_fmt();
    if let Some(error) = &other.error {
        let _ = write!(text, "\nended with {error}");
    }
    text
}

fn lost(comparison: &Comparison) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header([
        "lost peer",
        "failed in",
        "lost in",
        "to detect",
        "to exclude",
        "back in",
        "to rejoin",
    ]);
    let rounds = |rounds: Option<u32>, seconds: Option<f64>| {
        let rounds = rounds.map_or_else(|| "–".to_owned(), |rounds| counted(rounds, "round"));
        seconds.map_or_else(|| rounds.clone(), |seconds| format!("{rounds}, {seconds:.2} s"))
    };
    let round = |round: Option<u32>| round.map_or_else(|| "–".to_owned(), |round| format!("round {round}"));
    for lost in &comparison.lost_peers {
        let peer = &lost.peer;
        table.add_row([
            peer.peer.to_string(),
            round(peer.failed_round),
            if peer.excluded_round == peer.last_lost_round {
                format!("round {}", peer.excluded_round)
            } else {
                format!("rounds {} to {}", peer.excluded_round, peer.last_lost_round)
            },
            rounds(lost.detect_rounds, peer.detect_seconds),
            rounds(lost.exclude_rounds, peer.exclude_seconds),
            round(peer.rejoined_round),
            rounds(lost.rejoin_rounds, peer.rejoin_seconds),
        ]);
    }
    table.trim_fmt()
}
