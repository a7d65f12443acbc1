//! The Invoke endpoint, over a real connection.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use stepgrad_engine::host::endpoint;
use tokio::net::TcpListener;

use crate::bench::{Bench, function, until};

struct Endpoint {
    bench: Bench,
    address: SocketAddr,
}

impl Endpoint {
    async fn start(bench: Bench) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(endpoint::serve(bench.host.clone(), listener, std::future::pending()));
        Self { bench, address }
    }

    async fn post(&self, function: &str, kind: Option<&str>, body: impl Into<Bytes>) -> Response<Bytes> {
        let uri = format!("http://{}/2015-03-31/functions/{function}", self.address);
        let mut request = Request::builder().method(Method::POST).uri(uri);
        if let Some(kind) = kind {
            request = request.header("X-Amz-Invocation-Type", kind);
        }
        let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
        let response = client.request(request.body(Full::new(body.into())).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        Response::from_parts(parts, body.collect().await.unwrap().to_bytes())
    }
}

fn header<'a>(response: &'a Response<Bytes>, name: &str) -> Option<&'a str> {
    response.headers().get(name).map(|value| value.to_str().unwrap())
}

fn body(response: &Response<Bytes>) -> Value {
    serde_json::from_slice(response.body()).unwrap()
}

#[tokio::test]
async fn replies_carry_lambdas_headers() {
    let endpoint = Endpoint::start(Bench::new(["echo", "fail"].map(function).into(), |_| ())).await;
    let arn =
        "arn%3Aaws%3Alambda%3Aus-east-1%3A000000000000%3Afunction%3Aecho/invocations?Qualifier=%24LATEST";
    for path in ["echo/invocations", arn] {
        let response = endpoint.post(path, Some("RequestResponse"), r#"{"a":1}"#).await;
        assert_eq!((response.status(), body(&response)), (StatusCode::OK, json!({"a": 1})));
        assert_eq!(header(&response, "X-Amz-Executed-Version"), Some("$LATEST"));
        assert_eq!(header(&response, "X-Amz-Function-Error"), None);
        assert_eq!(header(&response, "x-amzn-RequestId"), Some(endpoint.bench.record().request_id.as_str()));
    }
    let response = endpoint.post("fail/invocations", None, r#"{"message":"no"}"#).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(header(&response, "X-Amz-Function-Error"), Some("Unhandled"));
    assert_eq!(body(&response), json!({"errorType": "Test.Failure", "errorMessage": "no"}));

    let response = endpoint.post("echo/invocations", None, "").await;
    assert_eq!(body(&response), json!({}), "no event is an empty one");
}

#[tokio::test]
async fn refusals_have_their_status_and_name() {
    let endpoint = Endpoint::start(Bench::new(["echo", "sleep"].map(function).into(), |host| {
        host.max_concurrency = 1;
        host.queue_size = 0;
    }))
    .await;
    let post = |path, kind, text: Bytes| endpoint.post(path, kind, text);

    let response = post("ecko/invocations", None, "{}".into()).await;
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    assert_eq!(header(&response, "x-amzn-ErrorType"), Some("ResourceNotFoundException"));
    let message = "Function not found: arn:aws:lambda:us-east-1:000000000000:function:ecko";
    assert_eq!(body(&response), json!({"Type": "User", "Message": message}));

    let response = post("echo/invocations", None, "{".into()).await;
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    assert_eq!(header(&response, "x-amzn-ErrorType"), Some("InvalidRequestContentException"));

    let large = Bytes::from(vec![b' '; 7_000_000]);
    let response = post("echo/invocations", None, large.clone()).await;
    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(header(&response, "x-amzn-ErrorType"), Some("RequestTooLargeException"));
    assert!(body(&response)["message"].as_str().unwrap().starts_with("7000000 byte payload is too large"));
    let response = post("echo/invocations", Some("Event"), large.slice(..2_000_000)).await;
    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);

    let response = post("echo/invocations", Some("Tomorrow"), "{}".into()).await;
    assert_eq!(header(&response, "x-amzn-ErrorType"), Some("InvalidParameterValueException"));

    let running = endpoint.bench.spawn("sleep", json!({"ms": 60_000}));
    let pid = endpoint.bench.busy().await;
    let response = post("echo/invocations", None, "{}".into()).await;
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(header(&response, "x-amzn-ErrorType"), Some("TooManyRequestsException"));
    assert_eq!(body(&response)["Reason"], "ConcurrentInvocationLimitExceeded");
    crate::bench::kill(pid);
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn an_event_is_accepted_and_a_dry_run_runs_nothing() {
    let endpoint = Endpoint::start(Bench::new(vec![function("echo")], |_| ())).await;
    let response = endpoint.post("echo/invocations", Some("DryRun"), "{}").await;
    assert_eq!((response.status(), response.body().len()), (StatusCode::NO_CONTENT, 0));
    assert_eq!(endpoint.bench.host.totals().invocations, 0);
    let response = endpoint.post("echo/invocations", Some("Event"), "{}").await;
    assert_eq!((response.status(), response.body().len()), (StatusCode::ACCEPTED, 0));
    until(|| (endpoint.bench.host.totals().invocations == 1).then_some(())).await;
}
