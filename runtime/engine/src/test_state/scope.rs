//! What the expressions of the tested state can reach.

use super::definition::Located;
use super::request::Request;
use crate::core::{Settings, Time};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::cell::Cell;
use stepgrad_asl::expression::{Scope, timestamp};

/// The context object, the variables, time and chance.
#[derive(Debug, Clone)]
pub(super) struct TestScope {
    context: Value,
    variables: Map<String, Value>,
    now: Time,
    draws: Cell<u64>,
}

impl TestScope {
    pub(super) fn new(request: &Request, located: &Located, now: Time) -> Self {
        let context = match &request.context {
            Some(context) => context.clone(),
            None => made_up(request, located, now),
        };
        let variables = request.variables.as_object().cloned().unwrap_or_default();
        Self { context, variables, now, draws: Cell::new(0) }
    }

    pub(super) fn variables(&self) -> &Map<String, Value> {
        &self.variables
    }

    /// The same, for one item of a Map.
    pub(super) fn with_item(&self, index: usize, item: &Value) -> Self {
        let mut scope = self.clone();
        if let Value::Object(context) = &mut scope.context {
            context.insert("Map".to_owned(), json!({"Item": {"Index": index, "Value": item}}));
        }
        scope
    }
}

/// The context object of an execution that there is not: TestState gives it the form of an Express one.
fn made_up(request: &Request, located: &Located, now: Time) -> Value {
    let settings = Settings::default();
    let digest = Sha256::digest(request.definition.to_string());
    let id = digest.iter().take(8).fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
    let kind = located.text("Type");
    let does_work = matches!(kind, "Task" | "Map" | "Parallel");
    let role = request.role_arn.clone().or_else(|| does_work.then(|| settings.role.clone()));
    // As recorded: not the state's own name, even where it has one.
    let mut state = json!({"Name": super::definition::NAME, "EnteredTime": timestamp::format(now)});
    if does_work {
        state["RetryCount"] = Value::from(request.state_configuration.retrier_retry_count);
    }
    let mut context = json!({
        "Execution": {
            "Id": settings.express("test-state", &id, &id),
            "Input": request.input,
            "Name": id,
            "RoleArn": role,
            "StartTime": timestamp::format(now),
        },
        "StateMachine": {"Id": settings.machine("test-state"), "Name": "test-state"},
        "State": state,
    });
    if located.text("Resource").ends_with(".waitForTaskToken") {
        context["Task"] = json!({"Token": format!("test-state-{id}")});
    }
    context
}

impl Scope for TestScope {
    fn variable(&self, name: &str) -> Option<&Value> {
        self.variables.get(name)
    }

    fn now(&self) -> i64 {
        self.now
    }

    fn context<'a>(&'a self, _: &[String]) -> (Cow<'a, Value>, usize) {
        (Cow::Borrowed(&self.context), 0)
    }

    fn random(&self) -> u64 {
        let draw = self.draws.get();
        self.draws.set(draw + 1);
        let digest = Sha256::digest([self.now.to_be_bytes(), draw.to_be_bytes()].concat());
        digest.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
    }
}
