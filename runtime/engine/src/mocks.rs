//! Mocked service integrations, in the format that Step Functions Local and LocalStack share: MockConfigFile.json (AWS:
//! "Using mocked service integrations for testing in Step Functions Local").
//!
//! A test case names, for some Task states of a machine, a response: what each attempt returns or throws. The machine
//! is changed so that these states call functions that there are only here; [`Mocked`] answers for them. So a mocked
//! state may use a service that this engine does not have. Such a state appears in the history as a function; one
//! with `lambda:invoke` and its FunctionName in Parameters or Arguments keeps its own events.

use crate::core::{Invocation, TaskError};
use crate::integrations::lambda::{Invoke, InvokeError, InvokeReply};
use bytes::Bytes;
use futures::future::BoxFuture;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::Arc;
use stepgrad_asl::Payload;
use stepgrad_asl::program::Resource;

/// The start of the mocked functions' ARNs.
const PREFIX: &str = "arn:aws:lambda:us-east-1:111111111111:function:mocked-";
/// The task token that a mocked state sees.
const TOKEN: &str = "mocked-task-token";

/// The file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MockError {
    /// It is not in the format.
    #[error("the mocks are not a MockConfigFile: {0}")]
    Format(String),
    /// There is no such test case.
    #[error("there is no test case {wanted:?}: the file has {known}")]
    NoTestCase {
        /// What was asked for.
        wanted: String,
        /// `machine#case`, with commas between.
        known: String,
    },
    /// Several machines have a test case of that name.
    #[error("several machines have the test case {0:?}: give MACHINE#CASE")]
    Ambiguous(String),
    /// A test case names a response that there is not.
    #[error("the state {state:?} is to have the response {response:?}, which is not among MockedResponses")]
    NoResponse {
        /// The state.
        state: String,
        /// What it names.
        response: String,
    },
    /// A response's key is not an attempt.
    #[error("{key:?} of the response {response:?} is neither an attempt (0) nor several (1-2)")]
    Attempts {
        /// The response.
        response: String,
        /// Its key.
        key: String,
    },
    /// A test case names a state that there is not.
    #[error("the machine has no Task state {0:?}: only Task states can be mocked")]
    NoState(String),
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct File {
    state_machines: BTreeMap<String, Machine>,
    mocked_responses: BTreeMap<String, BTreeMap<String, Answer>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Machine {
    test_cases: BTreeMap<String, BTreeMap<String, String>>,
}

/// What an attempt comes to.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
enum Answer {
    /// The task's output.
    Return(Value),
    /// How it fails.
    Throw {
        #[serde(rename = "Error")]
        error: String,
        #[serde(rename = "Cause")]
        cause: Option<String>,
    },
}

/// The attempts from, to, and what they come to.
type Attempts = Vec<(u32, u32, Answer)>;

/// The responses of a test case, by state.
#[derive(Debug, Clone, PartialEq)]
pub struct Mocks {
    states: BTreeMap<String, (String, Attempts)>,
}

impl Mocks {
    /// The test case `CASE` or `MACHINE#CASE` of a MockConfigFile.
    ///
    /// # Errors
    /// [`MockError`] where the file or the name is wrong.
    pub fn read(text: &str, test_case: &str) -> Result<Self, MockError> {
        let file: File = serde_json::from_str(text).map_err(|error| MockError::Format(error.to_string()))?;
        let (machine, case) = match test_case.split_once('#') {
            Some((machine, case)) => (Some(machine), case),
            None => (None, test_case),
        };
        let mut found = file
            .state_machines
            .iter()
            .filter(|(name, _)| machine.is_none_or(|machine| machine == *name))
            .filter_map(|(_, machine)| machine.test_cases.get(case));
        let Some(responses) = found.next() else {
            let known = file.state_machines.iter().flat_map(|(name, machine)| {
                machine.test_cases.keys().map(move |case| format!("{name}#{case}"))
            });
            let known = known.collect::<Vec<_>>().join(", ");
            return Err(MockError::NoTestCase { wanted: test_case.to_owned(), known });
        };
        if found.next().is_some() {
            return Err(MockError::Ambiguous(case.to_owned()));
        }
        let mut states = BTreeMap::new();
        for (state, response) in responses {
            let answers = file
                .mocked_responses
                .get(response)
                .ok_or_else(|| MockError::NoResponse { state: state.clone(), response: response.clone() })?;
            states.insert(state.clone(), (response.clone(), attempts(response, answers)?));
        }
        Ok(Self { states })
    }

    /// The definition with the mocked states calling functions of [`Mocked`].
    ///
    /// # Errors
    /// [`MockError::NoState`] where a state to be mocked is not there, or is no Task.
    pub fn apply(&self, definition: &Value) -> Result<Value, MockError> {
        let mut definition = definition.clone();
        for (index, state) in self.states.keys().enumerate() {
            let function = format!("{PREFIX}{index}");
            if !mock(&mut definition, state, &function) {
                return Err(MockError::NoState(state.clone()));
            }
        }
        Ok(definition)
    }

    /// The mocked functions, and those of `others` for the rest.
    #[must_use]
    pub fn over(self, others: Arc<dyn Invoke>) -> Mocked {
        let states = self.states.into_values().enumerate();
        Mocked {
            responses: states.map(|(index, response)| (format!("{PREFIX}{index}"), response)).collect(),
            others,
        }
    }
}

fn attempts(response: &str, answers: &BTreeMap<String, Answer>) -> Result<Attempts, MockError> {
    let range = |key: &str| {
        let (from, to) = key.split_once('-').unwrap_or((key, key));
        let range = (from.trim().parse::<u32>().ok()?, to.trim().parse::<u32>().ok()?);
        (range.0 <= range.1).then_some(range)
    };
    answers
        .iter()
        .map(|(key, answer)| match range(key) {
            Some((from, to)) => Ok((from, to, answer.clone())),
            None => Err(MockError::Attempts { response: response.to_owned(), key: key.clone() }),
        })
        .collect()
}

/// Makes the state of that name, wherever it is, call `function`. False where there is no such Task.
fn mock(scope: &mut Value, name: &str, function: &str) -> bool {
    let Some(states) = scope.get_mut("States").and_then(Value::as_object_mut) else { return false };
    let mut found = false;
    for (state_name, state) in states.iter_mut() {
        let Some(state) = state.as_object_mut() else { continue };
        if state_name == name && state.get("Type").and_then(Value::as_str) == Some("Task") {
            call(state, function);
            found = true;
        }
        for field in ["ItemProcessor", "Iterator"] {
            found |= state.get_mut(field).is_some_and(|scope| mock(scope, name, function));
        }
        for branch in state.get_mut("Branches").and_then(Value::as_array_mut).into_iter().flatten() {
            found |= mock(branch, name, function);
        }
    }
    found
}

fn call(state: &mut Map<String, Value>, function: &str) {
    let resource = state.get("Resource").and_then(Value::as_str).unwrap_or_default();
    let invoke = matches!(
        Resource::parse(resource),
        Ok(Resource::LambdaInvoke(stepgrad_asl::program::Pattern::RequestResponse))
    );
    let arguments = ["Parameters", "Arguments"].into_iter().find(|field| {
        let arguments = state.get(*field).and_then(Value::as_object);
        arguments.is_some_and(|arguments| {
            arguments.contains_key("FunctionName") || arguments.contains_key("FunctionName.$")
        })
    });
    if let (true, Some(field)) = (invoke, arguments)
        && let Some(arguments) = state.get_mut(field).and_then(Value::as_object_mut)
    {
        arguments.remove("FunctionName.$");
        arguments.insert("FunctionName".to_owned(), Value::from(function));
        return;
    }
    state.insert("Resource".to_owned(), Value::from(function));
    // Nobody waits for a callback any more: there is no token but a made-up one.
    for field in ["Parameters", "Arguments"] {
        if let Some(arguments) = state.get_mut(field) {
            without_token(arguments);
        }
    }
}

fn without_token(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (name, value) in std::mem::take(members) {
                match (name.strip_suffix(".$"), &value) {
                    (Some(name), Value::String(path)) if path == "$$.Task.Token" => {
                        members.insert(name.to_owned(), Value::from(TOKEN));
                    }
                    _ => {
                        let mut value = value;
                        without_token(&mut value);
                        members.insert(name, value);
                    }
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(without_token),
        Value::String(text) if text.contains("$states.context.Task.Token") => {
            *text = text.replace("$states.context.Task.Token", &format!("'{TOKEN}'"));
        }
        _ => {}
    }
}

/// Answers for the mocked states.
pub struct Mocked {
    responses: BTreeMap<String, (String, Attempts)>,
    others: Arc<dyn Invoke>,
}

impl Invoke for Mocked {
    fn invoke<'a>(
        &'a self,
        function: &'a str,
        payload: Bytes,
    ) -> BoxFuture<'a, Result<InvokeReply, InvokeError>> {
        self.others.invoke(function, payload)
    }

    fn answer(&self, invocation: &Invocation) -> Option<Result<Payload, TaskError>> {
        let (response, attempts) = self.responses.get(&invocation.function)?;
        let attempt = invocation.attempt;
        let answer = attempts.iter().find(|(from, to, _)| (*from..=*to).contains(&attempt));
        Some(match answer {
            Some((_, _, Answer::Return(value))) => Ok(Payload::new(value.clone())),
            Some((_, _, Answer::Throw { error, cause })) => {
                Err(TaskError { error: error.clone(), cause: cause.clone() })
            }
            None => Err(TaskError {
                error: "States.Runtime".to_owned(),
                cause: Some(format!("the mocked response {response:?} has nothing for attempt {attempt}")),
            }),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{MockError, Mocks};
    use crate::integrations::lambda::{Invoke, InvokeError, InvokeReply};
    use crate::run::{Definition, RunOptions, conformance_line, run};
    use bytes::Bytes;
    use futures::future::BoxFuture;
    use serde_json::{Value, json};
    use std::collections::BTreeMap;
    use std::sync::Arc;
    use stepgrad_asl::document::MachineType;

    /// The example of AWS's page, shortened.
    const FILE: &str = r#"{
        "StateMachines": {"LambdaSQSIntegration": {"TestCases": {
            "HappyPath": {"LambdaState": "MockedLambdaSuccess", "SQSState": "MockedSQSSuccess"},
            "RetryPath": {"LambdaState": "MockedLambdaRetry", "SQSState": "MockedSQSSuccess"}}}},
        "MockedResponses": {
            "MockedLambdaSuccess": {"0": {"Return": {"StatusCode": 200, "Payload": {"body": "Hello from Lambda!"}}}},
            "MockedSQSSuccess": {"0": {"Return": {"MessageId": "m"}}},
            "MockedLambdaRetry": {
                "0": {"Throw": {"Error": "Lambda.ResourceNotReadyException", "Cause": "not ready"}},
                "1-2": {"Throw": {"Error": "Lambda.TimeoutException", "Cause": "timed out"}},
                "3": {"Return": {"StatusCode": 200, "Payload": {"body": "at last"}}}}}}"#;

    struct Nobody;

    impl Invoke for Nobody {
        fn invoke<'a>(&'a self, _: &'a str, _: Bytes) -> BoxFuture<'a, Result<InvokeReply, InvokeError>> {
            let error = InvokeError { error: "Nobody".to_owned(), cause: String::new() };
            Box::pin(async { Err(error) })
        }
    }

    fn machine() -> Value {
        json!({"StartAt": "LambdaState", "States": {
            "LambdaState": {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "TimeoutSeconds": 60,
                "Parameters": {"FunctionName": "HelloWorld", "Payload.$": "$"},
                "Retry": [{"ErrorEquals": ["States.ALL"], "IntervalSeconds": 1, "MaxDelaySeconds": 2, "BackoffRate": 1.0, "MaxAttempts": 3}],
                "Next": "SQSState"},
            "SQSState": {"Type": "Task", "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken", "TimeoutSeconds": 60,
                "Parameters": {"QueueUrl": "q", "MessageBody": {"b.$": "$.Payload.body", "t.$": "$$.Task.Token"}},
                "ResultPath": "$.sent", "End": true}}})
    }

    async fn result(test_case: &str) -> Value {
        let mocks = Mocks::read(FILE, test_case).unwrap();
        let text = mocks.apply(&machine()).unwrap().to_string();
        let definition = Definition { text, machine_type: MachineType::Standard };
        let report = run(RunOptions {
            definitions: BTreeMap::from([("main".to_owned(), definition)]),
            root: "main".to_owned(),
            execution_name: "e".to_owned(),
            input: json!({}),
            seed: 0,
            invoke: Arc::new(mocks.over(Arc::new(Nobody))),
            objects: None,
            max_concurrent_invocations: 1,
            trace: true,
        })
        .await;
        conformance_line(&report)
    }

    #[tokio::test]
    async fn aws_own_example_runs() {
        let happy = result("HappyPath").await;
        let expected =
            json!({"StatusCode": 200, "Payload": {"body": "Hello from Lambda!"}, "sent": {"MessageId": "m"}});
        assert_eq!((&happy["status"], &happy["output"]), (&json!("SUCCEEDED"), &expected));
        let events: Vec<&Value> = happy["history"].as_array().unwrap().iter().map(|e| &e["type"]).collect();
        assert!(events.contains(&&json!("TaskScheduled")), "{events:?}");
    }

    #[tokio::test]
    async fn attempts_have_their_own_answers() {
        let retried = result("LambdaSQSIntegration#RetryPath").await;
        assert_eq!(retried["output"]["Payload"]["body"], "at last");
        let failures = retried["history"].as_array().unwrap().iter().filter(|e| e["type"] == "TaskFailed");
        assert_eq!(failures.count(), 3);
    }

    #[test]
    fn files_that_make_no_sense_are_refused() {
        let refused = |text: &str, case: &str| Mocks::read(text, case).unwrap_err();
        assert!(matches!(refused("{}", "x"), MockError::Format(_)));
        assert!(
            matches!(refused(FILE, "x"), MockError::NoTestCase { known, .. } if known.contains("LambdaSQSIntegration#HappyPath"))
        );
        let file = |case: &Value, responses: &Value| {
            json!({"StateMachines": {"M": {"TestCases": {"C": case}}}, "MockedResponses": responses})
                .to_string()
        };
        assert!(matches!(refused(&file(&json!({"S": "R"}), &json!({})), "C"), MockError::NoResponse { .. }));
        let attempts = json!({"R": {"2-1": {"Return": 1}}});
        assert!(matches!(refused(&file(&json!({"S": "R"}), &attempts), "C"), MockError::Attempts { .. }));
        let mocks = Mocks::read(&file(&json!({"S": "R"}), &json!({"R": {"0": {"Return": 1}}})), "C").unwrap();
        assert_eq!(mocks.apply(&machine()), Err(MockError::NoState("S".to_owned())));
    }
}
