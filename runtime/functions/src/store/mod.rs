//! The store of objects: tensors and small documents under the keys of [`stepgrad_contract::keys`]. An object
//! is written once: a second write of the same bytes is no error, one of other bytes is.
//!
//! The store is whatever `object_store` reaches; for now that is the local file system, where an object is
//! staged beside its place and linked into it, so that it is there whole or not at all.

mod document;
mod failure;
mod traffic;

use crate::faults::{Faults, Write};
use bytes::Bytes;
use failure::failed;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload, local::LocalFileSystem};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::ops::Range;
use std::sync::Arc;
use stepgrad_contract::call_log::Traffic;
use stepgrad_contract::digest::{sha256, sha256_of_parts};
use stepgrad_contract::progress::Sums;
use stepgrad_contract::tensors::{LENGTH, TensorFile, header_size};
use stepgrad_contract::{ErrorKind, FunctionError, keys};
use traffic::Counters;

/// Where objects are.
#[derive(Debug, Clone)]
pub struct Store {
    objects: Arc<dyn ObjectStore>,
    counters: Arc<Counters>,
    faults: Option<Faults>,
}

impl Store {
    /// The store at `root`: `file:///folder` or an absolute path. The folder is created where it is missing.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidEvent`] for another kind of store, [`ErrorKind::ObjectUnavailable`] where the
    /// folder cannot be made.
    #[expect(clippy::disallowed_methods, reason = "the store's own root")]
    pub fn open(root: &str) -> Result<Self, FunctionError> {
        if let Some((scheme, _)) = root.split_once("://").filter(|(scheme, _)| *scheme != "file") {
            let message = format!("a store over {scheme}:// is not built yet: use file:///folder");
            return Err(FunctionError::new(ErrorKind::InvalidEvent, message));
        }
        let folder = std::path::Path::new(root.strip_prefix("file://").unwrap_or(root));
        if !folder.is_absolute() {
            let message = format!("the store's root {root} is not absolute: use file:///folder");
            return Err(FunctionError::new(ErrorKind::InvalidEvent, message));
        }
        let cannot = |error: &dyn std::error::Error| {
            let message = format!("cannot open the store at {}: {error}", folder.display());
            FunctionError::new(ErrorKind::ObjectUnavailable, message)
        };
        std::fs::create_dir_all(folder).map_err(|error| cannot(&error))?;
        let objects = LocalFileSystem::new_with_prefix(folder).map_err(|error| cannot(&error))?;
        let objects = Arc::new(objects.with_automatic_cleanup(true));
        Ok(Self { objects, counters: Arc::default(), faults: None })
    }

    /// The same store, in which `faults` happen.
    pub(crate) fn with_faults(&self, faults: Option<Faults>) -> Self {
        Self { faults, ..self.clone() }
    }

    /// An object's bytes.
    ///
    /// # Errors
    /// [`ErrorKind::ObjectUnavailable`] where it is not there or cannot be read.
    pub async fn get(&self, key: &str) -> Result<Bytes, FunctionError> {
        let path = self.place(key).await?;
        let result = self.objects.get(&path).await.map_err(|error| failed("read", key, &error))?;
        let bytes = result.bytes().await.map_err(|error| failed("read", key, &error))?;
        self.counters.read(bytes.len());
        Ok(match &self.faults {
            Some(faults) => faults.read(key, bytes),
            None => bytes,
        })
    }

    /// Where the object is read that is asked for by `key`.
    async fn place(&self, key: &str) -> Result<Path, FunctionError> {
        match &self.faults {
            Some(faults) => path(&faults.before_read(key).await?),
            None => path(key),
        }
    }

    /// What was moved since the store was opened.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        self.counters.traffic()
    }

    /// Writes an object that must not change. Where the key is taken, the same bytes are fine, and bytes that
    /// `intact` refuses (a torn write) are replaced.
    ///
    /// # Errors
    /// [`ErrorKind::DivergentObject`] where other, intact bytes are there;
    /// [`ErrorKind::ObjectUnavailable`] where it cannot be written.
    pub async fn put_new(
        &self,
        key: &str,
        content: PutPayload,
        intact: impl Fn(&Bytes) -> bool + Send,
    ) -> Result<(), FunctionError> {
        if self.put(key, content.clone(), PutMode::Create).await? {
            return Ok(());
        }
        let there = self.get(key).await?;
        if same(&there, &content) {
            Ok(())
        } else if intact(&there) {
            let message = format!(
                "object {key} is there with other, intact bytes (sha256 {} and now {}): the step that writes it is not deterministic, or two runs share an id",
                sha256(&there),
                sha256_of_parts(content.iter().map(|part| &**part))
            );
            Err(FunctionError::new(ErrorKind::DivergentObject, message))
        } else {
            self.put(key, content, PutMode::Overwrite).await.map(drop)
        }
    }

    /// Writes an object; gives `false` where the key is taken and the mode leaves it.
    async fn put(&self, key: &str, content: PutPayload, mode: PutMode) -> Result<bool, FunctionError> {
        let path = path(key)?;
        let content = match &self.faults {
            None => content,
            Some(faults) => match faults.write(key, content).await? {
                Write::Made(content) => content,
                Write::Dropped => return Ok(true),
                Write::Half(bytes) => {
                    self.stage(&path, bytes).await.map_err(|error| failed("write", key, &error))?;
                    faults.die(key);
                    return Ok(false);
                }
            },
        };
        let options = PutOptions { mode, ..PutOptions::default() };
        let length = content.content_length();
        match self.objects.put_opts(&path, content, options).await {
            Err(object_store::Error::AlreadyExists { .. }) => return Ok(false),
            other => other.map_err(|error| failed("write", key, &error))?,
        };
        self.counters.written(length);
        Ok(true)
    }

    /// Begins a write that is never completed.
    async fn stage(&self, path: &Path, bytes: Bytes) -> object_store::Result<()> {
        let mut upload = self.objects.put_multipart(path).await?;
        upload.put_part(bytes.into()).await
    }

    /// A document.
    ///
    /// # Errors
    /// [`ErrorKind::ObjectUnavailable`] as [`Store::get`]; [`ErrorKind::ChecksumMismatch`] where it is not
    /// whole; [`ErrorKind::Internal`] where it is a document of another type.
    pub async fn get_json<T: DeserializeOwned>(&self, key: &str) -> Result<T, FunctionError> {
        let bytes = self.get(key).await?;
        serde_json::from_slice(&bytes).map_err(|error| {
            // What is whole will not change when it is read again.
            if serde_json::from_slice::<serde::de::IgnoredAny>(&bytes).is_ok() {
                return not_this_build(key, &error);
            }
            FunctionError::new(ErrorKind::ChecksumMismatch, format!("object {key} is not whole: {error}"))
        })
    }

    /// Writes a document, canonical: the same value gives the same bytes.
    ///
    /// # Errors
    /// As [`Store::put_new`].
    pub async fn put_json<T: Serialize + Sync>(&self, key: &str, value: &T) -> Result<(), FunctionError> {
        let mut bytes = serde_json::to_vec(value).map_err(|error| {
            FunctionError::new(ErrorKind::Internal, format!("cannot encode {key}: {error}"))
        })?;
        bytes.push(b'\n');
        let intact = |there: &Bytes| serde_json::from_slice::<serde_json::Value>(there).is_ok();
        self.put_new(key, bytes.into(), intact).await
    }

    /// A document with its checksum verified.
    ///
    /// # Errors
    /// As [`Store::get_json`]; [`ErrorKind::ChecksumMismatch`] also where a value is not what was written.
    pub async fn get_document<T: DeserializeOwned>(&self, key: &str) -> Result<T, FunctionError> {
        let bytes = self.get(key).await?;
        let body = document::open(&bytes).map_err(|what| {
            FunctionError::new(ErrorKind::ChecksumMismatch, format!("object {key} {what}"))
        })?;
        serde_json::from_value(body).map_err(|error| not_this_build(key, &error))
    }

    /// Writes a document, canonical and with a checksum in it, and reads it again: what it was made of may be gone
    /// when it is found to be damaged.
    ///
    /// # Errors
    /// As [`Store::put_new`]; [`ErrorKind::ChecksumMismatch`] where something else was written.
    pub async fn put_document<T: Serialize + Sync>(&self, key: &str, value: &T) -> Result<(), FunctionError> {
        let bytes = document::seal(value).map_err(|error| {
            FunctionError::new(ErrorKind::Internal, format!("cannot encode {key}: {error}"))
        })?;
        let intact = |there: &Bytes| document::open(there).is_ok();
        self.put_new(key, bytes.clone().into(), intact).await?;
        match self.get(key).await? {
            there if there == bytes => Ok(()),
            _ => Err(FunctionError::new(
                ErrorKind::ChecksumMismatch,
                format!("object {key} is not what was written a moment ago"),
            )),
        }
    }

    /// A tensor file, its checksum verified.
    ///
    /// # Errors
    /// [`ErrorKind::ObjectUnavailable`] as [`Store::get`]; [`ErrorKind::ChecksumMismatch`] where it is
    /// damaged.
    pub async fn get_tensors(&self, key: &str) -> Result<TensorFile, FunctionError> {
        decode(key, &self.get(key).await?)
    }

    /// The sums of a tensor file, of which only the header is read; the checksum is not verified.
    ///
    /// # Errors
    /// [`ErrorKind::ObjectUnavailable`] as [`Store::get`]; [`ErrorKind::ChecksumMismatch`] where the header
    /// is damaged.
    pub async fn get_sums(&self, key: &str) -> Result<Sums, FunctionError> {
        let path = self.place(key).await?;
        let altered = match &self.faults {
            Some(faults) if faults.alters(key) => {
                let whole = self.objects.get(&path).await.map_err(|error| failed("read", key, &error))?;
                let whole = whole.bytes().await.map_err(|error| failed("read", key, &error))?;
                Some(faults.read(key, whole))
            }
            _ => None,
        };
        let range = async |range: Range<u64>| match &altered {
            None => self.objects.get_range(&path, range).await.map_err(|error| failed("read", key, &error)),
            Some(bytes) => part(bytes, range).ok_or_else(|| {
                let message = format!("object {key} is damaged: it ends within its header");
                FunctionError::new(ErrorKind::ChecksumMismatch, message)
            }),
        };
        let length = range(0..LENGTH).await?;
        let size = header_size(&length).map_err(|error| damaged(key, &error))?;
        let header = range(LENGTH..LENGTH + size).await?;
        self.counters.read(length.len() + header.len());
        TensorFile::sums_of_header(&header, keys::identity(key).as_deref())
            .map_err(|error| damaged(key, &error))
    }

    /// Writes a tensor file, whose tensors are not copied, and gives its SHA-256 digest.
    ///
    /// # Errors
    /// As [`Store::put_new`].
    pub async fn put_tensors(&self, key: &str, file: &TensorFile) -> Result<String, FunctionError> {
        let object = keys::identity(key);
        let parts = file.parts_as(object.as_deref());
        let digest = sha256_of_parts(parts.iter().map(|part| &**part));
        let intact = |there: &Bytes| TensorFile::decode_as(there, object.as_deref()).is_ok();
        self.put_new(key, parts.into_iter().collect(), intact).await?;
        Ok(digest)
    }

    /// The keys under a folder, ascending.
    ///
    /// # Errors
    /// [`ErrorKind::ObjectUnavailable`] where they cannot be listed.
    pub async fn list(&self, folder: &str) -> Result<Vec<String>, FunctionError> {
        let path = path(folder)?;
        let entries = self.objects.list(Some(&path)).map_ok(|entry| entry.location.to_string());
        let mut keys: Vec<_> = entries.try_collect().await.map_err(|error| failed("list", folder, &error))?;
        keys.sort_unstable();
        Ok(keys)
    }

    /// The names of the folders that stand directly in a folder, ascending.
    ///
    /// # Errors
    /// [`ErrorKind::ObjectUnavailable`] where they cannot be listed.
    pub async fn folders(&self, folder: &str) -> Result<Vec<String>, FunctionError> {
        let path = path(folder)?;
        let listed = self.objects.list_with_delimiter(Some(&path)).await;
        let listed = listed.map_err(|error| failed("list", folder, &error))?;
        let mut names: Vec<_> =
            listed.common_prefixes.iter().filter_map(|prefix| prefix.filename().map(str::to_owned)).collect();
        names.sort_unstable();
        Ok(names)
    }

    /// Deletes every object under a folder but those that `keep` holds on to. What is gone already is no
    /// error.
    ///
    /// # Errors
    /// [`ErrorKind::ObjectUnavailable`] where one cannot be deleted.
    pub async fn delete_prefix(&self, folder: &str, keep: Option<&str>) -> Result<(), FunctionError> {
        let keys = self.list(folder).await?;
        let doomed = keys.iter().filter(|key| Some(key.as_str()) != keep);
        let paths: Vec<_> = doomed.map(|key| path(key)).collect::<Result<_, _>>()?;
        let mut deleted =
            self.objects.delete_stream(futures::stream::iter(paths.into_iter().map(Ok)).boxed());
        while let Some(result) = deleted.next().await {
            match result {
                Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(failed("delete", folder, &error)),
            }
        }
        Ok(())
    }
}

fn not_this_build(key: &str, error: &serde_json::Error) -> FunctionError {
    let message = format!(
        "object {key} is not what this build of the functions reads: {error}; compile and deploy both anew"
    );
    FunctionError::new(ErrorKind::Internal, message)
}

/// Reads a tensor file; the error names its key.
///
/// # Errors
/// [`ErrorKind::ChecksumMismatch`] where it is damaged, [`ErrorKind::StaleObject`] where it is not the one that
/// stands under this key.
pub fn decode(key: &str, bytes: &Bytes) -> Result<TensorFile, FunctionError> {
    TensorFile::decode_as(bytes, keys::identity(key).as_deref()).map_err(|error| damaged(key, &error))
}

fn damaged(key: &str, error: &FunctionError) -> FunctionError {
    let what = if error.kind == ErrorKind::StaleObject { "not the one it should be" } else { "damaged" };
    FunctionError::new(error.kind, format!("object {key} is {what}: {}", error.message))
}

/// A part of some bytes; `None` where they end before it does.
fn part(bytes: &Bytes, range: Range<u64>) -> Option<Bytes> {
    let (start, end) = (usize::try_from(range.start).ok()?, usize::try_from(range.end).ok()?);
    (start <= end && end <= bytes.len()).then(|| bytes.slice(start..end))
}

fn same(one: &[u8], other: &PutPayload) -> bool {
    let rest = other.iter().try_fold(one, |rest, part| rest.strip_prefix(&**part));
    rest.is_some_and(<[u8]>::is_empty)
}

fn path(key: &str) -> Result<Path, FunctionError> {
    Path::parse(key).map_err(|error| FunctionError::new(ErrorKind::InvalidEvent, format!("no key: {error}")))
}

#[cfg(test)]
mod tests;
