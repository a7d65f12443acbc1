//! Redriving: an execution that ended badly goes on from where it failed (AWS: "Restarting state machine executions
//! with redrive in Step Functions").
//!
//! The log stays one history: an ExecutionRedriven event follows the end, and what comes after it follows. So a redrive
//! is a recovery ([`super::recover`]) of the records with that event appended ([`redriven`] makes it). The replay stops
//! at the failure itself, where branches and iterations still stand, and passes over what the failure led to:
//!
//! - states that succeeded are not run again; branches and iterations that had ended keep their results
//! - the failed state does its work again, with its retries and its timeout anew; so do states of other branches and
//!   iterations, which the failure had ended; a Wait goes on until the time it had been waiting for
//! - the execution's own timeout starts anew
//!
//! A distributed Map that failed goes on with its Map Run (MapRunRedriven; AWS: "Redriving Map Runs"): child executions
//! that succeeded keep their results; Standard ones that did not are redriven themselves, so they are kept as they stood
//! when they ended; Express ones are started anew; items that were not started are. So it is with calls of S3 that
//! failed. A task that started an execution with a fixed Name finds that the name is used: on AWS too.

use super::arena::FrameId;
use super::command::Command;
use super::engine::{Core, Ended, Here, Ready};
use super::execution::{Awaiter, ExecutionId, Identity, Status};
use super::failure::Failure;
use super::frame::{Activity, Frame};
use super::history::{Details, EventType, HistoryEvent, Record};
use super::recovery::RecoveryError;
use super::timers::Alarm;
use super::{Time, limits};
use std::collections::BTreeSet;
use std::sync::Arc;
use stepgrad_asl::document::MachineType;
use stepgrad_asl::program::{Kind, Name};

/// An execution cannot be redriven.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RedriveError {
    /// The history does not have it.
    #[error("the history has no execution {0:?}: name one that it has")]
    Unknown(String),
    /// It did not come to an end.
    #[error("the execution has not ended: resume it instead")]
    Running,
    /// There is nothing to go on from.
    #[error("the execution is SUCCEEDED and cannot be redriven")]
    Succeeded,
    /// The history is not one.
    #[error(transparent)]
    History(#[from] RecoveryError),
    /// The event of the redrive and the end of the execution have no room.
    #[error("the execution has {0} events and cannot be redriven: there may be no more than 24,998")]
    Full(u64),
}

/// The event that redrives the execution `key` (`machine:name`), to be appended to the records before
/// [`super::recover`] goes on from them.
///
/// # Errors
/// [`RedriveError`].
pub fn redriven(
    records: impl IntoIterator<Item = Result<Record, RecoveryError>>,
    key: &str,
    now: Time,
) -> Result<Record, RedriveError> {
    let mut last: Option<(Name, HistoryEvent)> = None;
    let mut redrives = 0;
    for record in records {
        if let Record::Event { execution, event, .. } = record?
            && *execution == *key
        {
            redrives += u32::from(event.event_type == EventType::ExecutionRedriven);
            last = Some((execution, event));
        }
    }
    let Some((execution, last)) = last else { return Err(RedriveError::Unknown(key.to_owned())) };
    match last.event_type {
        EventType::ExecutionSucceeded => Err(RedriveError::Succeeded),
        event_type if !event_type.is_end() => Err(RedriveError::Running),
        _ if last.id + 1 >= limits::MAX_EVENTS => Err(RedriveError::Full(last.id)),
        _ => {
            let event = HistoryEvent {
                id: last.id + 1,
                previous_event_id: last.id,
                timestamp: now.max(last.timestamp),
                event_type: EventType::ExecutionRedriven,
                details: Box::new(Details { redrive_count: Some(redrives + 1), ..Details::default() }),
            };
            Ok(Record::Event { execution, event, attempt: None })
        }
    }
}

impl Core {
    /// Whether the replay is at a point after which this execution is redriven.
    pub(super) fn will_be_redriven(&self, execution: ExecutionId) -> bool {
        !self.redrives.is_empty()
            && self
                .executions
                .get(&execution)
                .is_some_and(|running| self.redrives.contains_key(&running.identity.key))
    }

    /// Whether the execution may be redriven, by itself or with the distributed Map that it is a child of.
    pub(super) fn is_kept(&self, execution: ExecutionId) -> bool {
        !self.redrives.is_empty() && (self.will_be_redriven(execution) || self.is_kept_child(execution))
    }

    /// Whether it is a Standard child of a distributed Map that may be redriven.
    fn is_kept_child(&self, execution: ExecutionId) -> bool {
        let Some(running) = self.executions.get(&execution) else { return false };
        match running.awaited_by {
            Some(Awaiter::Map(parent, ..)) => {
                running.identity.machine_type == MachineType::Standard && self.is_kept(parent)
            }
            _ => false,
        }
    }

    fn is_map_child(&self, execution: ExecutionId) -> bool {
        let running = self.executions.get(&execution);
        running.is_some_and(|running| matches!(running.awaited_by, Some(Awaiter::Map(..))))
    }

    /// Keeps what stands when a failure ends an execution that will be redriven. False where somebody still catches it.
    pub(super) fn hold_at_failure(&mut self, here: &Here, frame: &mut Frame, failure: &Failure) -> bool {
        let is_child = self.is_map_child(here.execution);
        let kept =
            if is_child { self.is_kept_child(here.execution) } else { self.will_be_redriven(here.execution) };
        if !kept || !self.is_final(here, frame, failure) {
            return false;
        }
        if !matches!(frame.activity, Activity::Fork(_) | Activity::Run(_)) {
            let is_fail = here.state(frame).is_ok_and(|state| matches!(state.kind, Kind::Fail(_)));
            frame.activity = if is_fail { Activity::Enter } else { Activity::Work };
        }
        if is_child {
            let (error, cause) = (failure.error.as_deref(), failure.cause.as_deref());
            self.hold_child(here.execution, Status::Failed, error, cause);
        } else {
            self.held.push((self.out.len(), here.execution));
        }
        true
    }

    /// The same for an end from outside.
    pub(super) fn hold_at_end(
        &mut self,
        execution: ExecutionId,
        status: Status,
        error: Option<&str>,
        cause: Option<&str>,
    ) -> bool {
        if !matches!(status, Status::TimedOut | Status::Aborted) {
            return false;
        }
        if self.is_map_child(execution) {
            let kept = self.is_kept_child(execution);
            if kept {
                self.hold_child(execution, status, error, cause);
            }
            return kept;
        }
        let kept = self.will_be_redriven(execution);
        if kept {
            self.held.push((self.out.len(), execution));
        }
        kept
    }

    /// Keeps a child as it stands, and tells its Map how it ended.
    fn hold_child(&mut self, id: ExecutionId, status: Status, error: Option<&str>, cause: Option<&str>) {
        self.held.push((self.out.len(), id));
        let Some(execution) = self.executions.get(&id) else { return };
        let Some(Awaiter::Map(parent, frame, index)) = execution.awaited_by else { return };
        let ended = Box::new(Ended {
            identity: Arc::clone(&execution.identity),
            status,
            output: None,
            error: error.map(str::to_owned),
            cause: cause.map(str::to_owned),
            at: self.now,
        });
        self.ready.push_back(Ready::Item { map: (parent, frame), index, child: id, ended });
    }

    /// Whether no scope around the frame's tries again or catches.
    fn is_final(&self, here: &Here, frame: &Frame, failure: &Failure) -> bool {
        let Some(execution) = self.executions.get(&here.execution) else { return false };
        let error = failure.error.as_deref().unwrap_or_default();
        let mut parent = frame.parent;
        while let Some((outer, _)) = parent {
            let Some(frame) = execution.frames.get(outer) else { return false };
            let Some(state) = frame.current(&here.identity.machine.program) else { return false };
            let retrier = state.retry.iter().enumerate().find(|(_, retrier)| retrier.is_for(error));
            let tries = |place: usize| frame.tries.get(place).copied().unwrap_or(0);
            if retrier.is_some_and(|(place, retrier)| tries(place) < retrier.max_attempts)
                || state.catch.iter().any(|catcher| catcher.is_for(error))
            {
                return false;
            }
            parent = frame.parent;
        }
        true
    }

    /// Ends what an execution that is held has under way; the executions that ended with it.
    pub(super) fn strand(&mut self, id: ExecutionId) -> BTreeSet<Name> {
        self.ready.retain(|ready| !matches!(ready, Ready::Frame(execution, _) if *execution == id));
        let Some(mut execution) = self.executions.remove(&id) else { return BTreeSet::new() };
        if let Some(timer) = execution.timer.take() {
            self.timers.cancel(timer);
        }
        let mut runs = Vec::new();
        let mut children = Vec::new();
        for (_, frame) in execution.frames.iter_mut() {
            frame.attempt = 0;
            frame.tries.clear();
            match &mut frame.activity {
                Activity::Enter => continue,
                Activity::Work | Activity::Task(_) => {}
                Activity::Wait(timer) | Activity::Retry(timer) => self.timers.cancel(*timer),
                Activity::Run(run) => {
                    children.extend(run.running.values().map(|(child, _)| *child));
                    run.stand_by();
                    frame.visits += 1;
                    continue;
                }
                Activity::Fork(fork) => {
                    // Iterations that were cancelled because the next could not start: the Map runs again.
                    if fork.running.len() + fork.done == fork.started {
                        continue;
                    }
                }
            }
            // Another coordinate of chance: names that are drawn differ from those before.
            frame.visits += 1;
            if let Activity::Task(run) = std::mem::replace(&mut frame.activity, Activity::Work) {
                runs.push(run);
            }
        }
        execution.tasks.clear();
        execution.runs.clear();
        execution.closed = true;
        self.executions.insert(id, execution);
        for run in runs {
            self.cancel_task(id, &run);
        }
        let mut with_it = BTreeSet::new();
        for child in children {
            let Some(running) = self.executions.get(&child) else { continue };
            if running.identity.machine_type == MachineType::Standard {
                with_it.insert(running.identity.key.clone());
                with_it.append(&mut self.strand_child(child));
            } else {
                self.abort(child, None, None);
            }
        }
        with_it.extend(self.out.drain(..).filter_map(|command| match command {
            Command::Record(Record::Event { execution, .. }) => Some(execution),
            _ => None,
        }));
        with_it
    }

    /// The same for a child of a distributed Map: its Map may redrive it.
    pub(super) fn strand_child(&mut self, id: ExecutionId) -> BTreeSet<Name> {
        let ended = self.strand(id);
        if let Some(execution) = self.executions.remove(&id) {
            self.names.remove(&*execution.identity.key);
            self.stranded.insert(id, execution);
        }
        ended
    }

    /// Redrives a child that was kept, for an item of the Map Run in `here`; `None` where it was not, or where its
    /// history is full.
    pub(super) fn redrive_child(
        &mut self,
        here: &Here,
        index: usize,
        id: ExecutionId,
    ) -> Option<ExecutionId> {
        let mut execution = self.stranded.remove(&id)?;
        let last = self.ends.remove(&execution.identity.key)?;
        if last + 1 >= limits::MAX_EVENTS {
            return None;
        }
        // What it told its Map is over.
        self.ready.retain(|ready| !matches!(ready, Ready::Item { child, .. } if *child == id));
        execution.awaited_by = Some(Awaiter::Map(here.execution, here.frame, index));
        self.names.insert(execution.identity.key.to_string(), id);
        self.executions.insert(id, execution);
        self.redrive(id, last);
        Some(id)
    }

    /// Goes on with an execution that was held, after its event `last`.
    pub(super) fn redrive(&mut self, id: ExecutionId, last: u64) {
        let Some(execution) = self.executions.get_mut(&id) else { return };
        let identity = &*execution.identity;
        if let Some(left) = self.redrives.get_mut(&identity.key) {
            *left = left.saturating_sub(1);
            if *left == 0 {
                self.redrives.remove(&identity.key);
            }
        }
        let timeout = execution.deadline.map(|deadline| deadline.saturating_sub(identity.runs_since()));
        execution.identity = Arc::new(Identity {
            redrives: identity.redrives + 1,
            redriven_at: Some(self.now),
            ..identity.clone()
        });
        execution.deadline = timeout.map(|timeout| self.now.saturating_add(timeout));
        execution.timer = execution.deadline.map(|deadline| self.timers.set(deadline, Alarm::Execution(id)));
        execution.last_event = last;
        execution.closed = false;
        let details = Details { redrive_count: Some(execution.identity.redrives), ..Details::default() };
        let event = self.record_after(id, last, EventType::ExecutionRedriven, details, None);
        let Some(execution) = self.executions.get_mut(&id) else { return };
        let mut again: Vec<FrameId> = Vec::new();
        for (frame, standing) in execution.frames.iter_mut() {
            let waits = matches!(&standing.activity, Activity::Fork(fork) if !fork.running.is_empty());
            if !waits {
                standing.previous_event = event;
                again.push(frame);
            }
        }
        self.ready.extend(again.into_iter().map(|frame| Ready::Frame(id, frame)));
    }

    /// Why the execution may not be redriven whatever its history, if so.
    pub(super) fn never_redriven(&self, id: ExecutionId) -> Option<&'static str> {
        let execution = self.executions.get(&id)?;
        if execution.identity.machine_type == MachineType::Express {
            return Some("an Express execution cannot be redriven");
        }
        execution.awaited_by.map(|_| "an execution that another one waits for is redriven with that one")
    }
}
