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
//! Not built: redriving the child executions of a distributed Map. An execution that failed in one is refused.

use super::arena::FrameId;
use super::command::Command;
use super::engine::{Core, Here, Ready};
use super::execution::{ExecutionId, Identity, Status};
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

    /// Keeps what stands when a failure ends an execution that will be redriven. False where somebody still catches it.
    pub(super) fn hold_at_failure(&mut self, here: &Here, frame: &mut Frame, failure: &Failure) -> bool {
        if !self.will_be_redriven(here.execution) || !self.is_final(here, frame, failure) {
            return false;
        }
        if !matches!(frame.activity, Activity::Fork(_)) {
            let is_fail = here.state(frame).is_ok_and(|state| matches!(state.kind, Kind::Fail(_)));
            frame.activity = if is_fail { Activity::Enter } else { Activity::Work };
        }
        self.held = Some(here.execution);
        true
    }

    /// The same for an end from outside.
    pub(super) fn hold_at_end(&mut self, execution: ExecutionId, status: Status) -> bool {
        let from_outside = matches!(status, Status::TimedOut | Status::Aborted);
        if from_outside && self.will_be_redriven(execution) {
            self.held = Some(execution);
            return true;
        }
        false
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
    ///
    /// # Errors
    /// The name of a distributed Map that stands in the way.
    pub(super) fn strand(&mut self, id: ExecutionId) -> Result<BTreeSet<Name>, Name> {
        self.ready.retain(|ready| !matches!(ready, Ready::Frame(execution, _) if *execution == id));
        let Some(mut execution) = self.executions.remove(&id) else { return Ok(BTreeSet::new()) };
        if let Some(timer) = execution.timer.take() {
            self.timers.cancel(timer);
        }
        let machine = Arc::clone(&execution.identity.machine);
        let mut in_the_way = None;
        let mut runs = Vec::new();
        for (_, frame) in execution.frames.iter_mut() {
            let state = frame.current(&machine.program);
            frame.attempt = 0;
            frame.tries.clear();
            match &mut frame.activity {
                Activity::Enter => continue,
                Activity::Work => {}
                Activity::Wait(timer) | Activity::Retry(timer) => self.timers.cancel(*timer),
                Activity::Task(_) => {}
                Activity::Run(_) => {
                    in_the_way = state.map(|state| state.name.clone());
                    continue;
                }
                Activity::Fork(fork) => {
                    // Iterations that were cancelled because the next could not start: the Map runs again.
                    if fork.running.len() + fork.done == fork.started {
                        continue;
                    }
                }
            }
            if let Some(Kind::Map(map)) = state.map(|state| &state.kind)
                && map.distributed.is_some()
            {
                in_the_way = state.map(|state| state.name.clone());
            }
            // Another coordinate of chance: names that are drawn differ from those before.
            frame.visits += 1;
            if let Activity::Task(run) = std::mem::replace(&mut frame.activity, Activity::Work) {
                runs.push(run);
            }
        }
        execution.tasks.clear();
        self.executions.insert(id, execution);
        for run in runs {
            self.cancel_task(id, &run);
        }
        let ended = self.out.drain(..).filter_map(|command| match command {
            Command::Record(Record::Event { execution, .. }) => Some(execution),
            _ => None,
        });
        let ended = ended.collect();
        in_the_way.map_or(Ok(ended), Err)
    }

    /// Goes on with an execution that was held, by the recorded event `redriven`.
    pub(super) fn redrive(&mut self, id: ExecutionId, redriven: &HistoryEvent) {
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
        execution.last_event = redriven.id.saturating_sub(1);
        let details = Details { redrive_count: Some(execution.identity.redrives), ..Details::default() };
        let event =
            self.record_after(id, redriven.previous_event_id, EventType::ExecutionRedriven, details, None);
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
