//! The Lambda Runtime API that one process sees (AWS page "Using the Lambda runtime API for custom runtimes"):
//! it asks for the next invocation, and answers it or reports an error.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::routing::{get, post};
use bytes::Bytes;
use serde_json::json;
use tokio::sync::{Notify, oneshot, watch};

use super::body::{self, Read};
use super::failure::Exit;

/// The largest reply, with the 100 bytes over 6 MiB that Lambda's own message has.
pub(super) const MAX_RESPONSE: usize = 6 * 1024 * 1024 + 100;

/// Where a process is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// It has not asked for an invocation yet.
    Starting,
    /// It has.
    Ready,
    /// It is gone and reaped.
    Gone(Exit),
}

/// What came of an invocation that was given to a process.
#[derive(Debug)]
pub(super) enum Answer {
    /// The function's reply.
    Reply(Bytes),
    /// The function's error.
    Error(Bytes),
    /// A reply of more than [`MAX_RESPONSE`] bytes, thrown away.
    TooLarge,
    /// The process ended without an answer.
    Exited(Exit),
    /// The process ended without having seen the event, so that it can be given to another one.
    Unseen,
}

/// An invocation as a process receives it.
#[derive(Debug)]
pub(super) struct Delivery {
    pub(super) request_id: HeaderValue,
    pub(super) arn: HeaderValue,
    pub(super) trace_id: HeaderValue,
    pub(super) deadline_ms: u64,
    pub(super) payload: Bytes,
}

#[derive(Debug, Default)]
struct Current {
    /// Not taken by the process yet.
    delivery: Option<Delivery>,
    request_id: String,
    answer: Option<oneshot::Sender<Answer>>,
}

/// The state behind the API of one process.
#[derive(Debug)]
pub(super) struct RuntimeApi {
    current: Mutex<Current>,
    arrived: Notify,
    phase: watch::Sender<Phase>,
    init_error: Mutex<Option<Bytes>>,
}

impl RuntimeApi {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            current: Mutex::default(),
            arrived: Notify::new(),
            phase: watch::Sender::new(Phase::Starting),
            init_error: Mutex::default(),
        })
    }

    pub(super) fn phase(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    /// What the process said when it could not start.
    pub(super) fn init_error(&self) -> Option<Bytes> {
        self.init_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Gives the process an invocation. One at a time.
    pub(super) fn deliver(&self, request_id: &str, delivery: Delivery) -> oneshot::Receiver<Answer> {
        let (answer, receiver) = oneshot::channel();
        // Looked at inside the lock: `gone` either comes before and is seen here, or after and sees the invocation.
        let mut current = self.current();
        if matches!(*self.phase.borrow(), Phase::Gone(_)) {
            drop(answer.send(Answer::Unseen));
        } else {
            let request_id = request_id.to_owned();
            *current = Current { delivery: Some(delivery), request_id, answer: Some(answer) };
            drop(current);
            self.arrived.notify_one();
        }
        receiver
    }

    /// The process is gone.
    pub(super) fn gone(&self, exit: Exit) {
        let mut current = self.current();
        self.phase.send_replace(Phase::Gone(exit));
        let unseen = current.delivery.take().is_some();
        if let Some(answer) = current.answer.take() {
            drop(answer.send(if unseen { Answer::Unseen } else { Answer::Exited(exit) }));
        }
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_current(&self, request_id: &str) -> bool {
        let current = self.current();
        current.answer.is_some() && current.delivery.is_none() && current.request_id == request_id
    }

    /// Answers the running invocation; false if `request_id` is not the one that runs.
    fn answer(&self, request_id: &str, answer: Answer) -> bool {
        let mut current = self.current();
        if current.delivery.is_some() || current.request_id != request_id {
            return false;
        }
        // The receiver is gone if the platform has given the invocation up in the meantime.
        current.answer.take().is_some_and(|sender| sender.send(answer).is_ok())
    }
}

/// The API as HTTP.
pub(super) fn router(api: Arc<RuntimeApi>) -> Router {
    Router::new()
        .route("/2018-06-01/runtime/invocation/next", get(next))
        .route("/2018-06-01/runtime/invocation/{id}/response", post(response))
        .route("/2018-06-01/runtime/invocation/{id}/error", post(error))
        .route("/2018-06-01/runtime/init/error", post(init_error))
        .with_state(api)
}

async fn next(State(api): State<Arc<RuntimeApi>>) -> Response<Body> {
    api.phase.send_if_modified(|phase| {
        let starting = *phase == Phase::Starting;
        if starting {
            *phase = Phase::Ready;
        }
        starting
    });
    loop {
        let arrived = api.arrived.notified();
        {
            let mut current = api.current();
            if let Some(delivery) = current.delivery.take() {
                return invocation(delivery);
            }
            if current.answer.is_some() {
                drop(current);
                let text = "the last invocation has no answer yet";
                return refusal(StatusCode::FORBIDDEN, "InvalidStateTransition", text);
            }
        }
        arrived.await;
    }
}

fn invocation(delivery: Delivery) -> Response<Body> {
    let mut response = Response::new(Body::from(delivery.payload));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert("lambda-runtime-aws-request-id", delivery.request_id);
    headers.insert("lambda-runtime-deadline-ms", HeaderValue::from(delivery.deadline_ms));
    headers.insert("lambda-runtime-invoked-function-arn", delivery.arn);
    headers.insert("lambda-runtime-trace-id", delivery.trace_id);
    response
}

async fn response(State(api): State<Arc<RuntimeApi>>, Path(id): Path<String>, body: Body) -> Response<Body> {
    finish(&api, &id, body, Answer::Reply).await
}

async fn error(State(api): State<Arc<RuntimeApi>>, Path(id): Path<String>, body: Body) -> Response<Body> {
    finish(&api, &id, body, Answer::Error).await
}

async fn finish(api: &RuntimeApi, id: &str, body: Body, kind: fn(Bytes) -> Answer) -> Response<Body> {
    let unknown = || refusal(StatusCode::BAD_REQUEST, "InvalidRequestID", "not the invocation that runs");
    if !api.is_current(id) {
        return unknown();
    }
    match body::read(body, MAX_RESPONSE).await {
        Ok(Read::Whole(payload)) => {
            if api.answer(id, kind(payload)) {
                accepted()
            } else {
                unknown()
            }
        }
        Ok(Read::TooLarge(_)) => {
            api.answer(id, Answer::TooLarge);
            too_large()
        }
        Err(cause) => refusal(StatusCode::BAD_REQUEST, "TruncatedResponse", &cause.to_string()),
    }
}

async fn init_error(State(api): State<Arc<RuntimeApi>>, body: Body) -> Response<Body> {
    match body::read(body, MAX_RESPONSE).await {
        Ok(Read::Whole(payload)) => {
            *api.init_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(payload);
            accepted()
        }
        Ok(Read::TooLarge(_)) => too_large(),
        Err(cause) => refusal(StatusCode::BAD_REQUEST, "TruncatedResponse", &cause.to_string()),
    }
}

fn too_large() -> Response<Body> {
    let text = format!("Exceeded maximum allowed payload size ({MAX_RESPONSE} bytes).");
    refusal(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", &text)
}

fn accepted() -> Response<Body> {
    answer(StatusCode::ACCEPTED, Body::from(r#"{"status":"OK"}"#))
}

fn refusal(status: StatusCode, kind: &str, message: &str) -> Response<Body> {
    answer(status, Body::from(json!({"errorMessage": message, "errorType": kind}).to_string()))
}

fn answer(status: StatusCode, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
