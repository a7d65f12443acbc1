//! The client of endpoints that speak S3's protocol.

use super::{cause, items, server};
use bytes::Bytes;
use serde_json::json;
use std::time::Duration;
use stepgrad_asl::Payload;
use stepgrad_asl::program::{Format, S3Action};
use stepgrad_engine::core::{ObjectReply, ObjectRequest, TaskError};
use stepgrad_engine::integrations::s3::{ListQuery, ObjectStore, Readers, S3Endpoint, carry_out};

/// For what never comes.
const SOON: Duration = Duration::from_millis(200);

async fn endpoint(objects: &[(&str, &str)]) -> S3Endpoint {
    S3Endpoint::new(&server::start(objects).await).unwrap()
}

#[tokio::test]
async fn objects_are_put_got_in_parts_and_listed() {
    let store = endpoint(&[("in/1", "0123456789"), ("in/2", "x"), ("in/3", "y"), ("z", "z")]).await;
    assert_eq!(
        store.put("b", "in/a b", Bytes::from_static(b"[1]"), Some("text/plain")).await.unwrap(),
        "\"new\""
    );
    let object = store.get("b", "in/a b", 3).await.unwrap();
    assert_eq!((&object.body[..], object.content_type.as_str()), (&b"[1]"[..], "text/plain"));
    assert_eq!((object.etag.as_str(), object.modified), ("\"e\"", 1_704_067_200_000));
    let part = store.range("b", "in/1", 3, 4).await.unwrap();
    assert_eq!((&part.bytes[..], part.total, part.version.as_str()), (&b"3456"[..], 10, "\"e\""));
    let end = store.range("b", "in/1", 8, 100).await.unwrap();
    assert_eq!((&end.bytes[..], end.total), (&b"89"[..], 10));
    let beyond = store.range("b", "in/1", 10, 5).await.unwrap();
    assert_eq!((beyond.bytes.len(), beyond.total), (0, 10));
    let mut query = ListQuery { prefix: "in/".to_owned(), ..ListQuery::default() };
    let mut keys = Vec::new();
    loop {
        let page = store.list("b", &query).await.unwrap();
        keys.extend(page.objects.into_iter().map(|object| object.key));
        match page.next {
            None => break,
            next => query.token = next,
        }
    }
    assert_eq!(keys, ["in/1", "in/2", "in/3", "in/a b"]);
}

#[tokio::test]
async fn readers_go_through_it() {
    let store = endpoint(&[("in/1", "[1, 2]"), ("in/2", "[3]"), ("in/3", "[4]"), ("in/4", "[]")]).await;
    let json = Format::Json(Vec::new());
    let (found, _) = items(&store, &json, &json!({"Bucket": "b", "Key": "in/1"})).await.unwrap();
    assert_eq!(found, [json!(1), json!(2)]);
    let flattened = Format::Flattened(Box::new(json));
    let (found, pages) = items(&store, &flattened, &json!({"Bucket": "b", "Prefix": "in/"})).await.unwrap();
    assert_eq!((found, pages), (vec![json!(1), json!(2), json!(3), json!(4)], 2));
    let cause = cause(items(&store, &flattened, &json!({"Bucket": "c"})).await);
    assert!(cause.contains("bucket does not exist"), "{cause}");
}

async fn get(store: &S3Endpoint, bucket: &str, key: &str) -> TaskError {
    let arguments = Payload::new(json!({"Bucket": bucket, "Key": key}));
    let request = ObjectRequest::Action { action: S3Action::GetObject, arguments };
    match carry_out(Some(store), &Readers::default(), request).await {
        Ok(ObjectReply::Output(output)) => panic!("{}", output.text()),
        Ok(other) => panic!("{other:?}"),
        Err(error) => error,
    }
}

#[tokio::test]
async fn what_goes_wrong_has_the_names_of_the_sdk() {
    let store = endpoint(&[]).await;
    let hasty = store.clone().with_patience(SOON);
    for (bucket, key, name, text) in [
        (
            "b",
            "none",
            "S3.NoSuchKeyException",
            "The specified key does not exist. (Service: S3, Status Code: 404)",
        ),
        ("c", "none", "S3.NoSuchBucketException", "The specified bucket does not exist"),
        ("b", "secret", "S3.S3Exception", "no (Service: S3, Status Code: 403)"),
        ("b", "broken", "S3.S3Exception", "Status Code: 500"),
        ("b", "torn", "S3.SdkClientException", "the answer was cut off"),
        ("b", "slow", "S3.SdkClientException", "was silent for 0.2 s"),
        ("b", "silent", "S3.SdkClientException", "was silent for 0.2 s"),
    ] {
        let store = if ["slow", "silent"].contains(&key) { &hasty } else { &store };
        let error = get(store, bucket, key).await;
        let cause = error.cause.unwrap_or_default();
        assert!(error.error == name && cause.contains(text), "{key}: {} {cause}", error.error);
    }
    // Nobody is there.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = get(&S3Endpoint::new(&url).unwrap(), "b", "k").await;
    assert_eq!(error.error, "S3.SdkClientException");
    assert!(S3Endpoint::new("https://127.0.0.1").is_err());
}

#[tokio::test]
async fn no_more_is_read_than_can_be_used() {
    let store = endpoint(&[("long", &"x".repeat(262_145))]).await;
    let words = "The state/task 'aws-sdk:s3' returned a result with a size exceeding";
    for key in ["long", "longest", "endless"] {
        let error = get(&store, "b", key).await;
        let cause = error.cause.unwrap_or_default();
        assert!(error.error == "States.DataLimitExceeded" && cause.starts_with(words), "{key}: {cause}");
        assert_eq!(store.get("b", key, 9).await.unwrap_err().code, "TooLong", "{key}");
    }
}

#[tokio::test]
async fn an_endpoint_that_knows_no_ranges_is_refused_unless_the_object_is_short() {
    let store = endpoint(&[]).await;
    let short = store.range("b", "whole", 0, 100).await.unwrap();
    assert_eq!((&short.bytes[..], short.total), (&b"[1, 2]"[..], 6));
    for (offset, length) in [(0, 3), (2, 3), (2, 100)] {
        let error = store.range("b", "whole", offset, length).await.unwrap_err();
        assert!(error.message.contains("has to know ranges"), "{error}");
    }
}
