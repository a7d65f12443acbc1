//! What a function's answer means for the task that called it.

use super::lambda::{InvokeError, InvokeReply};
use crate::core::{ReplyShape, TaskError};
use serde_json::{Value, json};
use stepgrad_asl::Payload;

/// The output of the task, or how it failed.
///
/// # Errors
/// [`TaskError`] with the function's `errorType` and its whole payload as the cause, as recorded; or what the service
/// said.
pub fn outcome(shape: ReplyShape, reply: Result<InvokeReply, InvokeError>) -> Result<Payload, TaskError> {
    let reply = reply.map_err(|error| TaskError { error: error.error, cause: Some(error.cause) })?;
    let text = String::from_utf8_lossy(&reply.payload);
    if reply.function_error.is_some() {
        let error = serde_json::from_str::<Value>(&text)
            .ok()
            .and_then(|payload| payload.get("errorType").and_then(Value::as_str).map(str::to_owned))
            .unwrap_or_else(|| "Lambda.Unknown".to_owned());
        return Err(TaskError { error, cause: Some(text.into_owned()) });
    }
    let payload = if text.is_empty() {
        Value::Null
    } else {
        serde_json::from_str(&text).map_err(|error| TaskError {
            error: "Lambda.Unknown".to_owned(),
            cause: Some(format!("the function's reply is not JSON: {error}")),
        })?
    };
    Ok(Payload::new(match shape {
        ReplyShape::Payload => payload,
        ReplyShape::Response => json!({
            "ExecutedVersion": reply.executed_version,
            "Payload": payload,
            "SdkHttpMetadata": {"HttpStatusCode": 200},
            "SdkResponseMetadata": {"RequestId": reply.request_id},
            "StatusCode": 200,
        }),
    }))
}

#[cfg(test)]
mod tests {
    use super::outcome;
    use crate::core::ReplyShape;
    use crate::integrations::lambda::{InvokeError, InvokeReply};

    fn reply(payload: &'static str, function_error: Option<&str>) -> InvokeReply {
        InvokeReply {
            payload: payload.into(),
            function_error: function_error.map(str::to_owned),
            executed_version: "$LATEST".to_owned(),
            request_id: "r".to_owned(),
        }
    }

    #[test]
    fn shapes_of_replies() {
        let plain = outcome(ReplyShape::Payload, Ok(reply("{\"a\":1}", None))).unwrap();
        assert_eq!(plain.text(), "{\"a\":1}");
        let response = outcome(ReplyShape::Response, Ok(reply("1", None))).unwrap();
        assert_eq!(response.value()["Payload"], 1);
        assert_eq!(response.value()["StatusCode"], 200);
    }

    #[test]
    fn errors_have_the_names_that_retriers_look_for() {
        let error =
            |payload| outcome(ReplyShape::Response, Ok(reply(payload, Some("Unhandled")))).unwrap_err();
        assert_eq!(error("{\"errorType\":\"Custom\"}").error, "Custom");
        assert_eq!(error("{}").error, "Lambda.Unknown");
        let refused =
            InvokeError { error: "Lambda.TooManyRequestsException".into(), cause: "slow down".into() };
        assert_eq!(
            outcome(ReplyShape::Payload, Err(refused)).unwrap_err().error,
            "Lambda.TooManyRequestsException"
        );
        assert_eq!(outcome(ReplyShape::Payload, Ok(reply("no", None))).unwrap_err().error, "Lambda.Unknown");
    }
}
