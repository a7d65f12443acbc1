//! What becomes of tasks: replies, callbacks, heartbeats, timeouts, cancellation.

use super::arena::FrameId;
use super::command::Command;
use super::engine::{Core, Here, Work};
use super::event::{TaskError, TaskId};
use super::execution::ExecutionId;
use super::failure::Failure;
use super::frame::{Activity, Frame, TaskRun};
use super::history::{Details, EventType};
use super::timers::{Alarm, TimerKey};
use super::{Time, limits};
use stepgrad_asl::Payload;
use stepgrad_asl::program::{Kind, Pattern, Resource};

impl Core {
    /// The time `seconds` from now.
    #[expect(clippy::cast_possible_truncation, reason = "at most 99,999,999 seconds")]
    pub(super) fn after(&self, seconds: f64) -> Time {
        self.now.saturating_add((seconds * 1_000.0) as Time)
    }

    /// The frame and resource of a task that is under way. A reply to one that is not is too late, and nobody's.
    fn waiting(&self, task: TaskId) -> Option<(FrameId, &TaskRun, &Resource)> {
        let execution = self.executions.get(&task.execution)?;
        let id = *execution.tasks.get(&task.event)?;
        let frame = execution.frames.get(id)?;
        let Activity::Task(run) = &frame.activity else { return None };
        match &frame.current(&execution.identity.machine.program)?.kind {
            Kind::Task(state) => Some((id, run, &state.resource)),
            _ => None,
        }
    }

    /// A service replied.
    pub(super) fn replied(&mut self, task: TaskId, result: Result<Payload, TaskError>) {
        let Some((frame, run, resource)) = self.waiting(task) else { return };
        let waits = *resource == Resource::LambdaInvoke(Pattern::WaitForTaskToken);
        match result {
            Ok(_) if waits && run.submitted => {}
            Ok(output) if waits => {
                let details = Details {
                    resource: Some(resource.action().to_owned()),
                    resource_type: Some(resource.service()),
                    output: Some(output),
                    ..Details::default()
                };
                let Some((here, mut frame)) = self.take(task.execution, frame) else { return };
                self.record(&here, &mut frame, EventType::TaskSubmitted, details);
                if let Activity::Task(run) = &mut frame.activity {
                    run.submitted = true;
                    run.invocation = None;
                }
                self.settle(&here, frame, Ok(Work::Suspended));
            }
            result => self.complete(task, result),
        }
    }

    /// Somebody sent a task's outcome by its token.
    pub(super) fn called_back(&mut self, task: TaskId, result: Result<Payload, TaskError>) {
        let by_token = |resource: &Resource| {
            matches!(
                resource,
                Resource::LambdaInvoke(Pattern::WaitForTaskToken)
                    | Resource::StartExecution(Pattern::WaitForTaskToken)
            )
        };
        if self.waiting(task).is_some_and(|(_, _, resource)| by_token(resource)) {
            self.complete(task, result);
        }
    }

    pub(super) fn heartbeat(&mut self, task: TaskId) {
        let Some((frame, run, _)) = self.waiting(task) else { return };
        let (Some(timer), Some(seconds)) = (run.heartbeat, run.heartbeat_seconds) else { return };
        self.timers.cancel(timer);
        let timer = self.timers.set(self.after(seconds), Alarm::Heartbeat(task.execution, frame));
        if let Some(frame) = self.frame_mut(task.execution, frame)
            && let Activity::Task(run) = &mut frame.activity
        {
            run.heartbeat = Some(timer);
        }
    }

    /// A call has to wait for its turn.
    pub(super) fn queued(&mut self, task: TaskId) {
        let Some((frame, _, _)) = self.waiting(task) else { return };
        if let Some(timer) = self.take_timeout(task.execution, frame) {
            self.timers.cancel(timer);
        }
    }

    /// A call that had to wait is made now.
    pub(super) fn begun(&mut self, task: TaskId) {
        let Some((frame, run, _)) = self.waiting(task) else { return };
        let Some(seconds) = run.timeout_seconds else { return };
        if let Some(timer) = self.take_timeout(task.execution, frame) {
            self.timers.cancel(timer);
        }
        let timer = self.timers.set(self.after(seconds), Alarm::Timeout(task.execution, frame));
        if let Some(frame) = self.frame_mut(task.execution, frame)
            && let Activity::Task(run) = &mut frame.activity
        {
            run.timeout = Some(timer);
        }
    }

    fn take_timeout(&mut self, execution: ExecutionId, frame: FrameId) -> Option<TimerKey> {
        match &mut self.frame_mut(execution, frame)?.activity {
            Activity::Task(run) => run.timeout.take(),
            _ => None,
        }
    }

    /// A task has its outcome.
    pub(super) fn complete(&mut self, task: TaskId, result: Result<Payload, TaskError>) {
        let Some((frame, _, resource)) = self.waiting(task) else { return };
        let resource = resource.clone();
        let Some((here, mut frame)) = self.take_task(task, frame) else { return };
        let result = result.map_err(|error| Failure::of(Some(error.error), error.cause));
        let work = match result {
            Ok(output) if !output.is_within(limits::MAX_PAYLOAD) => {
                let name = if matches!(resource, Resource::Function(_)) {
                    resource.action()
                } else {
                    resource.service()
                };
                Err(Failure::too_large(name))
            }
            other => other,
        };
        let work = match work {
            Ok(output) => {
                let details =
                    of_resource(&resource, Details { output: Some(output.clone()), ..Details::default() });
                let event_type = match resource {
                    Resource::Function(_) => EventType::LambdaFunctionSucceeded,
                    _ => EventType::TaskSucceeded,
                };
                self.record(&here, &mut frame, event_type, details);
                Ok(Work::Result(output))
            }
            Err(failure) => {
                self.task_failed(&here, &mut frame, &resource, &failure);
                Err(failure)
            }
        };
        self.settle(&here, frame, work);
    }

    /// Takes out the frame of a task that has come to its end; its timers go.
    fn take_task(&mut self, task: TaskId, frame: FrameId) -> Option<(Here, Box<Frame>)> {
        let (here, mut frame) = self.take(task.execution, frame)?;
        if let Some(execution) = self.executions.get_mut(&task.execution) {
            execution.tasks.remove(&task.event);
        }
        if let Activity::Task(run) = std::mem::replace(&mut frame.activity, Activity::Work) {
            self.cancel_timers(&run);
        }
        Some((here, frame))
    }

    pub(super) fn task_failed(
        &mut self,
        here: &Here,
        frame: &mut Frame,
        resource: &Resource,
        failure: &Failure,
    ) {
        let details =
            Details { error: failure.error.clone(), cause: failure.cause.clone(), ..Details::default() };
        let event_type = match resource {
            Resource::Function(_) => EventType::LambdaFunctionFailed,
            _ => EventType::TaskFailed,
        };
        self.record(here, frame, event_type, of_resource(resource, details));
    }

    pub(super) fn task_timed_out(&mut self, execution: ExecutionId, frame: FrameId, error: &str) {
        let Some(waiting) = self.frame_mut(execution, frame) else { return };
        let Activity::Task(run) = &waiting.activity else { return };
        let task = TaskId { execution, event: run.event };
        let Some((_, _, resource)) = self.waiting(task) else { return };
        let resource = resource.clone();
        let Some((here, mut frame)) = self.take(execution, frame) else { return };
        let details = Details { error: Some(error.to_owned()), ..Details::default() };
        let event_type = match resource {
            Resource::Function(_) => EventType::LambdaFunctionTimedOut,
            _ => EventType::TaskTimedOut,
        };
        // Before what follows from it in other executions: a replay reads the cause first.
        self.record(&here, &mut frame, event_type, of_resource(&resource, details));
        if let Activity::Task(run) = std::mem::replace(&mut frame.activity, Activity::Work) {
            if let Some(running) = self.executions.get_mut(&execution) {
                running.tasks.remove(&run.event);
            }
            self.cancel_task(execution, &run);
        }
        let failure = Failure::of(Some(error.to_owned()), None);
        self.settle(&here, frame, Err(failure));
    }

    /// Nobody waits for the task any more.
    pub(super) fn cancel_task(&mut self, execution: ExecutionId, run: &TaskRun) {
        self.cancel_timers(run);
        if run.invocation.is_some() || run.object.is_some() {
            self.out.push(Command::Cancel(TaskId { execution, event: run.event }));
        }
        if let Some(child) = run.child {
            self.abort(child, None, Some("The execution that waited for this one gave it up.".to_owned()));
        }
    }

    fn cancel_timers(&mut self, run: &TaskRun) {
        for timer in [run.timeout, run.heartbeat].into_iter().flatten() {
            self.timers.cancel(timer);
        }
    }
}

fn of_resource(resource: &Resource, details: Details) -> Details {
    match resource {
        Resource::Function(_) => details,
        _ => Details {
            resource: Some(resource.action().to_owned()),
            resource_type: Some(resource.service()),
            ..details
        },
    }
}
