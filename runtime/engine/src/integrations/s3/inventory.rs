//! An S3 Inventory as items: its manifest names files of comma-separated values, packed by gzip, and what their
//! columns are (AWS: "Locating your inventory list"; "ItemReader (Map)", the input type MANIFEST).

use super::ObjectStore;
use super::reader::unreadable;
use super::rows::{csv_reader, record};
use crate::core::{Cursor, Page, TaskError};
use flate2::read::GzDecoder;
use serde::Deserialize;
use std::io::Read;
use stepgrad_asl::Payload;

/// Rows of a page at the most. A file is unpacked anew for each page: so pages are long.
const MOST: usize = 16_384;
/// Bytes of an unpacked file at the most.
const LONGEST: u64 = 1_024 * 1_024 * 1_024;

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
    bucket: &str,
    key: &str,
    cursor: Cursor,
) -> Result<Page, TaskError> {
    let get = async |bucket: &str, key: &str| {
        store.get(bucket, key).await.map_err(|error| unreadable(&format!("{key}: {error}")))
    };
    let manifest = get(bucket, key).await?;
    if cursor.version.as_ref().is_some_and(|version| *version != manifest.etag) {
        return Err(unreadable(&format!("the manifest {key} was changed while it was read")));
    }
    let version = Some(manifest.etag);
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
    let packed = get(holder, &file.key).await?.body;
    let bytes = unpacked(&packed).map_err(|error| unreadable(&format!("{}: {error}", file.key)))?;
    let mut reader = csv_reader(b',', &bytes);
    let mut row = csv::ByteRecord::new();
    let mut items = Vec::new();
    let mut place: u64 = 0;
    let mut more = false;
    while reader
        .read_byte_record(&mut row)
        .map_err(|error| unreadable(&format!("{} is not CSV: {error}", file.key)))?
    {
        if items.len() >= MOST {
            more = true;
            break;
        }
        if place >= cursor.offset {
            items.push(Payload::new(record(&names, &row)));
        }
        place += 1;
    }
    let next = if more {
        Some(Cursor { offset: place, file: cursor.file, version, ..Cursor::default() })
    } else if cursor.file + 1 < manifest.files.len() {
        Some(Cursor { file: cursor.file + 1, version, ..Cursor::default() })
    } else {
        None
    };
    Ok(Page::new(items, next))
}

/// The bytes of a file that may be packed.
fn unpacked(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    if !bytes.starts_with(&[0x1F, 0x8B]) {
        return Ok(bytes.to_vec());
    }
    let mut unpacked = Vec::new();
    let read = GzDecoder::new(bytes).take(LONGEST + 1).read_to_end(&mut unpacked)?;
    if read as u64 > LONGEST {
        return Err(std::io::Error::other("the file is too long"));
    }
    Ok(unpacked)
}
