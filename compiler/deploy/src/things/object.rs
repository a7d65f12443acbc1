//! Objects that a deployment puts into its bucket: packages of functions, and data.
//!
//! Every upload carries SHA-256 checksums that S3 verifies. Large files go in parts, some at once; an upload that was
//! interrupted goes on with the parts that S3 has already.

use crate::difference::{Difference, Differences};
use crate::error::{Call, Error, Kind, call};
use crate::session::{Session, sending};
use crate::watch::Watch;
use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::{StreamExt, TryStreamExt};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tokio::io::{AsyncReadExt, AsyncSeekExt};

/// Files up to this size go in one request, and parts are of this size.
const PART: u64 = 16 << 20;
/// Parts that an upload has at the most (S3 User Guide, "Amazon S3 multipart upload limits").
const PARTS: u64 = 10_000;
/// Parts on their way at once: each is held in memory.
const AT_ONCE: usize = 4;
/// Where an object tells the SHA-256 of its content: S3's own checksum of an upload in parts is one of checksums.
const DIGEST: &str = "stepgrad-sha256";

/// A file that is to be an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// The object's key.
    pub key: String,
    /// The file.
    pub path: PathBuf,
    /// Its size in bytes.
    pub bytes: u64,
    /// SHA-256 of its content.
    pub sha256: [u8; 32],
}

impl Upload {
    /// Reads a file through once.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub async fn of(key: String, path: PathBuf) -> Result<Self, Error> {
        let failed = |error| Error::File { path: path.clone(), error };
        let mut file = open(&path).await?;
        let (mut digest, mut bytes, mut buffer) = (Sha256::new(), 0, vec![0; 1 << 20]);
        loop {
            let read = file.read(&mut buffer).await.map_err(failed)?;
            let Some(part) = buffer.get(..read).filter(|part| !part.is_empty()) else { break };
            digest.update(part);
            bytes += part.len() as u64;
        }
        Ok(Self { key, sha256: digest.finalize().into(), path, bytes })
    }

    /// The digest as hexadecimal digits.
    #[must_use]
    pub fn hex(&self) -> String {
        use std::fmt::Write;
        let mut text = String::new();
        for byte in self.sha256 {
            // Writing into a string cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        text
    }

    /// The digest as AWS writes it.
    #[must_use]
    pub fn base64(&self) -> String {
        STANDARD.encode(self.sha256)
    }
}

async fn open(path: &Path) -> Result<tokio::fs::File, Error> {
    tokio::fs::File::open(path).await.map_err(|error| Error::File { path: path.to_owned(), error })
}

/// An object as it is.
#[derive(Debug)]
pub(crate) struct Seen {
    sha256: Option<String>,
    bytes: Option<i64>,
}

/// Where an object is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bucket<'a> {
    pub(crate) session: &'a Session,
    pub(crate) name: &'a str,
}

impl Bucket<'_> {
    pub(crate) fn on(&self, api: &'static str, key: &str) -> Call {
        call(api, format!("{}/{key}", self.session.bucket_arn(self.name)))
    }

    pub(crate) async fn look(&self, key: &str) -> Result<Option<Seen>, Error> {
        let head = self.session.s3.head_object().bucket(self.name).key(key).send().await;
        let seen = self.on("s3:HeadObject", key).needs("s3:GetObject").found(head)?;
        let digest = |head: &HeadObjectOutput| head.metadata().and_then(|all| all.get(DIGEST)).cloned();
        Ok(seen.map(|head| Seen { sha256: digest(&head), bytes: head.content_length() }))
    }

    /// The keys that begin so.
    pub(crate) async fn list(&self, prefix: &str) -> Result<Vec<String>, Error> {
        let asked = call("s3:ListObjectsV2", self.session.bucket_arn(self.name)).needs("s3:ListBucket");
        let list = self.session.s3.list_objects_v2().bucket(self.name).prefix(prefix);
        let mut pages = list.into_paginator().send();
        let mut keys = Vec::new();
        while let Some(page) = pages.next().await {
            keys.extend(
                asked.ok(page)?.contents().iter().filter_map(|object| object.key().map(str::to_owned)),
            );
        }
        Ok(keys)
    }

    /// Deletes an object; that it is gone already is fine.
    pub(crate) async fn delete(&self, key: &str) -> Result<(), Error> {
        let deleted = self.session.s3.delete_object().bucket(self.name).key(key).send().await;
        self.on("s3:DeleteObject", key).found(deleted).map(drop)
    }

    /// Puts a file where it is to be.
    pub(crate) async fn upload(&self, upload: &Upload, watch: &dyn Watch) -> Result<(), Error> {
        if upload.bytes > PART {
            self.in_parts(upload, watch).await
        } else {
            self.at_once(upload, watch).await
        }
    }

    async fn at_once(&self, upload: &Upload, watch: &dyn Watch) -> Result<(), Error> {
        let content = part(&upload.path, 0, upload.bytes).await?;
        if Sha256::digest(&content)[..] != upload.sha256 {
            return Err(changed(upload));
        }
        self.put(&upload.key, content, Some((DIGEST, upload.hex()))).await?;
        watch.sent(&upload.key, upload.bytes, upload.bytes);
        Ok(())
    }

    /// Puts an object; S3 verifies its checksum.
    pub(crate) async fn put(
        &self,
        key: &str,
        content: Vec<u8>,
        metadata: Option<(&str, String)>,
    ) -> Result<(), Error> {
        let checksum = STANDARD.encode(Sha256::digest(&content));
        let mut put = self.session.s3.put_object().bucket(self.name).key(key).checksum_sha256(checksum);
        if let Some((name, value)) = metadata {
            put = put.metadata(name, value);
        }
        let sent = put.body(ByteStream::from(content)).customize().config_override(sending()).send().await;
        self.on("s3:PutObject", key).ok(sent).map(drop)
    }

    async fn in_parts(&self, upload: &Upload, watch: &dyn Watch) -> Result<(), Error> {
        let (key, s3) = (upload.key.as_str(), &self.session.s3);
        let size = PART.max(upload.bytes.div_ceil(PARTS));
        let count = upload.bytes.div_ceil(size);
        let begun = self.begun(key).await?;
        let (id, there) = match begun {
            Some(begun) => begun,
            None => {
                let create = s3.create_multipart_upload().bucket(self.name).key(key);
                let create =
                    create.checksum_algorithm(ChecksumAlgorithm::Sha256).metadata(DIGEST, upload.hex());
                let asked = self.on("s3:CreateMultipartUpload", key).needs("s3:PutObject");
                let created = asked.ok(create.send().await)?;
                (created.upload_id().unwrap_or_default().to_owned(), BTreeMap::new())
            }
        };
        let sent = std::sync::atomic::AtomicU64::new(0);
        let send = |place: u64| {
            let (id, there, sent) = (&id, &there, &sent);
            async move {
                let from = place * size;
                let content = part(&upload.path, from, size.min(upload.bytes - from)).await?;
                let bytes = content.len() as u64;
                let checksum = STANDARD.encode(Sha256::digest(&content));
                let number = i32::try_from(place + 1).unwrap_or(i32::MAX);
                let part = CompletedPart::builder().part_number(number).checksum_sha256(&checksum);
                let etag = match there.get(&number) {
                    Some((sum, etag)) if *sum == checksum => etag.clone(),
                    _ => {
                        let put =
                            s3.upload_part().bucket(self.name).key(key).upload_id(id).part_number(number);
                        let put = put.checksum_sha256(&checksum).body(ByteStream::from(content));
                        let put = put.customize().config_override(sending()).send().await;
                        let put = self.on("s3:UploadPart", key).needs("s3:PutObject").ok(put)?;
                        put.e_tag().unwrap_or_default().to_owned()
                    }
                };
                let all = sent.fetch_add(bytes, std::sync::atomic::Ordering::Relaxed) + bytes;
                watch.sent(key, all, upload.bytes);
                Ok::<_, Error>(part.e_tag(etag).build())
            }
        };
        let parts: Vec<_> =
            futures::stream::iter((0..count).map(send)).buffered(AT_ONCE).try_collect().await?;
        let all = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        let complete = s3.complete_multipart_upload().bucket(self.name).key(key).upload_id(&id);
        let completed = complete.multipart_upload(all).send().await;
        match self.on("s3:CompleteMultipartUpload", key).needs("s3:PutObject").ok(completed) {
            // The answer to an earlier attempt was lost: an upload that is complete is none any more.
            Err(Error::Api(error)) if error.kind == Kind::Absent => match self.look(key).await? {
                Some(seen) if compare(upload, &seen).is_empty() => Ok(()),
                _ => Err(Error::Api(error)),
            },
            ended => ended.map(drop),
        }
    }

    /// An upload of this key that was begun and not completed: its id, and its parts' checksums and tags.
    async fn begun(&self, key: &str) -> Result<Option<(String, BTreeMap<i32, (String, String)>)>, Error> {
        let s3 = &self.session.s3;
        let asked = self.on("s3:ListMultipartUploads", key).needs("s3:ListBucketMultipartUploads");
        let listed = asked.ok(s3.list_multipart_uploads().bucket(self.name).prefix(key).send().await)?;
        let mut same = listed.uploads().iter().filter(|upload| upload.key() == Some(key));
        let Some(id) = same.next_back().and_then(|upload| upload.upload_id()) else { return Ok(None) };
        let asked = self.on("s3:ListParts", key).needs("s3:ListMultipartUploadParts");
        let mut pages = s3.list_parts().bucket(self.name).key(key).upload_id(id).into_paginator().send();
        let mut parts = BTreeMap::new();
        while let Some(page) = pages.next().await {
            for part in asked.ok(page)?.parts() {
                if let (Some(number), Some(sum), Some(tag)) =
                    (part.part_number(), part.checksum_sha256(), part.e_tag())
                {
                    parts.insert(number, (sum.to_owned(), tag.to_owned()));
                }
            }
        }
        Ok(Some((id.to_owned(), parts)))
    }
}

fn changed(upload: &Upload) -> Error {
    Error::Desired(format!("{} has changed while it was uploaded: deploy again", upload.path.display()))
}

async fn part(path: &Path, from: u64, length: u64) -> Result<Vec<u8>, Error> {
    let failed = |error| Error::File { path: path.to_owned(), error };
    let mut file = open(path).await?;
    file.seek(std::io::SeekFrom::Start(from)).await.map_err(failed)?;
    let mut content = Vec::new();
    file.take(length).read_to_end(&mut content).await.map_err(failed)?;
    Ok(content)
}

pub(crate) fn compare(wanted: &Upload, seen: &Seen) -> Vec<Difference> {
    let mut differences = Differences::default();
    let is = seen.sha256.as_deref().unwrap_or("unknown");
    differences.field("sha256", is, &wanted.hex());
    let bytes = seen.bytes.unwrap_or_default().to_string();
    differences.field("bytes", &bytes, &wanted.bytes.to_string());
    differences.0
}
