//! The items of a distributed Map (AWS: "ItemReader (Map)"), a page at a time: an object is read in parts and taken
//! apart as far as a part goes, so that neither the object nor its items are ever held as a whole.

use super::rows::{Part, Taken};
use super::{ListQuery, ObjectStore, action, inventory, pointer, rows};
use crate::core::{Cursor, Page, TaskError};
use serde_json::{Value, json};
use stepgrad_asl::Payload;
use stepgrad_asl::program::Format;

/// Items of a page at the most, where one is made of several objects.
const MOST: usize = 4_096;
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
        Format::Json(_) | Format::JsonLines | Format::Csv(_) => {
            object(store, format, bucket, action::required(arguments, "Key")?, cursor).await
        }
        Format::Flattened(format) => {
            let prefix = action::optional(arguments, "Prefix")?.unwrap_or_default();
            flattened(store, format, bucket, prefix, cursor).await
        }
    }
}

/// What is in the objects of a listing, as many objects as fill a page. An object that is being read is the first
/// after the last that is done with.
async fn flattened(
    store: &dyn ObjectStore,
    format: &Format,
    bucket: &str,
    prefix: &str,
    cursor: Cursor,
) -> Result<Page, TaskError> {
    let Cursor { offset, version, headers, after, .. } = cursor;
    let query = ListQuery { prefix: prefix.to_owned(), start_after: after.clone(), ..ListQuery::default() };
    let listing = store.list(bucket, &query).await.map_err(|error| unreadable(&error.to_string()))?;
    let mut page = Page::new(Vec::new(), None);
    let mut after = after;
    let mut within = Cursor { offset, version, headers, ..Cursor::default() };
    for listed in listing.objects {
        if page.items.len() >= MOST {
            page.next = Some(Cursor { after, ..Cursor::default() });
            return Ok(page);
        }
        // An endpoint that does not know where to start gives all of them.
        if after.as_ref().is_some_and(|after| listed.key <= *after) {
            continue;
        }
        // What consoles make so that a bucket seems to have folders.
        if listed.key.ends_with('/') && listed.size == 0 {
            after = Some(listed.key);
            continue;
        }
        let part = object(store, format, bucket, &listed.key, std::mem::take(&mut within)).await;
        let part = part.map_err(|error| {
            let cause = error.cause.unwrap_or_default();
            TaskError { cause: Some(format!("{}: {cause}", listed.key)), ..error }
        })?;
        if !part.items.is_empty() {
            page.sources.push((page.items.len(), format!("S3://{bucket}/{}", listed.key)));
            page.items.extend(part.items);
        }
        if let Some(next) = part.next {
            page.next = Some(Cursor { after, ..next });
            return Ok(page);
        }
        after = Some(listed.key);
    }
    page.next = listing.next.map(|_| Cursor { after, ..Cursor::default() });
    Ok(page)
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
        let skipped = match format {
            Format::Json(pointer) if cursor.offset == 0 && !pointer.is_empty() => {
                pointer::find(&range.bytes, pointer, at_end).map_err(|message| unreadable(&message))?
            }
            _ => Some(0),
        };
        let bytes = range.bytes.get(skipped.unwrap_or_default()..).unwrap_or_default();
        let part = Part { bytes, is_first: cursor.offset == 0, at_end };
        let Taken { items, consumed, headers, done } = match skipped {
            // The array is farther on than was read.
            None => Taken::default(),
            Some(_) => rows::take(format, &part, cursor.headers.as_deref())
                .map_err(|message| unreadable(&message))?,
        };
        if items.is_empty() && !done && !at_end {
            length = length.saturating_mul(8);
            if length > LONGEST_PART {
                return Err(unreadable(&format!("an item of {key} is longer than {LONGEST_PART} bytes")));
            }
            continue;
        }
        let next = (!done).then(|| Cursor {
            offset: cursor.offset + (skipped.unwrap_or_default() + consumed) as u64,
            version: Some(range.version),
            headers,
            ..Cursor::default()
        });
        return Ok(Page::new(items.into_iter().map(Payload::new).collect(), next));
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
    Ok(Page::new(items.collect(), next))
}

pub(super) fn unreadable(cause: &str) -> TaskError {
    TaskError { error: "States.ItemReaderFailed".to_owned(), cause: Some(cause.to_owned()) }
}
