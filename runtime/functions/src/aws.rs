//! What the clients of AWS's services in a function have in common, from the variables that Lambda sets or that the AWS SDKs and CLI
//! know.
//!
//! Of the ways to credentials only that of a function is here (`AWS_ACCESS_KEY_ID` and its companions, AWS page "Using Lambda
//! environment variables"): who starts functions elsewhere has resolved profile, SSO or container before. It keeps the package
//! small.

use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{Credentials, SharedHttpClient};
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use std::time::Duration;
use stepgrad_contract::{ErrorKind, FunctionError};

/// Times that a call is made before it fails; between them is a pause that doubles, with jitter (AWS SDKs' standard mode).
pub(crate) const ATTEMPTS: u32 = 6;

const CONNECT: Duration = Duration::from_secs(5);
/// For a server to begin its reply, or to send more of it.
const READ: Duration = Duration::from_secs(30);
/// For one attempt: 16 MiB at 300 KB/s, of which no Lambda function falls short.
const ATTEMPT: Duration = Duration::from_secs(60);
/// For all attempts of a call.
const CALL: Duration = Duration::from_secs(240);
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The function's credentials; `named` is what they are for.
///
/// # Errors
/// [`ErrorKind::InvalidEvent`] where there are none.
pub(crate) fn credentials(
    named: &str,
    get: &impl Fn(&str) -> Option<String>,
) -> Result<Credentials, FunctionError> {
    let get = |name: &str| get(name).filter(|value| !value.is_empty());
    let (Some(id), Some(secret)) = (get("AWS_ACCESS_KEY_ID"), get("AWS_SECRET_ACCESS_KEY")) else {
        return Err(invalid(format!(
            "{named} is named and AWS_ACCESS_KEY_ID or AWS_SECRET_ACCESS_KEY is not set: Lambda sets them for a function with a role; elsewhere set them, and AWS_SESSION_TOKEN where there is one"
        )));
    };
    Ok(Credentials::new(id, secret, get("AWS_SESSION_TOKEN"), None, "environment"))
}

/// Another server than AWS's own, by the SDKs' own rule: the variable of the service, e.g. `S3`, goes before the general one.
///
/// # Errors
/// [`ErrorKind::InvalidEvent`] where what is named is no URL.
pub(crate) fn endpoint(
    service: &str,
    get: &impl Fn(&str) -> Option<String>,
) -> Result<Option<String>, FunctionError> {
    let get = |name: &str| get(name).filter(|value| !value.is_empty());
    let endpoint = get(&format!("AWS_ENDPOINT_URL_{service}")).or_else(|| get("AWS_ENDPOINT_URL"));
    let ignored = get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS").is_some_and(|value| value == "true");
    let endpoint = endpoint.filter(|_| !ignored);
    let is_url = |url: &String| url.starts_with("http://") || url.starts_with("https://");
    match endpoint.as_ref().filter(|url| !is_url(url)) {
        Some(endpoint) => {
            Err(invalid(format!("the endpoint {endpoint} is no URL: use https://host or http://host:port")))
        }
        None => Ok(endpoint),
    }
}

pub(crate) fn http() -> SharedHttpClient {
    Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https()
}

pub(crate) fn retries() -> RetryConfig {
    RetryConfig::standard()
        .with_max_attempts(ATTEMPTS)
        .with_initial_backoff(FIRST_PAUSE)
        .with_max_backoff(LONGEST_PAUSE)
}

pub(crate) fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(CONNECT)
        .read_timeout(READ)
        .operation_attempt_timeout(ATTEMPT)
        .operation_timeout(CALL)
        .build()
}

fn invalid(message: String) -> FunctionError {
    FunctionError::new(ErrorKind::InvalidEvent, message)
}
