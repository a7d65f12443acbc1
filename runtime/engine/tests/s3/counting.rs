//! What is asked of a store, counted.

use bytes::Bytes;
use futures::future::BoxFuture;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use stepgrad_engine::integrations::s3::{
    ListQuery, Listing, Object, ObjectError, ObjectStore, Range, S3Folder,
};

/// A folder whose callers are counted.
pub(crate) struct Counting {
    store: S3Folder,
    /// Whole objects that were read.
    pub(crate) gets: AtomicU64,
    /// Bytes of parts of objects.
    pub(crate) bytes: AtomicU64,
    /// Listings.
    pub(crate) lists: AtomicU64,
    /// Those that wanted ETags.
    pub(crate) etags: AtomicU64,
}

impl Counting {
    pub(crate) fn new(folder: &Path) -> Self {
        Self {
            store: S3Folder::new(folder),
            gets: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            lists: AtomicU64::new(0),
            etags: AtomicU64::new(0),
        }
    }
}

pub(crate) fn count(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

impl ObjectStore for Counting {
    fn get<'a>(
        &'a self,
        bucket: &'a str,
        key: &'a str,
        limit: usize,
    ) -> BoxFuture<'a, Result<Object, ObjectError>> {
        self.gets.fetch_add(1, Ordering::Relaxed);
        self.store.get(bucket, key, limit)
    }

    fn range<'a>(
        &'a self,
        bucket: &'a str,
        key: &'a str,
        offset: u64,
        length: u64,
    ) -> BoxFuture<'a, Result<Range, ObjectError>> {
        Box::pin(async move {
            let range = self.store.range(bucket, key, offset, length).await?;
            self.bytes.fetch_add(range.bytes.len() as u64, Ordering::Relaxed);
            Ok(range)
        })
    }

    fn put<'a>(
        &'a self,
        bucket: &'a str,
        key: &'a str,
        body: Bytes,
        content_type: Option<&'a str>,
    ) -> BoxFuture<'a, Result<String, ObjectError>> {
        self.store.put(bucket, key, body, content_type)
    }

    fn list<'a>(
        &'a self,
        bucket: &'a str,
        query: &'a ListQuery,
    ) -> BoxFuture<'a, Result<Listing, ObjectError>> {
        self.lists.fetch_add(1, Ordering::Relaxed);
        self.etags.fetch_add(u64::from(query.etags), Ordering::Relaxed);
        self.store.list(bucket, query)
    }
}
