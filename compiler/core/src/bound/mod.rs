//! The worst case of every AWS limit, before anything runs, and the choices that follow from it.
//!
//! Histories are counted on the definitions themselves ([`history`]), so the figures hold for changed
//! templates too; payloads on the very types that the functions reply with ([`payload`]).

mod attempts;
mod concurrency;
pub(crate) mod detection;
pub mod history;
pub mod lambda;
pub mod payload;
pub mod quotas;

pub use attempts::most_retries;
pub(crate) use attempts::retries_of;

use crate::limits::DEFINITION_BYTES;
use crate::lower::Machine;
use stepgrad_contract::at_once::AtOnce;
use stepgrad_contract::counted::counted;
use stepgrad_contract::fanout::{Carriers, Choice};

/// How large a training is, as far as it is known before the data is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Peers.
    pub peers: u32,
    /// Batches of one peer in one round at the most; `None` where only `prepare` can tell.
    pub batches: Option<u32>,
    /// Rounds in all at the most; `None` likewise.
    pub rounds: Option<u64>,
    /// Whether rounds report anomalous peers.
    pub anomalies: bool,
}

/// A limit and how near the worst case comes.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Figure {
    /// What is limited, e.g. "history of `round`".
    pub what: String,
    /// The worst case.
    pub worst: u64,
    /// The limit.
    pub limit: u64,
    /// events, bytes, MB, seconds.
    pub unit: &'static str,
    /// Where the worst case comes from.
    pub because: String,
}

impl Figure {
    /// Whether the worst case stays within the limit.
    #[must_use]
    pub const fn holds(&self) -> bool {
        self.worst <= self.limit
    }
}

/// What was found and chosen.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Bounds {
    /// The sizes that `prepare` chooses the carriers by.
    pub carriers: Carriers,
    /// Rounds of one segment.
    pub rounds_per_segment: u32,
    /// Every limit with its worst case.
    pub figures: Vec<Figure>,
    /// What was chosen and why, a line each.
    pub choices: Vec<String>,
    /// Seconds until a dead peer is noticed, at the most.
    pub detection_s: u64,
    /// How the fan-out of this size is carried; `None` where no way fits.
    #[serde(skip)]
    pub carried: Option<Choice>,
    /// What a round has at work at once, at the most.
    #[serde(skip)]
    pub at_once: AtOnce,
}

/// The bounds of `machines` for a training of `size` whose functions are configured as `functions`.
#[must_use]
pub fn bounds(
    machines: &[Machine],
    size: Size,
    functions: &[lambda::Configured],
    max_concurrency: u32,
) -> Bounds {
    let carriers = history::carriers(machines);
    let rounds_per_segment = history::rounds_per_segment(machines);
    let batches = size.batches.unwrap_or_else(|| history::most_inline(&carriers, size.peers));
    let carried = carriers.choose(size.peers, batches);
    let inline = Choice { peers_per_execution: None, batches_per_execution: None };
    let all = AtOnce::all(size.peers, batches, carried.unwrap_or(inline));
    let at_once = concurrency::at_once(machines, all.within(max_concurrency));
    let mut figures: Vec<_> = machines
        .iter()
        .map(|machine| Figure {
            what: format!("definition of `{}`", machine.name),
            worst: machine.text.len() as u64,
            limit: DEFINITION_BYTES,
            unit: "bytes",
            because: "does not depend on peers or batches".to_owned(),
        })
        .collect();
    if let Some(choice) = carried {
        figures.extend(history::figures(machines, &carriers, size, batches, choice, rounds_per_segment));
        figures.extend(payload::figures(size.peers, batches, choice, max_concurrency, size.anomalies));
    }
    figures.push(concurrency::figure(at_once));
    figures.extend(lambda::figures(functions));
    let mut choices = choices(&carriers, size, batches, carried, rounds_per_segment);
    choices.push(concurrency::choice(at_once, all, carried, max_concurrency));
    let detection_s = detection::seconds(machines, at_once.turns(all));
    let up_to = match size.batches {
        None => format!("; for up to {} of a peer", counted(batches, "batch")),
        Some(_) => String::new(),
    };
    choices.push(format!(
        "a dead peer is noticed after at most {detection_s} s: in its work or in the exchange, every call of it times out in all its attempts{up_to}"
    ));
    Bounds { carriers, rounds_per_segment, figures, choices, detection_s, carried, at_once }
}

/// Whether a state calls a function.
fn calls_a_function(state: &serde_json::Value) -> bool {
    state["Resource"].as_str().is_some_and(|to| to.ends_with("lambda:invoke"))
}

fn choices(
    carriers: &Carriers,
    size: Size,
    batches: u32,
    carried: Option<Choice>,
    rounds_per_segment: u32,
) -> Vec<String> {
    let peers = size.peers;
    let all = format!("{} of {}", counted(peers, "peer"), counted(batches, "batch"));
    let mut lines = Vec::new();
    let inline = carriers.round_fixed + u64::from(peers) * carriers.peer(batches, None);
    let total = |events: u64| format!("{events} of {} events", carriers.history_limit);
    if size.batches.is_none() {
        lines.push(format!(
            "batches of a peer in a round: known only when `prepare` has read the data; up to {batches} are \
             carried by an inline Map, more by child executions"
        ));
    }
    match carried {
        None => lines.push(format!("{all} fit no way: even groups of peers in child executions overflow")),
        Some(Choice { peers_per_execution: None, batches_per_execution: None }) => lines.push(format!(
            "inline Map for peers and batches: {all} come to {} in `round` with all \
             retries",
            total(inline)
        )),
        Some(choice) => {
            lines.push(format!(
                "not an inline Map alone: {all} would come to {} in `round` with all \
                 retries{}",
                total(inline),
                if batches > carriers.range_limit {
                    format!(", and States.ArrayRange ends at {} elements", carriers.range_limit)
                } else {
                    String::new()
                }
            ));
            if let Some(group) = choice.peers_per_execution {
                lines.push(format!(
                    "child executions for peers: {} of at most {}",
                    counted(peers.div_ceil(group), "group"),
                    counted(group, "peer")
                ));
            }
            if let Some(range) = choice.batches_per_execution {
                lines.push(format!(
                    "child executions for batches: {} of at most {} for each peer",
                    batches.div_ceil(range),
                    counted(range, "batch")
                ));
            }
        }
    }
    lines.push(
        "not a Distributed Map: nested child executions carry the same fan-out with the states on which all \
         engines agree"
            .to_owned(),
    );
    lines.push(format!(
        "segments of {}: a child execution for each round, and one for each segment, so \
         that neither `train` nor `segment` overflows",
        counted(rounds_per_segment, "round")
    ));
    lines
}
