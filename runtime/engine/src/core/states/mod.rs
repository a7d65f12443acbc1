//! What each type of state does.

mod choice;
mod fail;
mod map;
mod parallel;
mod task;
mod wait;

use super::engine::{Core, Here, Work};
use super::failure::Failure;
use super::frame::Frame;
use super::history::EventType;
use stepgrad_asl::program::Kind;

/// What states evaluate, for [`crate::test_state`], which has a state without an execution around it.
pub(crate) mod evaluation {
    pub(crate) use super::choice::holds;
    pub(crate) use super::fail::error_and_cause;
    pub(crate) use super::map::{integer, items, tolerance};
    pub(crate) use super::task::call;
    pub(crate) use super::wait::until;
}

impl Core {
    /// Does the work of the frame's state, as far as it can be done now.
    pub(super) fn work(&mut self, here: &Here, frame: &mut Frame) -> Result<Work, Failure> {
        let raw = frame.input.clone();
        let effective = self.evaluate(here, frame, |state, scope| state.flow.effective(&raw, scope))?;
        match &here.state(frame)?.kind {
            Kind::Pass(Some(result)) => Ok(Work::Result(result.clone())),
            Kind::Pass(None) => {
                if here.state(frame)?.flow.is_jsonata() {
                    return Ok(Work::Passed(effective));
                }
                let result =
                    self.evaluate(here, frame, |state, scope| state.flow.arguments(&effective, scope))?;
                Ok(Work::Result(result))
            }
            Kind::Succeed => Ok(Work::Passed(effective)),
            Kind::Choice(choice) => self.choose(here, frame, choice, &effective),
            Kind::Fail(fail) => Err(self.failed(here, frame, fail, &effective)?),
            Kind::Wait(wait) => self.wait(here, frame, wait, effective),
            Kind::Task(task) => self.task(here, frame, task, &effective),
            Kind::Parallel(branches) => self.parallel(here, frame, branches, &effective),
            Kind::Map(map) => self.map(here, frame, map, effective),
        }
    }
}

/// The event of entering a state of this type.
pub(super) fn entered(kind: &Kind) -> EventType {
    match kind {
        Kind::Pass(_) => EventType::PassStateEntered,
        Kind::Task(_) => EventType::TaskStateEntered,
        Kind::Choice(_) => EventType::ChoiceStateEntered,
        Kind::Wait(_) => EventType::WaitStateEntered,
        Kind::Succeed => EventType::SucceedStateEntered,
        Kind::Fail(_) => EventType::FailStateEntered,
        Kind::Parallel(_) => EventType::ParallelStateEntered,
        Kind::Map(_) => EventType::MapStateEntered,
    }
}

/// The event of leaving a state of this type.
pub(super) fn exited(kind: &Kind) -> Option<EventType> {
    match kind {
        Kind::Pass(_) => Some(EventType::PassStateExited),
        Kind::Task(_) => Some(EventType::TaskStateExited),
        Kind::Choice(_) => Some(EventType::ChoiceStateExited),
        Kind::Wait(_) => Some(EventType::WaitStateExited),
        Kind::Succeed => Some(EventType::SucceedStateExited),
        Kind::Fail(_) => None,
        Kind::Parallel(_) => Some(EventType::ParallelStateExited),
        Kind::Map(_) => Some(EventType::MapStateExited),
    }
}
