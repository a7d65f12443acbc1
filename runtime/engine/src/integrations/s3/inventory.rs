//! An S3 Inventory as items: its manifest names files of comma-separated values, packed by gzip, and what their
//! columns are (AWS: "Locating your inventory list"; "ItemReader (Map)", the input type MANIFEST).

use super::ObjectStore;
use super::reader::unreadable;
use super::rows::{csv_reader, record};
use crate::core::{Cursor, Page, TaskError};
use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use serde::Deserialize;
use std::collections::VecDeque;
use std::io::{self, Read};
use std::sync::{Mutex, PoisonError};
use stepgrad_asl::Payload;

/// Rows of a page at the most.
const MOST: usize = 16_384;
/// Bytes of a manifest or of a file as it is stored, at the most.
const LONGEST: usize = 1_024 * 1_024 * 1_024;
/// Bytes of a row at the most: the name of an object has 1,024.
const LONGEST_ROW: usize = 1_024 * 1_024;
/// Files that are kept open at the most.
const OPEN: usize = 4;

/// What the pages of readers leave for those after them. It saves work alone: a page whose file is not open any more
/// opens it anew, and passes over what was read.
#[derive(Default)]
pub struct Readers(Mutex<VecDeque<Open>>);

struct Open {
    place: Place,
    rows: Rows,
}

/// How far a file was read.
#[derive(Clone, PartialEq)]
struct Place {
    bucket: String,
    key: String,
    /// Of the manifest.
    version: String,
    file: usize,
    rows: u64,
}

type Rows = csv::Reader<Bounded<Box<dyn Read + Send>>>;

impl Readers {
    fn take(&self, place: &Place) -> Option<Rows> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let index = open.iter().position(|open| open.place == *place)?;
        open.remove(index).map(|open| open.rows)
    }

    fn keep(&self, place: Place, rows: Rows) {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if open.len() >= OPEN {
            open.pop_front();
        }
        open.push_back(Open { place, rows });
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    file_format: String,
    file_schema: String,
    /// An ARN, or a bucket's name.
    destination_bucket: Option<String>,
    files: Vec<File>,
}

#[derive(Deserialize)]
struct File {
    key: String,
}

pub(super) async fn page(
    store: &dyn ObjectStore,
    readers: &Readers,
    bucket: &str,
    key: &str,
    cursor: Cursor,
) -> Result<Page, TaskError> {
    let get = async |bucket: &str, key: &str| {
        store.get(bucket, key, LONGEST).await.map_err(|error| unreadable(&format!("{key}: {error}")))
    };
    let manifest = get(bucket, key).await?;
    if cursor.version.as_ref().is_some_and(|version| *version != manifest.etag) {
        return Err(unreadable(&format!("the manifest {key} was changed while it was read")));
    }
    let version = manifest.etag;
    let manifest: Manifest = serde_json::from_slice(&manifest.body)
        .map_err(|error| unreadable(&format!("{key} is not the manifest of an inventory: {error}")))?;
    if manifest.file_format != "CSV" {
        return Err(unreadable(&format!(
            "an inventory of {} files is not built: use CSV",
            manifest.file_format
        )));
    }
    let names: Vec<String> = manifest.file_schema.split(',').map(|name| name.trim().to_owned()).collect();
    let Some(file) = manifest.files.get(cursor.file) else {
        return Ok(Page::new(Vec::new(), None));
    };
    let holder = manifest.destination_bucket.as_deref().unwrap_or(bucket);
    let holder = holder.rsplit(":::").next().unwrap_or(holder);
    let mut place = Place {
        bucket: bucket.to_owned(),
        key: key.to_owned(),
        version: version.clone(),
        file: cursor.file,
        rows: cursor.offset,
    };
    let unusable = |error: csv::Error| unreadable(&format!("{} is not CSV: {error}", file.key));
    let mut row = csv::ByteRecord::new();
    let mut rows = match readers.take(&place) {
        Some(rows) => rows,
        None => {
            let mut rows = opened(get(holder, &file.key).await?.body);
            for _ in 0..cursor.offset {
                if !read(&mut rows, &mut row).map_err(unusable)? {
                    break;
                }
            }
            rows
        }
    };
    let mut items = Vec::new();
    while items.len() < MOST && read(&mut rows, &mut row).map_err(unusable)? {
        items.push(Payload::new(record(&names, &row)));
    }
    place.rows += items.len() as u64;
    let cursor = Cursor { version: Some(version), ..Cursor::default() };
    let next = if items.len() >= MOST {
        let next = Cursor { offset: place.rows, file: place.file, ..cursor };
        readers.keep(place, rows);
        Some(next)
    } else if place.file + 1 < manifest.files.len() {
        Some(Cursor { file: place.file + 1, ..cursor })
    } else {
        None
    };
    Ok(Page::new(items, next))
}

fn read(rows: &mut Rows, row: &mut csv::ByteRecord) -> csv::Result<bool> {
    rows.get_mut().left = LONGEST_ROW;
    rows.read_byte_record(row)
}

/// The rows of a file that may be packed; it is unpacked as far as it is read.
fn opened(bytes: Bytes) -> Rows {
    let is_packed = bytes.starts_with(&[0x1F, 0x8B]);
    let bytes = io::Cursor::new(bytes);
    // What was packed in pieces may be put together to one file (RFC 1952, section 2.2).
    let inner: Box<dyn Read + Send> =
        if is_packed { Box::new(MultiGzDecoder::new(bytes)) } else { Box::new(bytes) };
    csv_reader(b',', Bounded { inner, left: LONGEST_ROW })
}

/// Gives no more than is left.
struct Bounded<R> {
    inner: R,
    left: usize,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        let left = self.left.checked_sub(read);
        self.left = left.ok_or_else(|| io::Error::other("a row is too long"))?;
        Ok(read)
    }
}
