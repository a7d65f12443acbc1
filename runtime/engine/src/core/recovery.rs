//! A recorded history becomes a core again: the history is the log.
//!
//! The core is deterministic: given what happened outside and when, it writes the same records again. So the records
//! of a killed run are gone through in order. What the core does by itself has to give the next records; where it
//! waits, the next record says what happened outside (a reply, a callback, a timer, an abort), and that is fed back
//! in. Nothing that stands in the record as done is asked for again. When the records end, tasks under way are
//! started again with their timeouts anew.

use super::command::Command;
use super::engine::Core;
use super::event::{Event, TaskError, TaskId};
use super::execution::{Awaiter, ExecutionId};
use super::frame::Activity;
use super::history::{Details, EventType, HistoryEvent, Record};
use super::objects::ObjectCall;
use super::recorded::{Expected, Recorded};
use super::timers::Alarm;
use super::{Settings, Time};
use std::collections::{BTreeMap, VecDeque};
use stepgrad_asl::Payload;
use stepgrad_asl::program::Program;

/// The records do not go with the machines.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecoveryError {
    /// A line that is not the last is not a record.
    #[error("line {line} of the history is not a record: {message}; only the last line may be torn")]
    NotARecord {
        /// From 1.
        line: usize,
        /// What is wrong with it.
        message: String,
    },
    /// The core does something else than what was recorded.
    #[error(
        "the history differs from what the machines do at event {id} of {execution}: recorded {recorded}, now {now}; were the definitions, the seed or the engine changed?"
    )]
    Diverged {
        /// `machine:name`.
        execution: String,
        /// The event's id.
        id: u64,
        /// The type of the recorded event.
        recorded: String,
        /// What there is now.
        now: String,
    },
    /// What was redriven cannot be.
    #[error("{execution} cannot be redriven: {reason}")]
    NotRedrivable {
        /// `machine:name`.
        execution: String,
        /// Why.
        reason: String,
    },
    /// The file of the history cannot be read to its end.
    #[error("the history cannot be read: {0}")]
    Unreadable(String),
    /// There is no record at all.
    #[error("the history is empty: start the run anew")]
    Empty,
}

/// A core as it was when the records ended, and the commands that are still owed: invocations of tasks under way,
/// records that the core writes and that the log does not have yet, among them [`Record::Resumed`].
///
/// # Errors
/// [`RecoveryError`] where the records do not go with the machines.
pub fn recover(
    machines: BTreeMap<String, Program>,
    seed: u64,
    settings: Settings,
    records: impl Into<Recorded>,
    now: Time,
) -> Result<(Core, Vec<Command>), RecoveryError> {
    let (redrives, expected) = records.into().into_parts();
    let mut replay = Replay { core: Core::new(machines, seed, settings), expected, owed: Vec::new() };
    replay.core.redrives = redrives;
    replay.expected.advance()?;
    if replay.expected.front().is_none() {
        return Err(RecoveryError::Empty);
    }
    while replay.expected.front().is_some() {
        replay.go_on()?;
    }
    let Replay { mut core, mut owed, .. } = replay;
    let resumed = core.now.max(now);
    owed.push(Command::Record(Record::Resumed { timestamp: resumed }));
    core.resume(resumed);
    owed.append(&mut core.out);
    Ok((core, owed))
}

struct Replay {
    core: Core,
    expected: Expected,
    /// Commands after the last recorded event.
    owed: Vec<Command>,
}

impl Replay {
    /// One step: what is ready goes on, or else what happened outside is fed in.
    fn go_on(&mut self) -> Result<(), RecoveryError> {
        match self.expected.front() {
            None => return Ok(()),
            Some(Record::Resumed { timestamp }) => {
                let resumed = self.core.now.max(*timestamp);
                self.expected.advance()?;
                self.core.resume(resumed);
                return self.compare();
            }
            Some(Record::Event { execution, event, .. }) => {
                self.core.now = self.core.now.max(event.timestamp);
                // That of a distributed Map's child follows from its Map's.
                if event.event_type == EventType::ExecutionRedriven
                    && let Some(id) = self.core.names.get(&**execution).copied()
                {
                    let last = event.previous_event_id;
                    let ends = self.expected.take_ends();
                    self.core.ends.extend(ends);
                    self.core.redrive(id, last);
                    return self.compare();
                }
            }
            Some(Record::Objects { timestamp, .. } | Record::Fault { timestamp, .. }) => {
                self.core.now = self.core.now.max(*timestamp);
            }
        }
        let from_outside = !self.core.advance_one();
        if from_outside {
            let outside = match self.abort() {
                Some(abort) => Outside::Event(abort),
                None => self.outside()?,
            };
            match outside {
                Outside::Event(event) => self.core.take_in(event),
                Outside::Alarm(alarm) => self.core.alarm(alarm),
                Outside::Complete(task, result) => self.core.complete(task, result),
            }
        }
        let before = self.expected.taken();
        self.compare()?;
        // What S3 answered has to be taken up, or the replay would ask for ever.
        if from_outside
            && self.expected.taken() == before
            && matches!(self.expected.front(), Some(Record::Objects { .. }))
        {
            return Err(self.diverged("no call of S3 under way that it belongs to"));
        }
        Ok(())
    }

    /// Leaves out what the end of an execution led to that will be redriven: its own records until then, and the ends
    /// of the executions it waited for.
    fn pass_over(&mut self, id: ExecutionId) -> Result<(), RecoveryError> {
        let Some(running) = self.core.executions.get(&id) else {
            // A child that has come to its end with its Map.
            return Ok(());
        };
        let key = running.identity.key.clone();
        if matches!(running.awaited_by, Some(Awaiter::Map(..))) {
            let ended = self.core.strand_child(id);
            for ended in ended {
                self.expected.pass_over_end(ended)?;
            }
            return self.expected.pass_over_end(key);
        }
        let refused = |reason: String| RecoveryError::NotRedrivable { execution: key.to_string(), reason };
        if let Some(reason) = self.core.never_redriven(id) {
            return Err(refused(reason.to_owned()));
        }
        let ended = self.core.strand(id);
        self.expected.pass_over(key, ended)
    }

    /// An abort from outside. One that follows from something else is written by what is ready, or after another event.
    fn abort(&self) -> Option<Event> {
        let Some(Record::Event { execution, event, .. }) = self.expected.front() else { return None };
        let id = self.core.names.get(&**execution).copied();
        (event.event_type == EventType::ExecutionAborted && self.core.executions.contains_key(&id?)).then(
            || Event::Abort {
                execution: id,
                error: event.details.error.clone(),
                cause: event.details.cause.clone(),
            },
        )
    }

    /// What happened outside, by the record that it led to.
    fn outside(&mut self) -> Result<Outside, RecoveryError> {
        if let Some(Record::Objects { execution, run, call, result, .. }) = self.expected.front() {
            return match self.core.names.get(&**execution) {
                Some(id) => {
                    let task = TaskId { execution: *id, event: *run };
                    Ok(Outside::Event(Event::Object { task, call: *call, result: result.clone() }))
                }
                None => Err(self.diverged("no execution of that name")),
            };
        }
        let Some(Record::Event { execution, event, .. }) = self.expected.front() else {
            return Err(RecoveryError::Empty);
        };
        let id = self.core.names.get(&**execution).copied();
        let details = &event.details;
        let replied =
            |output: Option<Payload>| Ok(output.unwrap_or_else(|| Payload::new(serde_json::Value::Null)));
        let failed = |details: &Details| {
            Err(TaskError { error: details.error.clone().unwrap_or_default(), cause: details.cause.clone() })
        };
        let result = match event.event_type {
            EventType::ExecutionStarted if id.is_none() => {
                let (machine, name) = execution.split_once(':').unwrap_or((execution, ""));
                let input = details.input.clone().unwrap_or_else(Payload::empty);
                return Ok(Outside::Event(Event::Start {
                    machine: machine.to_owned(),
                    name: name.to_owned(),
                    input,
                }));
            }
            EventType::TaskSucceeded | EventType::LambdaFunctionSucceeded | EventType::TaskSubmitted => {
                replied(details.output.clone())
            }
            EventType::TaskFailed | EventType::LambdaFunctionFailed => failed(details),
            _ => {
                let event = event.clone();
                return match self.alarm(id, &event) {
                    Some(alarm) => Ok(Outside::Alarm(alarm)),
                    None => Err(self.diverged("nothing that could lead to it")),
                };
            }
        };
        match id.and_then(|id| self.task(id, event.previous_event_id)) {
            Some(task) if event.event_type == EventType::TaskSubmitted => {
                Ok(Outside::Event(Event::Replied { task, result }))
            }
            // A reply and a callback lead to the same: the core knows which one the task waits for.
            Some(task) => Ok(Outside::Complete(task, result)),
            None => Err(self.diverged("no task under way that it belongs to")),
        }
    }

    /// The timer that led to `event`: the record says whose it was. When it went off is not asked, for a driver may
    /// have put it off.
    fn alarm(&mut self, id: Option<ExecutionId>, event: &HistoryEvent) -> Option<Alarm> {
        let executions = &self.core.executions;
        let is_here = |execution: ExecutionId, frame| {
            let frame = executions.get(&execution).and_then(|running| running.frames.get(frame));
            Some(execution) == id
                && frame.is_some_and(|frame| frame.previous_event == event.previous_event_id)
        };
        let timeout = matches!(event.event_type, EventType::TaskTimedOut | EventType::LambdaFunctionTimedOut);
        let heartbeat = event.details.error.as_deref() == Some("States.HeartbeatTimeout");
        let end = event.event_type == EventType::ExecutionTimedOut;
        self.core.timers.take_first(|alarm| match *alarm {
            Alarm::Execution(execution) => end && Some(execution) == id,
            Alarm::Timeout(execution, frame) => timeout && !heartbeat && is_here(execution, frame),
            Alarm::Heartbeat(execution, frame) => timeout && heartbeat && is_here(execution, frame),
            Alarm::Wait(execution, frame) | Alarm::Retry(execution, frame) => {
                !timeout && !end && is_here(execution, frame)
            }
        })
    }

    /// The task whose line of control ends at event `previous`.
    fn task(&self, execution: ExecutionId, previous: u64) -> Option<TaskId> {
        let running = self.core.executions.get(&execution)?;
        running.tasks.iter().find_map(|(event, frame)| {
            let frame = running.frames.get(*frame)?;
            (frame.previous_event == previous).then_some(TaskId { execution, event: *event })
        })
    }

    /// What the core wrote has to be what was recorded; what goes beyond the records is owed.
    fn compare(&mut self) -> Result<(), RecoveryError> {
        let mut held: VecDeque<_> = std::mem::take(&mut self.core.held).into();
        let commands = std::mem::take(&mut self.core.out);
        let count = commands.len();
        for (place, command) in commands.into_iter().enumerate() {
            while held.front().is_some_and(|(before, _)| *before <= place)
                && let Some((_, id)) = held.pop_front()
            {
                self.pass_over(id)?;
            }
            match command {
                Command::Record(record) => match self.expected.front() {
                    None => self.owed.push(Command::Record(record)),
                    Some(expected) if same(expected, &record) => self.expected.advance()?,
                    Some(_) => return Err(self.diverged(&describe(&record))),
                },
                // Tasks that are still under way when the records end are started again by the resumption.
                Command::Invoke(_) | Command::Object(_) | Command::Cancel(_) => {}
                // Told again: the driver of a recovered run does not know yet how executions ended.
                // Of child executions of a distributed Map nobody is told but the Map: there may be very many.
                Command::Finished { name, .. } if !self.core.names.contains_key(&*name) => {}
                finished @ Command::Finished { .. } => self.owed.push(finished),
            }
        }
        debug_assert!(held.iter().all(|(before, _)| *before <= count), "held after a command");
        for (_, id) in held {
            self.pass_over(id)?;
        }
        Ok(())
    }

    fn diverged(&self, now: &str) -> RecoveryError {
        let (execution, id, recorded) = match self.expected.front() {
            Some(Record::Event { execution, event, .. }) => {
                (execution.to_string(), event.id, event.event_type.name().to_owned())
            }
            Some(Record::Objects { execution, run, .. }) => {
                (execution.to_string(), *run, "what S3 answered".to_owned())
            }
            _ => (String::new(), 0, "nothing".to_owned()),
        };
        RecoveryError::Diverged { execution, id, recorded, now: now.to_owned() }
    }
}

enum Outside {
    Event(Event),
    Alarm(Alarm),
    Complete(TaskId, Result<Payload, TaskError>),
}

fn same(expected: &Record, record: &Record) -> bool {
    let key = |event: &HistoryEvent| {
        (event.id, event.previous_event_id, event.event_type, event.details.name.clone(), event.timestamp)
    };
    match (expected, record) {
        (Record::Event { execution: a, event: x, .. }, Record::Event { execution: b, event: y, .. }) => {
            a == b && key(x) == key(y)
        }
        (
            Record::Objects { execution: a, run: x, call: m, .. },
            Record::Objects { execution: b, run: y, call: n, .. },
        ) => a == b && x == y && m == n,
        _ => false,
    }
}

fn describe(record: &Record) -> String {
    match record {
        Record::Event { execution, event, .. } => {
            format!("{} (event {} of {execution})", event.event_type.name(), event.id)
        }
        Record::Objects { execution, run, .. } => format!("what S3 answered to Map Run {run} of {execution}"),
        Record::Resumed { .. } => "a resumption".to_owned(),
        Record::Fault { .. } => "a fault".to_owned(),
    }
}

impl Core {
    /// Starts tasks under way again, with their timeouts anew; executions' own timeouts are moved by as long as the
    /// run was down, for a run that is killed does not age.
    pub(super) fn resume(&mut self, now: Time) {
        let down = now.saturating_sub(self.now);
        self.now = now;
        for (id, running) in &mut self.executions {
            if let (Some(deadline), Some(timer)) = (running.deadline, running.timer) {
                self.timers.cancel(timer);
                let deadline = deadline.saturating_add(down);
                running.deadline = Some(deadline);
                running.timer = Some(self.timers.set(deadline, Alarm::Execution(*id)));
            }
        }
        let mut again = Vec::new();
        for (execution, running) in &self.executions {
            for (event, frame) in &running.runs {
                let Some(Activity::Run(run)) = running.frames.get(*frame).map(|frame| &frame.activity) else {
                    continue;
                };
                let task = TaskId { execution: *execution, event: *event };
                for (call, request) in &run.pending {
                    let request = request.clone();
                    self.out.push(Command::Object(ObjectCall { task, call: *call, request }));
                }
            }
            for frame in running.tasks.values() {
                if let Some(waiting) = running.frames.get(*frame)
                    && let Activity::Task(_) = &waiting.activity
                {
                    again.push((*execution, *frame));
                }
            }
        }
        for (execution, frame) in again {
            let Some(waiting) = self.executions.get_mut(&execution).and_then(|e| e.frames.get_mut(frame))
            else {
                continue;
            };
            let Activity::Task(run) = &mut waiting.activity else { continue };
            for (timer, seconds, alarm) in [
                (&mut run.timeout, run.timeout_seconds, Alarm::Timeout(execution, frame)),
                (&mut run.heartbeat, run.heartbeat_seconds, Alarm::Heartbeat(execution, frame)),
            ] {
                if let (Some(key), Some(seconds)) = (*timer, seconds) {
                    self.timers.cancel(key);
                    *timer = Some(self.timers.set(later(now, seconds), alarm));
                }
            }
            if let Some(object) = &run.object {
                self.out.push(Command::Object((**object).clone()));
            }
            if let Some(invocation) = &mut run.invocation {
                invocation.deadline = run.timeout_seconds.map(|seconds| later(now, seconds));
                self.stats.invocations += 1;
                self.out.push(Command::Invoke(invocation.clone()));
            }
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "at most 99,999,999 seconds")]
fn later(now: Time, seconds: f64) -> Time {
    now.saturating_add((seconds * 1_000.0) as Time)
}
