//! A small S3: path style, objects in memory, and keys that stand for what can go wrong.

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::StreamExt;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex};

type Objects = Arc<Mutex<BTreeMap<String, Bytes>>>;

/// A server; it ends with the test's runtime. Its URL.
pub(crate) async fn start(objects: &[(&str, &str)]) -> String {
    let objects = objects.iter().map(|(key, body)| ((*key).to_owned(), Bytes::from((*body).to_owned())));
    let objects: Objects = Arc::new(Mutex::new(objects.collect()));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().fallback(answer).with_state(objects);
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

async fn answer(State(objects): State<Objects>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let path = head.uri.path().replace("%20", " ");
    let Some(path) = path.strip_prefix("/b").filter(|path| path.is_empty() || path.starts_with('/')) else {
        return failed(StatusCode::NOT_FOUND, "<Error><Code>NoSuchBucket</Code></Error>");
    };
    let path = path.trim_start_matches('/');
    let mut objects_now = objects.lock().unwrap().clone();
    match (&head.method, path) {
        (_, "secret") => {
            failed(StatusCode::FORBIDDEN, "<Error><Code>AccessDenied</Code><Message>no</Message></Error>")
        }
        (_, "broken") => failed(StatusCode::INTERNAL_SERVER_ERROR, "it is not XML"),
        // The connection ends before the body does.
        (_, "torn") => {
            // What was written goes out before the end.
            let torn = futures::stream::once(async {
                tokio::task::yield_now().await;
                Err(std::io::Error::other("torn"))
            });
            let parts = futures::stream::iter([Ok("half of ")]).chain(torn);
            ([("content-length", "100")], Body::from_stream(parts)).into_response()
        }
        // The body never ends.
        (_, "slow") => {
            let parts = futures::stream::iter([Ok::<_, std::io::Error>("half of ")])
                .chain(futures::stream::pending());
            ([("content-length", "100")], Body::from_stream(parts)).into_response()
        }
        // As much as anybody takes.
        (_, "endless") => {
            let parts =
                futures::stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from_static(&[b'x'; 4_096])));
            Body::from_stream(parts).into_response()
        }
        // It says how long it is, and nothing more.
        (_, "longest") => {
            let nothing = futures::stream::pending::<Result<Bytes, std::io::Error>>();
            ([("content-length", "1000000000000")], Body::from_stream(nothing)).into_response()
        }
        // Ranges are not known.
        (_, "whole") => ([("etag", "\"e\"")], "[1, 2]").into_response(),
        // There is no answer at all.
        (_, "silent") => futures::future::pending().await,
        (&Method::PUT, key) => {
            let body = axum::body::to_bytes(body, 1_000_000).await.unwrap();
            objects.lock().unwrap().insert(key.to_owned(), body);
            ([("etag", "\"new\"")], "").into_response()
        }
        (_, "") => listing(&objects_now, head.uri.query().unwrap_or_default()),
        (_, key) => match objects_now.remove(key) {
            Some(body) => object(&body, &head.headers),
            None => failed(StatusCode::NOT_FOUND, "<Error><Code>NoSuchKey</Code></Error>"),
        },
    }
}

fn failed(status: StatusCode, body: &'static str) -> Response {
    (status, body).into_response()
}

fn object(body: &Bytes, headers: &HeaderMap) -> Response {
    let range = headers.get("range").and_then(|range| range.to_str().ok()?.strip_prefix("bytes="));
    let headers = [
        ("etag", "\"e\""),
        ("last-modified", "Mon, 01 Jan 2024 00:00:00 GMT"),
        ("content-type", "text/plain"),
    ];
    let Some((from, to)) = range.and_then(|range| range.split_once('-')) else {
        return (headers, body.clone()).into_response();
    };
    let (from, to): (usize, usize) = (from.parse().unwrap(), to.parse().unwrap());
    if from >= body.len() {
        return failed(StatusCode::RANGE_NOT_SATISFIABLE, "<Error><Code>InvalidRange</Code></Error>");
    }
    let to = to.min(body.len() - 1);
    let range = format!("bytes {from}-{to}/{}", body.len());
    (StatusCode::PARTIAL_CONTENT, headers, [("content-range", range)], body.slice(from..=to)).into_response()
}

/// Two objects at a time.
fn listing(objects: &BTreeMap<String, Bytes>, query: &str) -> Response {
    let given = |name: &str| {
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|(key, _)| *key == name).map(|(_, value)| value.replace("%2F", "/")).unwrap_or_default()
    };
    let after = given("continuation-token").max(given("start-after"));
    let prefix = given("prefix");
    let mut found = objects.iter().filter(|(key, _)| key.starts_with(&prefix) && **key > after);
    let page: Vec<_> = found.by_ref().take(2).collect();
    let more = found.next().is_some();
    let mut text = format!("<?xml version=\"1.0\"?><ListBucketResult><IsTruncated>{more}</IsTruncated>");
    for (key, body) in &page {
        let size = body.len();
        write!(text, "<Contents><Key>{key}</Key><LastModified>2024-01-01T00:00:00.000Z</LastModified><ETag>\"e\"</ETag><Size>{size}</Size></Contents>").unwrap();
    }
    if let (true, Some((last, _))) = (more, page.last()) {
        write!(text, "<NextContinuationToken>{last}</NextContinuationToken>").unwrap();
    }
    (text + "</ListBucketResult>").into_response()
}
