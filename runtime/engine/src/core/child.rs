//! Executions: how one starts, by itself or as a task of another, and what the other is told of its end.

use super::Time;
use super::arn::machine_name;
use super::engine::{Core, Here, Ready};
use super::event::{TaskError, TaskId};
use super::execution::{Awaiter, Execution, ExecutionId, Identity, Machine, Status};
use super::failure::Failure;
use super::frame::{Frame, Item};
use super::history::{Details, EventType};
use super::limits;
use super::scope::chance;
use super::timers::Alarm;
use serde_json::{Value, json};
use std::sync::Arc;
use stepgrad_asl::Payload;
use stepgrad_asl::document::MachineType;
use stepgrad_asl::expression::timestamp;
use stepgrad_asl::program::{Distributed, Map, Name, Pattern, ScopeId};

/// What an execution is started with.
struct Start<'a> {
    machine: &'a Arc<Machine>,
    /// Of a distributed Map's child.
    label: Option<&'a str>,
    name: &'a str,
    scope: ScopeId,
    machine_type: MachineType,
    input: Payload,
    /// Of a distributed Map's child.
    item: Option<Item>,
    awaited_by: Option<Awaiter>,
}

impl<'a> Start<'a> {
    fn of_machine(
        machine: &'a Arc<Machine>,
        name: &'a str,
        input: Payload,
        awaited_by: Option<Awaiter>,
    ) -> Self {
        let program = &machine.program;
        let (scope, machine_type) = (program.root(), program.machine_type);
        Self { machine, label: None, name, scope, machine_type, input, item: None, awaited_by }
    }
}

impl Core {
    /// Starts an execution that nobody waits for. An unknown machine is the driver's fault; a name that was used
    /// already starts nothing, so that a start that is asked for twice happens once.
    pub(super) fn start_root(&mut self, machine: &str, name: &str, input: &Payload) {
        let Some(machine) = self.machines.get(machine_name(machine)).map(Arc::clone) else { return };
        if !self.names.contains_key(&format!("{}:{name}", machine.name)) {
            self.start(Start::of_machine(&machine, name, input.clone(), None));
        }
    }

    fn start(&mut self, start: Start<'_>) -> ExecutionId {
        let Start { machine, label, name, scope, machine_type, input, item, awaited_by } = start;
        let id = ExecutionId(self.next_execution);
        self.next_execution += 1;
        self.stats.executions += 1;
        let machine_name = match label {
            Some(label) => format!("{}/{label}", machine.name),
            None => machine.name.clone(),
        };
        let key = format!("{machine_name}:{name}");
        self.names.insert(key.clone(), id);
        let identity = Arc::new(Identity {
            name: name.to_owned(),
            arn: match machine_type {
                MachineType::Standard => self.settings.execution(&machine_name, name),
                MachineType::Express => {
                    let id = format!("{:016x}", chance(self.seed, &[&key], &[]));
                    self.settings.express(&machine_name, name, &id)
                }
            },
            key: Name::from(key),
            machine: Arc::clone(machine),
            machine_type,
            input: input.clone(),
            started_at: self.now,
            role: self.settings.role.clone(),
            redrives: 0,
            redriven_at: None,
        });
        let program = &machine.program;
        // The machine's TimeoutSeconds is not that of its Maps' children.
        let seconds = program.timeout_seconds.filter(|_| label.is_none());
        let given = seconds
            .and_then(|seconds| i64::try_from(seconds).ok())
            .map(|seconds| seconds.saturating_mul(1_000));
        let longest = (machine_type == MachineType::Express).then_some(limits::MAX_EXPRESS_DURATION);
        let deadline =
            given.into_iter().chain(longest).min().map(|duration| self.now.saturating_add(duration));
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
                runs: std::collections::BTreeMap::new(),
                awaited_by,
                awaited_again: Vec::new(),
                closed: false,
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
        if let (Some(scope), Some(execution)) = (program.scope(scope), self.executions.get_mut(&id)) {
            let mut frame = Frame::new(scope, input, 0);
            frame.item = item;
            let frame = execution.frames.add(frame);
            execution.root = Some(frame);
            self.ready.push_back(Ready::Frame(id, frame));
        }
        id
    }

    /// Starts the child execution of a distributed Map for an item.
    pub(super) fn start_item(
        &mut self,
        here: &Here,
        frame: &Frame,
        map: &Map,
        distributed: &Distributed,
        item: Item,
        input: Payload,
    ) -> Result<ExecutionId, Failure> {
        let machine = Arc::clone(&here.identity.machine);
        let path = here.state(frame)?.path.clone();
        let draw = u64::MAX - 3 - item.index as u64;
        let high = frame.chance(self.seed, &here.identity.key, &path, draw);
        let name = super::scope::uuid(high, super::scope::chance(high, &[], &[draw]));
        let index = item.index;
        Ok(self.start(Start {
            machine: &machine,
            label: Some(&distributed.label),
            name: &name,
            scope: map.processor,
            machine_type: distributed.machine_type,
            input,
            item: Some(item),
            awaited_by: Some(Awaiter::Map(here.execution, here.frame, index)),
        }))
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
        let waits = matches!(pattern, Pattern::Sync | Pattern::Sync2);
        let arn = self.settings.execution(&machine.name, &name);
        let (id, since) = match self.names.get(&format!("{}:{name}", machine.name)).copied() {
            None => {
                let awaited_by = waits.then_some(Awaiter::Task(task));
                (self.start(Start::of_machine(&machine, &name, Payload::new(input), awaited_by)), self.now)
            }
            Some(id) => match self.join(id, &input, waits.then_some(task)) {
                Some(since) => (id, since),
                None => {
                    let cause = format!("Execution Already Exists: '{arn}'");
                    return Err(Failure::new("StepFunctions.ExecutionAlreadyExistsException", cause));
                }
            },
        };
        let response = json!({"ExecutionArn": arn, "StartDate": timestamp::format(since)});
        Ok((id, Payload::new(response)))
    }

    /// An execution is asked for that has been started already: with the same input as one of a Standard machine that
    /// still runs it is that one, for a task that waits too (AWS: API_StartExecution). When it was started.
    fn join(&mut self, id: ExecutionId, input: &Value, task: Option<TaskId>) -> Option<Time> {
        let running = self.executions.get_mut(&id)?;
        let identity = &running.identity;
        let is_same = identity.machine_type == MachineType::Standard && identity.input.value() == input;
        if !is_same || running.closed {
            return None;
        }
        match (task, running.awaited_by) {
            (None, _) => {}
            (Some(task), None) => running.awaited_by = Some(Awaiter::Task(task)),
            (Some(task), Some(_)) => running.awaited_again.push(task),
        }
        Some(running.identity.started_at)
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
                members.insert("RedriveCount".to_owned(), Value::from(identity.redrives));
                members.insert("RedriveStatus".to_owned(), Value::from("NOT_REDRIVABLE"));
                let reason = format!("Execution is {} and cannot be redriven", status.name());
                members.insert("RedriveStatusReason".to_owned(), Value::from(reason));
            }
            for (key, text) in [("Error", error), ("Cause", cause)] {
                if let Some(text) = text {
                    members.insert(key.to_owned(), Value::from(text));
                }
            }
            // As recorded: the text that a failed task's cause is has the names in order.
            members.sort_keys();
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
