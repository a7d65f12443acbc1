//! Frames that a Parallel or Map state has running for it: how they start, end and fail.

use super::abort::iteration;
use super::arena::FrameId;
use super::engine::{Core, Here, Ready, Work};
use super::execution::{Execution, ExecutionId};
use super::failure::{Failure, RUNTIME};
use super::frame::{Activity, Fork, ForkWork, Frame, Item, Variables};
use super::history::{Details, EventType};
use super::map_run::selected;
use super::scope::chance;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use stepgrad_asl::Payload;
use stepgrad_asl::program::{Kind, ScopeId};

impl Core {
    /// Starts branches or iterations until as many run as may, or all have started.
    pub(super) fn start_more(
        &mut self,
        here: &Here,
        frame: &mut Frame,
        fork: &mut Fork,
    ) -> Result<(), Failure> {
        while fork.running.len() < fork.limit && fork.started < fork.results.len() {
            let index = fork.started;
            match self.start_one(here, frame, fork, index) {
                Ok(running) => {
                    fork.started += 1;
                    fork.running.insert(index, running);
                }
                Err(failure) => {
                    self.abort_running(here, frame, fork, &failure);
                    return Err(failure);
                }
            }
        }
        Ok(())
    }

    fn start_one(
        &mut self,
        here: &Here,
        frame: &mut Frame,
        fork: &Fork,
        index: usize,
    ) -> Result<FrameId, Failure> {
        let state = here.state(frame)?;
        match (&state.kind, &fork.work) {
            (Kind::Parallel(branches), ForkWork::Parallel { input }) => {
                let scope = branches.get(index).copied().ok_or_else(Failure::internal)?;
                let child = Child {
                    scope,
                    index,
                    input: input.clone(),
                    item: frame.item.clone(),
                    previous: frame.previous_event,
                };
                self.start_frame(here, frame, child)
            }
            (Kind::Map(map), ForkWork::Map { items, effective }) => {
                let value = items.value().get(index).cloned().unwrap_or(Value::Null);
                let item = Item { index, value: Payload::new(value), source: None };
                let input = match &map.selector {
                    None => item.value.clone(),
                    Some(selector) => self.evaluate_with(here, frame, Some(&item), None, |_, scope| {
                        selected(selector, effective, scope)
                    })?,
                };
                let details =
                    Details { name: Some(state.name.clone()), index: Some(index), ..Details::default() };
                let started = EventType::MapIterationStarted;
                let previous =
                    self.record_after(here.execution, frame.previous_event, started, details, None);
                let child = Child { scope: map.processor, index, input, item: Some(item), previous };
                self.start_frame(here, frame, child)
            }
            _ => Err(Failure::internal()),
        }
    }

    fn start_frame(&mut self, here: &Here, frame: &Frame, child: Child) -> Result<FrameId, Failure> {
        let Child { scope, index, input, item, previous } = child;
        let scope = here.identity.machine.program.scope(scope).ok_or_else(Failure::internal)?;
        let mut child = Frame::new(scope, input, previous);
        child.parent = Some((here.frame, index));
        child.item = item;
        let place = [frame.coordinate, frame.visits, u64::from(frame.attempt), index as u64];
        child.coordinate = chance(0, &[&here.state(frame)?.path], &place);
        child.variables =
            Arc::new(Variables { outer: Some(Arc::clone(&frame.variables)), ..Variables::default() });
        let execution = self.executions.get_mut(&here.execution).ok_or_else(Failure::internal)?;
        let id = execution.frames.add(child);
        self.ready.push_back(Ready::Frame(here.execution, id));
        Ok(id)
    }

    /// A branch or iteration has ended well.
    pub(super) fn joined(
        &mut self,
        execution: ExecutionId,
        parent: FrameId,
        index: usize,
        output: Payload,
        previous: u64,
    ) {
        let Some((here, mut frame)) = self.take(execution, parent) else { return };
        let Activity::Fork(mut fork) = std::mem::replace(&mut frame.activity, Activity::Work) else { return };
        fork.running.remove(&index);
        if let Some(result) = fork.results.get_mut(index) {
            *result = Some(output);
        }
        fork.done += 1;
        frame.previous_event = previous;
        if matches!(fork.work, ForkWork::Map { .. }) {
            let details = iteration(here.state(&frame).ok(), index);
            let succeeded = self.record_beside(&here, &frame, EventType::MapIterationSucceeded, details);
            // As recorded: an iteration that takes the place of this one follows its last state, like this event; what
            // comes after the Map follows this event.
            if fork.done == fork.results.len() {
                frame.previous_event = succeeded;
            }
        }
        self.next_or_result(&here, frame, fork);
    }

    /// Starts what may start now, or goes on with the results of all.
    pub(super) fn next_or_result(&mut self, here: &Here, mut frame: Box<Frame>, mut fork: Fork) {
        if fork.done < fork.results.len() {
            let work = self.start_more(here, &mut frame, &mut fork).map(|()| Work::Suspended);
            frame.activity = Activity::Fork(fork);
            self.settle(here, frame, work);
            return;
        }
        let event_type = match &fork.work {
            ForkWork::Parallel { .. } => EventType::ParallelStateSucceeded,
            ForkWork::Map { .. } => EventType::MapStateSucceeded,
        };
        self.record_beside(here, &frame, event_type, Details::default());
        if self.will_be_redriven(here.execution) {
            // Should the state fail with these results, a redrive goes on with them.
            frame.activity = Activity::Fork(fork.clone());
        }
        let results = fork.results.into_iter().flatten().map(Payload::into_value);
        let result = Payload::new(Value::Array(results.collect()));
        self.settle(here, frame, Ok(Work::Result(result)));
    }

    /// A branch or iteration has failed: the others go, and the state fails with it.
    pub(super) fn fork_failed(
        &mut self,
        execution: ExecutionId,
        parent: FrameId,
        index: usize,
        failure: Failure,
        previous: u64,
    ) {
        let Some((here, mut frame)) = self.take(execution, parent) else { return };
        let Activity::Fork(mut fork) = std::mem::replace(&mut frame.activity, Activity::Work) else { return };
        fork.running.remove(&index);
        frame.previous_event = previous;
        if matches!(fork.work, ForkWork::Map { .. }) && failure.error.as_deref() != Some(RUNTIME) {
            let details = iteration(here.state(&frame).ok(), index);
            self.record_beside(&here, &frame, EventType::MapIterationFailed, details);
        }
        self.abort_running(&here, &frame, &mut fork, &failure);
        self.settle(&here, frame, Err(failure));
    }

    pub(super) fn cancel_running(&mut self, here: &Here, fork: &mut Fork) {
        let Some(mut execution) = self.executions.remove(&here.execution) else { return };
        self.cancel_all(&mut execution, here.execution, std::mem::take(&mut fork.running));
        self.executions.insert(here.execution, execution);
    }

    fn cancel_all(&mut self, execution: &mut Execution, id: ExecutionId, running: BTreeMap<usize, FrameId>) {
        for frame in running.into_values() {
            self.cancel_frames(execution, id, frame);
        }
    }

    /// Ends a frame and those it forked: its timers and tasks go. The execution has been taken out of the core.
    pub(super) fn cancel_frames(&mut self, execution: &mut Execution, id: ExecutionId, frame: FrameId) {
        let Some(cancelled) = execution.frames.remove(frame) else { return };
        match cancelled.activity {
            Activity::Enter | Activity::Work => {}
            Activity::Wait(timer) | Activity::Retry(timer) => self.timers.cancel(timer),
            Activity::Task(run) => {
                execution.tasks.remove(&run.event);
                self.cancel_task(id, &run);
            }
            Activity::Fork(fork) => self.cancel_all(execution, id, fork.running),
            Activity::Run(run) => {
                execution.runs.remove(&run.event);
                self.cancel_run(id, &run);
            }
        }
    }
}

/// What a frame that is forked consists of.
struct Child {
    scope: ScopeId,
    index: usize,
    input: Payload,
    item: Option<Item>,
    previous: u64,
}
