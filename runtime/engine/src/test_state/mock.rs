//! Whether the mock goes with the state: its type, and the reply that the service would give.

use super::definition::Located;
use super::request::{ApiError, FieldValidation, Mock, Request};
use super::shapes::{Member, Shape, reply};
use serde_json::Value;

/// # Errors
/// What AWS says where a mock is not allowed, is missing, or cannot be a reply.
pub(super) fn check(request: &Request, located: &Located) -> Result<(), ApiError> {
    let kind = located.text("Type");
    let resource = located.text("Resource");
    let Some(mock) = &request.mock else {
        return match kind {
            "Map" | "Parallel" => Err(ApiError::definition(
                "TestState API does not support Map or Parallel states. Supported state types include: [Task, Wait, Pass, Succeed, Fail, Choice]",
            )),
            "Task" if [".sync", ".sync:2", ".waitForTaskToken"].iter().any(|end| resource.ends_with(end)) => {
                Err(ApiError::definition(
                    "TestState API does not support the .sync and .waitForTaskToken integration patterns without a mock",
                ))
            }
            "Task" if request.role_arn.is_none() => {
                Err(ApiError::validation("RoleArn must be specified when testing a Task state"))
            }
            _ => Ok(()),
        };
    };
    if mock.result.is_some() == mock.error_output.is_some() {
        return Err(ApiError::validation(
            "A test mock should have only one of the following fields: [result, errorOutput].",
        ));
    }
    if !matches!(kind, "Task" | "Map" | "Parallel") {
        return Err(ApiError::validation(format!(
            "State type '{kind}' is not supported when a mock is specified"
        )));
    }
    if let Some(name) = &request.state_configuration.error_caused_by_state
        && !located.contains(name)
    {
        return Err(ApiError::validation(format!("State not found in the state machine definition: {name}")));
    }
    if let Some(data) = &request.state_configuration.map_item_reader_data
        && serde_json::from_str::<Value>(data).is_err()
    {
        return Err(ApiError::validation("mapItemReaderData must be valid JSON"));
    }
    let Some(result) = result(mock)? else { return Ok(()) };
    match (kind, &result) {
        ("Map", Value::Object(_)) if located.document.contains_key("ResultWriter") => Ok(()),
        ("Map", _) if located.document.contains_key("ResultWriter") => {
            Err(ApiError::validation("Mocked result must be a JSON object."))
        }
        ("Map", Value::Array(_)) => Ok(()),
        ("Map" | "Parallel", value) if !value.is_array() => {
            Err(ApiError::validation("Mocked result must be an array."))
        }
        ("Parallel", value) => {
            let branches = located.document.get("Branches").and_then(Value::as_array).map_or(0, Vec::len);
            if value.as_array().map_or(0, Vec::len) == branches {
                Ok(())
            } else {
                Err(ApiError::validation(
                    "Mocked result must contain the same number of items as number of Parallel branches.",
                ))
            }
        }
        _ => match (mock.field_validation_mode, reply(resource)) {
            (FieldValidation::None, _) | (_, None) => Ok(()),
            (mode, Some(members)) => structure("result", members, &result, mode == FieldValidation::Strict)
                .map_err(|what| ApiError::validation(format!("Mock result schema validation error: {what}"))),
        },
    }
}

/// The mocked result, if it is not an error that is mocked.
///
/// # Errors
/// ValidationException where it is not JSON.
pub(super) fn result(mock: &Mock) -> Result<Option<Value>, ApiError> {
    let parsed = mock.result.as_deref().map(serde_json::from_str);
    parsed.transpose().map_err(|_| ApiError::validation("Mocked result must be valid JSON"))
}

fn structure(name: &str, members: &[Member], value: &Value, strict: bool) -> Result<(), String> {
    let Value::Object(found) = value else { return Err(format!("Field '{name}' must be an object")) };
    for member in members {
        match found.get(member.name) {
            Some(value) => fits(member.name, member.shape, value, strict)?,
            None if strict && member.required => {
                return Err(format!("Required field '{}' is missing", member.name));
            }
            None => {}
        }
    }
    Ok(())
}

fn fits(name: &str, shape: Shape, value: &Value, strict: bool) -> Result<(), String> {
    let expect = |fits: bool, what: &str| {
        if fits { Ok(()) } else { Err(format!("Field '{name}' must be {what}")) }
    };
    match shape {
        Shape::Any => Ok(()),
        Shape::Text => expect(value.is_string(), "a string"),
        Shape::Number => expect(value.is_number(), "a number"),
        Shape::Boolean => expect(value.is_boolean(), "a boolean"),
        Shape::OneOf(names) => match value.as_str() {
            None => expect(false, "a string"),
            Some(text) if names.contains(&text) => Ok(()),
            Some(_) => Err(format!("Field '{name}' is not an expected value")),
        },
        Shape::List(element) => {
            expect(value.is_array(), "an array")?;
            value.as_array().into_iter().flatten().try_for_each(|value| fits(name, *element, value, strict))
        }
        Shape::Structure(members) => structure(name, members, value, strict),
    }
}
