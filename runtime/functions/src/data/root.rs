//! The root that data sources stand under: a folder of this computer, or one of a bucket, from which the sources are fetched first.
#![expect(clippy::disallowed_methods, reason = "keeps what was fetched")]

use super::fetched::Fetched;
use super::invalid;
use crate::store::S3;
use object_store::path::Path as Key;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use stepgrad_contract::training::{Data, Format, Validation};
use stepgrad_contract::{ErrorKind, FunctionError};

/// Bytes of the sources of a training in a bucket, at the most: a function's `/tmp` has 10,240 MB (AWS Lambda, "Lambda quotas"), and
/// holds the samples that are read from them as well.
const MOST: u64 = 5 << 30;
/// Files of a source in a bucket, at the most; a format that has many has six.
const FILES: usize = 10_000;

/// The root.
#[derive(Debug, Clone)]
pub struct Root {
    /// As it was named.
    name: String,
    place: Place,
}

#[derive(Debug, Clone)]
enum Place {
    Folder(PathBuf),
    Bucket(Arc<S3>),
}

impl Root {
    /// The root at `root`: `file:///folder`, a path, or `s3://bucket/prefix`, of which the environment variables `get` say the rest
    /// (see [`Store::open`](crate::store::Store::open)). Nothing is read yet.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidEvent`] for another kind of root, or for what is missing or malformed in the variables.
    pub fn open(root: &str, get: impl Fn(&str) -> Option<String>) -> Result<Self, FunctionError> {
        let place = match root.split_once("://") {
            Some(("s3", _)) => Place::Bucket(Arc::new(S3::open(root, get)?)),
            Some(("file", folder)) => Place::Folder(PathBuf::from(folder)),
            None => Place::Folder(PathBuf::from(root)),
            Some((scheme, _)) => {
                let message =
                    format!("there is no data over {scheme}://: use file:///folder or s3://bucket/prefix");
                return Err(FunctionError::new(ErrorKind::InvalidEvent, message));
            }
        };
        Ok(Self { name: root.trim_end_matches('/').to_owned(), place })
    }

    /// The sources of a training, on this computer. Those in a bucket are fetched into the temporary folder, by name: a file, or
    /// the files directly in a folder; where the object tells the SHA-256 of its content, as `stepgrad deploy` has it do, the
    /// bytes are verified.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidData`] where they are not there or cannot be there; [`ErrorKind::ChecksumMismatch`] for a damaged one;
    /// [`ErrorKind::LimitExceeded`] for more than a function can hold; [`ErrorKind::AccessDenied`] and
    /// [`ErrorKind::ObjectUnavailable`] as the bucket has it.
    pub async fn sources(&self, data: &Data) -> Result<Sources, FunctionError> {
        let bucket = match &self.place {
            Place::Folder(folder) => return Ok(Sources::at(folder.clone())),
            Place::Bucket(bucket) => bucket,
        };
        let fetched = Fetched::below(&std::env::temp_dir()).map_err(|error| unkept(&error))?;
        if data.format != Format::Synthetic {
            let mut left = MOST;
            self.fetch(bucket, &data.source, fetched.path(), &mut left).await?;
            if let Some(Validation::Source(source)) = &data.validation {
                self.fetch(bucket, source, fetched.path(), &mut left).await?;
            }
        }
        Ok(Sources { folder: fetched.path().to_owned(), _fetched: Some(fetched) })
    }

    /// Fetches a source below `folder`; `left` is what it may have of bytes, and then what the next one may.
    async fn fetch(
        &self,
        bucket: &S3,
        source: &str,
        folder: &Path,
        left: &mut u64,
    ) -> Result<(), FunctionError> {
        let key = key(source)?;
        let mut files = bucket.files(&key, FILES).await?;
        let is_file = files.is_empty();
        if is_file {
            files.push(key.clone());
        }
        for file in files {
            let path = folder.join(file.as_ref());
            if let Some(above) = path.parent() {
                std::fs::create_dir_all(above).map_err(|error| unkept(&error))?;
            }
            match bucket.fetch(&file, &path, *left).await {
                Ok(bytes) => *left = left.saturating_sub(bytes),
                Err(error) if is_file && error.kind == ErrorKind::ObjectMissing => {
                    return Err(invalid(format!(
                        "{}/{key}: there is no such object, and no folder of them: `stepgrad deploy` uploads the data that the spec names",
                        self.name
                    )));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// The key of a source below the root.
fn key(source: &str) -> Result<Key, FunctionError> {
    let inside = |part| matches!(part, Component::Normal(_) | Component::CurDir);
    let plain = !source.contains("://") && Path::new(source).components().all(inside);
    let parts = source.split('/').filter(|part| !matches!(*part, "" | "."));
    match plain {
        true => Key::parse(parts.collect::<Vec<_>>().join("/"))
            .map_err(|error| invalid(format!("{source}: {error}"))),
        false => Err(invalid(format!(
            "{source} leads out of the project, and data in a bucket stands by its path in it: move it below the spec's folder"
        ))),
    }
}

/// The error of keeping what was fetched.
pub(crate) fn unkept(error: &std::io::Error) -> FunctionError {
    let message = format!(
        "cannot keep the data in {}: {error}; give the function a larger /tmp (ephemeral storage), or set TMPDIR to another folder",
        std::env::temp_dir().display()
    );
    FunctionError::new(ErrorKind::ObjectUnavailable, message)
}

/// Data sources in a folder of this computer; a folder of fetched ones goes when they do.
#[derive(Debug)]
pub struct Sources {
    folder: PathBuf,
    _fetched: Option<Fetched>,
}

impl Sources {
    /// Those of a folder.
    #[must_use]
    pub const fn at(folder: PathBuf) -> Self {
        Self { folder, _fetched: None }
    }

    /// The path of a source; an absolute one is taken as it is.
    pub(super) fn resolve(&self, source: &str) -> Result<PathBuf, FunctionError> {
        if let Some((scheme, _)) = source.split_once("://") {
            return Err(invalid(format!(
                "{source}: data over {scheme}:// is not built yet: use a file or folder of the project"
            )));
        }
        let path = self.folder.join(source);
        match path.try_exists() {
            Ok(true) => Ok(path),
            Ok(false) => Err(invalid(format!("{}: there is no such file or folder", path.display()))),
            Err(error) => Err(invalid(format!("{}: {error}", path.display()))),
        }
    }
}
