//! Objects behind an endpoint that speaks S3's protocol: path style, plain HTTP, unsigned: for endpoints of one's own
//! (AWS: Amazon S3 API reference).

use super::super::endpoint::{EndpointError, base, chain};
use super::{ListQuery, Listed, Listing, Object, ObjectError, ObjectStore, Range, TOO_LONG};
use bytes::{Bytes, BytesMut};
use chrono::DateTime;
use futures::future::BoxFuture;
use http_body_util::{BodyExt, Full};
use hyper::header::HeaderMap;
use hyper::{Method, Request};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use std::fmt::Write as _;
use std::time::Duration;

/// Bytes of an answer at the most that is no object: a listing of 1,000 names, or an error.
const MAX_ANSWER: usize = 16 * 1_024 * 1_024;

/// How long an endpoint may be silent, before its answer or within it.
const PATIENCE: Duration = Duration::from_secs(60);

/// An endpoint.
#[derive(Debug, Clone)]
pub struct S3Endpoint {
    url: String,
    patience: Duration,
    client: Client<HttpConnector, Full<Bytes>>,
}

struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    fn etag(&self) -> String {
        self.header("etag").unwrap_or_default().to_owned()
    }

    fn modified(&self) -> i64 {
        let time = self.header("last-modified").and_then(|text| DateTime::parse_from_rfc2822(text).ok());
        time.map(|time| time.timestamp_millis()).unwrap_or_default()
    }
}

impl S3Endpoint {
    /// The endpoint under `url`, e.g. `http://127.0.0.1:4566`.
    ///
    /// # Errors
    /// [`EndpointError`] where it is not an `http://` URL.
    pub fn new(url: &str) -> Result<Self, EndpointError> {
        let url = base(url)?;
        let client = Client::builder(TokioExecutor::new()).build_http();
        Ok(Self { url, patience: PATIENCE, client })
    }

    /// The same, which gives a call up when nothing came for `patience`; a minute, if it is not said.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    async fn patiently<T>(&self, work: impl Future<Output = T>) -> Result<T, ObjectError> {
        tokio::time::timeout(self.patience, work).await.map_err(|_| {
            ObjectError::lost(format!("the endpoint was silent for {} s", self.patience.as_secs_f64()))
        })
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
        limit: usize,
    ) -> Result<Answer, ObjectError> {
        let mut request = Request::builder().method(&method).uri(format!("{}/{path}", self.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body)).map_err(|error| ObjectError::lost(error.to_string()))?;
        let response = self
            .patiently(self.client.request(request))
            .await?
            .map_err(|error| ObjectError::lost(chain(&error)))?;
        let (head, mut body) = response.into_parts();
        // An error may be longer than the object that was asked for.
        let limit = if head.status.is_success() { limit } else { MAX_ANSWER };
        let length = head.headers.get("content-length").and_then(|length| length.to_str().ok()?.parse().ok());
        if head.status.is_success()
            && method != Method::HEAD
            && length.is_some_and(|length: usize| length > limit)
        {
            return Err(ObjectError::too_long(limit));
        }
        let mut bytes = BytesMut::new();
        while let Some(frame) = self.patiently(body.frame()).await? {
            let frame = frame
                .map_err(|error| ObjectError::lost(format!("the answer was cut off: {}", chain(&error))))?;
            if let Ok(data) = frame.into_data() {
                if bytes.len().saturating_add(data.len()) > limit {
                    return Err(ObjectError::too_long(limit));
                }
                bytes.extend_from_slice(&data);
            }
        }
        let answer = Answer { status: head.status.as_u16(), headers: head.headers, body: bytes.freeze() };
        if head.status.is_success() { Ok(answer) } else { Err(refused(&answer)) }
    }
}

fn no_ranges() -> ObjectError {
    ObjectError::lost(
        "the endpoint answers with more than the part that was asked for: it has to know ranges",
    )
}

fn object_path(bucket: &str, key: &str) -> String {
    format!("{}/{}", encoded(bucket, false), encoded(key, true))
}

fn refused(answer: &Answer) -> ObjectError {
    let text = String::from_utf8_lossy(&answer.body);
    let document = roxmltree::Document::parse(&text).ok();
    let find = |name: &str| {
        let document = document.as_ref()?;
        document.descendants().find(|node| node.has_tag_name(name))?.text().map(str::to_owned)
    };
    let code = find("Code").unwrap_or_else(|| match answer.status {
        403 => "AccessDenied".to_owned(),
        404 => "NoSuchKey".to_owned(),
        416 => "InvalidRange".to_owned(),
        status => status.to_string(),
    });
    let known = ObjectError::known(&code);
    ObjectError { message: find("Message").unwrap_or(known.message), code, status: answer.status }
}

/// As in a path or a query (RFC 3986, section 2.3).
fn encoded(text: &str, slashes: bool) -> String {
    let mut result = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || slashes && byte == b'/' {
            result.push(char::from(byte));
        } else {
            // Writing into a String cannot fail.
            let _ = write!(result, "%{byte:02X}");
        }
    }
    result
}

/// The length of the whole object in `bytes 0-99/1234`.
fn whole_length(range: &str) -> Option<u64> {
    range.rsplit('/').next()?.trim().parse().ok()
}

fn listing(body: &[u8]) -> Result<Listing, ObjectError> {
    let text = String::from_utf8_lossy(body);
    let document = roxmltree::Document::parse(&text)
        .map_err(|error| ObjectError::lost(format!("the listing is not XML: {error}")))?;
    let child = |node: roxmltree::Node<'_, '_>, name: &str| {
        let child = node.children().find(|child| child.tag_name().name() == name)?;
        Some(child.text().unwrap_or_default().to_owned())
    };
    let root = document.root_element();
    let mut found = Listing::default();
    for node in root.children().filter(|node| node.tag_name().name() == "Contents") {
        let time = child(node, "LastModified").and_then(|text| DateTime::parse_from_rfc3339(&text).ok());
        found.objects.push(Listed {
            key: child(node, "Key")
                .ok_or_else(|| ObjectError::lost("the listing has an object without a key"))?,
            size: child(node, "Size").and_then(|size| size.parse().ok()).unwrap_or_default(),
            etag: child(node, "ETag").unwrap_or_default(),
            modified: time.map(|time| time.timestamp_millis()).unwrap_or_default(),
        });
    }
    if child(root, "IsTruncated").as_deref() == Some("true") {
        let token = child(root, "NextContinuationToken");
        found.next = Some(token.ok_or_else(|| ObjectError::lost("the listing has no continuation token"))?);
    }
    Ok(found)
}

impl ObjectStore for S3Endpoint {
    fn get<'a>(
        &'a self,
        bucket: &'a str,
        key: &'a str,
        limit: usize,
    ) -> BoxFuture<'a, Result<Object, ObjectError>> {
        Box::pin(async move {
            let answer = self.call(Method::GET, &object_path(bucket, key), &[], Bytes::new(), limit).await?;
            Ok(Object {
                etag: answer.etag(),
                content_type: answer.header("content-type").unwrap_or("binary/octet-stream").to_owned(),
                modified: answer.modified(),
                body: answer.body,
            })
        })
    }

    fn range<'a>(
        &'a self,
        bucket: &'a str,
        key: &'a str,
        offset: u64,
        length: u64,
    ) -> BoxFuture<'a, Result<Range, ObjectError>> {
        Box::pin(async move {
            let end = offset.saturating_add(length.max(1)) - 1;
            let wanted = format!("bytes={offset}-{end}");
            let path = object_path(bucket, key);
            let limit = usize::try_from(length).unwrap_or(usize::MAX);
            let ranges = [("range", wanted.as_str())];
            match self.call(Method::GET, &path, &ranges, Bytes::new(), limit).await {
                Ok(answer) if answer.status == 206 => {
                    let total = answer.header("content-range").and_then(whole_length);
                    let total = total.unwrap_or(offset.saturating_add(answer.body.len() as u64));
                    Ok(Range { total, version: answer.etag(), bytes: answer.body })
                }
                // The whole object, which is no longer than the part.
                Ok(answer) if offset == 0 => {
                    Ok(Range { total: answer.body.len() as u64, version: answer.etag(), bytes: answer.body })
                }
                // Each part would cost the whole object.
                Ok(_) => Err(no_ranges()),
                Err(error) if error.code == TOO_LONG => Err(no_ranges()),
                // Nothing is left, or the object is empty.
                Err(error) if error.status == 416 => {
                    let head = self.call(Method::HEAD, &path, &[], Bytes::new(), MAX_ANSWER).await?;
                    Ok(Range { bytes: Bytes::new(), total: offset, version: head.etag() })
                }
                Err(error) => Err(error),
            }
        })
    }

    fn put<'a>(
        &'a self,
        bucket: &'a str,
        key: &'a str,
        body: Bytes,
        content_type: Option<&'a str>,
    ) -> BoxFuture<'a, Result<String, ObjectError>> {
        Box::pin(async move {
            let kind = content_type.map(|kind| ("content-type", kind));
            let headers: Vec<(&str, &str)> = kind.into_iter().collect();
            let answer =
                self.call(Method::PUT, &object_path(bucket, key), &headers, body, MAX_ANSWER).await?;
            Ok(answer.etag())
        })
    }

    fn list<'a>(
        &'a self,
        bucket: &'a str,
        query: &'a ListQuery,
    ) -> BoxFuture<'a, Result<Listing, ObjectError>> {
        Box::pin(async move {
            let mut path = format!("{}?list-type=2", encoded(bucket, false));
            let count = query.max_keys.map(|count| count.to_string());
            let prefix = Some(&query.prefix).filter(|prefix| !prefix.is_empty());
            for (name, value) in [
                ("prefix", prefix),
                ("start-after", query.start_after.as_ref()),
                ("continuation-token", query.token.as_ref()),
                ("max-keys", count.as_ref()),
            ] {
                if let Some(value) = value {
                    // Writing into a String cannot fail.
                    let _ = write!(path, "&{name}={}", encoded(value, false));
                }
            }
            let answer = self.call(Method::GET, &path, &[], Bytes::new(), MAX_ANSWER).await?;
            listing(&answer.body)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{encoded, listing, whole_length};

    #[test]
    fn a_listing_is_read() {
        let text = "<?xml version=\"1.0\"?><ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
            <IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>\
            <Contents><Key>a&amp;b</Key><LastModified>2024-01-01T00:00:00.000Z</LastModified>\
            <ETag>&quot;0&quot;</ETag><Size>3</Size></Contents></ListBucketResult>";
        let found = listing(text.as_bytes()).unwrap();
        assert_eq!(found.next.as_deref(), Some("t"));
        let object = &found.objects[0];
        assert_eq!((object.key.as_str(), object.size, object.etag.as_str()), ("a&b", 3, "\"0\""));
        assert_eq!(object.modified, 1_704_067_200_000);
    }

    #[test]
    fn paths_and_ranges() {
        assert_eq!(encoded("a b/ü", true), "a%20b/%C3%BC");
        assert_eq!(whole_length("bytes 0-99/1234"), Some(1_234));
    }
}
