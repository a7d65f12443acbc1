//! Objects in a folder of this computer. An object is staged beside its place and linked into it, so that it is
//! there whole or not at all.

use super::Existing;
use super::failure::failed;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload, local::LocalFileSystem};
use std::ops::Range;
use stepgrad_contract::{ErrorKind, FunctionError};

/// A folder.
#[derive(Debug)]
pub(super) struct Files(LocalFileSystem);

impl Files {
    /// The folder `file:///folder` or `/folder`, which is created where it is missing.
    #[expect(clippy::disallowed_methods, reason = "the store's own root")]
    pub(super) fn open(root: &str) -> Result<Self, FunctionError> {
        let folder = std::path::Path::new(root.strip_prefix("file://").unwrap_or(root));
        if !folder.is_absolute() {
            let message =
                format!("the store's root {root} is not absolute: use file:///folder or s3://bucket");
            return Err(FunctionError::new(ErrorKind::InvalidEvent, message));
        }
        let cannot = |error: &dyn std::error::Error| {
            let message = format!("cannot open the store at {}: {error}", folder.display());
            FunctionError::new(ErrorKind::ObjectUnavailable, message)
        };
        std::fs::create_dir_all(folder).map_err(|error| cannot(&error))?;
        let files = LocalFileSystem::new_with_prefix(folder).map_err(|error| cannot(&error))?;
        Ok(Self(files.with_automatic_cleanup(true)))
    }

    pub(super) async fn get(&self, key: &Path) -> Result<Bytes, FunctionError> {
        let result = self.0.get(key).await.map_err(|error| failed("read", key, &error))?;
        result.bytes().await.map_err(|error| failed("read", key, &error))
    }

    pub(super) async fn get_range(&self, key: &Path, range: Range<u64>) -> Result<Bytes, FunctionError> {
        self.0.get_range(key, range).await.map_err(|error| failed("read", key, &error))
    }

    pub(super) async fn put(
        &self,
        key: &Path,
        content: PutPayload,
        existing: Existing,
    ) -> Result<bool, FunctionError> {
        let mode = match existing {
            Existing::Stays => PutMode::Create,
            Existing::IsReplaced => PutMode::Overwrite,
        };
        match self.0.put_opts(key, content, PutOptions { mode, ..PutOptions::default() }).await {
            Err(object_store::Error::AlreadyExists { .. }) => Ok(false),
            other => other.map(|_| true).map_err(|error| failed("write", key, &error)),
        }
    }

    pub(super) async fn stage(&self, key: &Path, bytes: Bytes) -> Result<(), FunctionError> {
        let staged = async {
            let mut upload = self.0.put_multipart(key).await?;
            upload.put_part(bytes.into()).await
        };
        staged.await.map_err(|error| failed("write", key, &error))
    }

    pub(super) async fn list(&self, folder: &Path) -> Result<Vec<String>, FunctionError> {
        let entries = self.0.list(Some(folder)).map_ok(|entry| entry.location.to_string());
        entries.try_collect().await.map_err(|error| failed("list", folder, &error))
    }

    pub(super) async fn folders(&self, folder: &Path) -> Result<Vec<String>, FunctionError> {
        let listed = self.0.list_with_delimiter(Some(folder)).await;
        let listed = listed.map_err(|error| failed("list", folder, &error))?;
        let names = listed.common_prefixes.iter().filter_map(|prefix| prefix.filename().map(str::to_owned));
        Ok(names.collect())
    }

    pub(super) async fn delete(&self, keys: Vec<Path>) -> Result<(), FunctionError> {
        let mut deleted = self.0.delete_stream(futures::stream::iter(keys.into_iter().map(Ok)).boxed());
        while let Some(result) = deleted.next().await {
            match result {
                Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(failed("delete", &"of a round", &error)),
            }
        }
        Ok(())
    }
}
