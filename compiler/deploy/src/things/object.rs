//! Objects that a deployment puts into its bucket: packages of functions, and data.
//!
//! Every upload carries SHA-256 checksums that S3 verifies, and by them, not by what somebody wrote beside it, an object's content
//! is known. What is written beside it, the SHA-256 for the functions, says that `deploy` put it there: another object is
//! somebody else's. Large files go in parts, some at once; an upload that was interrupted goes on with the parts that S3 has
//! already, and one that was begun for other bytes is given up.
//!
//! Nothing is overwritten or deleted but what the plan saw: S3 is told its tag, or that there was nothing, and refuses where
//! that is no longer so.
//!
//! Sources: Amazon S3 User Guide, "Checking object integrity in Amazon S3": the SHA-256 of an object in parts is that of the
//! parts' SHA-256s one after the other, with `-` and their number behind it; "How to prevent object overwrites with conditional
//! writes"; "How to perform conditional deletes".

use crate::difference::{Action, Difference, Differences, Kind, Step};
use crate::error::{ApiError, Call, Error, Kind as Failure, call};
use crate::plan::in_the_way;
use crate::session::Session;
use crate::watch::Watch;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    ChecksumAlgorithm, ChecksumMode, CompletedMultipartUpload, CompletedPart, MultipartUpload, Part,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::{StreamExt, TryStreamExt};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tokio::io::{AsyncReadExt, AsyncSeekExt};

/// Files up to this size go in one request, and parts are of this size.
const PART: u64 = 16 << 20;
/// The metadata by which functions verify data (`stepgrad_contract::keys::SHA256`), and by which what `deploy` uploaded is known.
const TOLD: &str = "stepgrad-sha256";
/// Parts that an upload has at the most (S3 User Guide, "Amazon S3 multipart upload limits").
const PARTS: u64 = 10_000;
/// Parts on their way at once: each is held in memory.
const AT_ONCE: usize = 4;
/// How often a file is begun to be uploaded in parts at the most, where somebody else ends what was begun.
const UPLOADS: u32 = 3;
/// Codes of an upload that was completed or given up by somebody else, or has got parts from there.
const TAKEN: [&str; 2] = ["NoSuchUpload", "InvalidPart"];

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
    /// SHA-256 of each of its parts; of one alone, where it goes in one request.
    parts: Vec<[u8; 32]>,
}

impl Upload {
    /// Reads a file through once.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub async fn of(key: String, path: PathBuf) -> Result<Self, Error> {
        let failed = |error| Error::File { path: path.clone(), error };
        let mut file = open(&path).await?;
        let bytes = file.metadata().await.map_err(failed)?.len();
        let (mut digest, mut parts, mut buffer) = (Sha256::new(), Vec::new(), vec![0; 1 << 20]);
        let mut left = bytes;
        loop {
            let (mut part, mut of_part) = (Sha256::new(), left.min(part_bytes(bytes)));
            left -= of_part;
            while of_part > 0 {
                let room = usize::try_from(of_part).unwrap_or(usize::MAX).min(buffer.len());
                let read = file.read(buffer.get_mut(..room).unwrap_or_default()).await.map_err(failed)?;
                let content = buffer.get(..read).unwrap_or_default();
                if content.is_empty() {
                    return Err(changed(&path));
                }
                digest.update(content);
                part.update(content);
                of_part -= read as u64;
            }
            parts.push(part.finalize().into());
            if left == 0 {
                return Ok(Self { key, sha256: digest.finalize().into(), path, bytes, parts });
            }
        }
    }

    /// Whether it goes in one request, for which it is held in memory whole.
    pub(crate) const fn goes_at_once(&self) -> bool {
        self.bytes <= PART
    }

    /// What S3 tells of the object.
    fn checksum(&self) -> String {
        match self.parts.as_slice() {
            [_] => self.base64(),
            parts => format!("{}-{}", STANDARD.encode(Sha256::digest(parts.concat())), parts.len()),
        }
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

/// Bytes of each part but the last of a file of so many.
fn part_bytes(bytes: u64) -> u64 {
    PART.max(bytes.div_ceil(PARTS))
}

async fn open(path: &Path) -> Result<tokio::fs::File, Error> {
    tokio::fs::File::open(path).await.map_err(|error| Error::File { path: path.to_owned(), error })
}

/// An object as it is.
#[derive(Debug)]
pub(crate) struct Seen {
    checksum: Option<String>,
    bytes: Option<i64>,
    /// The SHA-256 that was written beside it.
    told: Option<String>,
    /// By which S3 knows it from what comes after it.
    tag: Option<String>,
}

/// What an object may take the place of.
#[derive(Debug, Clone)]
pub(crate) enum Over {
    /// Of nothing.
    Nothing,
    /// Of what was seen, by its tag.
    Seen(Option<String>),
    /// Of whatever is there.
    Anything,
}

impl Over {
    fn of(seen: Option<&Seen>) -> Self {
        seen.map_or(Self::Nothing, |seen| Self::Seen(seen.tag.clone()))
    }

    fn if_none_match(&self) -> Option<String> {
        matches!(self, Self::Nothing).then(|| "*".to_owned())
    }

    fn if_match(&self) -> Option<String> {
        if let Self::Seen(tag) = self { tag.clone() } else { None }
    }
}

impl Seen {
    /// Whether `deploy` put it there.
    pub(crate) const fn is_ours(&self) -> bool {
        self.told.is_some()
    }

    /// Whether it is what is wanted, whoever put it there.
    pub(crate) fn has_content(&self, wanted: &Upload) -> bool {
        content(wanted, self).0.is_empty()
    }
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
        let head = self.session.s3.head_object().bucket(self.name).key(key);
        let head = head.checksum_mode(ChecksumMode::Enabled).send().await;
        let seen = self.on("s3:HeadObject", key).needs("s3:GetObject").found(head)?;
        let seen = seen.map(|head| Seen {
            checksum: head.checksum_sha256().map(str::to_owned),
            bytes: head.content_length(),
            told: head.metadata().and_then(|all| all.get(TOLD)).cloned(),
            tag: head.e_tag().map(str::to_owned),
        });
        Ok(seen)
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

    /// Deletes an object that was seen; that it is gone already is fine.
    pub(crate) async fn delete(&self, key: &str, seen: Option<&Seen>) -> Result<(), Error> {
        let delete = self.session.s3.delete_object().bucket(self.name).key(key);
        let deleted = delete.set_if_match(Over::of(seen).if_match()).send().await;
        match self.on("s3:DeleteObject", key).found(deleted) {
            Err(Error::Api(error)) if is_met(&error) => self.met(key, self.look(key).await?.as_ref()),
            ended => ended.map(drop),
        }
    }

    /// Puts a file where it is to be, in place of what was `seen`.
    ///
    /// # Errors
    /// Where something else is there by now: [`Error::Foreign`] where `deploy` did not put it there.
    pub(crate) async fn upload(
        &self,
        upload: &Upload,
        seen: Option<&Seen>,
        watch: &dyn Watch,
    ) -> Result<(), Error> {
        let over = Over::of(seen);
        let ended = if upload.goes_at_once() {
            self.at_once(upload, over, watch).await
        } else {
            self.in_parts(upload, over, watch).await
        };
        match ended {
            Err(Error::Api(error)) if is_met(&error) => match self.look(&upload.key).await? {
                // The answer to an earlier attempt was lost, or another deployment uploaded the same.
                Some(now) if compare(upload, &now).is_empty() => Ok(()),
                now => self.met(&upload.key, now.as_ref()),
            },
            ended => ended,
        }
    }

    /// What there is to say where an object is no longer what the plan saw.
    fn met(&self, key: &str, now: Option<&Seen>) -> Result<(), Error> {
        if now.is_some_and(|now| !now.is_ours()) {
            return Err(Error::Foreign(vec![in_the_way(&Step::new(Kind::Object, key, Action::Foreign))]));
        }
        let reason = "it has changed since it was looked at, so another deployment is under way; run this one again when that has ended";
        Err(Error::Broken { what: format!("the object {key}"), reason: reason.to_owned() })
    }

    async fn at_once(&self, upload: &Upload, over: Over, watch: &dyn Watch) -> Result<(), Error> {
        let content = part(&upload.path, 0, upload.bytes).await?;
        if Sha256::digest(&content)[..] != upload.sha256 {
            return Err(changed(&upload.path));
        }
        self.put(&upload.key, content, Some(upload.hex()), over).await?;
        watch.sent(&upload.key, upload.bytes, upload.bytes);
        Ok(())
    }

    /// Puts an object; S3 verifies its checksum, and functions the SHA-256 that it is `told` with.
    pub(crate) async fn put(
        &self,
        key: &str,
        content: Vec<u8>,
        told: Option<String>,
        over: Over,
    ) -> Result<(), Error> {
        let checksum = STANDARD.encode(Sha256::digest(&content));
        let settings = self.session.sending(content.len() as u64);
        let mut put = self.session.s3.put_object().bucket(self.name).key(key).checksum_sha256(checksum);
        put = put.set_if_none_match(over.if_none_match()).set_if_match(over.if_match());
        if let Some(told) = told {
            put = put.metadata(TOLD, told);
        }
        let sent = put.body(ByteStream::from(content)).customize().config_override(settings).send().await;
        self.on("s3:PutObject", key).ok(sent).map(drop)
    }

    async fn in_parts(&self, upload: &Upload, mut over: Over, watch: &dyn Watch) -> Result<(), Error> {
        let mut begun = self.begun(upload).await;
        for _ in 0..UPLOADS {
            let ended = async {
                match begun? {
                    Some((id, there)) => Ok((self.send(upload, &id, &there, &over, watch).await?, true)),
                    None => {
                        let id = self.begin(upload).await?;
                        Ok((self.send(upload, &id, &BTreeMap::new(), &over, watch).await?, false))
                    }
                }
            };
            match ended.await {
                // What was gone on with may have been begun for another file that begins likewise, and tells of that one.
                Ok((_, gone_on)) if !gone_on || self.is_there(upload).await? => return Ok(()),
                Ok((tag, _)) => over = Over::Seen(tag),
                // The answer to an earlier attempt was lost, or another deployment uploads the same.
                Err(Error::Api(error)) if is_taken(&error) => {
                    if self.is_there(upload).await? {
                        return Ok(());
                    }
                }
                Err(error) => return Err(error),
            }
            // What is begun now may be the other one's.
            begun = Ok(None);
        }
        let reason = format!(
            "{UPLOADS} uploads were ended by somebody else: another deployment uploads to it at the same time; run this one again when that has ended"
        );
        Err(Error::Broken { what: format!("the object {}", upload.key), reason })
    }

    async fn is_there(&self, upload: &Upload) -> Result<bool, Error> {
        Ok(self.look(&upload.key).await?.is_some_and(|seen| compare(upload, &seen).is_empty()))
    }

    /// Begins an upload in parts, and gives its id.
    async fn begin(&self, upload: &Upload) -> Result<String, Error> {
        let create = self.session.s3.create_multipart_upload().bucket(self.name).key(&upload.key);
        let create = create.checksum_algorithm(ChecksumAlgorithm::Sha256).metadata(TOLD, upload.hex());
        let asked = self.on("s3:CreateMultipartUpload", &upload.key).needs("s3:PutObject");
        Ok(asked.ok(create.send().await)?.upload_id().unwrap_or_default().to_owned())
    }

    /// Sends the parts that are not `there`, and makes an object of all; gives its tag.
    async fn send(
        &self,
        upload: &Upload,
        id: &str,
        there: &BTreeMap<i32, String>,
        over: &Over,
        watch: &dyn Watch,
    ) -> Result<Option<String>, Error> {
        let (key, s3) = (upload.key.as_str(), &self.session.s3);
        let size = part_bytes(upload.bytes);
        let sent = std::sync::atomic::AtomicU64::new(0);
        let send = |(place, digest): (u64, [u8; 32])| {
            let (sent, checksum) = (&sent, STANDARD.encode(digest));
            async move {
                let from = place * size;
                let bytes = size.min(upload.bytes - from);
                let number = number(place);
                let part = CompletedPart::builder().part_number(number).checksum_sha256(&checksum);
                let etag = match there.get(&number) {
                    Some(etag) => etag.clone(),
                    None => {
                        let content = self::part(&upload.path, from, bytes).await?;
                        if Sha256::digest(&content)[..] != digest[..] {
                            return Err(changed(&upload.path));
                        }
                        let put =
                            s3.upload_part().bucket(self.name).key(key).upload_id(id).part_number(number);
                        let put = put.checksum_sha256(&checksum).body(ByteStream::from(content));
                        let put = put.customize().config_override(self.session.sending(bytes)).send().await;
                        let put = self.on("s3:UploadPart", key).needs("s3:PutObject").ok(put)?;
                        put.e_tag().unwrap_or_default().to_owned()
                    }
                };
                let all = sent.fetch_add(bytes, std::sync::atomic::Ordering::Relaxed) + bytes;
                watch.sent(key, all, upload.bytes);
                Ok::<_, Error>(part.e_tag(etag).build())
            }
        };
        let parts: Vec<_> = futures::stream::iter((0..).zip(upload.parts.iter().copied()).map(send))
            .buffered(AT_ONCE)
            .try_collect()
            .await?;
        let all = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        let complete = s3.complete_multipart_upload().bucket(self.name).key(key).upload_id(id);
        let complete = complete.set_if_none_match(over.if_none_match()).set_if_match(over.if_match());
        let completed = complete.multipart_upload(all).send().await;
        let completed = self.on("s3:CompleteMultipartUpload", key).needs("s3:PutObject").ok(completed)?;
        Ok(completed.e_tag().map(str::to_owned))
    }

    /// An upload of these bytes that was begun and not completed: its id, and the tags of the parts that are there. Those of other
    /// bytes are given up.
    async fn begun(&self, upload: &Upload) -> Result<Option<(String, BTreeMap<i32, String>)>, Error> {
        let (key, s3) = (upload.key.as_str(), &self.session.s3);
        let asked = self.on("s3:ListMultipartUploads", key).needs("s3:ListBucketMultipartUploads");
        let listed = asked.ok(s3.list_multipart_uploads().bucket(self.name).prefix(key).send().await)?;
        let mut found = None;
        for begun in listed.uploads().iter().filter(|begun| begun.key() == Some(key)) {
            let Some(id) = begun.upload_id() else { continue };
            let there =
                if found.is_none() && is_checked(begun) { self.parts(upload, id).await? } else { None };
            match there {
                Some(there) if !there.is_empty() => found = Some((id.to_owned(), there)),
                // With no part it saves nothing, and whose SHA-256 it tells nobody knows.
                _ => {
                    let given_up =
                        s3.abort_multipart_upload().bucket(self.name).key(key).upload_id(id).send().await;
                    let _ = self.on("s3:AbortMultipartUpload", key).found(given_up)?;
                }
            }
        }
        Ok(found)
    }

    /// The tags of the parts of an upload, if each is one of these bytes.
    async fn parts(&self, upload: &Upload, id: &str) -> Result<Option<BTreeMap<i32, String>>, Error> {
        let asked = self.on("s3:ListParts", &upload.key).needs("s3:ListMultipartUploadParts");
        let list = self.session.s3.list_parts().bucket(self.name).key(&upload.key).upload_id(id);
        let mut pages = list.into_paginator().send();
        let mut there = BTreeMap::new();
        while let Some(page) = pages.next().await {
            for part in asked.ok(page)?.parts() {
                let (Some(number), Some(tag), true) = (part.part_number(), part.e_tag(), upload.has(part))
                else {
                    return Ok(None);
                };
                there.insert(number, tag.to_owned());
            }
        }
        Ok(Some(there))
    }
}

impl Upload {
    /// Whether a part that S3 has is one of this file.
    fn has(&self, part: &Part) -> bool {
        let place = part.part_number().and_then(|number| usize::try_from(number).ok()?.checked_sub(1));
        let own = place.and_then(|place| self.parts.get(place)).map(|digest| STANDARD.encode(digest));
        own.is_some() && own.as_deref() == part.checksum_sha256()
    }
}

/// Whether S3 takes our checksums for the parts of an upload; where it does not tell, the parts do.
fn is_checked(begun: &MultipartUpload) -> bool {
    begun.checksum_algorithm().is_none_or(|algorithm| *algorithm == ChecksumAlgorithm::Sha256)
}

/// Whether somebody else has ended an upload, or sent parts to it.
fn is_taken(error: &ApiError) -> bool {
    error.code.as_deref().is_some_and(|code| TAKEN.contains(&code))
}

/// Whether an object was no longer what it was to take the place of.
fn is_met(error: &ApiError) -> bool {
    error.kind == Failure::Conflict || error.code.as_deref() == Some("NoSuchKey")
}

/// Parts are counted from 1.
fn number(place: u64) -> i32 {
    i32::try_from(place + 1).unwrap_or(i32::MAX)
}

fn changed(path: &Path) -> Error {
    Error::Desired(format!("{} has changed while it was read: run the same command again", path.display()))
}

async fn part(path: &Path, from: u64, length: u64) -> Result<Vec<u8>, Error> {
    let failed = |error| Error::File { path: path.to_owned(), error };
    let mut file = open(path).await?;
    file.seek(std::io::SeekFrom::Start(from)).await.map_err(failed)?;
    let mut content = Vec::new();
    file.take(length).read_to_end(&mut content).await.map_err(failed)?;
    Ok(content)
}

fn content(wanted: &Upload, seen: &Seen) -> Differences {
    let mut differences = Differences::default();
    let is = seen.checksum.as_deref().unwrap_or("unknown");
    differences.field("checksum", is, &wanted.checksum());
    let bytes = seen.bytes.unwrap_or_default().to_string();
    differences.field("bytes", &bytes, &wanted.bytes.to_string());
    differences
}

pub(crate) fn compare(wanted: &Upload, seen: &Seen) -> Vec<Difference> {
    let mut differences = content(wanted, seen);
    if differences.0.is_empty() {
        differences.field(TOLD, seen.told.as_deref().unwrap_or("none"), &wanted.hex());
    }
    differences.0
}

#[cfg(test)]
mod tests {
    use super::{PART, Part, Seen, Upload, changed, compare, part_bytes};
    use std::path::PathBuf;

    async fn upload(content: &[u8]) -> (tempfile::NamedTempFile, Upload) {
        let file = tempfile::NamedTempFile::new().unwrap();
        tokio::fs::write(file.path(), content).await.unwrap();
        let upload = Upload::of("data/x".to_owned(), file.path().to_owned()).await.unwrap();
        (file, upload)
    }

    #[tokio::test]
    async fn a_small_file_is_known_by_its_digest_and_a_large_one_by_those_of_its_parts() {
        let seen = |checksum: &str, bytes, of: &Upload| Seen {
            checksum: Some(checksum.to_owned()),
            bytes: Some(bytes),
            told: Some(of.hex()),
            tag: None,
        };
        let (_file, small) = upload(b"").await;
        // printf '' | openssl dgst -sha256 -binary | base64
        let empty = seen("47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=", 0, &small);
        assert_eq!(compare(&small, &empty), []);
        // What nothing is written beside is somebody else's, also where it is the same.
        let other = Seen { told: None, ..empty };
        assert!(!other.is_ours() && other.has_content(&small));
        let [difference] = &compare(&small, &other)[..] else { panic!("what was told is looked at") };
        assert_eq!((difference.what.as_str(), difference.from.as_str()), ("stepgrad-sha256", "none"));

        let size = usize::try_from(PART).unwrap();
        let mut content = vec![0; size + 1];
        let (_file, large) = upload(&content).await;
        // (head -c 16777216 /dev/zero | openssl dgst -sha256 -binary; head -c 1 /dev/zero | openssl dgst -sha256 -binary) |
        // openssl dgst -sha256 -binary | base64
        let zeros = "lGPP0n+q9EzfEX3WRbblOuytk8fVTXeREv3GfJkPUZc=-2";
        let zeros = seen(zeros, i64::try_from(size).unwrap() + 1, &large);
        assert_eq!(compare(&large, &zeros), []);
        let first = Part::builder()
            .part_number(1)
            .checksum_sha256("CArPNaUHrJhJz8ukfcKtg+AbdWY6UWJ5yLnSQ7cZZD4=")
            .build();
        let last = Part::builder()
            .part_number(2)
            .checksum_sha256("bjQLnP+zepicpUTmu3gKLHiQHT+zNzh2hRGjBhevoB0=")
            .build();
        assert!(large.has(&first) && large.has(&last));

        content[size] = 1;
        let (_file, other) = upload(&content).await;
        assert_eq!(compare(&other, &zeros).len(), 1);
        assert!(other.has(&first) && !other.has(&last), "only the last part is another");
        for part in [Part::builder().part_number(3), Part::builder().part_number(0), Part::builder()] {
            assert!(
                !large.has(&part.checksum_sha256("CArPNaUHrJhJz8ukfcKtg+AbdWY6UWJ5yLnSQ7cZZD4=").build())
            );
        }
        assert!(!large.has(&Part::builder().part_number(1).build()));
    }

    #[test]
    fn the_largest_object_has_no_more_parts_than_there_may_be() {
        assert_eq!(part_bytes(1), PART);
        let largest = 5_u64 << 40;
        assert_eq!(largest.div_ceil(part_bytes(largest)), 10_000);
        assert!(changed(&PathBuf::from("x")).to_string().contains("x has changed"));
    }
}
