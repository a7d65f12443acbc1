//! The Task state: what it calls, with what, and how long it waits.

use super::super::command::{Command, Invocation, ReplyShape};
use super::super::engine::{Core, Here, Work};
use super::super::event::TaskId;
use super::super::failure::Failure;
use super::super::frame::{Activity, Frame, TaskRun};
use super::super::history::{Details, EventType};
use super::super::objects::{ObjectCall, ObjectRequest};
use super::super::timers::Alarm;
use serde_json::{Map, Value};
use stepgrad_asl::Payload;
use stepgrad_asl::expression::{EvaluationError, Scope};
use stepgrad_asl::program::{Amount, Kind, Pattern, Resource, Task};

impl Core {
    pub(super) fn task(
        &mut self,
        here: &Here,
        frame: &mut Frame,
        task: &Task,
        effective: &Payload,
    ) -> Result<Work, Failure> {
        // The event that will schedule it is the task's number: the token can be known before.
        let next_event = self.executions.get(&here.execution).map_or(0, |execution| execution.last_event + 1);
        let id = TaskId { execution: here.execution, event: next_event };
        let waits = matches!(
            task.resource,
            Resource::LambdaInvoke(Pattern::WaitForTaskToken)
                | Resource::StartExecution(Pattern::WaitForTaskToken)
        );
        let token = waits.then(|| id.token());
        let timeout = self.evaluate(here, frame, |_, scope| {
            seconds(task.timeout.as_ref(), "TimeoutSeconds", effective, scope)
        })?;
        let heartbeat = self.evaluate(here, frame, |_, scope| {
            seconds(task.heartbeat.as_ref(), "HeartbeatSeconds", effective, scope)
        })?;
        let arguments = self
            .evaluate_with(here, frame, None, token, |state, scope| state.flow.arguments(effective, scope))?;
        let mut run = TaskRun {
            event: id.event,
            timeout: None,
            timeout_seconds: timeout,
            heartbeat: None,
            heartbeat_seconds: heartbeat.filter(|_| waits),
            submitted: false,
            invocation: None,
            child: None,
            object: None,
        };
        match &task.resource {
            Resource::Function(arn) => {
                let details = Details {
                    resource: Some(arn.clone()),
                    input: Some(arguments.clone()),
                    timeout_in_seconds: whole(timeout),
                    ..Details::default()
                };
                self.schedule(here, frame, EventType::LambdaFunctionScheduled, details);
                self.record(here, frame, EventType::LambdaFunctionStarted, Details::default());
                self.invoke(here, frame, run, arn.clone(), arguments, ReplyShape::Payload);
                Ok(Work::Suspended)
            }
            Resource::LambdaInvoke(_) => {
                self.schedule_integration(here, frame, &task.resource, &arguments, timeout, heartbeat);
                let (function, payload) = match call(&arguments) {
                    Ok(call) => call,
                    Err(cause) => {
                        let failure = Failure::new("Lambda.ValidationException", cause);
                        self.task_failed(here, frame, &task.resource, &failure);
                        return Err(failure);
                    }
                };
                self.invoke(here, frame, run, function, payload, ReplyShape::Response);
                Ok(Work::Suspended)
            }
            Resource::S3(action) => {
                self.schedule_integration(here, frame, &task.resource, &arguments, timeout, heartbeat);
                let request = ObjectRequest::Action { action: *action, arguments };
                let call = ObjectCall { task: id, call: 0, request };
                run.object = Some(Box::new(call.clone()));
                self.out.push(Command::Object(call));
                self.await_task(here, frame, run);
                Ok(Work::Suspended)
            }
            Resource::StartExecution(pattern) => {
                self.schedule_integration(here, frame, &task.resource, &arguments, timeout, heartbeat);
                let (child, started) = match self.start_child(here, frame, id, *pattern, &arguments) {
                    Ok(started) => started,
                    Err(failure) => {
                        self.task_failed(here, frame, &task.resource, &failure);
                        return Err(failure);
                    }
                };
                let (service, action) = (task.resource.service(), task.resource.action());
                let details = Details {
                    resource: Some(action.to_owned()),
                    resource_type: Some(service),
                    output: Some(started.clone()),
                    ..Details::default()
                };
                if *pattern == Pattern::RequestResponse {
                    self.record(here, frame, EventType::TaskSucceeded, details);
                    return Ok(Work::Result(started));
                }
                self.record(here, frame, EventType::TaskSubmitted, details);
                run.submitted = true;
                run.child = matches!(pattern, Pattern::Sync | Pattern::Sync2).then_some(child);
                self.await_task(here, frame, run);
                Ok(Work::Suspended)
            }
        }
    }

    fn schedule(&mut self, here: &Here, frame: &mut Frame, event_type: EventType, details: Details) {
        let attempt = Some(frame.attempt);
        self.record_attempt(here, frame, event_type, details, attempt);
    }

    fn schedule_integration(
        &mut self,
        here: &Here,
        frame: &mut Frame,
        resource: &Resource,
        arguments: &Payload,
        timeout: Option<f64>,
        heartbeat: Option<f64>,
    ) {
        let details = Details {
            resource: Some(resource.action().to_owned()),
            resource_type: Some(resource.service()),
            region: Some(self.settings.region.clone()),
            parameters: Some(arguments.clone()),
            timeout_in_seconds: whole(timeout),
            heartbeat_in_seconds: whole(heartbeat),
            ..Details::default()
        };
        self.schedule(here, frame, EventType::TaskScheduled, details);
        let details = Details {
            resource: Some(resource.action().to_owned()),
            resource_type: Some(resource.service()),
            ..Details::default()
        };
        self.record(here, frame, EventType::TaskStarted, details);
    }

    fn invoke(
        &mut self,
        here: &Here,
        frame: &mut Frame,
        mut run: TaskRun,
        function: String,
        payload: Payload,
        shape: ReplyShape,
    ) {
        let task = TaskId { execution: here.execution, event: run.event };
        let deadline = run.timeout_seconds.map(|seconds| self.after(seconds));
        let (waits_for_token, chance) = match here.state(frame) {
            Ok(state) => (
                matches!(&state.kind, Kind::Task(task) if task.resource == Resource::LambdaInvoke(Pattern::WaitForTaskToken)),
                frame.chance(self.seed, &here.identity.key, &state.path, u64::MAX - 3),
            ),
            Err(_) => (false, 0),
        };
        let attempt = frame.attempt;
        let invocation =
            Invocation { task, function, payload, shape, waits_for_token, chance, attempt, deadline };
        run.invocation = Some(invocation.clone());
        self.stats.invocations += 1;
        self.out.push(Command::Invoke(invocation));
        self.await_task(here, frame, run);
    }

    /// The frame waits for the task from now on.
    fn await_task(&mut self, here: &Here, frame: &mut Frame, mut run: TaskRun) {
        if let Some(seconds) = run.timeout_seconds {
            let at = self.after(seconds);
            run.timeout = Some(self.timers.set(at, Alarm::Timeout(here.execution, here.frame)));
        }
        if let Some(seconds) = run.heartbeat_seconds {
            let at = self.after(seconds);
            run.heartbeat = Some(self.timers.set(at, Alarm::Heartbeat(here.execution, here.frame)));
        }
        if let Some(execution) = self.executions.get_mut(&here.execution) {
            execution.tasks.insert(run.event, here.frame);
        }
        frame.activity = Activity::Task(run);
    }
}

/// The function and payload of `lambda:invoke`'s arguments. A payload that is a string of JSON is that JSON, as
/// recorded.
pub(crate) fn call(arguments: &Payload) -> Result<(String, Payload), String> {
    let Some(function) = arguments.value().get("FunctionName").and_then(Value::as_str) else {
        return Err("the arguments of lambda:invoke need a FunctionName that is a string".to_owned());
    };
    let payload = match arguments.value().get("Payload") {
        None => Value::Object(Map::new()),
        Some(Value::String(text)) => {
            serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.clone()))
        }
        Some(payload) => payload.clone(),
    };
    Ok((function.to_owned(), Payload::new(payload)))
}

fn seconds(
    amount: Option<&Amount>,
    field: &str,
    effective: &Payload,
    scope: &dyn Scope,
) -> Result<Option<f64>, EvaluationError> {
    let Some(amount) = amount else { return Ok(None) };
    let value = amount.evaluate(effective.value(), scope)?.unwrap_or(Value::Null);
    match value.as_f64().filter(|seconds| seconds.fract() == 0.0 && (1.0..=99_999_999.0).contains(seconds)) {
        Some(seconds) => Ok(Some(seconds)),
        None => {
            let message = format!(
                "The {field} field refers to value {value} which is not a whole number from 1 to 99999999: {}",
                amount.text()
            );
            Err(match amount {
                Amount::Expression(..) => EvaluationError::Jsonata { message, location: field.to_owned() },
                Amount::Fixed(_) | Amount::Path(_) => EvaluationError::Unfit(message),
            })
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "at most 99,999,999")]
fn whole(seconds: Option<f64>) -> Option<i64> {
    seconds.map(|seconds| seconds as i64)
}
