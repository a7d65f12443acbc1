//! Functions behind an Invoke endpoint: `POST URL/2015-03-31/functions/NAME/invocations`, as AWS and its emulators
//! have it. Plain HTTP, unsigned: for endpoints of one's own.

use super::endpoint::{EndpointError, base, chain};
use super::lambda::{Invoke, InvokeError, InvokeReply};
use bytes::Bytes;
use futures::future::BoxFuture;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Incoming};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use std::fmt::Write as _;

/// An Invoke endpoint.
#[derive(Debug, Clone)]
pub struct LambdaEndpoint {
    url: String,
    client: Client<HttpConnector, Full<Bytes>>,
}

/// More than Lambda's 6 MB with its escapes: a body beyond it is not read.
const MAX_BODY: usize = 32 * 1_024 * 1_024;

impl LambdaEndpoint {
    /// The endpoint under `url`, e.g. `http://127.0.0.1:4566`.
    ///
    /// # Errors
    /// [`EndpointError`] where it is not an `http://` URL.
    pub fn new(url: &str) -> Result<Self, EndpointError> {
        let url = base(url)?;
        Ok(Self { url, client: Client::builder(TokioExecutor::new()).build_http() })
    }

    async fn call(&self, function: &str, payload: Bytes) -> Result<InvokeReply, InvokeError> {
        let url = format!("{}/2015-03-31/functions/{}/invocations", self.url, encoded(function));
        let request = Request::post(url)
            .header("content-type", "application/json")
            .header("x-amz-invocation-type", "RequestResponse")
            .body(Full::new(payload))
            .map_err(|error| lost(&error.to_string()))?;
        let response = self.client.request(request).await.map_err(|error| lost(&chain(&error)))?;
        let header = |name: &str| header(&response, name);
        let status = response.status();
        let (kind, function_error) = (header("x-amzn-errortype"), header("x-amz-function-error"));
        let version = header("x-amz-executed-version").unwrap_or_else(|| "$LATEST".to_owned());
        let request_id = header("x-amzn-requestid").unwrap_or_default();
        let body = http_body_util::Limited::new(response.into_body(), MAX_BODY);
        let payload = body.collect().await.map_err(|error| lost(&error.to_string()))?.to_bytes();
        if !status.is_success() {
            return Err(refused(status, kind.as_deref(), &payload));
        }
        Ok(InvokeReply { payload, function_error, executed_version: version, request_id })
    }
}

impl Invoke for LambdaEndpoint {
    fn invoke<'a>(
        &'a self,
        function: &'a str,
        payload: Bytes,
    ) -> BoxFuture<'a, Result<InvokeReply, InvokeError>> {
        Box::pin(self.call(function, payload))
    }
}

fn header(response: &Response<Incoming>, name: &str) -> Option<String> {
    response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

fn lost(cause: &str) -> InvokeError {
    InvokeError { error: "Lambda.SdkClientException".to_owned(), cause: cause.to_owned() }
}

fn refused(status: hyper::StatusCode, kind: Option<&str>, body: &[u8]) -> InvokeError {
    let document = serde_json::from_slice::<serde_json::Value>(body).unwrap_or_default();
    let named = kind.or_else(|| document.get("__type").and_then(serde_json::Value::as_str));
    let name = named
        .map(|name| name.split(':').next().unwrap_or(name).rsplit('#').next().unwrap_or(name))
        .unwrap_or(if status.is_server_error() { "ServiceException" } else { "Unknown" });
    let cause = ["Message", "message"]
        .iter()
        .find_map(|key| document.get(*key).and_then(serde_json::Value::as_str))
        .map_or_else(|| String::from_utf8_lossy(body).into_owned(), str::to_owned);
    InvokeError { error: format!("Lambda.{name}"), cause }
}

/// A path segment (RFC 3986, section 3.3).
fn encoded(segment: &str) -> String {
    let mut result = String::with_capacity(segment.len());
    for byte in segment.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:@!$&'()*+,;=".contains(&byte) {
            result.push(char::from(byte));
        } else {
            // Writing into a String cannot fail.
            let _ = write!(result, "%{byte:02X}");
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::{LambdaEndpoint, encoded, refused};

    #[test]
    fn urls_and_names() {
        assert!(LambdaEndpoint::new("http://127.0.0.1:1/x/").is_ok());
        for bad in ["https://x", "127.0.0.1:1", "", "ftp://x"] {
            assert!(LambdaEndpoint::new(bad).is_err(), "{bad}");
        }
        assert_eq!(encoded("arn:aws:lambda:f/ü"), "arn:aws:lambda:f%2F%C3%BC");
    }

    #[test]
    fn refusals_have_lambdas_names() {
        let missing = refused(
            hyper::StatusCode::NOT_FOUND,
            Some("ResourceNotFoundException:http"),
            b"{\"Message\":\"m\"}",
        );
        assert_eq!(
            (missing.error.as_str(), missing.cause.as_str()),
            ("Lambda.ResourceNotFoundException", "m")
        );
        assert_eq!(refused(hyper::StatusCode::BAD_GATEWAY, None, b"x").error, "Lambda.ServiceException");
    }
}
