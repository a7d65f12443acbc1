//! The items of a distributed Map (AWS: "ItemReader (Map)"), a page at a time: an object is read in parts and taken
//! apart as far as a part goes, so that neither the object nor its items are ever held as a whole.

use super::rows::{MOST, Part, Taken};
use super::{ListQuery, ObjectStore, Readers, action, inventory, pointer, rows};
use crate::core::{Cursor, Page, TaskError};
use serde_json::{Value, json};
use stepgrad_asl::Payload;
use stepgrad_asl::program::Format;

/// Bytes that are read for a page.
const PART: u64 = 1_024 * 1_024;
/// Bytes that are read for a page at the least, where items are so short that a page of them is far from [`PART`].
const LEAST_PART: u64 = 4_096;
/// Bytes that are read for a page at the most, where an item is longer than [`PART`].
const LONGEST_PART: u64 = 64 * 1_024 * 1_024;

/// The items from `cursor` on, as many as a page holds.
pub(super) async fn page(
    store: &dyn ObjectStore,
    readers: &Readers,
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
            inventory::page(store, readers, bucket, action::required(arguments, "Key")?, cursor).await
        }
        Format::Json(_) | Format::JsonLines | Format::Csv(_) => {
            object(store, format, bucket, action::required(arguments, "Key")?, cursor)
                .await
                .map(|read| read.page)
        }
        Format::Flattened(format) => {
            let prefix = action::optional(arguments, "Prefix")?.unwrap_or_default();
            flattened(store, format, bucket, prefix, cursor).await
        }
    }
}

/// What is in the objects of a listing, as many objects as fill a page. An object that is being read is named by the
/// cursor, so that the objects need not be listed again for it.
async fn flattened(
    store: &dyn ObjectStore,
    format: &Format,
    bucket: &str,
    prefix: &str,
    mut cursor: Cursor,
) -> Result<Page, TaskError> {
    let mut page = Page::new(Vec::new(), None);
    let mut bytes = 0;
    if let Some(key) = cursor.key.take() {
        bytes += add(store, format, bucket, &key, cursor, &mut page).await?;
        if page.next.is_some() {
            return Ok(page);
        }
        cursor = Cursor { after: Some(key), ..Cursor::default() };
    }
    let mut after = cursor.after;
    let query = ListQuery { prefix: prefix.to_owned(), start_after: after.clone(), ..ListQuery::default() };
    let listing = store.list(bucket, &query).await.map_err(|error| unreadable(&error.to_string()))?;
    for listed in listing.objects {
        if page.items.len() >= MOST || bytes >= PART {
            page.next = Some(Cursor { after, ..Cursor::default() });
            return Ok(page);
        }
        // An endpoint that does not know where to start gives all of them.
        if after.as_ref().is_some_and(|after| listed.key <= *after) {
            continue;
        }
        // What consoles make so that a bucket seems to have folders.
        let is_folder = listed.key.ends_with('/') && listed.size == 0;
        if !is_folder {
            bytes += add(store, format, bucket, &listed.key, Cursor::default(), &mut page).await?;
            if page.next.is_some() {
                return Ok(page);
            }
        }
        after = Some(listed.key);
    }
    page.next = listing.next.map(|_| Cursor { after, ..Cursor::default() });
    Ok(page)
}

/// Adds what an object holds from `cursor` on; how many of its bytes that were.
async fn add(
    store: &dyn ObjectStore,
    format: &Format,
    bucket: &str,
    key: &str,
    cursor: Cursor,
    page: &mut Page,
) -> Result<u64, TaskError> {
    let read = object(store, format, bucket, key, cursor).await.map_err(|error| {
        let cause = error.cause.unwrap_or_default();
        TaskError { cause: Some(format!("{key}: {cause}")), ..error }
    })?;
    if !read.page.items.is_empty() {
        page.sources.push((page.items.len(), format!("S3://{bucket}/{key}")));
        page.items.extend(read.page.items);
    }
    page.next = read.page.next.map(|next| Cursor { key: Some(key.to_owned()), ..next });
    Ok(read.bytes)
}

/// A page of an object, and how many of its bytes are in it.
struct Read {
    page: Page,
    bytes: u64,
}

async fn object(
    store: &dyn ObjectStore,
    format: &Format,
    bucket: &str,
    key: &str,
    cursor: Cursor,
) -> Result<Read, TaskError> {
    let first = cursor.length.unwrap_or(PART).clamp(LEAST_PART, PART);
    let mut length = first;
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
                return Err(unreadable(&format!("{LONGEST_PART} bytes of {key} do not hold a whole item")));
            }
            continue;
        }
        let bytes = (skipped.unwrap_or_default() + consumed) as u64;
        // What was read and not taken is read again: that shall not be more than what was taken.
        let wanted = if items.len() >= MOST { bytes.saturating_mul(2) } else { first.saturating_mul(2) };
        let next = (!done).then(|| Cursor {
            offset: cursor.offset + bytes,
            version: Some(range.version),
            headers,
            length: Some(wanted.max(LEAST_PART)).filter(|wanted| *wanted < PART),
            ..Cursor::default()
        });
        return Ok(Read { page: Page::new(items.into_iter().map(Payload::new).collect(), next), bytes });
    }
}

async fn listing(
    store: &dyn ObjectStore,
    bucket: &str,
    prefix: &str,
    cursor: Cursor,
) -> Result<Page, TaskError> {
    let query =
        ListQuery { prefix: prefix.to_owned(), token: cursor.after, etags: true, ..ListQuery::default() };
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
