//! Amazon S3 as machines use it: readers against a folder, the client of endpoints against a small server, and runs in
//! virtual time.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]
#![expect(clippy::disallowed_methods, reason = "makes the objects, and serves them")]

mod counting;
mod endpoint;
mod inventory;
mod reader;
mod server;
#[path = "../unattended/mod.rs"]
mod unattended;
mod virtual_time;

use serde_json::Value;
use stepgrad_asl::Payload;
use stepgrad_asl::program::Format;
use stepgrad_engine::core::{Cursor, ObjectReply, ObjectRequest, Page, TaskError};
use stepgrad_engine::integrations::s3::{ObjectStore, Readers, carry_out};

/// A folder with a bucket `b`.
fn folder(objects: &[(&str, &[u8])]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("b")).unwrap();
    for (key, body) in objects {
        let path = folder.path().join("b").join(key);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, body).unwrap();
    }
    folder
}

async fn page(
    store: &dyn ObjectStore,
    readers: &Readers,
    format: &Format,
    arguments: &Value,
    cursor: Option<Cursor>,
) -> Result<Page, TaskError> {
    let arguments = Payload::new(arguments.clone());
    let request = ObjectRequest::Page { format: format.clone(), arguments, cursor };
    match carry_out(Some(store), readers, request).await {
        Ok(ObjectReply::Page(page)) => Ok(page),
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(error),
    }
}

/// All items, and how many pages they took.
async fn items(
    store: &dyn ObjectStore,
    format: &Format,
    arguments: &Value,
) -> Result<(Vec<Value>, usize), TaskError> {
    let readers = Readers::default();
    let (mut items, mut pages, mut cursor) = (Vec::new(), 0, None);
    loop {
        let page = page(store, &readers, format, arguments, cursor.take()).await?;
        items.extend(page.items.into_iter().map(Payload::into_value));
        pages += 1;
        assert!(pages < 1_000, "the pages do not end");
        match page.next {
            None => return Ok((items, pages)),
            next => cursor = next,
        }
    }
}

fn cause(result: Result<(Vec<Value>, usize), TaskError>) -> String {
    let error = result.unwrap_err();
    assert_eq!(error.error, "States.ItemReaderFailed");
    error.cause.unwrap()
}
