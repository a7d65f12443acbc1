//! Random fault files of what a training has to survive: every kind that can be recovered from, mixed, each at a call
//! of its own, at the call's first attempt. The same seed and training give the same file.
//!
//! Left out is what changes the result by its nature: peers that are gone for rounds, and those that lie.
//!
//! Source: Basiri et al., "Chaos Engineering" (IEEE Software 2016): vary real-world events, compare the steady state.

use super::Universe;
use std::fmt::Write;
use stepgrad_contract::Function;
use stepgrad_contract::digest::sha256;

/// Most processes that one file ends: each costs a start of a process.
const DEATHS: usize = 5;

/// A call that something can happen to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cell {
    function: Function,
    round: Option<u32>,
    peer: Option<u32>,
    batch: Option<u32>,
}

/// The text of a fault file with about `faults` faults; fewer where the training has fewer calls.
#[must_use]
pub fn chaos(universe: &Universe, seed: u64, faults: usize) -> String {
    let mut draws = Draws { seed, drawn: 0 };
    let mut cells = cells(universe);
    // What is to be delivered later dies with an engine: one file in four has an engine that lives, and late duplicates.
    let dies = !seed.is_multiple_of(4);
    let mut text = format!("# Chaos with seed {seed}.\nversion: 1\nseed: {seed}\nfaults:\n");
    let mut deaths = 0;
    for number in 1..=faults.min(cells.len()) {
        let cell = cells.swap_remove(draws.below(cells.len()));
        let (at, action) = loop {
            let (at, action, deadly) = draws.action(&cell, universe.calls(Function::Train));
            if !deadly || deaths < DEATHS {
                deaths += usize::from(deadly);
                break (at, action);
            }
        };
        let mut place = format!("function: {}", cell.function);
        for (name, value) in [("round", cell.round), ("peer", cell.peer), ("batch", cell.batch)] {
            if let Some(value) = value {
                // Writing to a text cannot fail.
                let _ = write!(place, ", {name}: {value}");
            }
        }
        let action =
            if dies && action.starts_with("duplicate:") { "duplicate: {}".to_owned() } else { action };
        let name = action.split(':').next().unwrap_or_default().replace('_', "-");
        let _ = write!(text, "  - id: {name}-{number}\n    at: {{{place}, attempt: 0{at}}}\n    {action}\n");
    }
    // The last events are the end itself.
    if let Some(room) = universe.events.checked_sub(12).filter(|room| dies && *room > 0) {
        let event = 2 + draws.below(room as usize);
        let _ = write!(text, "  - id: kill-engine\n    kill_engine: {{event: {event}}}\n");
    }
    text.push_str("expect: {status: SUCCEEDED, same_weights_as: baseline}\n");
    text
}

/// Every call of the baseline.
fn cells(universe: &Universe) -> Vec<Cell> {
    let once = |function| Cell { function, round: None, peer: None, batch: None };
    let mut cells = vec![once(Function::Prepare), once(Function::Initialise)];
    for round in 1..=universe.rounds {
        let of_round = |function| Cell { round: Some(round), ..once(function) };
        for function in [Function::Membership, Function::Aggregate, Function::Evaluate] {
            if universe.calls(function) {
                cells.push(of_round(function));
            }
        }
        for peer in 1..=universe.peers {
            let places = universe.schedule.work(round, peer).places();
            for function in [Function::Train, Function::Combine, Function::Synchronise] {
                // Without batches there is little to go wrong.
                if universe.calls(function) && places_left(universe, round, peer) {
                    cells.push(Cell { peer: Some(peer), ..of_round(function) });
                }
            }
            if universe.calls(Function::Gradient) {
                cells.extend(places.map(|batch| Cell {
                    peer: Some(peer),
                    batch: Some(batch),
                    ..of_round(Function::Gradient)
                }));
            }
        }
    }
    cells.push(Cell { round: Some(universe.rounds), ..once(Function::Finish) });
    cells
}

fn places_left(universe: &Universe, round: u32, peer: u32) -> bool {
    universe.schedule.work(round, peer).places().next().is_some()
}

/// Objects that a function reads and writes in every call; `trains` is of model averaging, where an exchange starts
/// from nothing but what was published.
const fn objects(function: Function, trains: bool) -> (&'static [&'static str], &'static [&'static str]) {
    match function {
        Function::Prepare => (&[], &["data"]),
        Function::Initialise => (&[], &["replica"]),
        Function::Gradient => (&["data", "replica"], &["gradient"]),
        Function::Train => (&["data", "replica"], &["published"]),
        Function::Combine => (&["gradient"], &["published"]),
        Function::Membership => (&[], &["members"]),
        // Called only where peers were lost, or cannot reach one another.
        Function::Heartbeat | Function::Reach => (&[], &[]),
        Function::Synchronise | Function::Aggregate if trains => (&["members", "published"], &["replica"]),
        Function::Synchronise | Function::Aggregate => (&["members", "published", "replica"], &["replica"]),
        Function::Evaluate => (&["members", "replica"], &["progress"]),
        Function::Finish => (&["replica", "progress"], &["model"]),
    }
}

/// Numbers that depend on a seed and on nothing else.
struct Draws {
    seed: u64,
    drawn: u64,
}

impl Draws {
    fn below(&mut self, bound: usize) -> usize {
        self.drawn += 1;
        let digest = sha256(format!("{}/{}", self.seed, self.drawn).as_bytes());
        let number = digest.get(..15).and_then(|text| usize::from_str_radix(text, 16).ok());
        number.unwrap_or_default() % bound.max(1)
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of.get(self.below(of.len())).copied().unwrap_or_default()
    }

    /// More coordinates, the action, and whether a process ends by it.
    fn action(&mut self, cell: &Cell, trains: bool) -> (String, String, bool) {
        let (reads, writes) = objects(cell.function, trains);
        let at = |operation: &str, object: &str| format!(", operation: {operation}, object: {object}");
        let early = cell.round.is_none_or(|round| round < 2);
        let (at, action, deadly) = match self.below(22) {
            0 => (String::new(), "invocation_error: {prevent_execution: true}".to_owned(), false),
            1 => (String::new(), "invocation_error: {prevent_execution: false}".to_owned(), false),
            2 => (String::new(), format!("invocation_delay: {{ms: {}}}", 1 + self.below(50)), false),
            3 => (String::new(), "throttle: {}".to_owned(), false),
            4 => (String::new(), "duplicate: {}".to_owned(), false),
            5 => (String::new(), format!("duplicate: {{after_ms: {}}}", 1 + self.below(80)), false),
            6 => (String::new(), "cold_start: {}".to_owned(), true),
            7 => (String::new(), "kill: {when: before}".to_owned(), true),
            8 => (String::new(), "kill: {when: during}".to_owned(), true),
            9 => (String::new(), "kill: {when: after}".to_owned(), true),
            10 => (String::new(), format!("exit: {{code: {}}}", self.below(256)), true),
            11 => (String::new(), format!("pause: {{ms: {}}}", 10 + self.below(100)), false),
            12 if self.below(4) == 0 => (String::new(), "out_of_memory: {}".to_owned(), true),
            13 if !reads.is_empty() => (at("get", self.one(reads)), "unavailable: {}".to_owned(), false),
            14 if !reads.is_empty() => {
                (at("get", self.one(reads)), "truncate: {bytes: 16}".to_owned(), false)
            }
            15 if !reads.is_empty() => {
                let bits = 1 + self.below(8);
                (at("get", self.one(reads)), format!("bit_flip: {{bits: {bits}}}"), false)
            }
            16 if !early && reads.contains(&"replica") => {
                (at("get", "replica"), "stale: {rounds: 1}".to_owned(), false)
            }
            17 => (at("put", self.one(writes)), "slow_down: {}".to_owned(), false),
            18 => {
                (at("put", self.one(writes)), format!("truncate: {{bytes: {}}}", 1 + self.below(64)), false)
            }
            19 => (at("put", self.one(writes)), format!("bit_flip: {{bits: {}}}", 1 + self.below(8)), false),
            20 => (at("put", self.one(writes)), "drop: {}".to_owned(), false),
            _ => (at("put", self.one(writes)), format!("delay: {{ms: {}}}", 1 + self.below(50)), false),
        };
        (at, action, deadly)
    }
}

#[cfg(test)]
mod tests {
    use super::chaos;
    use crate::diagnostic::Source;
    use crate::faults::{parse, resolve};

    #[test]
    fn every_file_is_sound_and_its_own() {
        let universe = crate::faults::tests::universe();
        let mut texts = std::collections::BTreeSet::new();
        for seed in 1..=200 {
            let text = chaos(&universe, seed, 40);
            assert_eq!(text, chaos(&universe, seed, 40));
            let (file, warnings) = parse(&Source { name: "chaos", text: &text }).unwrap();
            assert_eq!(warnings, []);
            let (plan, warnings) = resolve(&file, &universe, 0).unwrap();
            let dies = text.contains("kill_engine");
            assert_eq!(dies, !seed.is_multiple_of(4));
            assert!(!(dies && text.contains("duplicate: {after_ms")), "{text}");
            assert_eq!((plan.faults.len(), warnings.len()), (40 + usize::from(dies), 0), "{text}");
            texts.insert(text);
        }
        assert_eq!(texts.len(), 200);
    }
}
