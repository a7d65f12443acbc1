//! What the plain-HTTP endpoints of services share: their base URL, and errors told with their causes.

use std::fmt::Write as _;

/// The URL cannot be an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{url:?} is not an endpoint: give an http:// URL")]
pub struct EndpointError {
    url: String,
}

/// The base URL of an endpoint, without a slash at its end.
pub(super) fn base(url: &str) -> Result<String, EndpointError> {
    let uri: Option<hyper::Uri> = url.parse().ok();
    match uri.filter(|uri| uri.scheme_str() == Some("http") && uri.host().is_some()) {
        Some(_) => Ok(url.trim_end_matches('/').to_owned()),
        None => Err(EndpointError { url: url.to_owned() }),
    }
}

/// An error with what caused it: hyper's own text alone says little.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        // Writing into a String cannot fail.
        let _ = write!(text, ": {error}");
        source = error.source();
    }
    text
}
