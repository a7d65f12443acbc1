//! Objects in a folder of this computer: `FOLDER/BUCKET/KEY` is the object KEY. A bucket is there when its folder is. An
//! object is there whole or not at all; its content type is not kept.

#![expect(clippy::disallowed_methods, reason = "the objects are files")]

use super::{ListQuery, Listed, Listing, Object, ObjectError, ObjectStore, Range};
use bytes::Bytes;
use futures::future::BoxFuture;
use md5::{Digest, Md5};
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

    fn read(&self, bucket: &str, key: &str, limit: usize) -> Result<Object, ObjectError> {
        let (file, metadata) = self.open(bucket, key)?;
        let most = limit as u64;
        let mut body = Vec::new();
        if metadata.len() <= most {
            file.take(most.saturating_add(1)).read_to_end(&mut body).map_err(|error| missing(&error))?;
        }
        if metadata.len() > most || body.len() > limit {
            return Err(ObjectError::too_long(limit));
        }
        Ok(Object {
            etag: etag(&body[..]).map_err(|error| missing(&error))?,
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
        etag(body).map_err(|error| missing(&error))
    }

    fn listing(&self, bucket: &str, query: &ListQuery) -> Result<Listing, ObjectError> {
        let folder = self.bucket(bucket)?;
        let after = query.token.as_deref().max(query.start_after.as_deref());
        let most = query.max_keys.unwrap_or(MAX_KEYS).min(MAX_KEYS);
        let lost = |error: io::Error| ObjectError::lost(format!("the bucket cannot be listed: {error}"));
        // One more than there can be says that there are more.
        let mut search = Search { prefix: &query.prefix, after, most: most + 1, found: Vec::new() };
        search.walk(&folder, "").map_err(lost)?;
        let mut found = search.found;
        let more = found.len() > most;
        found.truncate(most);
        let mut objects = Vec::with_capacity(found.len());
        for (key, path) in found {
            let metadata = fs::metadata(&path).map_err(lost)?;
            let etag =
                if query.etags { File::open(&path).and_then(etag).map_err(lost)? } else { String::new() };
            objects.push(Listed { key, size: metadata.len(), etag, modified: modified(&metadata) });
        }
        let next = objects.last().filter(|_| more).map(|object| object.key.clone());
        Ok(Listing { objects, next })
    }
}

/// Finds the names of a bucket in their order, and no more than are wanted: what cannot hold any is not looked into.
struct Search<'a> {
    prefix: &'a str,
    after: Option<&'a str>,
    most: usize,
    found: Vec<(String, PathBuf)>,
}

impl Search<'_> {
    /// Whether a folder can hold wanted names; it is given as they begin, with its slash.
    fn wants(&self, folder: &str) -> bool {
        let fits = folder.starts_with(self.prefix) || self.prefix.starts_with(folder);
        fits && self.after.is_none_or(|after| after < folder || after.starts_with(folder))
    }

    fn walk(&mut self, folder: &Path, name: &str) -> io::Result<()> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let Some(last) = entry.file_name().to_str().map(str::to_owned) else { continue };
            let kind = entry.file_type()?;
            let key = format!("{name}{last}");
            if kind.is_dir() {
                // As the names that are in it begin.
                let key = key + "/";
                entries.extend(self.wants(&key).then(|| (key, entry.path())));
            } else if kind.is_file()
                && !last.starts_with(UNFINISHED)
                && key.starts_with(self.prefix)
                && self.after.is_none_or(|after| *key > *after)
            {
                entries.push((key, entry.path()));
            }
        }
        entries.sort_unstable();
        for (key, path) in entries {
            if self.found.len() >= self.most {
                break;
            }
            if key.ends_with('/') {
                self.walk(&path, &key)?;
            } else {
                self.found.push((key, path));
            }
        }
        Ok(())
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

/// As S3 has it for objects that were written at once: the MD5 of the bytes.
fn etag(mut bytes: impl Read) -> io::Result<String> {
    let mut digest = Md5::new();
    let mut buffer = [0; 16 * 1_024];
    loop {
        match bytes.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => digest.update(buffer.get(..read).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let mut text = String::from("\"");
    for byte in digest.finalize() {
        // Writing into a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text.push('"');
    Ok(text)
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
    fn get<'a>(
        &'a self,
        bucket: &'a str,
        key: &'a str,
        limit: usize,
    ) -> BoxFuture<'a, Result<Object, ObjectError>> {
        let (store, bucket, key) = (self.clone(), bucket.to_owned(), key.to_owned());
        Box::pin(blocking(move || store.read(&bucket, &key, limit)))
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
        assert_eq!(&store.read("b", "x/1", 3).unwrap().body[..], b"x/1");
        let range = store.read_range("b", "x/1", 1, 100).unwrap();
        assert_eq!((&range.bytes[..], range.total), (&b"/1"[..], 3));
        assert_eq!(store.read("b", "x/1", 2).unwrap_err().code, super::super::TOO_LONG);
        let mut query = ListQuery { max_keys: Some(2), etags: true, ..ListQuery::default() };
        let first = store.listing("b", &query).unwrap();
        assert_eq!(first.next.as_deref(), Some("x/2"));
        query.token = first.next;
        let second = store.listing("b", &query).unwrap();
        assert_eq!((second.objects[0].key.as_str(), second.next), ("y", None));
        assert_eq!(second.objects[0].etag, "\"415290769594460e2e485922904f345d\"");
    }

    #[test]
    fn the_names_of_every_query_come_in_order() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("b")).unwrap();
        let store = S3Folder::new(folder.path());
        let mut names =
            ["a", "a.b", "a!/x", "b/a/c", "b/a.d", "b/b", "b-c", "bb/1", "bb/2/3", "c/d/e/f", "z"];
        for name in names {
            store.write("b", name, b"").unwrap();
        }
        names.sort_unstable();
        let ends = ["", "a", "a/", "b", "b/", "b/a", "b/a/", "b/a/c", "bb", "bb/2/", "c/d/x", "d", "zz"];
        for (prefix, after) in ends.iter().flat_map(|prefix| ends.iter().map(move |after| (*prefix, *after)))
        {
            let wanted = names.iter().filter(|name| name.starts_with(prefix) && **name > after);
            let wanted: Vec<&str> = wanted.copied().collect();
            for most in 1..4 {
                let mut found = Vec::new();
                let mut query = ListQuery {
                    prefix: prefix.to_owned(),
                    start_after: Some(after.to_owned()).filter(|after| !after.is_empty()),
                    max_keys: Some(most),
                    ..ListQuery::default()
                };
                loop {
                    let listing = store.listing("b", &query).unwrap();
                    assert!(listing.objects.len() <= most);
                    found.extend(listing.objects.into_iter().map(|object| object.key));
                    match listing.next {
                        None => break,
                        next => query.token = next,
                    }
                }
                assert_eq!(found, wanted, "{prefix:?} after {after:?}, {most} at a time");
            }
        }
    }

    #[test]
    fn folders_without_wanted_names_are_not_looked_into() {
        let wants = |prefix: &str, after: &str, folder: &str| {
            super::Search { prefix, after: Some(after), most: 1, found: Vec::new() }.wants(folder)
        };
        assert!(wants("a/b", "", "a/") && wants("a/b", "", "a/b/") && wants("a/b", "", "a/bc/d/"));
        assert!(!wants("a/b", "", "b/") && !wants("a/b", "", "a/c/") && !wants("a/b/", "", "a/bc/"));
        assert!(wants("", "m/n", "m/") && wants("", "m/n", "n/") && wants("", "m/n", "m/n/"));
        assert!(!wants("", "m/n", "a/") && !wants("", "m/n", "m/a/"));
    }

    #[test]
    fn objects_are_read_for_their_etags_alone() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("b")).unwrap();
        let store = S3Folder::new(folder.path());
        let long: Vec<u8> = (0..100_000_u32).map(|number| number.to_le_bytes()[0]).collect();
        let etag = store.write("b", "long", &long).unwrap();
        let query = ListQuery { etags: true, ..ListQuery::default() };
        assert_eq!(store.listing("b", &query).unwrap().objects[0].etag, etag);
        // More than any memory holds; it takes no place on the disk.
        std::fs::File::create(folder.path().join("b/longest")).unwrap().set_len(1 << 40).unwrap();
        let listing = store.listing("b", &ListQuery::default()).unwrap();
        assert_eq!((listing.objects[1].size, listing.objects[1].etag.as_str()), (1 << 40, ""));
        assert_eq!(store.read("b", "longest", 1 << 20).unwrap_err().code, super::super::TOO_LONG);
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
            assert!(store.read(bucket, key, 9).is_err(), "{bucket} {key}");
        }
        assert_eq!(store.read("b", "none", 9).unwrap_err().code, "NoSuchKey");
        assert_eq!(store.read("c", "none", 9).unwrap_err().code, "NoSuchBucket");
    }
}
