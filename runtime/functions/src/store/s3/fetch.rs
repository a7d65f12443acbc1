//! Files of a bucket that are brought to this computer: too large to be held in memory, and not written by a function.
#![expect(clippy::disallowed_methods, reason = "writes what it fetches into a file")]

use super::failure::Action;
use super::{READS, S3};
use crate::data::unkept;
use object_store::path::Path;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::Write;
use stepgrad_contract::{ErrorKind, FunctionError, keys};

/// Why a fetch is not whole.
enum Broken {
    /// Bytes stopped coming.
    Off(String),
    /// All bytes came, and the SDK does not find them to be what was sent.
    Damaged(String),
    /// It is not to be had so.
    Not(FunctionError),
}

/// What came of an object so far.
struct Part {
    file: File,
    hasher: Sha256,
    bytes: u64,
    /// Which object it is a part of: it may be replaced between two reads.
    tag: Option<String>,
    /// What the object tells of its content.
    told: Option<String>,
}

impl Part {
    fn new(to: &std::path::Path) -> Result<Self, FunctionError> {
        let file = File::create(to).map_err(|error| unkept(&error))?;
        Ok(Self { file, hasher: Sha256::new(), bytes: 0, tag: None, told: None })
    }
}

impl S3 {
    /// The files directly in a folder, ascending.
    ///
    /// # Errors
    /// [`ErrorKind::LimitExceeded`] for more than `most`; else as [`super::super::Store::list`].
    pub(crate) async fn files(&self, folder: &Path, most: usize) -> Result<Vec<Path>, FunctionError> {
        let prefix = match folder.as_ref() {
            "" => self.prefix.clone(),
            _ => self.folder(folder),
        };
        let pages = self.client.list_objects_v2().bucket(&self.bucket).prefix(&prefix).delimiter("/");
        let mut pages = pages.into_paginator().send();
        let mut files = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| self.place(&prefix).failed(Action::List, &error))?;
            let names = page.contents().iter().filter_map(|object| object.key()?.strip_prefix(&self.prefix));
            // A console makes a folder by an object of no bytes.
            for name in names.filter(|name| !name.is_empty() && !name.ends_with('/')) {
                files.push(Path::parse(name).map_err(|error| {
                    let message = format!("object {name} of bucket {} is no file: {error}", self.bucket);
                    FunctionError::new(ErrorKind::InvalidData, message)
                })?);
            }
            if files.len() > most {
                let message =
                    format!("there are more than {most} objects in {prefix} of bucket {}", self.bucket);
                return Err(FunctionError::new(ErrorKind::LimitExceeded, message));
            }
        }
        files.sort_unstable();
        Ok(files)
    }

    /// Writes an object into the file `to`, and gives its size. Bytes that stop coming are gone on with from where they stopped;
    /// where the object tells its SHA-256 ([`keys::SHA256`]), what was written is verified.
    ///
    /// # Errors
    /// [`ErrorKind::LimitExceeded`] for more than `most` bytes; [`ErrorKind::ChecksumMismatch`] for others than it tells of;
    /// else as [`super::super::Store::get`].
    pub(crate) async fn fetch(
        &self,
        key: &Path,
        to: &std::path::Path,
        most: u64,
    ) -> Result<u64, FunctionError> {
        let key = self.key(key);
        let mut part = Part::new(to)?;
        let mut reads = 1;
        while let Err(broken) = self.go_on(&key, &mut part, most).await {
            match broken {
                Broken::Not(error) => return Err(error),
                Broken::Off(why) | Broken::Damaged(why) if reads == READS => {
                    return Err(self.broke_off(&key, &why));
                }
                Broken::Off(_) => {}
                Broken::Damaged(_) => part = Part::new(to)?,
            }
            reads += 1;
        }
        let digest: String = part.hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        match part.told.filter(|told| *told != digest) {
            None => Ok(part.bytes),
            Some(told) => {
                let message = format!(
                    "object {key} of bucket {} is not what was uploaded: it has the SHA-256 {digest}, and tells of {told}; deploy again",
                    self.bucket
                );
                Err(FunctionError::new(ErrorKind::ChecksumMismatch, message))
            }
        }
    }

    /// Reads what is left of an object.
    async fn go_on(&self, key: &str, part: &mut Part, most: u64) -> Result<(), Broken> {
        let range = (part.bytes > 0).then(|| format!("bytes={}-", part.bytes));
        let request = self.client.get_object().bucket(&self.bucket).key(key);
        let object = request.set_range(range).set_if_match(part.tag.clone()).send().await;
        let object = object.map_err(|error| Broken::Not(self.place(key).failed(Action::Read, &error)))?;
        let told = object.metadata().and_then(|all| all.get(keys::SHA256));
        (part.told, part.tag) = (told.cloned(), object.e_tag().map(str::to_owned));
        let due = object.content_length().and_then(|length| u64::try_from(length).ok()).unwrap_or_default();
        let too_large = || {
            let message = format!(
                "object {key} of bucket {} is too large: of this training's data {most} bytes are left of what a function can hold",
                self.bucket
            );
            Broken::Not(FunctionError::new(ErrorKind::LimitExceeded, message))
        };
        if part.bytes.saturating_add(due) > most {
            return Err(too_large());
        }
        let (mut body, whole) = (object.body, part.bytes.saturating_add(due));
        while let Some(more) = body.next().await {
            let more = more.map_err(|error| match part.bytes == whole {
                true => Broken::Damaged(error.to_string()),
                false => Broken::Off(error.to_string()),
            })?;
            if part.bytes.saturating_add(more.len() as u64) > most {
                return Err(too_large());
            }
            part.file.write_all(&more).map_err(|error| Broken::Not(unkept(&error)))?;
            part.hasher.update(&more);
            part.bytes += more.len() as u64;
        }
        Ok(())
    }
}
