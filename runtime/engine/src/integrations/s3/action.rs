//! `aws-sdk:s3` as a Task calls it: arguments in, the SDK's response out (AWS: Amazon S3 API reference, GetObject,
//! PutObject, ListObjectsV2).

use super::{ListQuery, ObjectStore, TOO_LONG, failed};
use crate::core::limits::MAX_PAYLOAD;
use crate::core::{TaskError, too_large};
use bytes::Bytes;
use serde_json::{Map, Value, json};
use stepgrad_asl::Payload;
use stepgrad_asl::expression::timestamp;
use stepgrad_asl::program::{Resource, S3Action};

pub(super) async fn call(
    store: &dyn ObjectStore,
    action: S3Action,
    arguments: &Value,
) -> Result<Payload, TaskError> {
    let (known, _) = action.arguments();
    let unknown =
        arguments.as_object().and_then(|given| given.keys().find(|key| !known.contains(&key.as_str())));
    if let Some(unknown) = unknown {
        return Err(refused(&format!("the argument {unknown} of {} is not built", action.name())));
    }
    let bucket = required(arguments, "Bucket")?;
    let response = match action {
        S3Action::GetObject => {
            let key = required(arguments, "Key")?;
            // What is longer fails in any case.
            let object =
                store.get(bucket, key, MAX_PAYLOAD).await.map_err(|error| match error.code.as_str() {
                    TOO_LONG => too_large(Resource::S3(action).service()),
                    _ => failed(&error),
                })?;
            json!({
                "AcceptRanges": "bytes",
                "Body": String::from_utf8_lossy(&object.body),
                "ContentLength": object.body.len(),
                "ContentType": object.content_type,
                "ETag": object.etag,
                "LastModified": timestamp::format(object.modified),
                "Metadata": {},
                "ServerSideEncryption": "AES256",
            })
        }
        S3Action::PutObject => {
            let key = required(arguments, "Key")?;
            let content_type = optional(arguments, "ContentType")?;
            let body = match arguments.get("Body") {
                None | Some(Value::Null) => Bytes::new(),
                Some(Value::String(text)) => Bytes::from(text.clone()),
                // Anything else is written as JSON.
                Some(other) => Bytes::from(other.to_string()),
            };
            let etag = store.put(bucket, key, body, content_type).await.map_err(|error| failed(&error))?;
            json!({"ETag": etag, "ServerSideEncryption": "AES256"})
        }
        S3Action::ListObjectsV2 => {
            let max_keys = match arguments.get("MaxKeys") {
                None => None,
                Some(count) => {
                    let count = count.as_u64().and_then(|count| usize::try_from(count).ok());
                    Some(count.ok_or_else(|| refused("MaxKeys has to be a whole number"))?)
                }
            };
            let query = ListQuery {
                prefix: optional(arguments, "Prefix")?.unwrap_or_default().to_owned(),
                start_after: optional(arguments, "StartAfter")?.map(str::to_owned),
                token: optional(arguments, "ContinuationToken")?.map(str::to_owned),
                max_keys,
                etags: true,
            };
            listing(store, bucket, &query).await?
        }
    };
    Ok(Payload::new(response))
}

async fn listing(store: &dyn ObjectStore, bucket: &str, query: &ListQuery) -> Result<Value, TaskError> {
    let listing = store.list(bucket, query).await.map_err(|error| failed(&error))?;
    let contents: Vec<Value> = listing
        .objects
        .iter()
        .map(|object| {
            json!({
                "ETag": object.etag,
                "Key": object.key,
                "LastModified": timestamp::format(object.modified),
                "Size": object.size,
                "StorageClass": "STANDARD",
            })
        })
        .collect();
    let mut response = Map::new();
    let count = contents.len();
    if count > 0 {
        response.insert("Contents".to_owned(), Value::Array(contents));
    }
    response.insert("IsTruncated".to_owned(), Value::from(listing.next.is_some()));
    response.insert("KeyCount".to_owned(), Value::from(count));
    response.insert("MaxKeys".to_owned(), Value::from(query.max_keys.unwrap_or(1_000)));
    response.insert("Name".to_owned(), Value::from(bucket));
    response.insert("Prefix".to_owned(), Value::from(query.prefix.as_str()));
    for (name, value) in [
        ("StartAfter", &query.start_after),
        ("ContinuationToken", &query.token),
        ("NextContinuationToken", &listing.next),
    ] {
        if let Some(value) = value {
            response.insert(name.to_owned(), Value::from(value.as_str()));
        }
    }
    Ok(Value::Object(response))
}

pub(super) fn required<'a>(arguments: &'a Value, name: &str) -> Result<&'a str, TaskError> {
    optional(arguments, name)?.ok_or_else(|| refused(&format!("the argument {name} has to be there")))
}

pub(super) fn optional<'a>(arguments: &'a Value, name: &str) -> Result<Option<&'a str>, TaskError> {
    match arguments.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(refused(&format!("the argument {name} has to be a string"))),
    }
}

fn refused(cause: &str) -> TaskError {
    TaskError { error: "S3.S3Exception".to_owned(), cause: Some(cause.to_owned()) }
}
