//! Frames that a Parallel or Map state has running for it: how they start, end and fail.

use super::arena::FrameId;
use super::engine::{Core, Here, Ready, Work};
use super::execution::{Execution, ExecutionId};
use super::failure::Failure;
use super::frame::{Activity, Fork, ForkWork, Frame, Item, Running, Tolerance, Variables};
use super::history::{Details, EventType};
use super::scope::chance;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use stepgrad_asl::Payload;
use stepgrad_asl::expression::jsonata::States;
use stepgrad_asl::program::{Kind, ScopeId, Selector};

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
                    self.cancel_running(here, fork);
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
    ) -> Result<Running, Failure> {
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
            (Kind::Map(map), ForkWork::Map { items, effective, .. }) => {
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
                if let Some(distributed) = &map.distributed {
                    let child = self.start_item(here, frame, map, distributed, item, input)?;
                    return Ok(Running::Execution(child));
                }
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

    fn start_frame(&mut self, here: &Here, frame: &Frame, child: Child) -> Result<Running, Failure> {
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
        Ok(Running::Frame(id))
    }

    /// A child execution of a distributed Map has ended, with an output or badly.
    pub(super) fn item_ended(
        &mut self,
        (execution, parent): (ExecutionId, FrameId),
        index: usize,
        child: ExecutionId,
        output: Option<Payload>,
    ) {
        // One that was aborted with its Map is told of when the Map is gone, or tried again.
        let waited_for = self.frame_mut(execution, parent).is_some_and(|frame| match &frame.activity {
            Activity::Fork(fork) => fork.running.get(&index) == Some(&Running::Execution(child)),
            _ => false,
        });
        if !waited_for {
            return;
        }
        let Some((here, mut frame)) = self.take(execution, parent) else { return };
        let Activity::Fork(mut fork) = std::mem::replace(&mut frame.activity, Activity::Work) else { return };
        fork.running.remove(&index);
        fork.done += 1;
        let total = fork.results.len();
        if output.is_none()
            && let ForkWork::Map { run: Some(run), .. } = &mut fork.work
        {
            run.failures += 1;
            if run.tolerated.is_exceeded(run.failures, total) {
                let failure = Failure::new(
                    "States.ExceedToleratedFailureThreshold",
                    "The specified tolerated failure threshold was exceeded",
                );
                let details = Details {
                    error: failure.error.clone(),
                    cause: failure.cause.clone(),
                    ..Details::default()
                };
                self.record(&here, &mut frame, EventType::MapRunFailed, details);
                self.cancel_running(&here, &mut fork);
                self.settle(&here, frame, Err(failure));
                return;
            }
        }
        if let Some(result) = fork.results.get_mut(index) {
            *result = output;
        }
        self.next_or_result(&here, frame, fork);
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
        self.next_or_result(&here, frame, fork);
    }

    /// Starts what may start now, or goes on with the results of all.
    pub(super) fn next_or_result(&mut self, here: &Here, mut frame: Frame, mut fork: Fork) {
        if fork.done < fork.results.len() {
            let work = self.start_more(here, &mut frame, &mut fork).map(|()| Work::Suspended);
            frame.activity = Activity::Fork(fork);
            self.settle(here, frame, work);
            return;
        }
        let event_type = match &fork.work {
            ForkWork::Parallel { .. } => EventType::ParallelStateSucceeded,
            ForkWork::Map { run, .. } => {
                if run.is_some() {
                    self.record(here, &mut frame, EventType::MapRunSucceeded, Details::default());
                }
                EventType::MapStateSucceeded
            }
        };
        self.record(here, &mut frame, event_type, Details::default());
        if self.will_be_redriven(here.execution) {
            // Should the state fail with these results, a redrive goes on with them.
            frame.activity = Activity::Fork(fork.clone());
        }
        // Items of a distributed Map that failed, and were tolerated, have no result.
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
        self.cancel_all(&mut execution, here.execution, std::mem::take(&mut fork.running));
        self.executions.insert(here.execution, execution);
    }

    fn cancel_all(&mut self, execution: &mut Execution, id: ExecutionId, running: BTreeMap<usize, Running>) {
        for running in running.into_values() {
            match running {
                Running::Frame(frame) => self.cancel_frames(execution, id, frame),
                Running::Execution(child) => {
                    self.abort(
                        child,
                        None,
                        Some("The Map that this execution was for has ended.".to_owned()),
                    );
                }
            }
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

impl Tolerance {
    /// Whether so many failures of so many items are too many (AWS: "Setting failure thresholds for Distributed Map
    /// states").
    #[expect(clippy::cast_precision_loss, reason = "counts of items stay far below 2^53")]
    fn is_exceeded(self, failures: usize, total: usize) -> bool {
        let share = failures as f64 * 100.0 / total.max(1) as f64;
        match (self.count, self.percentage) {
            (None, None) => failures > 0,
            (count, percentage) => {
                count.is_some_and(|count| failures > count)
                    || percentage.is_some_and(|percentage| share > percentage)
            }
        }
    }
}
