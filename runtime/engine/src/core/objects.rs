//! What the core asks of Amazon S3, and what it is told: for Tasks of `aws-sdk:s3`, and for the readers and writers of
//! distributed Maps. How an object is fetched and taken apart is the driver's business ([`crate::integrations::s3`]).

use super::event::{TaskError, TaskId};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use stepgrad_asl::Payload;
use stepgrad_asl::program::{Format, S3Action};

/// A call of S3. Its outcome comes back as [`super::Event::Object`].
#[derive(Debug, Clone)]
pub struct ObjectCall {
    /// The task; for a distributed Map, its execution and the id of its MapRunStarted event.
    pub task: TaskId,
    /// Which of the task's calls: a Task has one, a distributed Map as many as it needs.
    pub call: u32,
    /// What is to be done.
    pub request: ObjectRequest,
}

/// What is to be done.
#[derive(Debug, Clone)]
pub enum ObjectRequest {
    /// What a Task asks for.
    Action {
        /// The action.
        action: S3Action,
        /// Its arguments.
        arguments: Payload,
    },
    /// The next items of a distributed Map.
    Page {
        /// What is read, and how.
        format: Format,
        /// Bucket and Key, or Bucket and Prefix.
        arguments: Payload,
        /// Where the page before ended; `None` for the first.
        cursor: Option<Cursor>,
    },
    /// A file of results.
    Put {
        /// Where.
        bucket: String,
        /// Under what name.
        key: String,
        /// JSON or JSON lines; shared, for the call is kept until it is answered.
        body: Bytes,
    },
}

/// What S3 answered.
#[derive(Debug, Clone, PartialEq)]
pub enum ObjectReply {
    /// To [`ObjectRequest::Action`]: the task's output.
    Output(Payload),
    /// To [`ObjectRequest::Page`].
    Page(Page),
    /// To [`ObjectRequest::Put`].
    Written,
}

/// The outcome of a call.
pub type ObjectResult = Result<ObjectReply, TaskError>;

/// Some of a reader's items.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// In order.
    pub items: Vec<Payload>,
    /// Where the next page begins; `None` after the last.
    pub next: Option<Cursor>,
    /// Where items are from, if they are from objects that the Map does not name: from the item with this index on,
    /// as `S3://bucket/key`.
    pub sources: Vec<(usize, String)>,
}

impl Page {
    /// A page of what the Map names itself.
    #[must_use]
    pub const fn new(items: Vec<Payload>, next: Option<Cursor>) -> Self {
        Self { items, next, sources: Vec::new() }
    }
}

/// Where a page begins: all that is needed to go on reading, in another process too.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cursor {
    /// Bytes of the object that were read; rows of an inventory's file.
    pub offset: u64,
    /// The object as it was when it was first read: a changed one is not gone on with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The names of the fields, where the first row gives them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headers: Option<Vec<String>>,
    /// The file of an inventory, from 0.
    #[serde(default)]
    pub file: usize,
    /// Bytes to read for the page, where that is not as many as for the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length: Option<u64>,
    /// Where the objects of a listing are read, the one that the page begins in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The continuation token of a listing; where the objects of a listing are read, the last that is done with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}
