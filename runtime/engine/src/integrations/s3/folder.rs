//! Objects in a folder of this computer: `FOLDER/BUCKET/KEY` is the object KEY. A bucket is there when its folder is. An
//! object is there whole or not at all; its content type is not kept.

#![expect(clippy::disallowed_methods, reason = "the objects are files")]

use super::{ListQuery, Listed, Listing, Object, ObjectError, ObjectStore, Range};
use bytes::Bytes;
use futures::future::BoxFuture;
use md5::{Digest, Md5};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File, Metadata};
use std::io::{self, Read, Seek, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

/// Objects that a listing has at the most, as S3 has it.
const MAX_KEYS: usize = 1_000;
/// What the names of files begin with that are being written.
const UNFINISHED: &str = ".stepgrad-";

/// Objects in a folder.
#[derive(Debug, Clone)]
pub struct S3Folder {
    root: PathBuf,
    /// When objects are written, milliseconds since 1970; 0 for the computer's own time.
    now: Arc<AtomicI64>,
}

impl S3Folder {
    /// The buckets in the folder `root`.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), now: Arc::default() }
    }

    fn bucket(&self, bucket: &str) -> Result<PathBuf, ObjectError> {
        let path = inside(&self.root, bucket).filter(|_| !bucket.contains('/'));
        path.filter(|path| path.is_dir()).ok_or_else(|| ObjectError::known("NoSuchBucket"))
    }

    fn object(&self, bucket: &str, key: &str) -> Result<PathBuf, ObjectError> {
        inside(&self.bucket(bucket)?, key).ok_or_else(|| ObjectError {
            code: "InvalidRequest".to_owned(),
            message: format!("the key {key:?} cannot be the name of a file"),
            status: 400,
        })
    }

    fn open(&self, bucket: &str, key: &str) -> Result<(File, Metadata), ObjectError> {
        let file = File::open(self.object(bucket, key)?).map_err(|error| missing(&error))?;
        let metadata = file.metadata().map_err(|error| missing(&error))?;
        if metadata.is_file() { Ok((file, metadata)) } else { Err(ObjectError::known("NoSuchKey")) }
    }

    fn read(&self, bucket: &str, key: &str) -> Result<Object, ObjectError> {
        let (mut file, metadata) = self.open(bucket, key)?;
        let mut body = Vec::new();
        file.read_to_end(&mut body).map_err(|error| missing(&error))?;
        Ok(Object {
            etag: etag(&body),
            body: body.into(),
            content_type: "binary/octet-stream".to_owned(),
            modified: modified(&metadata),
        })
    }

    fn read_range(&self, bucket: &str, key: &str, offset: u64, length: u64) -> Result<Range, ObjectError> {
        let (mut file, metadata) = self.open(bucket, key)?;
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(offset)).map_err(|error| missing(&error))?;
        file.take(length).read_to_end(&mut bytes).map_err(|error| missing(&error))?;
        let since = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let version = format!("{}-{}", metadata.len(), since.unwrap_or_default().as_nanos());
        Ok(Range { bytes: bytes.into(), total: metadata.len(), version })
    }

    fn write(&self, bucket: &str, key: &str, body: &[u8]) -> Result<String, ObjectError> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let path = self.object(bucket, key)?;
        let folder = path.parent().unwrap_or(&self.root);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let unfinished = folder.join(format!("{UNFINISHED}{}-{number}", std::process::id()));
        let written = fs::create_dir_all(folder)
            .and_then(|()| {
                let mut file = File::create(&unfinished)?;
                file.write_all(body)?;
                match u64::try_from(self.now.load(Ordering::Relaxed)) {
                    Ok(now) if now > 0 => file.set_modified(UNIX_EPOCH + Duration::from_millis(now)),
                    _ => Ok(()),
                }
            })
            .and_then(|()| fs::rename(&unfinished, &path));
        written.map_err(|error| {
            // What is left of it is of no use.
            let _ = fs::remove_file(&unfinished);
            ObjectError::lost(format!("the object {key} cannot be written: {error}"))
        })?;
        Ok(etag(body))
    }

    fn listing(&self, bucket: &str, query: &ListQuery) -> Result<Listing, ObjectError> {
        let folder = self.bucket(bucket)?;
        let after = query.token.as_ref().max(query.start_after.as_ref());
        let most = query.max_keys.unwrap_or(MAX_KEYS).min(MAX_KEYS);
        let mut keys = BTreeMap::new();
        let lost = |error: io::Error| ObjectError::lost(format!("the bucket cannot be listed: {error}"));
        walk(&folder, "", &mut |key, path| {
            if key.starts_with(&query.prefix) && after.is_none_or(|after| key > *after) {
                keys.insert(key, path);
                // One more than there can be says that there are more.
                if keys.len() > most + 1 {
                    keys.pop_last();
                }
            }
        })
        .map_err(lost)?;
        let more = keys.len() > most;
        let mut objects = Vec::with_capacity(keys.len().min(most));
        for (key, path) in keys.into_iter().take(most) {
            let metadata = fs::metadata(&path).map_err(lost)?;
            let body = fs::read(&path).map_err(lost)?;
            objects.push(Listed {
                key,
                size: metadata.len(),
                etag: etag(&body),
                modified: modified(&metadata),
            });
        }
        let next = objects.last().filter(|_| more).map(|object| object.key.clone());
        Ok(Listing { objects, next })
    }
}

/// The path of a name with slashes under `root`; none for one that would lead out of it.
fn inside(root: &Path, name: &str) -> Option<PathBuf> {
    let fits = |part: &str| {
        !part.is_empty()
            && part != "."
            && part != ".."
            && !part.contains(['\0', '\\'])
            && !part.starts_with(UNFINISHED)
    };
    name.split('/').all(fits).then(|| root.join(name))
}

fn walk(folder: &Path, prefix: &str, found: &mut impl FnMut(String, PathBuf)) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let Some(name) = entry.file_name().to_str().map(str::to_owned) else { continue };
        let kind = entry.file_type()?;
        if kind.is_dir() {
            walk(&entry.path(), &format!("{prefix}{name}/"), found)?;
        } else if kind.is_file() && !name.starts_with(UNFINISHED) {
            found(format!("{prefix}{name}"), entry.path());
        }
    }
    Ok(())
}

/// As S3 has it for objects that were written at once: the MD5 of the bytes.
fn etag(body: &[u8]) -> String {
    let mut text = String::from("\"");
    for byte in Md5::digest(body) {
        // Writing into a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text.push('"');
    text
}

fn modified(metadata: &Metadata) -> i64 {
    let since = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    since.and_then(|since| i64::try_from(since.as_millis()).ok()).unwrap_or_default()
}

fn missing(error: &io::Error) -> ObjectError {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory => {
            ObjectError::known("NoSuchKey")
        }
        _ => ObjectError::lost(format!("the object cannot be read: {error}")),
    }
}

/// Files are read and written beside the runtime's own threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ObjectError> + Send + 'static,
) -> Result<T, ObjectError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(ObjectError::lost(error.to_string())))
}

impl ObjectStore for S3Folder {
    fn get<'a>(&'a self, bucket: &'a str, key: &'a str) -> BoxFuture<'a, Result<Object, ObjectError>> {
        let (store, bucket, key) = (self.clone(), bucket.to_owned(), key.to_owned());
        Box::pin(blocking(move || store.read(&bucket, &key)))
    }

    fn range<'a>(
        &'a self,
        bucket: &'a str,
        key: &'a str,
        offset: u64,
        length: u64,
    ) -> BoxFuture<'a, Result<Range, ObjectError>> {
        let (store, bucket, key) = (self.clone(), bucket.to_owned(), key.to_owned());
        Box::pin(blocking(move || store.read_range(&bucket, &key, offset, length)))
    }

    fn put<'a>(
        &'a self,
        bucket: &'a str,
        key: &'a str,
        body: Bytes,
        _: Option<&'a str>,
    ) -> BoxFuture<'a, Result<String, ObjectError>> {
        let (store, bucket, key) = (self.clone(), bucket.to_owned(), key.to_owned());
        Box::pin(blocking(move || store.write(&bucket, &key, &body)))
    }

    fn list<'a>(
        &'a self,
        bucket: &'a str,
        query: &'a ListQuery,
    ) -> BoxFuture<'a, Result<Listing, ObjectError>> {
        let (store, bucket, query) = (self.clone(), bucket.to_owned(), query.clone());
        Box::pin(blocking(move || store.listing(&bucket, &query)))
    }

    fn set_time(&self, now: i64) {
        self.now.store(now, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::{ListQuery, S3Folder};

    #[test]
    fn objects_are_written_read_and_listed() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("b")).unwrap();
        let store = S3Folder::new(folder.path());
        for key in ["x/2", "x/1", "y"] {
            store.write("b", key, key.as_bytes()).unwrap();
        }
        assert_eq!(&store.read("b", "x/1").unwrap().body[..], b"x/1");
        let range = store.read_range("b", "x/1", 1, 100).unwrap();
        assert_eq!((&range.bytes[..], range.total), (&b"/1"[..], 3));
        let mut query = ListQuery { max_keys: Some(2), ..ListQuery::default() };
        let first = store.listing("b", &query).unwrap();
        assert_eq!(first.next.as_deref(), Some("x/2"));
        query.token = first.next;
        let second = store.listing("b", &query).unwrap();
        assert_eq!((second.objects[0].key.as_str(), second.next), ("y", None));
        assert_eq!(second.objects[0].etag, "\"415290769594460e2e485922904f345d\"");
    }

    #[test]
    fn nothing_leads_out_of_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("b")).unwrap();
        let store = S3Folder::new(folder.path());
        for (bucket, key) in
            [("..", "x"), ("b", "../x"), ("b", "a/../../x"), ("b", "/x"), ("b/c", "x"), ("b", "")]
        {
            assert!(store.write(bucket, key, b"").is_err(), "{bucket} {key}");
            assert!(store.read(bucket, key).is_err(), "{bucket} {key}");
        }
        assert_eq!(store.read("b", "none").unwrap_err().code, "NoSuchKey");
        assert_eq!(store.read("c", "none").unwrap_err().code, "NoSuchBucket");
    }
}
