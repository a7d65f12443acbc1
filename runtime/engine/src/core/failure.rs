//! What happens when a state fails: it is tried again, or the error is caught, or the scope fails with it.

use super::engine::{Core, Here, Ready, within_limit};
use super::event::TaskError;
use super::execution::Status;
use super::frame::{Activity, Frame};
use super::history::{Details, EventType};
use super::timers::Alarm;
use serde_json::json;
use stepgrad_asl::Payload;
use stepgrad_asl::expression::EvaluationError;
use stepgrad_asl::program::{Kind, Outcome, State};

/// The error that nothing catches, and that ends an execution without a word on the states that stand.
pub(super) const RUNTIME: &str = "States.Runtime";

/// How a state failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    /// `None` for a Fail state without one.
    pub(super) error: Option<String>,
    pub(super) cause: Option<String>,
    /// The field with a JSONata expression without a usable value, until the history says so.
    pub(super) location: Option<String>,
}

impl Failure {
    pub(super) fn new(error: &str, cause: impl Into<String>) -> Self {
        Self::of(Some(error.to_owned()), Some(cause.into()))
    }

    pub(super) fn of(error: Option<String>, cause: Option<String>) -> Self {
        Self { error, cause, location: None }
    }

    /// An error of the state's own making, in AWS's words.
    pub(super) fn of_state(state: &State, frame: &Frame, error: &str, cause: &str) -> Self {
        let start = format!(
            "An error occurred while executing the state '{}' (entered at the event id #{}). ",
            state.name, frame.entered_event
        );
        Self::new(error, start + cause)
    }

    pub(super) fn of_evaluation(state: &State, frame: &Frame, error: &EvaluationError) -> Self {
        let location = error.location().map(str::to_owned);
        Self { location, ..Self::of_state(state, frame, error.name(), &error.to_string()) }
    }

    pub(super) fn too_large(name: &str) -> Self {
        let TaskError { error, cause } = too_large(name);
        Self::of(Some(error), cause)
    }

    /// The engine contradicts itself.
    pub(super) fn internal() -> Self {
        Self::new("States.Runtime", "the engine lost track of a state: this is a fault of the engine")
    }

    fn output(&self) -> Payload {
        Payload::new(json!({
            "Error": self.error.as_deref().unwrap_or_default(),
            "Cause": self.cause.as_deref().unwrap_or_default(),
        }))
    }
}

/// What is returned by the state or service `name` is larger than a payload may be.
pub(crate) fn too_large(name: &str) -> TaskError {
    let cause = format!(
        "The state/task '{name}' returned a result with a size exceeding the maximum number of bytes service limit."
    );
    TaskError { error: "States.DataLimitExceeded".to_owned(), cause: Some(cause) }
}

impl Core {
    /// The frame's state has failed.
    pub(super) fn fail(&mut self, here: &Here, mut frame: Box<Frame>, mut failure: Failure) {
        let Ok(state) = here.state(&frame) else { return };
        self.evaluation_failed(here, &mut frame, &mut failure);
        let error = failure.error.as_deref().unwrap_or_default();
        if let Some(delay) = retry(self.seed, here, state, &mut frame, error) {
            let timer =
                self.timers.set(self.now.saturating_add(delay), Alarm::Retry(here.execution, here.frame));
            frame.attempt += 1;
            frame.activity = Activity::Retry(timer);
            self.settle_waiting(here, frame);
            return;
        }
        let before = frame.previous_event;
        self.state_failed(here, &mut frame, error);
        if let Some(catcher) = state.catch.iter().find(|catcher| catcher.is_for(error)) {
            let raw = frame.input.clone();
            let output = failure.output();
            let produced = self
                .evaluate(here, &mut frame, |_, scope| {
                    catcher.flow.produce(&raw, Outcome::Error(&output), scope)
                })
                .and_then(|produced| within_limit(state, &produced.output).map(|()| produced));
            match produced {
                Ok(produced) => self.leave(here, frame, produced, Some(catcher.next)),
                // As AWS writes it: from where the state stood, and the state fails once more.
                Err(mut failure) => {
                    frame.previous_event = before;
                    self.evaluation_failed(here, &mut frame, &mut failure);
                    self.state_failed(here, &mut frame, failure.error.as_deref().unwrap_or_default());
                    self.fail_scope(here, frame, failure);
                }
            }
            return;
        }
        self.fail_scope(here, frame, failure);
    }

    fn settle_waiting(&mut self, here: &Here, frame: Box<Frame>) {
        self.settle(here, frame, Ok(super::engine::Work::Suspended));
    }

    /// Says once of a JSONata expression that it has no usable value, in the state that it belongs to.
    fn evaluation_failed(&mut self, here: &Here, frame: &mut Frame, failure: &mut Failure) {
        let Some(location) = failure.location.take() else { return };
        let details = Details {
            error: failure.error.clone(),
            cause: failure.cause.clone(),
            state: here.state(frame).ok().map(|state| state.name.clone()),
            location: Some(location),
            ..Details::default()
        };
        self.record(here, frame, EventType::EvaluationFailed, details);
    }

    /// The event of a Map or Parallel that fails. As recorded: one that fails with States.Runtime has none.
    fn state_failed(&mut self, here: &Here, frame: &mut Frame, error: &str) {
        let event_type = match here.state(frame).map(|state| &state.kind) {
            Ok(Kind::Map(_)) => EventType::MapStateFailed,
            Ok(Kind::Parallel(_)) => EventType::ParallelStateFailed,
            _ => return,
        };
        if error != RUNTIME {
            self.record(here, frame, event_type, Details::default());
        }
    }

    /// Nothing catches the failure in this scope.
    fn fail_scope(&mut self, here: &Here, mut frame: Box<Frame>, failure: Failure) {
        if self.hold_at_failure(here, &mut frame, &failure) {
            self.put(here, frame);
            return;
        }
        if frame.parent.is_some()
            && failure.error.as_deref() != Some(RUNTIME)
            && here.state(&frame).is_ok_and(|state| matches!(state.kind, Kind::Task(_)))
        {
            self.record_beside(here, &frame, EventType::TaskStateAborted, Details::default());
        }
        if let Some(execution) = self.executions.get_mut(&here.execution) {
            execution.frames.remove(here.frame);
        }
        match frame.parent {
            None => self.finish(
                here.execution,
                Some(frame.previous_event),
                Status::Failed,
                None,
                failure.error,
                failure.cause,
            ),
            Some((parent, index)) => {
                self.fork_failed(here.execution, parent, index, failure, frame.previous_event);
            }
        }
    }

    /// The time of a Wait has come.
    pub(super) fn wake(&mut self, execution: super::ExecutionId, frame: super::arena::FrameId) {
        if let Some(waiting) = self.frame_mut(execution, frame) {
            waiting.activity = Activity::Work;
            self.ready.push_back(Ready::Frame(execution, frame));
        }
    }
}

/// The delay before the state is tried again, in milliseconds, if a retrier is for the error and has tries left.
#[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "delays are below a year")]
fn retry(seed: u64, here: &Here, state: &State, frame: &mut Frame, error: &str) -> Option<i64> {
    let (place, retrier) = state.retry.iter().enumerate().find(|(_, retrier)| retrier.is_for(error))?;
    if frame.tries.len() < state.retry.len() {
        frame.tries.resize(state.retry.len(), 0);
    }
    let tries = frame.tries.get_mut(place)?;
    if *tries >= retrier.max_attempts {
        return None;
    }
    let mut delay = retrier.delay(*tries) * 1_000.0;
    *tries += 1;
    if retrier.jitter {
        // No expression draws that often.
        let draw = frame.chance(seed, &here.identity.key, &state.path, u64::MAX);
        delay *= (draw >> 11) as f64 / (1_u64 << 53) as f64;
    }
    Some(delay as i64)
}
