//! Frames that a Parallel or Map state has running for it: how they start, end and fail.

use super::arena::FrameId;
use super::engine::{Core, Here, Ready, Work};
use super::execution::{Execution, ExecutionId};
use super::failure::Failure;
use super::frame::{Activity, Fork, ForkWork, Frame, Item, Variables};
use super::history::{Details, EventType};
use super::scope::chance;
use serde_json::Value;
use std::sync::Arc;
use stepgrad_asl::Payload;
use stepgrad_asl::expression::jsonata::States;
use stepgrad_asl::program::{Kind, Selector};

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
            let result = self.start_one(here, frame, fork, index);
            let child = match result {
                Ok(child) => child,
                Err(failure) => {
                    self.cancel_running(here, fork);
                    return Err(failure);
                }
            };
            fork.started += 1;
            if let Some(execution) = self.executions.get_mut(&here.execution) {
                let id = execution.frames.add(child);
                fork.running.insert(index, id);
                self.ready.push_back(Ready::Frame(here.execution, id));
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
    ) -> Result<Frame, Failure> {
        let program = &here.identity.machine.program;
        let state = here.state(frame)?;
        let (scope, input, item, previous) = match (&state.kind, &fork.work) {
            (Kind::Parallel(branches), ForkWork::Parallel { input }) => {
                (branches.get(index).copied(), input.clone(), frame.item.clone(), frame.previous_event)
            }
            (Kind::Map(map), ForkWork::Map { items, effective }) => {
                let value = items.value().get(index).cloned().unwrap_or(Value::Null);
                let item = Item { index, value: Payload::new(value) };
                let input = match &map.selector {
                    None => item.value.clone(),
                    Some(selector) => {
                        let selected =
                            self.evaluate_with(here, frame, Some(&item), None, |_, scope| match selector {
                                Selector::Template(template) => template.evaluate(effective.value(), scope),
                                Selector::Jsonata(template) => {
                                    template.evaluate(&States::input(effective.value()), scope)
                                }
                            })?;
                        Payload::new(selected)
                    }
                };
                let details =
                    Details { name: Some(state.name.clone()), index: Some(index), ..Details::default() };
                let started = EventType::MapIterationStarted;
                let previous =
                    self.record_after(here.execution, frame.previous_event, started, details, None);
                (Some(map.processor), input, Some(item), previous)
            }
            _ => return Err(Failure::internal()),
        };
        let scope = scope.and_then(|scope| program.scope(scope)).ok_or_else(Failure::internal)?;
        let mut child = Frame::new(scope, input, previous);
        child.parent = Some((here.frame, index));
        child.item = item;
        let place = [frame.coordinate, frame.visits, u64::from(frame.attempt), index as u64];
        child.coordinate = chance(0, &[&state.path], &place);
        child.variables =
            Arc::new(Variables { outer: Some(Arc::clone(&frame.variables)), ..Variables::default() });
        Ok(child)
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
        let is_map = matches!(fork.work, ForkWork::Map { .. });
        if is_map {
            self.iteration(&here, &mut frame, EventType::MapIterationSucceeded, index);
        }
        if fork.done < fork.results.len() {
            let work = self.start_more(&here, &mut frame, &mut fork).map(|()| Work::Suspended);
            frame.activity = Activity::Fork(fork);
            self.settle(&here, frame, work);
            return;
        }
        let event_type =
            if is_map { EventType::MapStateSucceeded } else { EventType::ParallelStateSucceeded };
        self.record(&here, &mut frame, event_type, Details::default());
        let results = fork.results.into_iter().map(|result| result.map_or(Value::Null, Payload::into_value));
        let result = Payload::new(Value::Array(results.collect()));
        self.settle(&here, frame, Ok(Work::Result(result)));
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
        let is_map = matches!(fork.work, ForkWork::Map { .. });
        if is_map {
            self.iteration(&here, &mut frame, EventType::MapIterationFailed, index);
        }
        let others: Vec<usize> = fork.running.keys().copied().collect();
        self.cancel_running(&here, &mut fork);
        if is_map {
            for other in others {
                self.iteration(&here, &mut frame, EventType::MapIterationAborted, other);
            }
        }
        self.settle(&here, frame, Err(failure));
    }

    fn iteration(&mut self, here: &Here, frame: &mut Frame, event_type: EventType, index: usize) {
        let name = here.state(frame).ok().map(|state| state.name.clone());
        self.record(here, frame, event_type, Details { name, index: Some(index), ..Details::default() });
    }

    fn cancel_running(&mut self, here: &Here, fork: &mut Fork) {
        let Some(mut execution) = self.executions.remove(&here.execution) else { return };
        for frame in std::mem::take(&mut fork.running).into_values() {
            self.cancel_frames(&mut execution, here.execution, frame);
        }
        self.executions.insert(here.execution, execution);
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
            Activity::Fork(fork) => {
                for frame in fork.running.into_values() {
                    self.cancel_frames(execution, id, frame);
                }
            }
        }
    }
}
