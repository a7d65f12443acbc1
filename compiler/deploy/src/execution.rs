//! Runs on AWS: started on the deployment's alias, followed, stopped, and their histories and objects read.

use crate::desired::Owned;
use crate::error::{Error, Kind, call};
use crate::session::Session;
use crate::things::object::{Bucket, Over};
use aws_sdk_sfn::operation::get_execution_history::builders::GetExecutionHistoryFluentBuilder;
use aws_sdk_sfn::types::ExecutionStatus;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::AfterDeserializationInterceptorContextRef;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;
use serde_json::Value;
use std::sync::{Arc, Mutex, PoisonError};
use stepgrad_compiler::aws::{Resources, names};

/// Events of one answer (Step Functions API Reference, `GetExecutionHistory`).
pub(crate) const EVENTS: i32 = 1_000;
/// Bytes of an object that is read into memory at the most: a trained model can be large, but a function that wrote it
/// has at the most 10 GB.
const OBJECT_BYTES: i64 = 10 << 30;

/// A deployment that runs can be started on.
#[derive(Debug, Clone)]
pub struct Runs<'a> {
    pub(crate) session: &'a Session,
    owned: Owned,
    prefix: String,
    alias: String,
    /// Names of all state machines.
    machines: Vec<String>,
    /// The functions' names in the bundle, and their log groups.
    pub(crate) log_groups: Vec<(String, String)>,
}

/// Where an execution stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Execution {
    /// With the names of Step Functions, e.g. `RUNNING`.
    pub status: String,
    /// When it was started, in milliseconds since 1970.
    pub started: Option<i64>,
    /// When it ended, likewise.
    pub stopped: Option<i64>,
    /// The output's JSON, where it succeeded.
    pub output: Option<String>,
    /// The error's name, where it failed.
    pub error: Option<String>,
    /// The error's cause, where it failed.
    pub cause: Option<String>,
    /// How often it was gone on with after its end.
    pub redrives: i32,
}

impl Execution {
    /// Whether it goes on.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.status == ExecutionStatus::Running.as_str()
            || self.status == ExecutionStatus::PendingRedrive.as_str()
    }
}

/// An event, and the execution that it is of.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    /// The execution, as `machine:name`.
    pub execution: String,
    /// The event as `GetExecutionHistory` gives it; the timestamp is in seconds since 1970.
    pub event: Value,
}

impl<'a> Runs<'a> {
    /// The runs of what `resources` describe.
    ///
    /// # Errors
    /// Where no state machine is one that is started.
    pub fn new(session: &'a Session, resources: &Resources) -> Result<Self, Error> {
        let first = resources.machines.iter().find_map(|machine| Some((machine, machine.alias.as_ref()?)));
        let (machine, alias) =
            first.ok_or_else(|| Error::Desired("the bundle has no state machine to start".to_owned()))?;
        let owned = Owned::new(session, resources);
        let alias = format!("{}:{alias}", session.state_machine_arn(&machine.name));
        let machines = resources.machines.iter().map(|machine| machine.name.clone()).collect();
        let functions = resources.functions.iter();
        let log_groups =
            functions.map(|function| (function.handler.clone(), function.log_group.clone())).collect();
        Ok(Self { session, prefix: owned.prefix.clone(), owned, alias, machines, log_groups })
    }

    /// The ARN of the state machine that is started, without a version.
    pub(crate) fn machine(&self) -> String {
        self.alias.rsplit_once(':').map(|(machine, _)| machine.to_owned()).unwrap_or_default()
    }

    /// The ARNs of all state machines, without versions; those that start others come before those.
    pub(crate) fn machines(&self) -> Vec<String> {
        self.machines.iter().rev().map(|name| self.session.state_machine_arn(name)).collect()
    }

    /// The ARN of a run's own execution.
    #[must_use]
    pub fn arn(&self, run: &str) -> String {
        let machine = self.alias.rsplit(':').nth(1).unwrap_or_default();
        self.session.arn("states", &format!("execution:{machine}:{run}"))
    }

    /// The version that would be started; `None` where nothing is deployed.
    ///
    /// # Errors
    /// Where AWS does not answer.
    pub async fn deployed(&self) -> Result<Option<String>, Error> {
        let asked = call("states:DescribeStateMachineAlias", &self.alias);
        let describe =
            self.session.states.describe_state_machine_alias().state_machine_alias_arn(&self.alias);
        let Some(found) = asked.found(describe.send().await)? else { return Ok(None) };
        Ok(found.routing_configuration().first().map(|route| route.state_machine_version_arn().to_owned()))
    }

    /// Whether a version of a state machine is there, by its ARN.
    ///
    /// # Errors
    /// Where AWS does not answer.
    pub async fn has_version(&self, version: &str) -> Result<bool, Error> {
        let describe = self.session.states.describe_state_machine().state_machine_arn(version);
        Ok(call("states:DescribeStateMachine", version).found(describe.send().await)?.is_some())
    }

    fn bucket(&self) -> Bucket<'_> {
        Bucket { session: self.session, name: &self.owned.bucket }
    }

    /// Whether data stands where the functions read it, with this content.
    ///
    /// # Errors
    /// Where AWS does not answer.
    pub async fn has(&self, data: &crate::Upload) -> Result<bool, Error> {
        let seen = self.bucket().look(&data.key).await?;
        Ok(seen.is_some_and(|seen| crate::things::object::compare(data, &seen).is_empty()))
    }

    /// Puts an object of a run, by its key below all runs.
    ///
    /// # Errors
    /// Where it cannot be put.
    pub async fn put(&self, key: &str, content: Vec<u8>) -> Result<(), Error> {
        self.bucket().put(&format!("{}/{key}", names::RUNS), content, None, Over::Anything).await
    }

    /// An object of a run; `None` where it is not there.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        let key = format!("{}/{key}", names::RUNS);
        let asked = self.bucket().on("s3:GetObject", &key);
        let mut left = self.session.attempts();
        loop {
            let answer = self.session.s3.get_object().bucket(&self.owned.bucket).key(&key).send().await;
            let Some(answer) = asked.found(answer)? else { return Ok(None) };
            if answer.content_length().is_some_and(|length| length > OBJECT_BYTES) {
                let what = format!("s3://{}/{key}", self.owned.bucket);
                return Err(Error::Broken { what, reason: "it is too large to be read".to_owned() });
            }
            left = left.saturating_sub(1);
            // The SDK tries a call again, but not the content of an answer that has begun.
            match answer.body.collect().await {
                Ok(body) => return Ok(Some(body.into_bytes().to_vec())),
                Err(error) if left == 0 => return Err(asked.broke_off(&error).into()),
                Err(_) => {}
            }
        }
    }

    /// The keys of a run's objects, below all runs, in order.
    ///
    /// # Errors
    /// Where they cannot be listed.
    pub async fn keys(&self, run: &str) -> Result<Vec<String>, Error> {
        let asked =
            call("s3:ListObjectsV2", self.session.bucket_arn(&self.owned.bucket)).needs("s3:ListBucket");
        let list = self.session.s3.list_objects_v2().bucket(&self.owned.bucket);
        let mut pages = list.prefix(format!("{}/{run}/", names::RUNS)).into_paginator().send();
        let (mut keys, above) = (Vec::new(), format!("{}/", names::RUNS));
        while let Some(page) = pages.next().await {
            let page = asked.ok(page)?;
            keys.extend(
                page.contents()
                    .iter()
                    .filter_map(|object| object.key()?.strip_prefix(&above).map(str::to_owned)),
            );
        }
        Ok(keys)
    }

    /// The newest round of which there are objects; 0 before the first.
    ///
    /// # Errors
    /// Where they cannot be listed.
    pub async fn newest_round(&self, run: &str) -> Result<u32, Error> {
        let asked =
            call("s3:ListObjectsV2", self.session.bucket_arn(&self.owned.bucket)).needs("s3:ListBucket");
        let list = self.session.s3.list_objects_v2().bucket(&self.owned.bucket).delimiter("/");
        let prefix = format!("{}/{run}/objects/round-", names::RUNS);
        let mut pages = list.prefix(&prefix).into_paginator().send();
        let mut newest = 0;
        while let Some(page) = pages.next().await {
            let page = asked.ok(page)?;
            let rounds = page.common_prefixes().iter().filter_map(|folder| {
                folder.prefix()?.strip_prefix(&prefix)?.trim_end_matches('/').parse().ok()
            });
            newest = rounds.fold(newest, u32::max);
        }
        Ok(newest)
    }

    /// Starts a run of a version of the state machine, by its ARN. Starting it again does nothing, for a run's name is given
    /// once.
    ///
    /// # Errors
    /// Where AWS refuses.
    pub async fn start(&self, run: &str, version: &str) -> Result<String, Error> {
        let asked = call("states:StartExecution", version);
        let start = self.session.states.start_execution().state_machine_arn(version).name(run);
        let input = serde_json::json!({"run": run}).to_string();
        match asked.ok(start.input(input).send().await) {
            // It has ended already: the answer to an earlier attempt was lost.
            Err(Error::Api(error)) if error.kind == Kind::Conflict => Ok(self.arn(run)),
            started => Ok(started?.execution_arn().to_owned()),
        }
    }

    /// Whether a run was ever started: whoever was to start it may have been interrupted before.
    ///
    /// # Errors
    /// Where AWS does not answer.
    pub async fn began(&self, run: &str) -> Result<bool, Error> {
        let arn = self.arn(run);
        let describe = self.session.states.describe_execution().execution_arn(&arn).send().await;
        Ok(call("states:DescribeExecution", arn).found(describe)?.is_some())
    }

    /// Where an execution stands.
    ///
    /// # Errors
    /// Where AWS does not answer, or there is no such execution.
    pub async fn describe(&self, arn: &str) -> Result<Execution, Error> {
        let asked = call("states:DescribeExecution", arn);
        let found = asked.ok(self.session.states.describe_execution().execution_arn(arn).send().await)?;
        let text = |text: Option<&str>| text.map(str::to_owned);
        Ok(Execution {
            status: found.status().as_str().to_owned(),
            started: found.start_date().to_millis().ok(),
            stopped: found.stop_date().and_then(|date| date.to_millis().ok()),
            output: text(found.output()),
            error: text(found.error()),
            cause: text(found.cause()),
            redrives: found.redrive_count().unwrap_or_default(),
        })
    }

    /// All events of an execution, and of those that it started, which each come after it.
    ///
    /// # Errors
    /// Where AWS does not answer.
    pub async fn history(&self, arn: &str) -> Result<Vec<Recorded>, Error> {
        let (mut events, mut open) = (Vec::new(), vec![arn.to_owned()]);
        while let Some(arn) = open.pop() {
            let own = self.events(&arn).await?;
            let execution = self.name(&arn);
            let mut children: Vec<String> = own.iter().filter_map(child).collect();
            children.dedup();
            // The first is taken next.
            open.extend(children.into_iter().rev());
            events.extend(own.into_iter().map(|event| Recorded { execution: execution.clone(), event }));
        }
        Ok(events)
    }

    /// `machine:name`, by the ARN of an execution.
    pub(crate) fn name(&self, arn: &str) -> String {
        let mut parts = arn.rsplit(':');
        let (name, machine) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        format!("{}:{name}", machine.strip_prefix(&self.prefix).unwrap_or(machine))
    }

    /// The events of one execution as they came: the SDK's own types would have to be put together again.
    pub(crate) async fn events(&self, arn: &str) -> Result<Vec<Value>, Error> {
        let (mut events, mut next) = (Vec::new(), None);
        loop {
            let get = self.session.states.get_execution_history().max_results(EVENTS).set_next_token(next);
            let page = self.page(arn, get).await?;
            events.extend(page.events);
            next = page.next;
            if next.is_none() {
                return Ok(events);
            }
        }
    }

    /// One answer about the execution `arn`.
    pub(crate) async fn page(&self, arn: &str, get: GetExecutionHistoryFluentBuilder) -> Result<Page, Error> {
        let kept = Kept::default();
        let get = get.execution_arn(arn).include_execution_data(true);
        let sent = get.customize().interceptor(kept.clone()).send().await;
        let answer = call("states:GetExecutionHistory", arn).ok(sent)?;
        let mut body = kept.body().ok_or_else(|| Error::Broken {
            what: format!("the history of {arn}"),
            reason: "it is not JSON".to_owned(),
        })?;
        let events = match body.get_mut("events").map(Value::take) {
            Some(Value::Array(events)) => events,
            _ => Vec::new(),
        };
        Ok(Page { events, next: answer.next_token })
    }
}

/// Events of one answer.
pub(crate) struct Page {
    /// In the order in which they came.
    pub(crate) events: Vec<Value>,
    /// What to ask for those behind it with, if there are any.
    pub(crate) next: Option<String>,
}

/// The ARN of the execution that an event says was started.
pub(crate) fn child(event: &Value) -> Option<String> {
    let details = event.get("taskSubmittedEventDetails")?;
    if details.get("resourceType")?.as_str()? != "states" {
        return None;
    }
    let output: Value = serde_json::from_str(details.get("output")?.as_str()?).ok()?;
    output.get("ExecutionArn")?.as_str().map(str::to_owned)
}

/// Keeps an answer's bytes.
#[derive(Debug, Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Kept {
    fn body(&self) -> Option<Value> {
        serde_json::from_slice(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).ok()
    }
}

impl Intercept for Kept {
    fn name(&self) -> &'static str {
        "Kept"
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(bytes) = context.response().body().bytes() {
            bytes.clone_into(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
        }
        Ok(())
    }
}
