//! Amazon S3, as Tasks and distributed Maps use it: what is asked of a store of objects, and what is made of its
//! answers.
//!
//! - [`folder`]: objects in a folder of this computer
//! - [`endpoint`]: objects behind an endpoint that speaks S3's protocol
//! - `action`: `aws-sdk:s3` as a Task calls it
//! - `reader`: the items of a distributed Map, page by page; `rows` takes an object apart, `pointer` finds an array
//!   within it, `inventory` reads an S3 Inventory

mod action;
pub mod endpoint;
pub mod folder;
mod inventory;
mod pointer;
mod reader;
mod rows;

pub use endpoint::S3Endpoint;
pub use folder::S3Folder;
pub use inventory::Readers;

use crate::core::{ObjectReply, ObjectRequest, ObjectResult, TaskError};
use bytes::Bytes;
use futures::future::BoxFuture;

/// The code of an object that is longer than what was asked for; not one of S3's.
const TOO_LONG: &str = "TooLong";

/// A store of objects in buckets.
pub trait ObjectStore: Send + Sync + 'static {
    /// A whole object of up to `limit` bytes; of a longer one no more than that is read.
    ///
    /// # Errors
    /// [`ObjectError`], e.g. `NoSuchKey`, or [`ObjectError::too_long`].
    fn get<'a>(
        &'a self,
        bucket: &'a str,
        key: &'a str,
        limit: usize,
    ) -> BoxFuture<'a, Result<Object, ObjectError>>;

    /// Up to `length` bytes of an object from `offset` on; none beyond its end.
    ///
    /// # Errors
    /// [`ObjectError`], e.g. `NoSuchKey`.
    fn range<'a>(
        &'a self,
        bucket: &'a str,
        key: &'a str,
        offset: u64,
        length: u64,
    ) -> BoxFuture<'a, Result<Range, ObjectError>>;

    /// Writes an object, over one of that name; its ETag.
    ///
    /// # Errors
    /// [`ObjectError`], e.g. `NoSuchBucket`.
    fn put<'a>(
        &'a self,
        bucket: &'a str,
        key: &'a str,
        body: Bytes,
        content_type: Option<&'a str>,
    ) -> BoxFuture<'a, Result<String, ObjectError>>;

    /// Some of a bucket's objects, by name.
    ///
    /// # Errors
    /// [`ObjectError`], e.g. `NoSuchBucket`.
    fn list<'a>(
        &'a self,
        bucket: &'a str,
        query: &'a ListQuery,
    ) -> BoxFuture<'a, Result<Listing, ObjectError>>;

    /// Says what time it is, milliseconds since 1970, where that is not the computer's: objects are written then. A
    /// store with a clock of its own leaves it.
    fn set_time(&self, now: i64) {
        let _ = now;
    }
}

/// A whole object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// The bytes.
    pub body: Bytes,
    /// With its quotes.
    pub etag: String,
    /// `binary/octet-stream`, if the object came without.
    pub content_type: String,
    /// Milliseconds since 1970.
    pub modified: i64,
}

/// A part of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    /// The bytes.
    pub bytes: Bytes,
    /// Bytes of the whole object.
    pub total: u64,
    /// Changes when the object does.
    pub version: String,
}

/// What to list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListQuery {
    /// What the names begin with.
    pub prefix: String,
    /// Only names after this one.
    pub start_after: Option<String>,
    /// Where the page before ended.
    pub token: Option<String>,
    /// Objects at the most, up to 1,000.
    pub max_keys: Option<usize>,
    /// Whether the ETags are wanted: a store may have to read the objects for them.
    pub etags: bool,
}

/// Some of a bucket's objects.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Listing {
    /// By name.
    pub objects: Vec<Listed>,
    /// Where the next page begins, if there is one.
    pub next: Option<String>,
}

/// An object in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub key: String,
    /// In bytes.
    pub size: u64,
    /// With its quotes; may be empty where [`ListQuery::etags`] is not set.
    pub etag: String,
    /// Milliseconds since 1970.
    pub modified: i64,
}

/// The store refused or lost a call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} (Service: S3, Status Code: {status})")]
pub struct ObjectError {
    /// S3's code, e.g. `NoSuchKey`.
    pub code: String,
    /// What happened.
    pub message: String,
    /// Of HTTP; 0 where there was no answer.
    pub status: u16,
}

impl ObjectError {
    /// An error of S3, with its own text.
    #[must_use]
    pub fn known(code: &str) -> Self {
        let (message, status) = match code {
            "NoSuchKey" => ("The specified key does not exist.", 404),
            "NoSuchBucket" => ("The specified bucket does not exist", 404),
            "InvalidRange" => ("The requested range is not satisfiable", 416),
            "AccessDenied" => ("Access Denied", 403),
            other => (other, 400),
        };
        Self { code: code.to_owned(), message: message.to_owned(), status }
    }

    /// The object has more than `limit` bytes, and is not read.
    #[must_use]
    pub fn too_long(limit: usize) -> Self {
        Self {
            code: TOO_LONG.to_owned(),
            message: format!("the object has more than {limit} bytes"),
            status: 0,
        }
    }

    /// There was no answer.
    #[must_use]
    pub fn lost(message: impl Into<String>) -> Self {
        Self { code: "SdkClient".to_owned(), message: message.into(), status: 0 }
    }
}

/// Does what the core asks for. `readers` is what pages leave for those after them.
///
/// # Errors
/// [`TaskError`] with the names that AWS gives to S3's errors.
pub async fn carry_out(
    store: Option<&dyn ObjectStore>,
    readers: &Readers,
    request: ObjectRequest,
) -> ObjectResult {
    let Some(store) = store else { return Err(nowhere()) };
    match request {
        ObjectRequest::Action { action, arguments } => {
            action::call(store, action, arguments.value()).await.map(ObjectReply::Output)
        }
        ObjectRequest::Page { format, arguments, cursor } => {
            reader::page(store, readers, &format, arguments.value(), cursor).await.map(ObjectReply::Page)
        }
        ObjectRequest::Put { bucket, key, body } => {
            match store.put(&bucket, &key, body, Some("application/json")).await {
                Ok(_) => Ok(ObjectReply::Written),
                Err(error) => Err(failed(&error)),
            }
        }
    }
}

/// There are no objects.
pub(crate) fn nowhere() -> TaskError {
    let cause = "there are no objects here: say where they are with --s3-folder or --s3-endpoint";
    TaskError { error: "S3.SdkClientException".to_owned(), cause: Some(cause.to_owned()) }
}

/// The error as a Task has it. S3's own exceptions have classes in the SDK; the others are all `S3Exception`.
fn failed(error: &ObjectError) -> TaskError {
    let name = match error.code.as_str() {
        "NoSuchKey" | "NoSuchBucket" | "InvalidObjectState" | "SdkClient" => {
            format!("S3.{}Exception", error.code)
        }
        _ => "S3.S3Exception".to_owned(),
    };
    TaskError { error: name, cause: Some(error.to_string()) }
}
