//! Objects in a bucket of S3, or of a server that speaks its protocol. What S3 promises and this builds on: a write is
//! seen by every read and list after it, an object is there whole or not at all, and `If-None-Match: *` lets one of
//! several writers win (AWS pages "Amazon S3 data consistency model", "How to prevent object overwrites with conditional
//! writes").

mod failure;
mod fetch;
mod settings;
mod upload;

pub use settings::{SSE, SSE_KMS_KEY};

use crate::aws::ATTEMPTS;
use aws_sdk_s3::Client;
use aws_sdk_s3::types::{Delete, ObjectIdentifier};
use bytes::Bytes;
use failure::{Action, Place};
use object_store::path::Path;
use settings::{Encryption, Settings};
use std::ops::Range;
use stepgrad_contract::{ErrorKind, FunctionError};

/// Times that an object is read whose bytes stop coming.
const READS: u32 = 3;
/// Objects deleted by one call (AWS page "DeleteObjects").
const DELETED: usize = 1_000;

/// A folder of a bucket.
#[derive(Debug)]
pub(crate) struct S3 {
    client: Client,
    bucket: String,
    /// Empty, or with a slash at the end.
    prefix: String,
    encryption: Encryption,
}

impl S3 {
    /// What `root` (`s3://bucket/prefix`) and the environment variables `get` name. Nothing is sent yet.
    pub(crate) fn open(root: &str, get: impl Fn(&str) -> Option<String>) -> Result<Self, FunctionError> {
        let Settings { bucket, prefix, encryption, config } = Settings::new(root, get)?;
        Ok(Self { client: Client::from_conf(config), bucket, prefix, encryption })
    }

    fn key(&self, key: &Path) -> String {
        format!("{}{key}", self.prefix)
    }

    /// What stands before the keys in a folder.
    fn folder(&self, folder: &Path) -> String {
        format!("{}{folder}/", self.prefix)
    }

    fn place<'a>(&'a self, key: &'a str) -> Place<'a> {
        Place { bucket: &self.bucket, key }
    }

    pub(super) async fn get(&self, key: &Path) -> Result<Bytes, FunctionError> {
        self.read(&self.key(key), None).await
    }

    pub(super) async fn get_range(&self, key: &Path, range: Range<u64>) -> Result<Bytes, FunctionError> {
        let range = format!("bytes={}-{}", range.start, range.end.saturating_sub(1));
        self.read(&self.key(key), Some(range)).await
    }

    /// Bytes that were sent with a checksum are verified by the SDK.
    async fn read(&self, key: &str, range: Option<String>) -> Result<Bytes, FunctionError> {
        let mut reads = 1;
        loop {
            let request = self.client.get_object().bucket(&self.bucket).key(key);
            let object = request.set_range(range.clone()).send().await;
            let object = object.map_err(|error| self.place(key).failed(Action::Read, &error))?;
            let mut bytes = self.room(key, object.content_length())?;
            let mut body = object.body;
            let why = loop {
                match body.next().await {
                    None => return Ok(bytes.into()),
                    Some(Ok(more)) => bytes.extend_from_slice(&more),
                    Some(Err(error)) => break error,
                }
            };
            if reads == READS {
                return Err(self.broke_off(key, &why));
            }
            reads += 1;
        }
    }

    fn broke_off(&self, key: &str, why: &impl std::fmt::Display) -> FunctionError {
        let message = format!("object {key} of bucket {}: {READS} reads of it broke off: {why}", self.bucket);
        FunctionError::new(ErrorKind::ObjectUnavailable, message)
    }

    /// Room for an object, so that it is not copied while it grows.
    fn room(&self, key: &str, length: Option<i64>) -> Result<Vec<u8>, FunctionError> {
        let length = length.and_then(|length| usize::try_from(length).ok()).unwrap_or_default();
        let mut room = Vec::<u8>::new();
        room.try_reserve_exact(length).map_err(|_| {
            let message = format!(
                "object {key} of bucket {} has {length} bytes, and there is no memory for it: raise memory_mb",
                self.bucket
            );
            FunctionError::new(ErrorKind::LimitExceeded, message)
        })?;
        Ok(room)
    }

    pub(super) async fn list(&self, folder: &Path) -> Result<Vec<String>, FunctionError> {
        let prefix = self.folder(folder);
        let pages = self.client.list_objects_v2().bucket(&self.bucket).prefix(&prefix);
        let mut pages = pages.into_paginator().send();
        let mut keys = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| self.place(&prefix).failed(Action::List, &error))?;
            let names = page.contents().iter().filter_map(|object| object.key());
            keys.extend(names.filter_map(|key| key.strip_prefix(&self.prefix)).map(str::to_owned));
        }
        Ok(keys)
    }

    pub(super) async fn folders(&self, folder: &Path) -> Result<Vec<String>, FunctionError> {
        let prefix = self.folder(folder);
        let pages = self.client.list_objects_v2().bucket(&self.bucket).prefix(&prefix).delimiter("/");
        let mut pages = pages.into_paginator().send();
        let mut names = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| self.place(&prefix).failed(Action::List, &error))?;
            let found = page.common_prefixes().iter().filter_map(|found| found.prefix());
            let inner = found.filter_map(|found| found.strip_prefix(&prefix)?.strip_suffix('/'));
            names.extend(inner.map(str::to_owned));
        }
        Ok(names)
    }

    /// What is gone already is no error.
    pub(super) async fn delete(&self, keys: Vec<Path>) -> Result<(), FunctionError> {
        for keys in keys.chunks(DELETED) {
            let first = keys.first().map(|key| self.key(key)).unwrap_or_default();
            let failed = |error: &dyn std::fmt::Display| {
                FunctionError::new(ErrorKind::Internal, format!("cannot ask for a deletion: {error}"))
            };
            let objects: Vec<_> = keys
                .iter()
                .map(|key| ObjectIdentifier::builder().key(self.key(key)).build())
                .collect::<Result<_, _>>()
                .map_err(|error| failed(&error))?;
            let delete = Delete::builder().set_objects(Some(objects)).quiet(true).build();
            let delete = delete.map_err(|error| failed(&error))?;
            let request = self.client.delete_objects().bucket(&self.bucket).delete(delete);
            let reply = request.send().await;
            let reply = reply.map_err(|error| self.place(&first).failed(Action::Delete, &error))?;
            if let Some(error) = reply.errors().iter().find(|error| error.code() != Some("NoSuchKey")) {
                let key = error.key().unwrap_or(&first);
                return Err(self.place(key).refused(
                    Action::Delete,
                    200,
                    error.code(),
                    error.message(),
                    None,
                ));
            }
        }
        Ok(())
    }
}
