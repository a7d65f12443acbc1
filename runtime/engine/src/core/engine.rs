//! The core itself: what it holds, how an event goes through it, and how frames get from state to state.

use super::arena::FrameId;
use super::arn::Settings;
use super::command::Command;
use super::event::{Event, TaskError, TaskId};
use super::execution::{Awaiter, Execution, ExecutionId, ExecutionResult, Identity, Machine, Status};
use super::failure::Failure;
use super::frame::{Activity, Frame, Variables};
use super::history::{Details, EventType, HistoryEvent, Record};
use super::scope::FrameScope;
use super::timers::{Alarm, Timers};
use super::{Time, limits};
use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use stepgrad_asl::Payload;
use stepgrad_asl::document::MachineType;
use stepgrad_asl::expression::EvaluationError;
use stepgrad_asl::program::{Name, Outcome, Produced, Program, State, StateId};

/// The interpreter of any number of executions of any number of machines.
#[derive(Debug)]
pub struct Core {
    pub(super) settings: Settings,
    pub(super) seed: u64,
    pub(super) machines: BTreeMap<String, Arc<Machine>>,
    pub(super) executions: BTreeMap<ExecutionId, Execution>,
    /// `machine:name` of all executions, ended ones too: a name is used once.
    pub(super) names: BTreeMap<String, ExecutionId>,
    pub(super) ready: VecDeque<Ready>,
    /// What happened and was not looked at yet.
    inbox: VecDeque<Event>,
    pub(super) timers: Timers,
    pub(super) now: Time,
    pub(super) out: Vec<Command>,
    pub(super) next_execution: u32,
    pub(super) stats: Stats,
    /// In a replay: how often executions will yet be redriven.
    pub(super) redrives: BTreeMap<Name, u32>,
    /// In a replay: executions that have come to an end after which they are redriven, and how many commands came
    /// before.
    pub(super) held: Vec<(usize, ExecutionId)>,
    /// Child executions of distributed Maps that did not succeed, as they stood, for their Map may be redriven.
    pub(super) stranded: BTreeMap<ExecutionId, Execution>,
    /// The last events of those, by `machine:name`.
    pub(super) ends: BTreeMap<Name, u64>,
}

/// What the core has done so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Events of all histories.
    pub events: u64,
    /// States left.
    pub transitions: u64,
    /// Calls of functions asked for.
    pub invocations: u64,
    /// Executions started.
    pub executions: u64,
}

/// What can go on without anything happening outside.
#[derive(Debug)]
pub(super) enum Ready {
    /// A frame is to enter its state, or to work again.
    Frame(ExecutionId, FrameId),
    /// A child execution of a distributed Map has ended.
    Item { map: (ExecutionId, FrameId), index: usize, child: ExecutionId, ended: Box<Ended> },
    /// A task that waited for an execution has its outcome.
    Task(TaskId, Result<Payload, TaskError>),
}

/// How a child execution of a distributed Map has ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) identity: Arc<Identity>,
    pub(super) status: Status,
    /// Of one that succeeded.
    pub(super) output: Option<Payload>,
    pub(super) error: Option<String>,
    pub(super) cause: Option<String>,
    pub(super) at: Time,
}

/// The execution and frame that is being worked on.
#[derive(Debug, Clone)]
pub(super) struct Here {
    pub(super) execution: ExecutionId,
    pub(super) frame: FrameId,
    pub(super) identity: Arc<Identity>,
}

impl Here {
    pub(super) fn state(&self, frame: &Frame) -> Result<&State, Failure> {
        frame.current(&self.identity.machine.program).ok_or_else(Failure::internal)
    }
}

/// What a state's work came to.
#[derive(Debug)]
pub(super) enum Work {
    /// It goes on later.
    Suspended,
    /// A result, still to go through ResultSelector and the like.
    Result(Payload),
    /// The state had no work of its own: its effective input goes on.
    Passed(Payload),
    /// What goes on, and where to: for a Choice.
    Chosen(Produced, StateId),
}

impl Core {
    /// A core that knows these machines. `seed` decides every draw: jitter, States.MathRandom, States.UUID.
    #[must_use]
    pub fn new(machines: BTreeMap<String, Program>, seed: u64, settings: Settings) -> Self {
        let machines = machines
            .into_iter()
            .map(|(name, program)| {
                let arn = settings.machine(&name);
                (name.clone(), Arc::new(Machine { name, arn, program }))
            })
            .collect();
        Self {
            settings,
            seed,
            machines,
            executions: BTreeMap::new(),
            names: BTreeMap::new(),
            ready: VecDeque::new(),
            inbox: VecDeque::new(),
            timers: Timers::default(),
            now: 0,
            out: Vec::new(),
            next_execution: 0,
            stats: Stats::default(),
            redrives: BTreeMap::new(),
            held: Vec::new(),
            stranded: BTreeMap::new(),
            ends: BTreeMap::new(),
        }
    }

    /// Takes in what happened at `now` and appends to `commands` what is to be done. A step is bounded: where
    /// [`Core::is_ready`] holds afterwards, [`Event::Continue`] goes on.
    pub fn step(&mut self, event: Event, now: Time, commands: &mut Vec<Command>) {
        self.now = self.now.max(now);
        // What is ready goes first, what happened outside after it: a replay does the same.
        if matches!(event, Event::Abort { .. }) {
            self.inbox.push_front(event);
        } else {
            self.inbox.push_back(event);
        }
        for _ in 0..limits::MAX_TRANSITIONS_PER_STEP {
            if self.advance_one() {
                continue;
            }
            if let Some(event) = self.inbox.pop_front() {
                self.take_in(event);
            } else if let Some(alarm) = self.timers.due(self.now) {
                self.alarm(alarm);
            } else {
                break;
            }
        }
        commands.append(&mut self.out);
    }

    /// When the next timer is due: a driver sends [`Event::TimersDue`] then.
    #[must_use]
    pub fn next_timer(&self) -> Option<Time> {
        self.timers.next()
    }

    /// Whether something can go on without anything happening outside.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        !self.ready.is_empty() || !self.inbox.is_empty()
    }

    /// Whether no execution is running.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.executions.is_empty()
    }

    /// The time of the last step.
    #[must_use]
    pub fn now(&self) -> Time {
        self.now
    }

    /// The execution of that name: running or ended.
    #[must_use]
    pub fn execution(&self, machine: &str, name: &str) -> Option<ExecutionId> {
        self.names.get(&format!("{machine}:{name}")).copied()
    }

    /// What the core has done so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// What happened, without going on from it.
    pub(super) fn take_in(&mut self, event: Event) {
        match event {
            Event::Start { machine, name, input } => self.start_root(&machine, &name, &input),
            Event::Replied { task, result } => self.replied(task, result),
            Event::Object { task, call, result } => self.object_done(task, call, result),
            Event::Callback { task, result } => self.called_back(task, result),
            Event::Queued { task } => self.queued(task),
            Event::Begun { task } => self.begun(task),
            Event::Heartbeat { task } => self.heartbeat(task),
            // A step looks at the timers in any case.
            Event::TimersDue | Event::Continue => {}
            Event::Abort { execution, error, cause } => {
                let running: Vec<ExecutionId> = match execution {
                    Some(execution) => vec![execution],
                    None => self.executions.keys().copied().collect(),
                };
                for execution in running {
                    self.abort(execution, error.clone(), cause.clone());
                }
            }
        }
    }

    /// Lets the first that is ready go on.
    pub(super) fn advance_one(&mut self) -> bool {
        match self.ready.pop_front() {
            None => false,
            Some(Ready::Frame(execution, frame)) => {
                self.advance(execution, frame);
                true
            }
            Some(Ready::Item { map, index, child, ended }) => {
                self.item_ended(map, index, child, &ended);
                true
            }
            Some(Ready::Task(task, result)) => {
                self.complete(task, result);
                true
            }
        }
    }

    pub(super) fn alarm(&mut self, alarm: Alarm) {
        match alarm {
            Alarm::Wait(execution, frame) => self.wake(execution, frame),
            Alarm::Retry(execution, frame) => {
                if let Some(waiting) = self.frame_mut(execution, frame) {
                    waiting.activity = Activity::Work;
                    self.ready.push_back(Ready::Frame(execution, frame));
                }
            }
            Alarm::Timeout(execution, frame) => self.task_timed_out(execution, frame, "States.Timeout"),
            Alarm::Heartbeat(execution, frame) => {
                self.task_timed_out(execution, frame, "States.HeartbeatTimeout");
            }
            Alarm::Execution(execution) => self.time_out(execution),
        }
    }

    pub(super) fn frame_mut(&mut self, execution: ExecutionId, frame: FrameId) -> Option<&mut Frame> {
        self.executions.get_mut(&execution)?.frames.get_mut(frame)
    }

    /// Takes a frame out to be worked on.
    pub(super) fn take(&mut self, execution: ExecutionId, frame: FrameId) -> Option<(Here, Box<Frame>)> {
        let running = self.executions.get_mut(&execution)?;
        let taken = running.frames.take(frame)?;
        Some((Here { execution, frame, identity: Arc::clone(&running.identity) }, taken))
    }

    pub(super) fn put(&mut self, here: &Here, frame: Box<Frame>) {
        if let Some(execution) = self.executions.get_mut(&here.execution) {
            execution.frames.put(here.frame, frame);
        }
    }

    fn advance(&mut self, execution: ExecutionId, frame: FrameId) {
        let deadline = self.executions.get(&execution).and_then(|execution| execution.deadline);
        if deadline.is_some_and(|deadline| deadline <= self.now) {
            self.time_out(execution);
            return;
        }
        let Some((here, mut frame)) = self.take(execution, frame) else { return };
        match std::mem::replace(&mut frame.activity, Activity::Work) {
            Activity::Enter => self.enter(&here, &mut frame),
            // A redriven execution goes on with the results that it had.
            Activity::Fork(fork) => {
                self.next_or_result(&here, frame, fork);
                return;
            }
            Activity::Run(run) => {
                self.redrive_run(&here, frame, run);
                return;
            }
            _ => {}
        }
        let work = self.work(&here, &mut frame);
        self.settle(&here, frame, work);
    }

    fn enter(&mut self, here: &Here, frame: &mut Frame) {
        let Ok(state) = here.state(frame) else { return };
        let event_type = super::states::entered(&state.kind);
        let details = Details {
            name: Some(state.name.clone()),
            input: Some(frame.input.clone()),
            ..Details::default()
        };
        frame.attempt = 0;
        frame.tries.clear();
        frame.draws = 0;
        frame.visits += 1;
        frame.entered_at = self.now;
        frame.entered_event = self.record(here, frame, event_type, details);
        frame.activity = Activity::Work;
    }

    /// Goes on from what a state's work came to.
    pub(super) fn settle(&mut self, here: &Here, mut frame: Box<Frame>, work: Result<Work, Failure>) {
        let settled = work.and_then(|work| match work {
            Work::Suspended => Ok(None),
            Work::Chosen(produced, next) => {
                within_limit(here.state(&frame)?, &produced.output)?;
                Ok(Some((produced, Some(next))))
            }
            Work::Result(result) => {
                let next = here.state(&frame)?.next;
                let produced = self.produce(here, &mut frame, Outcome::Result(&result))?;
                Ok(Some((produced, next)))
            }
            Work::Passed(effective) => {
                let next = here.state(&frame)?.next;
                let produced = self.produce(here, &mut frame, Outcome::None(&effective))?;
                Ok(Some((produced, next)))
            }
        });
        match settled {
            Ok(None) => self.put(here, frame),
            Ok(Some((produced, next))) => self.leave(here, frame, produced, next),
            Err(failure) => self.fail(here, frame, failure),
        }
        self.stop_if_overflowed(here);
    }

    fn produce(&mut self, here: &Here, frame: &mut Frame, outcome: Outcome<'_>) -> Result<Produced, Failure> {
        let raw = frame.input.clone();
        let produced = self.evaluate(here, frame, |state, scope| state.flow.produce(&raw, outcome, scope))?;
        within_limit(here.state(frame)?, &produced.output)?;
        Ok(produced)
    }

    pub(super) fn leave(
        &mut self,
        here: &Here,
        mut frame: Box<Frame>,
        produced: Produced,
        next: Option<StateId>,
    ) {
        let Ok(state) = here.state(&frame) else { return };
        if let Some(event_type) = super::states::exited(&state.kind) {
            let details = Details {
                name: Some(state.name.clone()),
                output: Some(produced.output.clone()),
                assigned_variables: produced.assigned.iter().cloned().collect(),
                ..Details::default()
            };
            self.record(here, &mut frame, event_type, details);
        }
        self.stats.transitions += 1;
        if !produced.assigned.is_empty() {
            let variables: &mut Variables = Arc::make_mut(&mut frame.variables);
            variables.own.extend(produced.assigned);
        }
        match next {
            Some(next) => {
                frame.state = next;
                frame.input = produced.output;
                frame.activity = Activity::Enter;
                self.put(here, frame);
                self.ready.push_back(Ready::Frame(here.execution, here.frame));
            }
            None => self.end(here, &frame, produced.output),
        }
    }

    /// The frame's scope has ended well.
    fn end(&mut self, here: &Here, frame: &Frame, output: Payload) {
        if let Some(execution) = self.executions.get_mut(&here.execution) {
            execution.frames.remove(here.frame);
        }
        match frame.parent {
            None => self.finish(
                here.execution,
                Some(frame.previous_event),
                Status::Succeeded,
                Some(output),
                None,
                None,
            ),
            Some((parent, index)) => self.joined(here.execution, parent, index, output, frame.previous_event),
        }
    }

    /// Evaluates expressions of the frame's state.
    pub(super) fn evaluate<T>(
        &self,
        here: &Here,
        frame: &mut Frame,
        evaluation: impl FnOnce(&State, &FrameScope<'_>) -> Result<T, EvaluationError>,
    ) -> Result<T, Failure> {
        self.evaluate_with(here, frame, None, None, evaluation)
    }

    /// The same, with the item of an ItemSelector or the token of a task.
    pub(super) fn evaluate_with<T>(
        &self,
        here: &Here,
        frame: &mut Frame,
        item: Option<&super::frame::Item>,
        token: Option<String>,
        evaluation: impl FnOnce(&State, &FrameScope<'_>) -> Result<T, EvaluationError>,
    ) -> Result<T, Failure> {
        let state = here.state(frame)?;
        let scope = FrameScope {
            identity: &here.identity,
            frame,
            state,
            item,
            token,
            now: self.now,
            seed: self.seed,
            draws: Cell::new(frame.draws),
        };
        let result = evaluation(state, &scope);
        let draws = scope.draws.get();
        frame.draws = draws;
        result.map_err(|error| Failure::of_evaluation(state, frame, &error))
    }

    /// Writes an event of the frame's line of control.
    pub(super) fn record(
        &mut self,
        here: &Here,
        frame: &mut Frame,
        event_type: EventType,
        details: Details,
    ) -> u64 {
        self.record_attempt(here, frame, event_type, details, None)
    }

    /// Writes an event beside the frame's line of control: what follows does not lead back to it.
    pub(super) fn record_beside(
        &mut self,
        here: &Here,
        frame: &Frame,
        event_type: EventType,
        details: Details,
    ) -> u64 {
        self.record_after(here.execution, frame.previous_event, event_type, details, None)
    }

    pub(super) fn record_attempt(
        &mut self,
        here: &Here,
        frame: &mut Frame,
        event_type: EventType,
        details: Details,
        attempt: Option<u32>,
    ) -> u64 {
        let id = self.record_after(here.execution, frame.previous_event, event_type, details, attempt);
        frame.previous_event = id;
        id
    }

    /// Writes an event that follows `previous`. The last that a Standard execution may have is kept for its end.
    pub(super) fn record_after(
        &mut self,
        execution: ExecutionId,
        previous: u64,
        event_type: EventType,
        details: Details,
        attempt: Option<u32>,
    ) -> u64 {
        let Some(running) = self.executions.get_mut(&execution) else { return previous };
        let standard = running.identity.machine_type == MachineType::Standard;
        if standard && running.last_event + 1 >= limits::MAX_EVENTS && !event_type.is_end() {
            running.overflowed = true;
            return running.last_event;
        }
        running.last_event += 1;
        self.stats.events += 1;
        let event = HistoryEvent {
            id: running.last_event,
            previous_event_id: previous,
            timestamp: self.now,
            event_type,
            details: Box::new(details),
        };
        let id = event.id;
        self.out.push(Command::Record(Record::Event {
            execution: running.identity.key.clone(),
            event,
            attempt,
        }));
        id
    }

    fn stop_if_overflowed(&mut self, here: &Here) {
        let overflowed = self.executions.get(&here.execution).filter(|execution| execution.overflowed);
        if let Some(previous) = overflowed.map(|execution| execution.last_event) {
            let cause = format!(
                "The execution reached the maximum number of history events ({}).",
                limits::MAX_EVENTS
            );
            let error = Some("States.Runtime".to_owned());
            self.finish(here.execution, Some(previous), Status::Failed, None, error, Some(cause));
        }
    }

    /// Ends an execution: its frames go, and whoever waits for it is told.
    pub(super) fn finish(
        &mut self,
        id: ExecutionId,
        previous: Option<u64>,
        status: Status,
        output: Option<Payload>,
        error: Option<String>,
        cause: Option<String>,
    ) {
        if self.hold_at_end(id, status, error.as_deref(), cause.as_deref()) {
            return;
        }
        let Some(execution) = self.executions.get(&id) else { return };
        let previous = previous.unwrap_or(execution.last_event);
        let event_type = match status {
            Status::Succeeded => EventType::ExecutionSucceeded,
            Status::Failed => EventType::ExecutionFailed,
            Status::TimedOut => EventType::ExecutionTimedOut,
            Status::Aborted => EventType::ExecutionAborted,
        };
        let details = Details {
            output: output.clone(),
            error: error.clone(),
            cause: cause.clone(),
            ..Details::default()
        };
        self.record_after(id, previous, event_type, details, None);
        let Some(mut execution) = self.executions.remove(&id) else { return };
        if let Some(Awaiter::Map(..)) = execution.awaited_by {
            // Its name is drawn, nobody can start it again: a run of a million children does not remember them.
            self.names.remove(&*execution.identity.key);
        }
        if let Some(timer) = execution.timer {
            self.timers.cancel(timer);
        }
        if let Some(root) = execution.root {
            self.cancel_frames(&mut execution, id, root);
        }
        match execution.awaited_by {
            None => {}
            Some(Awaiter::Task(task)) => {
                self.tell(
                    task,
                    &execution.identity,
                    status,
                    output.as_ref(),
                    error.as_deref(),
                    cause.as_deref(),
                );
            }
            Some(Awaiter::Map(parent, frame, index)) => {
                let map = (parent, frame);
                let ended = Box::new(Ended {
                    identity: Arc::clone(&execution.identity),
                    status,
                    output: output.clone(),
                    error: error.clone(),
                    cause: cause.clone(),
                    at: self.now,
                });
                self.ready.push_back(Ready::Item { map, index, child: id, ended });
            }
        }
        for task in std::mem::take(&mut execution.awaited_again) {
            self.tell(task, &execution.identity, status, output.as_ref(), error.as_deref(), cause.as_deref());
        }
        let result = ExecutionResult { status, output: output.map(Payload::into_value), error, cause };
        self.out.push(Command::Finished { execution: id, name: execution.identity.key.clone(), result });
    }

    pub(super) fn abort(&mut self, execution: ExecutionId, error: Option<String>, cause: Option<String>) {
        self.finish(execution, None, Status::Aborted, None, error, cause);
    }

    fn time_out(&mut self, execution: ExecutionId) {
        self.finish(execution, None, Status::TimedOut, None, Some("States.Timeout".to_owned()), None);
    }
}

/// Whether `output` may go on to the next state.
pub(super) fn within_limit(state: &State, output: &Payload) -> Result<(), Failure> {
    if output.is_within(limits::MAX_PAYLOAD) { Ok(()) } else { Err(Failure::too_large(&state.name)) }
}

impl EventType {
    /// Whether an execution ends with it.
    #[must_use]
    pub const fn is_end(self) -> bool {
        matches!(
            self,
            Self::ExecutionSucceeded
                | Self::ExecutionFailed
                | Self::ExecutionTimedOut
                | Self::ExecutionAborted
        )
    }
}
