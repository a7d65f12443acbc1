//! From a file to the plan of one run: every share drawn, every epoch turned into rounds, and what could never fire
//! refused.

use super::coordinates::{ATTEMPT, BATCH, EPOCH, Numbers, OWNER, PEER, ROUND};
use super::{Act, Entry, FaultFile, Share, Wanted};
use crate::diagnostic::{Code, Diagnostic, Place};
use crate::plan::{self, Object as Planned, Stage};
use crate::spec::Spanned;
use crate::spec::decode::{Document, Findings};
use crate::spec::suggest::one_of;
use std::collections::BTreeMap;
use stepgrad_contract::counted::counted;
use stepgrad_contract::digest::sha256;
use stepgrad_contract::faults::{
    self, Action, Fault, Lie, ObjectKind, Operation, Plan, Range, Set, Target, Where,
};
use stepgrad_contract::manifest::Manifest;
use stepgrad_contract::schedule::Schedule;
use stepgrad_contract::{Function, FunctionError, Training, view};

/// What there is in a run, for faults to be about.
#[derive(Debug, Clone)]
pub struct Universe {
    pub(super) peers: u32,
    epochs: u32,
    pub(super) schedule: Schedule,
    /// Rounds that the baseline did: what draws are made from.
    pub(super) rounds: u32,
    /// Rounds that there can be at the most.
    last_round: u32,
    last_batch: u32,
    last_attempt: u32,
    pub(super) events: u32,
    stages: Vec<Stage>,
}

impl Universe {
    /// What there is in a run of `training` on the data of `manifest` whose calls are repeated at most `retries` times,
    /// where the baseline did `rounds` and its history holds `events`.
    ///
    /// # Errors
    /// Where the training has no schedule.
    pub fn new(
        training: &Training,
        manifest: &Manifest,
        retries: u32,
        rounds: Option<u32>,
        events: u32,
    ) -> Result<Self, FunctionError> {
        let schedule = Schedule::new(training, manifest)?;
        let last_round = schedule.last_round();
        let plan = plan::plan(training.topology, training.algorithm);
        Ok(Self {
            peers: training.peers,
            epochs: training.epochs,
            rounds: rounds.unwrap_or(last_round).clamp(1, last_round.max(1)),
            last_round,
            last_batch: schedule.last_place(),
            last_attempt: retries,
            events,
            stages: plan.stages().into_iter().cloned().collect(),
            schedule,
        })
    }

    pub(super) fn calls(&self, function: Function) -> bool {
        self.stages.iter().any(|stage| stage.function == function)
    }

    /// Whether some call that is asked for does the operation on such an object.
    fn moves(&self, target: &Target, operation: Operation, kind: ObjectKind) -> bool {
        self.stages.iter().any(|stage| {
            let objects = match operation {
                Operation::Get => stage.reads,
                Operation::Put => stage.writes,
            };
            target.function.as_ref().is_none_or(|functions| functions.contains(&stage.function))
                && (target.batch.is_none() || super::places::has(stage.function, "batch"))
                && (target.peer.is_none() || super::places::has(stage.function, "peer"))
                && (target.round.is_none() || super::places::has(stage.function, "round"))
                && (objects.iter().any(|object| kind_of(*object) == Some(kind)) || looked_up(operation, kind))
        })
    }
}

/// What any function may read to find out who takes part: plans do not list it.
const fn looked_up(operation: Operation, kind: ObjectKind) -> bool {
    matches!((operation, kind), (Operation::Get, ObjectKind::Members | ObjectKind::Progress))
}

const fn kind_of(object: Planned) -> Option<ObjectKind> {
    Some(match object {
        Planned::Source => return None,
        Planned::Data => ObjectKind::Data,
        Planned::ReplicaBefore | Planned::Replica => ObjectKind::Replica,
        Planned::OptimizerBefore | Planned::Optimizer => ObjectKind::Optimizer,
        Planned::BatchGradient => ObjectKind::Gradient,
        Planned::Published => ObjectKind::Published,
        Planned::Members => ObjectKind::Members,
        Planned::Progress => ObjectKind::Progress,
        Planned::Model => ObjectKind::Model,
    })
}

/// The plan of a run in `universe`, with the draws of the file's seed, or of `seed` where it gives none; and warnings.
/// The same file, universe and seed give the same plan.
///
/// # Errors
/// Every fault that could never fire, at its place in the file.
pub fn resolve(
    file: &FaultFile,
    universe: &Universe,
    seed: u64,
) -> Result<(Plan, Vec<Diagnostic>), Vec<Diagnostic>> {
    let mut cx = Findings::of(Document::Faults);
    let seed = file.seed.as_ref().map_or(seed, |seed| seed.value);
    let mut draw = Draw { universe, seed, cx: &mut cx };
    let mut windows: BTreeMap<&str, Option<Set>> = BTreeMap::new();
    let mut waiting: Vec<&Entry> = file.faults.iter().collect();
    // A fault's window is known once that of the one before it is: there are no circles.
    while !waiting.is_empty() {
        let before = waiting.len();
        waiting.retain(|entry| {
            let after = match &entry.start_after {
                None => None,
                Some(after) => match windows.get(after.value.as_str()) {
                    None => return true,
                    Some(window) => Some((after, window.clone())),
                },
            };
            let window = draw.window(entry, after);
            windows.insert(&entry.id.value, window);
            false
        });
        if waiting.len() == before {
            break;
        }
    }
    let faults: Vec<Fault> = file
        .faults
        .iter()
        .map(|entry| {
            let mut window = windows.get(entry.id.value.as_str()).cloned().flatten();
            // Who has left does not come back.
            if let (Act::Fixed(Action::Leave {}), Some(first)) =
                (&entry.act.value, window.as_ref().and_then(Set::first))
            {
                window = Some(Set::new([Range { first, last: universe.last_round }]));
            }
            Fault { id: entry.id.value.clone(), at: draw.target(entry, window), action: draw.action(entry) }
        })
        .collect();
    draw.expected(file);
    for (entry, fault) in file.faults.iter().zip(&faults) {
        draw.check(entry, fault);
    }
    let failed = cx.has_errors();
    if !failed {
        covered(file, &faults, &mut cx);
    }
    let findings = cx.finish();
    if failed {
        return Err(findings);
    }
    Ok((Plan { version: faults::VERSION, seed, faults }, findings))
}

struct Draw<'a> {
    universe: &'a Universe,
    seed: u64,
    cx: &'a mut Findings,
}

impl Draw<'_> {
    /// The numbers of a coordinate, of those from its first to `last`; drawn ones from those that `drawn` begins and ends with.
    fn numbers(
        &mut self,
        id: &str,
        which: &Numbers,
        wanted: &Spanned<Wanted>,
        drawn: (u32, u32),
        last: u32,
    ) -> Set {
        match &wanted.value {
            Wanted::Numbers(ranges) => {
                for range in ranges {
                    let beyond = match range.last {
                        u32::MAX => range.first > last,
                        given => given > last,
                    };
                    if beyond {
                        let far = if range.last == u32::MAX { range.first } else { range.last };
                        self.cx.report(
                            Diagnostic::error(
                                Code::FaultBeyond,
                                format!("there is no {} {far} in this run", which.key),
                            )
                            .at(&wanted.place(), format!("expected {} to {last}", which.first)),
                        );
                    }
                }
                Set::new(ranges.iter().map(|range| Range { last: range.last.min(last), ..*range }))
            }
            Wanted::Drawn(share) => self.drawn(id, which, *share, &wanted.place(), drawn),
        }
    }

    /// The first of all numbers in an order that only the seed, the fault and the coordinate decide.
    fn drawn(
        &mut self,
        id: &str,
        which: &Numbers,
        share: Share,
        place: &Place,
        (first, last): (u32, u32),
    ) -> Set {
        let all = last.saturating_add(1).saturating_sub(first);
        let count = share.of(all);
        if count == 0 || count > all {
            let message = match share {
                Share::Minority => format!("{all} have no minority"),
                _ => format!("{} cannot be drawn from {all}", share.text()),
            };
            self.cx.report(Diagnostic::error(Code::FaultBeyond, message).at(
                place,
                match all {
                    0 => format!("no {} is left", which.key),
                    _ => format!("there are the {} {first} to {last}", which.plural),
                },
            ));
            return Set::default();
        }
        let mut numbers: Vec<(String, u32)> = (first..=last)
            .map(|number| (sha256(format!("{}/{id}/{}/{number}", self.seed, which.key).as_bytes()), number))
            .collect();
        numbers.sort_unstable();
        Set::of(numbers.into_iter().take(count as usize).map(|(_, number)| number))
    }

    /// The rounds in which a fault can fire; `None` for all.
    fn window(&mut self, entry: &Entry, after: Option<(&Spanned<String>, Option<Set>)>) -> Option<Set> {
        let universe = self.universe;
        let (id, at) = (&entry.id.value, &entry.at);
        let end = after.as_ref().and_then(|(_, before)| before.as_ref().and_then(Set::last));
        let own = match (&at.round, &at.epoch) {
            (Some(rounds), _) => {
                let from = end.map_or(ROUND.first, |end| end.saturating_add(1));
                Some(self.numbers(id, &ROUND, rounds, (from, universe.rounds), universe.last_round))
            }
            (None, Some(epochs)) => {
                let done = universe.schedule.epochs_after(universe.rounds).max(1);
                let begun = |end: u32| (universe.schedule.epochs_after(end), end);
                let from = end.map(begun).map_or(EPOCH.first, |(whole, end)| {
                    let next = whole.saturating_add(1);
                    // One that has begun by then is not drawn: it would lose its first rounds.
                    if universe.schedule.rounds_of(next).0 > end { next } else { next.saturating_add(1) }
                });
                let epochs = self.numbers(id, &EPOCH, epochs, (from, done), universe.epochs);
                let rounds = |epoch: u32| {
                    let (first, last) = universe.schedule.rounds_of(epoch);
                    Range { first, last }
                };
                Some(Set::new(
                    epochs.ranges().iter().flat_map(|range| (range.first..=range.last).map(rounds)),
                ))
            }
            (None, None) => None,
        };
        let Some((name, before)) = after else { return own };
        let complain = |message: String| {
            Diagnostic::error(Code::FaultOrder, message).at(&name.place(), "starts after this one")
        };
        let Some(end) = before.as_ref().and_then(Set::last) else {
            let message = format!("`{}` has no last round", name.value);
            self.cx.report(complain(message).hint("give that fault `rounds` or `epochs`"));
            return own;
        };
        let first = end.saturating_add(1);
        let all = Set::new([Range { first: 1, last: universe.last_round }]);
        // That nothing could be drawn is said already.
        let is_said = own.as_ref().is_some_and(|own| own.first().is_none());
        let window = own.unwrap_or(all).from(first);
        if window.first().is_none() && !is_said {
            let message =
                format!("no round is left for `{id}` after round {end}, in which `{}` ends", name.value);
            self.cx.report(complain(message));
        }
        Some(window)
    }

    fn target(&mut self, entry: &Entry, round: Option<Set>) -> Target {
        let universe = self.universe;
        let (id, at) = (&entry.id.value, &entry.at);
        let mut numbers = |which: &Numbers, wanted: &Option<Spanned<Wanted>>, last: u32| {
            wanted.as_ref().map(|wanted| self.numbers(id, which, wanted, (which.first, last), last))
        };
        Target {
            function: at.function.as_ref().map(|functions| functions.value.clone()),
            peer: numbers(&PEER, &at.peer, universe.peers),
            round,
            batch: numbers(&BATCH, &at.batch, universe.last_batch),
            attempt: numbers(&ATTEMPT, &at.attempt, universe.last_attempt),
            operation: at.operation.as_ref().map(|operation| operation.value),
            object: at.object.as_ref().map(|kinds| kinds.value.clone()),
            owner: numbers(&OWNER, &at.owner, universe.peers),
        }
    }

    fn action(&mut self, entry: &Entry) -> Action {
        match &entry.act.value {
            Act::Fixed(action) => action.clone(),
            Act::KillEngine(events) => {
                let which = Numbers { key: "event", plural: "events", first: 1, doc: "" };
                let events = Spanned::read(events.clone(), &entry.act.place());
                let last = self.universe.events;
                let drawn = (which.first, last);
                Action::KillEngine { events: self.numbers(&entry.id.value, &which, &events, drawn, last) }
            }
        }
    }

    /// Whether the run has what the fault is about.
    fn check(&mut self, entry: &Entry, fault: &Fault) {
        let universe = self.universe;
        if let Some(functions) = &entry.at.function {
            let called = |function: &Function| universe.calls(*function);
            if !functions.value.iter().any(called) {
                let names = one_of(functions.value.iter().map(|function| function.name()));
                let known =
                    Function::ALL.iter().filter(|function| called(function)).map(|function| function.name());
                self.cx.report(
                    Diagnostic::error(Code::FaultBeyond, format!("this training never calls {names}"))
                        .at(&functions.place(), format!("expected {}", one_of(known))),
                );
                return;
            }
        }
        let asked = |function: &&Function| {
            universe.calls(**function)
                && fault.at.function.as_ref().is_none_or(|functions| functions.contains(function))
        };
        for (key, place) in entry.at.given() {
            if fault.action.acts() == Where::Workflow
                || Function::ALL.iter().filter(asked).any(|function| super::places::has(*function, key))
            {
                continue;
            }
            let with = Function::ALL.iter().filter(|function| super::places::has(**function, key));
            let with = one_of(with.map(|function| function.name()));
            self.cx.report(
                Diagnostic::error(
                    Code::FaultNever,
                    format!("no call that this fault is about has a `{key}` in this training"),
                )
                .at(&place, "can never match")
                .hint(format!("a `{key}` have the calls of {with}")),
            );
        }
        match &fault.action {
            Action::Partition { .. } if !universe.calls(Function::Synchronise) => self.cx.report(
                Diagnostic::error(
                    Code::FaultNever,
                    "a partition keeps peers from one another, and these only meet a server",
                )
                .at(&entry.act.place(), "can never fire")
                .hint(
                    "make objects unavailable to the workers of one side: at: {peers: ..}, unavailable: {}",
                ),
            ),
            Action::Partition { .. } if universe.peers as usize > view::MEMBERS => self.cx.report(
                Diagnostic::error(
                    Code::NotBuilt,
                    format!(
                        "who reaches whom is told for {} members at the most, and this run has {}",
                        view::MEMBERS,
                        counted(universe.peers, "peer")
                    ),
                )
                .at(&entry.act.place(), "every round of it would end in Stepgrad.QuorumLost")
                .hint("part a run of fewer peers, or let peers fail: at: {peers: ..}, outage: {}"),
            ),
            Action::Partition { groups } => {
                if let Some(far) = groups.iter().filter_map(Set::last).find(|last| *last > universe.peers) {
                    self.cx.report(
                        Diagnostic::error(Code::FaultBeyond, format!("there is no peer {far} in this run"))
                            .at(&entry.act.place(), format!("expected 1 to {}", universe.peers)),
                    );
                }
            }
            Action::Join {} if fault.at.round.as_ref().and_then(Set::first) == Some(1) => {
                self.cx.report(
                    Diagnostic::error(
                        Code::FaultNever,
                        "a peer that joins in round 1 is there from the start",
                    )
                    .at(&entry.place, "expected a later round"),
                );
            }
            action if action.acts() == Where::Object => self.objects(entry, fault),
            _ => {}
        }
    }

    /// Whether some call moves such an object in such a way.
    fn objects(&mut self, entry: &Entry, fault: &Fault) {
        let target = &fault.at;
        let kinds = target.object.clone().unwrap_or_else(|| ObjectKind::ALL.to_vec());
        let can = |operation: Operation| {
            let object = |kind: &ObjectKind| faults::Object { operation, kind: *kind, owner: None };
            target.operation.is_none_or(|wanted| wanted == operation)
                && kinds.iter().any(|kind| {
                    fault.action.fits(&object(kind)) && self.universe.moves(target, operation, *kind)
                })
        };
        if can(Operation::Get) || can(Operation::Put) {
            return;
        }
        let place = entry.at.object.as_ref().map_or_else(|| entry.place.clone(), Spanned::place);
        let does = match (&fault.action, target.operation) {
            (Action::Drop {}, _) | (_, Some(Operation::Put)) => "writes",
            (Action::Stale { .. }, _) | (_, Some(Operation::Get)) => "reads",
            _ => "moves",
        };
        let names = one_of(kinds.iter().map(|kind| kind.name()));
        self.cx.report(
            Diagnostic::error(Code::FaultNever, format!("no call that this fault is about {does} {names}"))
                .at(&place, "can never match")
                .hint("leave `function` out, or name another object"),
        );
    }

    /// Whether what is expected is about peers and rounds that there are.
    fn expected(&mut self, file: &FaultFile) {
        let Some(lost) = &file.expect.lost else { return };
        for (peer, rounds) in &lost.value {
            let far = rounds.last().filter(|last| *last > self.universe.last_round);
            let message = match far {
                _ if *peer > self.universe.peers => format!("there is no peer {peer} in this run"),
                Some(far) if far != u32::MAX => format!("there is no round {far} in this run"),
                Some(_) => "give the last round of what is lost".to_owned(),
                None => continue,
            };
            self.cx.report(Diagnostic::error(Code::FaultBeyond, message).at(&lost.place(), "expected here"));
        }
    }
}

/// Warns of faults that an earlier one leaves nothing to.
fn covered(file: &FaultFile, faults: &[Fault], cx: &mut Findings) {
    for (place, fault) in faults.iter().enumerate() {
        let earlier = faults.iter().take(place).position(|earlier| covers(earlier, fault));
        let (Some(entry), Some(by)) =
            (file.faults.get(place), earlier.and_then(|earlier| file.faults.get(earlier)))
        else {
            continue;
        };
        cx.report(
            Diagnostic::warning(Code::FaultCovered, format!("`{}` can never fire", fault.id))
                .at(&entry.id.place(), "never the first match")
                .also(&by.id.place(), "this one takes all that it is about")
                .hint("put it before the other one, or make the other one narrower"),
        );
    }
}

fn covers(earlier: &Fault, fault: &Fault) -> bool {
    let place = earlier.action.acts();
    if place != fault.action.acts() || place == Where::Workflow {
        return false;
    }
    let lies = [Lie::Labels, Lie::Batch, Lie::Published];
    if place == Where::Gradient
        && lies.into_iter().any(|lie| fault.lies_about(lie) && !earlier.lies_about(lie))
    {
        return false;
    }
    // These leave some calls to the faults after them, or act on other peers.
    if matches!(
        earlier.action,
        Action::Throttle { percent: Some(_), .. }
            | Action::Throttle { above: Some(_), .. }
            | Action::Partition { .. }
            | Action::Join {}
    ) || matches!(fault.action, Action::Partition { .. } | Action::Join {})
    {
        return false;
    }
    let operation = |fault: &Fault| match fault.action {
        Action::Drop {} => Some(Operation::Put),
        Action::Stale { .. } => Some(Operation::Get),
        _ => fault.at.operation,
    };
    let (a, b) = (&earlier.at, &fault.at);
    within(&a.peer, &b.peer)
        && within(&a.round, &b.round)
        && within(&a.batch, &b.batch)
        && within(&a.attempt, &b.attempt)
        && within(&a.owner, &b.owner)
        && listed(&a.function, &b.function)
        && listed(&a.object, &b.object)
        && operation(earlier).is_none_or(|wanted| operation(fault) == Some(wanted))
}

fn within(all: &Option<Set>, some: &Option<Set>) -> bool {
    match (all, some) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(all), Some(some)) => some.ranges().iter().all(|range| {
            all.ranges().iter().any(|whole| whole.first <= range.first && range.last <= whole.last)
        }),
    }
}

fn listed<T: PartialEq>(all: &Option<Vec<T>>, some: &Option<Vec<T>>) -> bool {
    match (all, some) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(all), Some(some)) => some.iter().all(|one| all.contains(one)),
    }
}
