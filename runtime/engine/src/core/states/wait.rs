//! The Wait state.

use super::super::engine::{Core, Here, Work};
use super::super::failure::Failure;
use super::super::frame::{Activity, Frame};
use super::super::timers::Alarm;
use super::super::{Time, limits};
use serde_json::Value;
use stepgrad_asl::Payload;
use stepgrad_asl::expression::jsonata::States;
use stepgrad_asl::expression::{EvaluationError, Scope, timestamp};
use stepgrad_asl::program::{Amount, Until, Wait};

impl Core {
    /// Waits until the time has come: the first time the state works it sets a timer, the second time, woken by it,
    /// it goes on.
    pub(super) fn wait(
        &mut self,
        here: &Here,
        frame: &mut Frame,
        wait: &Wait,
        effective: Payload,
    ) -> Result<Work, Failure> {
        let start = frame.entered_at;
        let until = self.evaluate(here, frame, |_, scope| until(wait, start, effective.value(), scope))?;
        if until <= self.now {
            return Ok(Work::Passed(effective));
        }
        let timer = self.timers.set(until, Alarm::Wait(here.execution, here.frame));
        frame.activity = Activity::Wait(timer);
        Ok(Work::Suspended)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "bounded by the longest wait")]
pub(crate) fn until(
    wait: &Wait,
    start: Time,
    input: &Value,
    scope: &dyn Scope,
) -> Result<Time, EvaluationError> {
    let until = match wait {
        Wait::Seconds(amount) => start.saturating_add((seconds(amount, input, scope)? * 1_000.0) as Time),
        Wait::Until(Until::Fixed(time)) => time.timestamp_millis(),
        Wait::Until(Until::Path(path)) => {
            let found = path.find(input, scope)?.ok_or_else(|| {
                fault(format!(
                    "The TimestampPath parameter does not reference an input value: {}",
                    path.text()
                ))
            })?;
            let text = found.as_str().map_or_else(|| found.to_string(), str::to_owned);
            timestamp::parse(&text)
                .ok_or_else(|| {
                    fault(format!(
                        "The TimestampPath parameter does not reference a valid ISO-8601 extended offset date-time format string: {} == {text}",
                        path.text()
                    ))
                })?
                .timestamp_millis()
        }
        Wait::Until(Until::Expression(expression)) => {
            let value = expression
                .evaluate(&States::input(input), scope)
                .map_err(|failure| failure.describe(expression.text(), "Timestamp"))?;
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            timestamp::parse(&text)
                .ok_or_else(|| {
                    EvaluationError::Jsonata {
                        message: format!(
                            "The Timestamp field cannot be parsed as an ISO-8601 extended offset date-time format string: {text}"
                        ),
                        location: "Timestamp".to_owned(),
                    }
                })?
                .timestamp_millis()
        }
    };
    #[expect(clippy::cast_precision_loss, reason = "compared with a bound only")]
    if (until.saturating_sub(start)) as f64 > limits::MAX_WAIT_SECONDS * 1_000.0 {
        return Err(fault("Wait state delay is too long.".to_owned()));
    }
    Ok(until)
}

fn seconds(amount: &Amount, input: &Value, scope: &dyn Scope) -> Result<f64, EvaluationError> {
    let text = amount.text();
    let value = amount.evaluate(input, scope)?;
    match amount {
        Amount::Fixed(seconds) => Ok(*seconds),
        Amount::Path(_) => {
            let value = value.ok_or_else(|| {
                fault(format!("The SecondsPath parameter does not reference an input value: {text}"))
            })?;
            // A whole number, or the text of one.
            let long = value.as_i64().or_else(|| value.as_str().and_then(|text| text.parse().ok()));
            #[expect(clippy::cast_precision_loss, reason = "bounded by the longest wait")]
            match long {
                Some(seconds) if seconds >= 0 => Ok(seconds as f64),
                Some(seconds) => {
                    Err(fault(format!("The SecondsPath parameter cannot be negative: {text} == {seconds}")))
                }
                None => {
                    let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                    Err(fault(format!(
                        "The SecondsPath parameter cannot be parsed as a long value: {text} == {shown}"
                    )))
                }
            }
        }
        Amount::Expression(..) => {
            let value = value.unwrap_or(Value::Null);
            value.as_f64().filter(|seconds| seconds.fract() == 0.0 && *seconds >= 0.0).ok_or_else(|| {
                EvaluationError::Jsonata {
                    message: format!("The Seconds field cannot be parsed as a long value: {value}"),
                    location: "Seconds".to_owned(),
                }
            })
        }
    }
}

fn fault(message: String) -> EvaluationError {
    EvaluationError::Unfit(message)
}
