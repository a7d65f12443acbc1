//! The items of a distributed Map (AWS: "ItemReader (Map)"), a page at a time: an object is read in parts and taken
//! apart as far as a part goes, so that neither the object nor its items are ever held as a whole.

use super::rows::{Part, Taken};
use super::{ListQuery, ObjectStore, action, inventory, rows};
use crate::core::{Cursor, Page, TaskError};
use serde_json::{Value, json};
use stepgrad_asl::Payload;
use stepgrad_asl::program::Format;

/// Bytes that are read for a page.
const PART: u64 = 1_024 * 1_024;
/// Bytes that are read for a page at the most, where an item is longer than [`PART`].
const LONGEST_PART: u64 = 64 * 1_024 * 1_024;

/// The items from `cursor` on, as many as a page holds.
pub(super) async fn page(
    store: &dyn ObjectStore,
    format: &Format,
    arguments: &Value,
    cursor: Option<Cursor>,
) -> Result<Page, TaskError> {
    let (known, _) = format.arguments();
    let unknown =
        arguments.as_object().and_then(|given| given.keys().find(|key| !known.contains(&key.as_str())));
    if let Some(unknown) = unknown {
        return Err(unreadable(&format!("the argument {unknown} of an ItemReader is not built")));
    }
    let bucket = action::required(arguments, "Bucket")?;
    let cursor = cursor.unwrap_or_default();
    match format {
        Format::Listing => {
            let prefix = action::optional(arguments, "Prefix")?.unwrap_or_default();
            listing(store, bucket, prefix, cursor).await
        }
        Format::Inventory => {
            inventory::page(store, bucket, action::required(arguments, "Key")?, cursor).await
        }
        Format::Json | Format::JsonLines | Format::Csv(_) => {
            object(store, format, bucket, action::required(arguments, "Key")?, cursor).await
        }
    }
}

async fn object(
    store: &dyn ObjectStore,
    format: &Format,
    bucket: &str,
    key: &str,
    cursor: Cursor,
) -> Result<Page, TaskError> {
    let mut length = PART;
    loop {
        let range = store
            .range(bucket, key, cursor.offset, length)
            .await
            .map_err(|error| unreadable(&error.to_string()))?;
        if cursor.version.as_ref().is_some_and(|version| *version != range.version) {
            return Err(unreadable(&format!("the object {key} was changed while it was read")));
        }
        let at_end = cursor.offset + range.bytes.len() as u64 >= range.total;
        let part = Part { bytes: &range.bytes, is_first: cursor.offset == 0, at_end };
        let Taken { items, consumed, headers, done } =
            rows::take(format, &part, cursor.headers.as_deref()).map_err(|message| unreadable(&message))?;
        if items.is_empty() && !done && !at_end {
            length = length.saturating_mul(8);
            if length > LONGEST_PART {
                return Err(unreadable(&format!("an item of {key} is longer than {LONGEST_PART} bytes")));
            }
            continue;
        }
        let next = (!done).then(|| Cursor {
            offset: cursor.offset + consumed as u64,
            version: Some(range.version),
            headers,
            ..Cursor::default()
        });
        return Ok(Page { items: items.into_iter().map(Payload::new).collect(), next });
    }
}

async fn listing(
    store: &dyn ObjectStore,
    bucket: &str,
    prefix: &str,
    cursor: Cursor,
) -> Result<Page, TaskError> {
    let query = ListQuery { prefix: prefix.to_owned(), token: cursor.after, ..ListQuery::default() };
    let listing = store.list(bucket, &query).await.map_err(|error| unreadable(&error.to_string()))?;
    let items = listing.objects.iter().map(|object| {
        Payload::new(json!({
            "Etag": object.etag,
            "Key": object.key,
            "LastModified": object.modified.div_euclid(1_000),
            "Size": object.size,
            "StorageClass": "STANDARD",
        }))
    });
    let next = listing.next.clone().map(|after| Cursor { after: Some(after), ..Cursor::default() });
    Ok(Page { items: items.collect(), next })
}

pub(super) fn unreadable(cause: &str) -> TaskError {
    TaskError { error: "States.ItemReaderFailed".to_owned(), cause: Some(cause.to_owned()) }
}
