//! Executions: how one starts, by itself or as a task of another, and what the other is told of its end.

use super::arn::machine_name;
use super::engine::{Core, Here, Ready};
use super::event::{TaskError, TaskId};
use super::execution::{Execution, ExecutionId, Identity, Machine, Status};
use super::failure::Failure;
use super::frame::Frame;
use super::history::{Details, EventType};
use super::limits;
use super::scope::chance;
use super::timers::Alarm;
use serde_json::{Value, json};
use std::sync::Arc;
use stepgrad_asl::Payload;
use stepgrad_asl::document::MachineType;
use stepgrad_asl::expression::timestamp;
use stepgrad_asl::program::{Name, Pattern};

impl Core {
    /// Starts an execution that nobody waits for. An unknown machine is the driver's fault; a name that was used
    /// already starts nothing, so that a start that is asked for twice happens once.
    pub(super) fn start_root(&mut self, machine: &str, name: &str, input: &Payload) {
        let Some(machine) = self.machines.get(machine_name(machine)).map(Arc::clone) else { return };
        if !self.names.contains_key(&format!("{}:{name}", machine.name)) {
            self.start(&machine, name, input.clone(), None);
        }
    }

    fn start(
        &mut self,
        machine: &Arc<Machine>,
        name: &str,
        input: Payload,
        awaited_by: Option<TaskId>,
    ) -> ExecutionId {
        let id = ExecutionId(self.next_execution);
        self.next_execution += 1;
        self.stats.executions += 1;
        let key = format!("{}:{name}", machine.name);
        self.names.insert(key.clone(), id);
        let identity = Arc::new(Identity {
            key: Name::from(key.as_str()),
            name: name.to_owned(),
            arn: match machine.program.machine_type {
                MachineType::Standard => self.settings.execution(&machine.name, name),
                MachineType::Express => {
                    let id = format!("{:016x}", chance(self.seed, &[&key], &[]));
                    self.settings.express(&machine.name, name, &id)
                }
            },
            machine: Arc::clone(machine),
            input: input.clone(),
            started_at: self.now,
            role: self.settings.role.clone(),
        });
        let program = &machine.program;
        let seconds = program.timeout_seconds.and_then(|seconds| i64::try_from(seconds).ok());
        let given = seconds.map(|seconds| seconds.saturating_mul(1_000));
        let longest = (program.machine_type == MachineType::Express).then_some(limits::MAX_EXPRESS_DURATION);
        let duration = given.into_iter().chain(longest).min();
        let deadline = duration.map(|duration| self.now.saturating_add(duration));
        let timer = deadline.map(|deadline| self.timers.set(deadline, Alarm::Execution(id)));
        self.executions.insert(
            id,
            Execution {
                identity: Arc::clone(&identity),
                frames: super::arena::Arena::default(),
                root: None,
                last_event: 0,
                overflowed: false,
                tasks: std::collections::BTreeMap::new(),
                awaited_by,
                deadline,
                timer,
            },
        );
        let details = Details {
            input: Some(input.clone()),
            role_arn: Some(self.settings.role.clone()),
            ..Details::default()
        };
        self.record_after(id, 0, EventType::ExecutionStarted, details, None);
        if let (Some(scope), Some(execution)) = (program.scope(program.root()), self.executions.get_mut(&id))
        {
            let frame = execution.frames.add(Frame::new(scope, input, 0));
            execution.root = Some(frame);
            self.ready.push_back(Ready::Frame(id, frame));
        }
        id
    }

    /// Starts the execution that a task asks for; its id and StartExecution's response.
    pub(super) fn start_child(
        &mut self,
        here: &Here,
        frame: &Frame,
        task: TaskId,
        pattern: Pattern,
        arguments: &Payload,
    ) -> Result<(ExecutionId, Payload), Failure> {
        let arguments = arguments.value();
        let Some(arn) = arguments.get("StateMachineArn").and_then(Value::as_str) else {
            let cause = "the arguments of states:startExecution need a StateMachineArn that is a string";
            return Err(Failure::new("StepFunctions.ValidationException", cause));
        };
        let Some(machine) = self.machines.get(machine_name(arn)).map(Arc::clone) else {
            let cause = format!("State Machine Does Not Exist: '{arn}'");
            return Err(Failure::new("StepFunctions.StateMachineDoesNotExistException", cause));
        };
        let input = match arguments.get("Input") {
            None => Value::Object(serde_json::Map::new()),
            // A string is the JSON of the input, if it is JSON.
            Some(Value::String(text)) => {
                serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.clone()))
            }
            Some(input) => input.clone(),
        };
        let name = match arguments.get("Name").and_then(Value::as_str) {
            Some(name) => name.to_owned(),
            None => {
                let path = here.state(frame)?.path.clone();
                let high = frame.chance(self.seed, &here.identity.key, &path, u64::MAX - 1);
                let low = frame.chance(self.seed, &here.identity.key, &path, u64::MAX - 2);
                format!("{high:016x}-{low:016x}")
            }
        };
        if self.names.contains_key(&format!("{}:{name}", machine.name)) {
            let cause =
                format!("Execution Already Exists: '{}'", self.settings.execution(&machine.name, &name));
            return Err(Failure::new("StepFunctions.ExecutionAlreadyExistsException", cause));
        }
        let awaited_by = matches!(pattern, Pattern::Sync | Pattern::Sync2).then_some(task);
        let id = self.start(&machine, &name, Payload::new(input), awaited_by);
        let response = json!({
            "ExecutionArn": self.settings.execution(&machine.name, &name),
            "StartDate": timestamp::format(self.now),
        });
        Ok((id, Payload::new(response)))
    }

    /// Tells the task that waits for an execution of its end, in the form of DescribeExecution.
    pub(super) fn tell(
        &mut self,
        task: TaskId,
        identity: &Identity,
        status: Status,
        output: Option<&Payload>,
        error: Option<&str>,
        cause: Option<&str>,
    ) {
        // `.sync` gives input and output as strings, `.sync:2` as JSON.
        let as_json = self.waits_for_json(task);
        let payload = |payload: &Payload| {
            if as_json { payload.value().clone() } else { Value::from(payload.text()) }
        };
        let mut description = json!({
            "ExecutionArn": identity.arn,
            "Input": payload(&identity.input),
            "InputDetails": {"Included": true},
            "Name": identity.name,
            "StartDate": identity.started_at,
            "StateMachineArn": identity.machine.arn,
            "Status": status.name(),
            "StopDate": self.now,
        });
        if let Value::Object(members) = &mut description {
            if let Some(output) = output {
                members.insert("Output".to_owned(), payload(output));
                members.insert("OutputDetails".to_owned(), json!({"Included": true}));
                members.insert("RedriveCount".to_owned(), Value::from(0));
                members.insert("RedriveStatus".to_owned(), Value::from("NOT_REDRIVABLE"));
                let reason = format!("Execution is {} and cannot be redriven", status.name());
                members.insert("RedriveStatusReason".to_owned(), Value::from(reason));
            }
            for (key, text) in [("Error", error), ("Cause", cause)] {
                if let Some(text) = text {
                    members.insert(key.to_owned(), Value::from(text));
                }
            }
        }
        let result = if status == Status::Succeeded {
            Ok(Payload::new(description))
        } else {
            Err(TaskError { error: "States.TaskFailed".to_owned(), cause: Some(description.to_string()) })
        };
        self.ready.push_back(Ready::Task(task, result));
    }

    fn waits_for_json(&self, task: TaskId) -> bool {
        use stepgrad_asl::program::{Kind, Resource};
        let state = self.executions.get(&task.execution).and_then(|execution| {
            let frame = execution.frames.get(*execution.tasks.get(&task.event)?)?;
            frame.current(&execution.identity.machine.program)
        });
        match state.map(|state| &state.kind) {
            Some(Kind::Task(state)) => state.resource == Resource::StartExecution(Pattern::Sync2),
            _ => false,
        }
    }
}
