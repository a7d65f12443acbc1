//! Lambda's Invoke over HTTP (AWS Lambda API, "Invoke"), for engines that are not this one.

use std::future::Future;
use std::io;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use axum::routing::post;
use bytes::Bytes;
use serde::de::IgnoredAny;
use serde_json::json;
use tokio::net::TcpListener;

use super::body::{self, Read};
use super::invocation::MAX_REQUEST;
use super::{Host, HostError};

/// The largest event of an asynchronous call: 1 MiB.
const MAX_EVENT: usize = 1024 * 1024;

/// Serves `host` on `listener` until `stop` is ready; connections that are open then may finish.
///
/// # Errors
/// If the listener fails.
pub async fn serve(
    host: Host,
    listener: TcpListener,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    axum::serve(listener, router(host)).with_graceful_shutdown(stop).await
}

/// The endpoint as a router.
pub fn router(host: Host) -> Router {
    Router::new().route("/2015-03-31/functions/{function}/invocations", post(invoke)).with_state(host)
}

/// What a caller reads instead of a reply.
struct Refusal {
    status: StatusCode,
    name: &'static str,
    body: serde_json::Value,
    request_id: String,
}

async fn invoke(
    State(host): State<Host>,
    Path(function): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Response<Body> {
    match answer(&host, function, query.as_deref(), &headers, body).await {
        Ok(response) => response,
        Err(refusal) => {
            let mut response = Response::new(Body::from(refusal.body.to_string()));
            *response.status_mut() = refusal.status;
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            headers.insert("x-amzn-errortype", HeaderValue::from_static(refusal.name));
            insert(headers, "x-amzn-requestid", &refusal.request_id);
            response
        }
    }
}

async fn answer(
    host: &Host,
    mut function: String,
    query: Option<&str>,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response<Body>, Refusal> {
    let request_id = host.shared.ids.request();
    if let Some(qualifier) = query.and_then(qualifier) {
        function = format!("{function}:{qualifier}");
    }
    host.shared.function(&function, &request_id)?;
    let kind = headers.get("x-amz-invocation-type").map_or(Ok("RequestResponse"), HeaderValue::to_str);
    match kind.unwrap_or_default() {
        "RequestResponse" => {
            let payload = read(body, MAX_REQUEST, "RequestResponse", &request_id).await?;
            let reply = host.call(&function, payload).await?;
            let mut response = Response::new(Body::from(reply.payload));
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            insert(headers, "x-amzn-requestid", &reply.request_id);
            insert(headers, "x-amz-executed-version", &reply.executed_version);
            if let Some(error) = &reply.function_error {
                insert(headers, "x-amz-function-error", error);
            }
            Ok(response)
        }
        "Event" => {
            let payload = read(body, MAX_EVENT, "Event", &request_id).await?;
            let host = host.clone();
            tokio::spawn(async move {
                if let Err(error) = host.call(&function, payload).await {
                    tracing::warn!(function, %error, "an asynchronous call was lost");
                }
            });
            Ok(empty(StatusCode::ACCEPTED, &request_id))
        }
        "DryRun" => Ok(empty(StatusCode::NO_CONTENT, &request_id)),
        other => Err(Refusal {
            status: StatusCode::BAD_REQUEST,
            name: "InvalidParameterValueException",
            body: json!({"Type": "User", "message": format!(
                "invocation type `{other}` is none of RequestResponse, Event, DryRun"
            )}),
            request_id,
        }),
    }
}

/// Reads an event and checks that it is JSON; no event at all is an empty object.
async fn read(body: Body, limit: usize, kind: &'static str, request_id: &str) -> Result<Bytes, Refusal> {
    let request_id = request_id.to_owned();
    let payload = match body::read(body, limit).await {
        Ok(Read::Whole(payload)) => payload,
        Ok(Read::TooLarge(bytes)) => {
            return Err(HostError::TooLarge { bytes, limit, kind, request_id }.into());
        }
        Err(error) => {
            return Err(invalid_content(&format!("the request body ends early: {error}"), request_id));
        }
    };
    if payload.is_empty() {
        return Ok(Bytes::from_static(b"{}"));
    }
    match serde_json::from_slice::<IgnoredAny>(&payload) {
        Ok(IgnoredAny) => Ok(payload),
        Err(error) => {
            Err(invalid_content(&format!("Could not parse request body into json: {error}"), request_id))
        }
    }
}

fn invalid_content(message: &str, request_id: String) -> Refusal {
    Refusal {
        status: StatusCode::BAD_REQUEST,
        name: "InvalidRequestContentException",
        body: json!({"Type": "User", "message": message}),
        request_id,
    }
}

/// The value of `Qualifier`; a name needs no decoding, and `$LATEST` is the one qualifier that may be escaped.
fn qualifier(query: &str) -> Option<String> {
    let value = query.split('&').find_map(|pair| pair.strip_prefix("Qualifier="))?;
    Some(value.replace("%24", "$"))
}

fn empty(status: StatusCode, request_id: &str) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    insert(response.headers_mut(), "x-amzn-requestid", request_id);
    response
}

fn insert(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

impl From<HostError> for Refusal {
    fn from(error: HostError) -> Self {
        let message = error.to_string();
        let body = match &error {
            HostError::Throttled { reserved, .. } => {
                let function = if *reserved { "ReservedFunction" } else { "" };
                let reason = format!("{function}ConcurrentInvocationLimitExceeded");
                json!({"Reason": reason, "Type": "User", "message": message})
            }
            HostError::Service { .. } => json!({"Type": "Service", "Message": message}),
            HostError::NotFound { .. } => json!({"Type": "User", "Message": message}),
            HostError::TooLarge { .. } => json!({"Type": "User", "message": message}),
        };
        Self {
            status: StatusCode::from_u16(error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            name: error.name(),
            body,
            request_id: error.request_id().to_owned(),
        }
    }
}
