//! A driver without time: calls are answered by a pure function of the event and the attempt, in an order that a seed
//! decides; timers fire when there is nothing else to do.

use crate::core::{
    Command, Core, Cursor, Event, ExecutionResult, Invocation, ObjectCall, ObjectReply, ObjectRequest,
    ObjectResult, Page, Record, Settings, TaskError, TaskId, Time, recover,
};
use rand::SeedableRng;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use stepgrad_asl::Payload;
use stepgrad_asl::document::MachineType;
use stepgrad_asl::program::Program;

pub(super) const START: Time = 1_700_000_000_000;

pub(super) struct Simulation {
    pub(super) core: Core,
    pub(super) now: Time,
    pub(super) waiting: BTreeMap<TaskId, Invocation>,
    pub(super) records: Vec<Record>,
    pub(super) objects: BTreeMap<(TaskId, u32), ObjectRequest>,
    /// Every call of S3 that was asked for.
    pub(super) object_calls: Vec<ObjectCall>,
    /// Every call that was asked for.
    pub(super) calls: Vec<Invocation>,
    pub(super) results: BTreeMap<String, ExecutionResult>,
    rng: ChaCha8Rng,
}

pub(super) fn programs(machines: &[(&str, Value)]) -> BTreeMap<String, Program> {
    machines
        .iter()
        .map(|(name, definition)| {
            let program = Program::load(&definition.to_string(), MachineType::Standard);
            ((*name).to_owned(), program.unwrap_or_else(|found| panic!("{name}: {found:?}")))
        })
        .collect()
}

impl Simulation {
    pub(super) fn start(machines: &[(&str, Value)], input: Value, order: u64) -> Self {
        let core = Core::new(programs(machines), 7, Settings::default());
        let mut simulation = Self::around(core, START, Vec::new(), order);
        let machine = machines[0].0.to_owned();
        simulation.step(Event::Start { machine, name: "run".to_owned(), input: Payload::new(input) });
        simulation
    }

    pub(super) fn recovered(machines: &[(&str, Value)], records: &[Record], now: Time, order: u64) -> Self {
        let (core, owed) =
            recover(programs(machines), 7, Settings::default(), records.to_vec(), now).unwrap();
        let mut simulation = Self::around(core, now, records.to_vec(), order);
        simulation.take(owed);
        simulation
    }

    fn around(core: Core, now: Time, records: Vec<Record>, order: u64) -> Self {
        Self {
            core,
            now,
            waiting: BTreeMap::new(),
            objects: BTreeMap::new(),
            object_calls: Vec::new(),
            records,
            calls: Vec::new(),
            results: BTreeMap::new(),
            rng: ChaCha8Rng::seed_from_u64(order),
        }
    }

    pub(super) fn step(&mut self, event: Event) {
        let mut commands = Vec::new();
        self.core.step(event, self.now, &mut commands);
        self.take(commands);
    }

    fn take(&mut self, commands: Vec<Command>) {
        for command in commands {
            match command {
                Command::Record(record) => self.records.push(record),
                Command::Invoke(invocation) => {
                    self.calls.push(invocation.clone());
                    self.waiting.insert(invocation.task, invocation);
                }
                Command::Object(call) => {
                    self.object_calls.push(call.clone());
                    self.objects.insert((call.task, call.call), call.request);
                }
                Command::Cancel(task) => {
                    let calls = self.waiting.len() + self.objects.len();
                    self.waiting.remove(&task);
                    self.objects.retain(|(other, _), _| *other != task);
                    assert!(self.waiting.len() + self.objects.len() < calls, "a call is cancelled once");
                }
                Command::Finished { name, result, .. } => {
                    self.results.insert(name.to_string(), result);
                }
            }
        }
    }

    /// Goes on for one event; false at the end.
    pub(super) fn go_on(&mut self, answer: &dyn Fn(&Invocation) -> Result<Value, TaskError>) -> bool {
        if self.core.is_ready() {
            self.step(Event::Continue);
            return true;
        }
        if let Some(((task, call), request)) = self.objects.pop_first() {
            self.now += 7;
            self.step(Event::Object { task, call, result: object_answer(&request) });
            return true;
        }
        let tasks: Vec<TaskId> = self.waiting.keys().copied().collect();
        if let Some(task) = tasks.choose(&mut self.rng) {
            self.now += 13;
            let Some(invocation) = self.waiting.remove(task) else { return false };
            let result = answer(&invocation).map(Payload::new);
            self.step(Event::Replied { task: *task, result });
            return true;
        }
        match self.core.next_timer() {
            Some(at) if !self.core.is_idle() => {
                self.now = self.now.max(at);
                self.step(Event::TimersDue);
                true
            }
            _ => false,
        }
    }

    pub(super) fn finish(mut self) -> Self {
        for _ in 0..200_000 {
            if !self.go_on(&answer) {
                return self;
            }
        }
        panic!("no end");
    }

    pub(super) fn result(&self, name: &str) -> &ExecutionResult {
        self.results.get(name).unwrap_or_else(|| panic!("{name} has not ended: {:?}", self.results))
    }

    /// The types of an execution's events, in order.
    pub(super) fn types(&self, name: &str) -> Vec<&'static str> {
        self.records
            .iter()
            .filter_map(|record| match record {
                Record::Event { execution, event, .. } if **execution == *name => {
                    Some(event.event_type.name())
                }
                _ => None,
            })
            .collect()
    }
}

/// `flaky` fails the first time, `bad` always, anything else gives the event and the function's name.
pub(super) fn answer(invocation: &Invocation) -> Result<Value, TaskError> {
    let error = |name: &str| Err(TaskError { error: name.to_owned(), cause: Some("because".to_owned()) });
    let payload = match invocation.function.as_str() {
        "flaky" if invocation.attempt == 0 => return error("Flaky"),
        "bad" => return error("Bad"),
        name => json!({"by": name, "of": invocation.payload.value()}),
    };
    Ok(match invocation.shape {
        crate::core::ReplyShape::Payload => payload,
        crate::core::ReplyShape::Response => json!({"Payload": payload, "StatusCode": 200}),
    })
}

/// Seven items in pages of three; the object `broken` has only one page.
pub(super) fn object_answer(request: &ObjectRequest) -> ObjectResult {
    match request {
        ObjectRequest::Action { action, arguments } => {
            Ok(ObjectReply::Output(Payload::new(json!({"of": arguments.value(), "action": action.name()}))))
        }
        ObjectRequest::Put { .. } => Ok(ObjectReply::Written),
        ObjectRequest::Page { arguments, cursor, .. } => {
            let offset = cursor.as_ref().map_or(0, |cursor| cursor.offset);
            if offset > 0 && arguments.value()["Key"] == "broken" {
                return Err(TaskError { error: "S3".to_owned(), cause: Some("gone".to_owned()) });
            }
            let end = (offset + 3).min(7);
            let items = (offset..end).map(|item| Payload::new(Value::from(item))).collect();
            let next = (end < 7).then(|| Cursor { offset: end, ..Cursor::default() });
            Ok(ObjectReply::Page(Page::new(items, next)))
        }
    }
}
