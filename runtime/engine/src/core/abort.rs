//! The events of what ends because something beside it has failed: the other branches and iterations of a Parallel or
//! Map. Each state that was entered and not left is aborted, the innermost first, then its iteration.
//!
//! These events stand beside their lines of control: nothing leads back to them. An execution that is stopped, that
//! times out or that fails with States.Runtime ends with its own event alone, and its states stand.

use super::arena::FrameId;
use super::engine::{Core, Here};
use super::execution::Execution;
use super::failure::{Failure, RUNTIME};
use super::frame::{Activity, Fork, ForkWork, Frame};
use super::history::{Details, EventType};
use std::collections::BTreeMap;
use stepgrad_asl::program::{Kind, Program, State};

/// An event that is to be written.
struct Aborted {
    event_type: EventType,
    details: Details,
    previous: u64,
}

impl Core {
    /// Ends what is still running of a fork of `frame`'s that fails with `failure`.
    pub(super) fn abort_running(&mut self, here: &Here, frame: &Frame, fork: &mut Fork, failure: &Failure) {
        let mut events = Vec::new();
        if failure.error.as_deref() != Some(RUNTIME)
            && let Some(execution) = self.executions.get(&here.execution)
        {
            let standing = Standing { program: &here.identity.machine.program, execution };
            let map = here.state(frame).ok().filter(|_| matches!(fork.work, ForkWork::Map { .. }));
            standing.fork(map, &fork.running, &mut events);
        }
        for Aborted { event_type, details, previous } in events {
            self.record_after(here.execution, previous, event_type, details, None);
        }
        self.cancel_running(here, fork);
    }
}

struct Standing<'a> {
    program: &'a Program,
    execution: &'a Execution,
}

impl Standing<'_> {
    /// Of the branches of a Parallel, or the iterations of `map`.
    fn fork(&self, map: Option<&State>, running: &BTreeMap<usize, FrameId>, events: &mut Vec<Aborted>) {
        for (index, frame) in running {
            let Some(frame) = self.execution.frames.get(*frame) else { continue };
            self.frame(frame, events);
            if let Some(map) = map {
                events.push(Aborted {
                    event_type: EventType::MapIterationAborted,
                    details: iteration(Some(map), *index),
                    previous: frame.previous_event,
                });
            }
        }
    }

    fn frame(&self, frame: &Frame, events: &mut Vec<Aborted>) {
        let Some(state) = frame.current(self.program) else { return };
        let previous = frame.previous_event;
        let mut abort =
            |event_type| events.push(Aborted { event_type, details: Details::default(), previous });
        match &frame.activity {
            // It has not entered its state.
            Activity::Enter => return,
            Activity::Run(_) => abort(EventType::MapRunAborted),
            Activity::Fork(fork) => {
                let map = Some(state).filter(|_| matches!(fork.work, ForkWork::Map { .. }));
                self.fork(map, &fork.running, events);
            }
            Activity::Work | Activity::Wait(_) | Activity::Retry(_) | Activity::Task(_) => {}
        }
        let event_type = match state.kind {
            Kind::Task(_) => EventType::TaskStateAborted,
            Kind::Wait(_) => EventType::WaitStateAborted,
            Kind::Map(_) => EventType::MapStateAborted,
            Kind::Parallel(_) => EventType::ParallelStateAborted,
            // The others have no such event.
            Kind::Pass(_) | Kind::Choice(_) | Kind::Succeed | Kind::Fail(_) => return,
        };
        events.push(Aborted { event_type, details: Details::default(), previous });
    }
}

/// The details of an event of an iteration.
pub(super) fn iteration(map: Option<&State>, index: usize) -> Details {
    Details { name: map.map(|state| state.name.clone()), index: Some(index), ..Details::default() }
}
