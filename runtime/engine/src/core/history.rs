//! History events in the form of AWS's GetExecutionHistory, and the records that a driver writes as JSON lines.

use super::Time;
use super::event::TaskError;
use super::objects::{Cursor, ObjectReply, ObjectResult, Page};
use serde::de::Error as _;
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use stepgrad_asl::Payload;
use stepgrad_asl::expression::timestamp;
use stepgrad_asl::program::Name;

macro_rules! event_types {
    ($($name:ident $details:literal),* $(,)?) => {
        /// The type of an event, by AWS's name.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        #[expect(missing_docs, reason = "the names are AWS's: API reference, HistoryEvent")]
        pub enum EventType { $($name),* }

        impl EventType {
            /// Every type that this engine writes.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// AWS's name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name)),* }
            }

            /// The key of the event's details.
            #[must_use]
            pub const fn details_key(self) -> &'static str {
                match self { $(Self::$name => concat!($details, "EventDetails")),* }
            }
        }
    };
}

event_types! {
    ExecutionStarted "executionStarted",
    ExecutionSucceeded "executionSucceeded",
    ExecutionFailed "executionFailed",
    ExecutionTimedOut "executionTimedOut",
    ExecutionAborted "executionAborted",
    ExecutionRedriven "executionRedriven",
    PassStateEntered "stateEntered",
    PassStateExited "stateExited",
    TaskStateEntered "stateEntered",
    TaskStateExited "stateExited",
    TaskStateAborted "taskStateAborted",
    ChoiceStateEntered "stateEntered",
    ChoiceStateExited "stateExited",
    WaitStateEntered "stateEntered",
    WaitStateExited "stateExited",
    WaitStateAborted "waitStateAborted",
    SucceedStateEntered "stateEntered",
    SucceedStateExited "stateExited",
    FailStateEntered "stateEntered",
    ParallelStateEntered "stateEntered",
    ParallelStateExited "stateExited",
    ParallelStateStarted "parallelStateStarted",
    ParallelStateSucceeded "parallelStateSucceeded",
    ParallelStateFailed "parallelStateFailed",
    ParallelStateAborted "parallelStateAborted",
    MapStateEntered "stateEntered",
    MapStateExited "stateExited",
    MapStateStarted "mapStateStarted",
    MapStateSucceeded "mapStateSucceeded",
    MapStateFailed "mapStateFailed",
    MapStateAborted "mapStateAborted",
    MapRunStarted "mapRunStarted",
    MapRunSucceeded "mapRunSucceeded",
    MapRunFailed "mapRunFailed",
    MapRunAborted "mapRunAborted",
    MapRunRedriven "mapRunRedriven",
    MapIterationStarted "mapIterationStarted",
    MapIterationSucceeded "mapIterationSucceeded",
    MapIterationFailed "mapIterationFailed",
    MapIterationAborted "mapIterationAborted",
    TaskScheduled "taskScheduled",
    TaskStarted "taskStarted",
    TaskSubmitted "taskSubmitted",
    TaskSucceeded "taskSucceeded",
    TaskFailed "taskFailed",
    TaskTimedOut "taskTimedOut",
    LambdaFunctionScheduled "lambdaFunctionScheduled",
    LambdaFunctionStarted "lambdaFunctionStarted",
    LambdaFunctionSucceeded "lambdaFunctionSucceeded",
    LambdaFunctionFailed "lambdaFunctionFailed",
    LambdaFunctionTimedOut "lambdaFunctionTimedOut",
    EvaluationFailed "evaluationFailed",
}

impl EventType {
    /// The type of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.name() == name)
    }
}

/// An event's details: the fields that its type has are set.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Details {
    /// Of a state, or of the Map an iteration belongs to.
    pub name: Option<Name>,
    /// As text in the event.
    pub input: Option<Payload>,
    /// As text in the event.
    pub output: Option<Payload>,
    /// Variables that a state set, as text in the event.
    pub assigned_variables: BTreeMap<Name, Payload>,
    /// The error's name.
    pub error: Option<String>,
    /// What happened.
    pub cause: Option<String>,
    /// The function's ARN, or the action.
    pub resource: Option<String>,
    /// The service.
    pub resource_type: Option<&'static str>,
    /// Where the task runs.
    pub region: Option<String>,
    /// What the task is given, as text in the event.
    pub parameters: Option<Payload>,
    /// Of a task.
    pub timeout_in_seconds: Option<i64>,
    /// Of a task.
    pub heartbeat_in_seconds: Option<i64>,
    /// Items of a Map.
    pub length: Option<usize>,
    /// Of an iteration.
    pub index: Option<usize>,
    /// Of a distributed Map.
    pub map_run_arn: Option<String>,
    /// Of an execution.
    pub role_arn: Option<String>,
    /// The state whose expression failed.
    pub state: Option<Name>,
    /// The field whose JSONata expression has no usable value.
    pub location: Option<String>,
    /// Of an execution or a Map Run that was redriven: how often by now.
    pub redrive_count: Option<u32>,
}

/// One event of an execution's history.
#[derive(Debug, Clone, PartialEq)]
pub struct HistoryEvent {
    /// From 1, without gaps.
    pub id: u64,
    /// The event before it in the same line of control; 0 for none.
    pub previous_event_id: u64,
    /// When.
    pub timestamp: Time,
    /// What.
    pub event_type: EventType,
    /// With what.
    pub details: Box<Details>,
}

/// One line of the log.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// An event of an execution.
    Event {
        /// The execution, as `machine:name`.
        execution: Name,
        /// The event.
        event: HistoryEvent,
        /// Of an event that schedules a task: retries of the state before it.
        attempt: Option<u32>,
    },
    /// What S3 answered to a distributed Map's reader or writer: of the log only, AWS's history has nothing of it.
    Objects {
        /// The execution, as `machine:name`.
        execution: Name,
        /// The id of its MapRunStarted event.
        run: u64,
        /// Which of the Map Run's calls.
        call: u32,
        /// When.
        timestamp: Time,
        /// What it answered.
        result: ObjectResult,
    },
    /// A killed run was recovered at this point and went on: tasks under way were started again.
    Resumed {
        /// When.
        timestamp: Time,
    },
    /// Something that went wrong on purpose, as whoever did it tells it: of the log only, a recovery passes over it.
    Fault {
        /// When.
        timestamp: Time,
        /// What.
        fired: Value,
    },
}

impl HistoryEvent {
    /// The event as GetExecutionHistory gives it.
    #[must_use]
    pub fn to_value(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    fn serialize_members<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        map.serialize_entry("timestamp", &timestamp::format(self.timestamp))?;
        map.serialize_entry("type", self.event_type.name())?;
        map.serialize_entry("id", &self.id)?;
        map.serialize_entry("previousEventId", &self.previous_event_id)?;
        if !self.details.is_empty() {
            map.serialize_entry(self.event_type.details_key(), &self.details)?;
        }
        Ok(())
    }

    fn from_map(event: &Map<String, Value>) -> Result<Self, String> {
        let text =
            |key: &str| event.get(key).and_then(Value::as_str).ok_or_else(|| format!("{key} is missing"));
        let number =
            |key: &str| event.get(key).and_then(Value::as_u64).ok_or_else(|| format!("{key} is missing"));
        let name = text("type")?;
        let event_type =
            EventType::from_name(name).ok_or_else(|| format!("{name:?} is not a type of event"))?;
        let time = text("timestamp")?;
        let timestamp =
            timestamp::parse(time).ok_or_else(|| format!("{time:?} is not a time"))?.timestamp_millis();
        let details = match event.get(event_type.details_key()).and_then(Value::as_object) {
            Some(details) => Details::from_map(details)?,
            None => Details::default(),
        };
        Ok(Self {
            id: number("id")?,
            previous_event_id: number("previousEventId")?,
            timestamp,
            event_type,
            details: Box::new(details),
        })
    }
}

impl Details {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn from_map(map: &Map<String, Value>) -> Result<Self, String> {
        let text = |key: &str| map.get(key).and_then(Value::as_str).map(str::to_owned);
        let name = |key: &str| map.get(key).and_then(Value::as_str).map(Name::from);
        let number = |key: &str| map.get(key).and_then(Value::as_i64);
        let size = |key: &str| map.get(key).and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok());
        let payload = |value: Option<&Value>| {
            let text = value.and_then(Value::as_str);
            text.map(|text| serde_json::from_str(text).map(Payload::new).map_err(|error| error.to_string()))
                .transpose()
        };
        let mut assigned_variables = BTreeMap::new();
        for (variable, value) in map.get("assignedVariables").and_then(Value::as_object).into_iter().flatten()
        {
            if let Some(value) = payload(Some(value))? {
                assigned_variables.insert(Name::from(variable.as_str()), value);
            }
        }
        Ok(Self {
            name: name("name"),
            input: payload(map.get("input"))?,
            output: payload(map.get("output"))?,
            assigned_variables,
            error: text("error"),
            cause: text("cause"),
            resource: text("resource"),
            resource_type: match text("resourceType").as_deref() {
                Some("lambda") => Some("lambda"),
                Some("states") => Some("states"),
                Some("aws-sdk:s3") => Some("aws-sdk:s3"),
                _ => None,
            },
            region: text("region"),
            parameters: payload(map.get("parameters"))?,
            timeout_in_seconds: number("timeoutInSeconds"),
            heartbeat_in_seconds: number("heartbeatInSeconds"),
            length: size("length"),
            index: size("index"),
            map_run_arn: text("mapRunArn"),
            role_arn: text("roleArn"),
            state: name("state"),
            location: text("location"),
            redrive_count: number("redriveCount").and_then(|count| u32::try_from(count).ok()),
        })
    }
}

impl Serialize for HistoryEvent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        self.serialize_members(&mut map)?;
        map.end()
    }
}

/// Of `inputDetails` and the like: nothing is cut off here.
#[derive(Serialize)]
struct Whole {
    truncated: bool,
}

/// Payloads stand in events as text.
struct Texts<'a>(&'a BTreeMap<Name, Payload>);

impl Serialize for Texts<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (&**name, value.text())))
    }
}

impl Serialize for Details {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        fn entry<M: SerializeMap, T: Serialize>(
            map: &mut M,
            key: &'static str,
            value: Option<T>,
        ) -> Result<(), M::Error> {
            value.map_or(Ok(()), |value| map.serialize_entry(key, &value))
        }
        let whole = Whole { truncated: false };
        let mut map = serializer.serialize_map(None)?;
        entry(&mut map, "name", self.name.as_deref())?;
        entry(&mut map, "index", self.index)?;
        entry(&mut map, "length", self.length)?;
        entry(&mut map, "resourceType", self.resource_type)?;
        entry(&mut map, "resource", self.resource.as_deref())?;
        entry(&mut map, "region", self.region.as_deref())?;
        entry(&mut map, "parameters", self.parameters.as_ref().map(Payload::text))?;
        entry(&mut map, "timeoutInSeconds", self.timeout_in_seconds)?;
        entry(&mut map, "heartbeatInSeconds", self.heartbeat_in_seconds)?;
        if let Some(input) = &self.input {
            map.serialize_entry("input", input.text())?;
            map.serialize_entry("inputDetails", &whole)?;
        }
        if let Some(output) = &self.output {
            map.serialize_entry("output", output.text())?;
            map.serialize_entry("outputDetails", &whole)?;
        }
        if !self.assigned_variables.is_empty() {
            map.serialize_entry("assignedVariables", &Texts(&self.assigned_variables))?;
            map.serialize_entry("assignedVariablesDetails", &whole)?;
        }
        entry(&mut map, "error", self.error.as_deref())?;
        entry(&mut map, "cause", self.cause.as_deref())?;
        entry(&mut map, "mapRunArn", self.map_run_arn.as_deref())?;
        entry(&mut map, "roleArn", self.role_arn.as_deref())?;
        entry(&mut map, "location", self.location.as_deref())?;
        entry(&mut map, "state", self.state.as_deref())?;
        entry(&mut map, "redriveCount", self.redrive_count)?;
        map.end()
    }
}

impl Serialize for Record {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Event { execution, event, attempt } => {
                let mut map = serializer.serialize_map(None)?;
                map.serialize_entry("execution", &**execution)?;
                event.serialize_members(&mut map)?;
                if let Some(attempt) = attempt {
                    map.serialize_entry("attempt", attempt)?;
                }
                map.end()
            }
            Self::Objects { execution, run, call, timestamp, result } => {
                let mut map = serializer.serialize_map(None)?;
                map.serialize_entry("execution", &**execution)?;
                map.serialize_entry("mapRun", run)?;
                map.serialize_entry("call", call)?;
                map.serialize_entry("timestamp", &timestamp::format(*timestamp))?;
                match result {
                    Ok(ObjectReply::Page(page)) => {
                        let items: Vec<&Value> = page.items.iter().map(Payload::value).collect();
                        map.serialize_entry("items", &items)?;
                        map.serialize_entry("next", &page.next)?;
                        if !page.sources.is_empty() {
                            map.serialize_entry("sources", &page.sources)?;
                        }
                    }
                    Ok(ObjectReply::Written | ObjectReply::Output(_)) => {
                        map.serialize_entry("written", &true)?;
                    }
                    Err(error) => {
                        map.serialize_entry("error", &error.error)?;
                        map.serialize_entry("cause", &error.cause)?;
                    }
                }
                map.end()
            }
            Self::Resumed { timestamp } => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry("resumed", &timestamp::format(*timestamp))?;
                map.end()
            }
            Self::Fault { timestamp, fired } => {
                let mut map = serializer.serialize_map(Some(2))?;
                map.serialize_entry("timestamp", &timestamp::format(*timestamp))?;
                map.serialize_entry("fired", fired)?;
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Record {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let map = Map::deserialize(deserializer)?;
        if let Some(time) = map.get("resumed").and_then(Value::as_str) {
            let time = timestamp::parse(time).ok_or_else(|| D::Error::custom("resumed is not a time"))?;
            return Ok(Self::Resumed { timestamp: time.timestamp_millis() });
        }
        if let Some(fired) = map.get("fired") {
            let time = map.get("timestamp").and_then(Value::as_str).and_then(timestamp::parse);
            let time = time.ok_or_else(|| D::Error::custom("timestamp is not a time"))?;
            return Ok(Self::Fault { timestamp: time.timestamp_millis(), fired: fired.clone() });
        }
        let execution = map.get("execution").and_then(Value::as_str);
        if let Some(run) = map.get("mapRun").and_then(Value::as_u64) {
            let execution = Name::from(execution.ok_or_else(|| D::Error::custom("execution is missing"))?);
            return objects(execution, run, &map).map_err(D::Error::custom);
        }
        Ok(Self::Event {
            execution: Name::from(execution.ok_or_else(|| D::Error::custom("execution is missing"))?),
            event: HistoryEvent::from_map(&map).map_err(D::Error::custom)?,
            attempt: map.get("attempt").and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok()),
        })
    }
}

fn objects(execution: Name, run: u64, map: &Map<String, Value>) -> Result<Record, String> {
    let text = |key: &str| map.get(key).and_then(Value::as_str);
    let timestamp = text("timestamp").and_then(timestamp::parse).ok_or("timestamp is not a time")?;
    let call = map.get("call").and_then(Value::as_u64).and_then(|call| u32::try_from(call).ok());
    let result = match (text("error"), map.get("items").and_then(Value::as_array)) {
        (Some(error), _) => {
            Err(TaskError { error: error.to_owned(), cause: text("cause").map(str::to_owned) })
        }
        (None, Some(items)) => {
            let next = map.get("next").cloned().unwrap_or_default();
            let next: Option<Cursor> = serde_json::from_value(next).map_err(|error| error.to_string())?;
            let sources = map.get("sources").cloned().unwrap_or_else(|| Value::Array(Vec::new()));
            let sources = serde_json::from_value(sources).map_err(|error| error.to_string())?;
            let items = items.iter().cloned().map(Payload::new).collect();
            Ok(ObjectReply::Page(Page { items, next, sources }))
        }
        (None, None) => Ok(ObjectReply::Written),
    };
    let timestamp = timestamp.timestamp_millis();
    Ok(Record::Objects { execution, run, call: call.ok_or("call is missing")?, timestamp, result })
}
