//! The state itself: input processing, its work or the mock, output processing, and where it goes.

use super::Work;
use super::definition::Located;
use super::mock;
use super::request::{ApiError, Level, Mock, Request};
use super::scope::TestScope;
use crate::core::states::evaluation;
use crate::core::{TaskError, Time};
use serde_json::{Map, Value, json};
use stepgrad_asl::Payload;
use stepgrad_asl::expression::EvaluationError;
use stepgrad_asl::expression::jsonata::States;
use stepgrad_asl::program::{self, Items, Kind, Outcome, Produced, Selector, State, StateId};

/// What the state does with its input, as TestState responds.
///
/// # Errors
/// [`ApiError`] where a task needs a mock.
pub(super) fn evaluate(
    request: &Request,
    located: &Located,
    now: Time,
    work: Option<Work<'_>>,
) -> Result<Value, ApiError> {
    let state = located.state()?;
    let scope = TestScope::new(request, located, now);
    let mut inspection = Map::new();
    inspection.insert("input".to_owned(), request.input.clone());
    let raw = Payload::new(request.input.clone());
    let mut test = Test { request, located, state, scope, raw, inspection };
    let outcome = match test.run(work) {
        Ok(outcome) => outcome,
        Err(Stop::Refused(error)) => return Err(error),
        Err(Stop::Failed(error)) => test.recovered(error),
    };
    Ok(test.response(outcome))
}

/// Why a state did not come to its end.
enum Stop {
    Failed(Failed),
    Refused(ApiError),
}

/// An error of the state's.
#[derive(Debug, Clone)]
struct Failed {
    error: Option<String>,
    cause: Option<String>,
}

impl From<EvaluationError> for Stop {
    fn from(error: EvaluationError) -> Self {
        Self::Failed(Failed { error: Some(error.name().to_owned()), cause: Some(error.to_string()) })
    }
}

impl From<TaskError> for Stop {
    fn from(error: TaskError) -> Self {
        Self::Failed(Failed { error: Some(error.error), cause: error.cause })
    }
}

/// How it ended.
struct Outcomes {
    status: &'static str,
    failed: Option<Failed>,
    produced: Option<(Produced, Option<StateId>)>,
}

struct Test<'a> {
    request: &'a Request,
    located: &'a Located,
    state: &'a State,
    scope: TestScope,
    raw: Payload,
    inspection: Map<String, Value>,
}

impl Test<'_> {
    fn inspect(&mut self, name: &str, value: impl Into<Value>) {
        self.inspection.insert(name.to_owned(), value.into());
    }

    fn run(&mut self, work: Option<Work<'_>>) -> Result<Outcomes, Stop> {
        let state = self.state;
        let effective = state.flow.effective(&self.raw, &self.scope)?;
        let jsonata = state.flow.is_jsonata();
        // As recorded: a Result stands for all input processing, and a Fail has none.
        if !jsonata && !matches!(state.kind, Kind::Pass(Some(_)) | Kind::Fail(_)) {
            self.inspect("afterInputPath", effective.value().clone());
        }
        match &state.kind {
            Kind::Pass(Some(result)) => {
                self.inspect("result", result.value().clone());
                self.finish(result)
            }
            Kind::Pass(None) if jsonata => self.pass_on(&effective),
            Kind::Pass(None) => {
                let arguments = self.arguments(&effective)?;
                self.finish(&arguments)
            }
            Kind::Succeed => self.pass_on(&effective),
            Kind::Wait(wait) => {
                evaluation::until(wait, self.scope_now(), effective.value(), &self.scope)?;
                self.pass_on(&effective)
            }
            Kind::Fail(fail) => {
                let (error, cause) = evaluation::error_and_cause(fail, effective.value(), &self.scope)?;
                Err(Stop::Failed(Failed { error, cause }))
            }
            Kind::Choice(choice) => self.choose(choice, &effective),
            Kind::Task(task) => {
                let arguments = self.arguments(&effective)?;
                let result = match &self.request.mock {
                    Some(mock) => mocked(mock)?,
                    None => match work {
                        Some(work) => work(&task.resource, &arguments)?,
                        None => {
                            return Err(Stop::Refused(ApiError::validation(
                                "a Task without a mock needs --lambda-endpoint, or give it a mock",
                            )));
                        }
                    },
                };
                self.inspect("result", result.value().clone());
                self.finish(&result)
            }
            Kind::Parallel(_) => {
                self.arguments(&effective)?;
                let result = self.mocked()?;
                self.finish(&result)
            }
            Kind::Map(map) => {
                let length = self.map(map, &effective)?;
                let result = self.mocked()?;
                self.tolerate(map, &effective, length)?;
                self.finish(&result)
            }
        }
    }

    fn scope_now(&self) -> Time {
        stepgrad_asl::expression::Scope::now(&self.scope)
    }

    /// The mock of a state that cannot be tested without one.
    fn mocked(&self) -> Result<Payload, Stop> {
        match &self.request.mock {
            Some(mock) => mocked(mock),
            None => Err(Stop::Refused(ApiError::validation("the state needs a mock"))),
        }
    }

    fn arguments(&mut self, effective: &Payload) -> Result<Payload, Stop> {
        let arguments = self.state.flow.arguments(effective, &self.scope)?;
        if !self.state.flow.is_jsonata() {
            self.inspect("afterParameters", arguments.value().clone());
        } else if self.state.flow.has_arguments() {
            self.inspect("afterArguments", arguments.value().clone());
        }
        Ok(arguments)
    }

    fn finish(&mut self, result: &Payload) -> Result<Outcomes, Stop> {
        if let Some(steps) = self.state.flow.steps(&self.raw, result, &self.scope)? {
            self.inspect("afterResultSelector", steps.selected.value().clone());
            self.inspect("afterResultPath", steps.merged.value().clone());
        }
        let produced = self.state.flow.produce(&self.raw, Outcome::Result(result), &self.scope)?;
        Ok(succeeded(produced, self.state.next))
    }

    fn pass_on(&mut self, effective: &Payload) -> Result<Outcomes, Stop> {
        let produced = self.state.flow.produce(&self.raw, Outcome::None(effective), &self.scope)?;
        Ok(succeeded(produced, self.state.next))
    }

    fn choose(&mut self, choice: &program::Choice, effective: &Payload) -> Result<Outcomes, Stop> {
        for (place, rule) in choice.rules.iter().enumerate() {
            if evaluation::holds(rule, place, effective, &self.scope)? {
                let produced = rule.flow.produce(&self.raw, Outcome::None(effective), &self.scope)?;
                return Ok(succeeded(produced, Some(rule.next)));
            }
        }
        match choice.default {
            Some(default) => {
                let produced = self.state.flow.produce(&self.raw, Outcome::None(effective), &self.scope)?;
                Ok(succeeded(produced, Some(default)))
            }
            None => Err(Stop::Failed(Failed {
                error: Some("States.NoChoiceMatched".to_owned()),
                cause: Some(
                    "Failed to transition out of the state. The state does not point to a next state."
                        .to_owned(),
                ),
            })),
        }
    }

    /// The Map's input processing; the number of its items, where that is known.
    fn map(&mut self, map: &program::Map, effective: &Payload) -> Result<Option<usize>, Stop> {
        let jsonata = self.state.flow.is_jsonata();
        let items = if self.located.document.contains_key("ItemReader") {
            let data = self.request.state_configuration.map_item_reader_data.as_deref();
            // Checked with the mock.
            data.and_then(|data| serde_json::from_str(data).ok()).map(Payload::new)
        } else {
            let items = evaluation::items(map, effective, jsonata, &self.scope)?;
            if !jsonata && !matches!(map.items, Items::Jsonata(_)) {
                self.inspect("afterItemsPath", items.value().clone());
            }
            Some(items)
        };
        let elements = items.as_ref().and_then(|items| items.value().as_array());
        if let (Some(selector), Some(elements)) = (&map.selector, elements) {
            let mut selected = Vec::with_capacity(elements.len());
            for (index, item) in elements.iter().enumerate() {
                let scope = self.scope.with_item(index, item);
                selected.push(match selector {
                    Selector::Template(template) => template.evaluate(effective.value(), &scope)?,
                    Selector::Jsonata(template) => {
                        template.evaluate(&States::input(effective.value()), &scope)?
                    }
                });
            }
            self.inspect("afterItemSelector", selected);
        }
        let concurrency = match &map.max_concurrency {
            None => 0,
            Some(amount) => evaluation::integer(amount, "MaxConcurrency", effective.value(), &self.scope)?,
        };
        self.inspect("maxConcurrency", concurrency);
        let tolerance = evaluation::tolerance(map, effective.value(), &self.scope)?;
        if let Some(count) = tolerance.count {
            self.inspect("toleratedFailureCount", count);
        }
        if let Some(percentage) = tolerance.percentage {
            self.inspect("toleratedFailurePercentage", percentage);
        }
        Ok(elements.map(Vec::len))
    }

    /// Whether so many failed iterations are tolerated. As recorded, a Map without a threshold tolerates them here.
    #[expect(clippy::cast_precision_loss, reason = "counts of items")]
    fn tolerate(&self, map: &program::Map, effective: &Payload, length: Option<usize>) -> Result<(), Stop> {
        let failures = self.request.state_configuration.map_iteration_failure_count.unwrap_or(0);
        let tolerance = evaluation::tolerance(map, effective.value(), &self.scope)?;
        let share = failures as f64 * 100.0 / length.unwrap_or(0).max(1) as f64;
        let exceeded = tolerance.count.is_some_and(|count| failures > count as u64)
            || tolerance.percentage.is_some_and(|percentage| share > percentage);
        if exceeded {
            return Err(Stop::Failed(Failed {
                error: Some("States.ExceedToleratedFailureThreshold".to_owned()),
                cause: Some("The specified tolerated failure threshold was exceeded".to_owned()),
            }));
        }
        Ok(())
    }

    /// What Retry and Catch make of an error.
    fn recovered(&mut self, failed: Failed) -> Outcomes {
        let error = failed.error.clone().unwrap_or_default();
        let mut details = Map::new();
        let retries = self.request.state_configuration.retrier_retry_count;
        let retrier = self.state.retry.iter().enumerate().find(|(_, retrier)| retrier.is_for(&error));
        if let Some((index, retrier)) = retrier {
            details.insert("retryIndex".to_owned(), Value::from(index));
            if retries < retrier.max_attempts {
                let seconds = retrier.delay(retries);
                details.insert("retryBackoffIntervalSeconds".to_owned(), whole(seconds));
                self.inspect("errorDetails", details);
                return Outcomes { status: "RETRIABLE", failed: Some(failed), produced: None };
            }
        }
        let catcher = self.state.catch.iter().enumerate().find(|(_, catcher)| catcher.is_for(&error));
        let caught = catcher.map(|(index, catcher)| {
            details.insert("catchIndex".to_owned(), Value::from(index));
            let error = Payload::new(json!({
                "Error": error,
                "Cause": failed.cause.as_deref().unwrap_or_default(),
            }));
            let produced = catcher.flow.produce(&self.raw, Outcome::Error(&error), &self.scope);
            produced.map(|produced| (produced, Some(catcher.next)))
        });
        if !details.is_empty() {
            self.inspect("errorDetails", details);
        }
        match caught {
            None => Outcomes { status: "FAILED", failed: Some(failed), produced: None },
            Some(Ok(produced)) => {
                Outcomes { status: "CAUGHT_ERROR", failed: Some(failed), produced: Some(produced) }
            }
            Some(Err(error)) => {
                let failed = Failed { error: Some(error.name().to_owned()), cause: Some(error.to_string()) };
                Outcomes { status: "FAILED", failed: Some(failed), produced: None }
            }
        }
    }

    fn response(mut self, outcome: Outcomes) -> Value {
        let mut response = Map::new();
        if let Some(failed) = outcome.failed {
            let texts = [("error", failed.error), ("cause", failed.cause)];
            for (name, text) in texts {
                if let Some(text) = text {
                    response.insert(name.to_owned(), Value::from(text));
                }
            }
        }
        let mut variables = self.scope.variables().clone();
        if let Some((produced, next)) = outcome.produced {
            variables.extend(
                produced.assigned.iter().map(|(name, value)| (name.to_string(), value.value().clone())),
            );
            response.insert("output".to_owned(), produced.output.into_value());
            if let Some(next) = next.and_then(|next| self.located.program().state(next)) {
                response.insert("nextState".to_owned(), Value::from(&*next.name));
            }
        }
        if self.request.inspection_level != Level::Info {
            if !variables.is_empty() {
                self.inspect("variables", variables);
            }
            response.insert("inspectionData".to_owned(), Value::Object(self.inspection));
        }
        response.insert("status".to_owned(), Value::from(outcome.status));
        Value::Object(response)
    }
}

fn succeeded(produced: Produced, next: Option<StateId>) -> Outcomes {
    Outcomes { status: "SUCCEEDED", failed: None, produced: Some((produced, next)) }
}

fn mocked(mock: &Mock) -> Result<Payload, Stop> {
    if let Some(error) = &mock.error_output {
        return Err(Stop::Failed(Failed { error: error.error.clone(), cause: error.cause.clone() }));
    }
    let result = mock::result(mock).map_err(Stop::Refused)?;
    Ok(Payload::new(result.unwrap_or_default()))
}

/// Whole seconds without a fraction.
#[expect(clippy::cast_possible_truncation, reason = "at most a year")]
fn whole(seconds: f64) -> Value {
    if seconds.fract() == 0.0 { Value::from(seconds as i64) } else { Value::from(seconds) }
}
