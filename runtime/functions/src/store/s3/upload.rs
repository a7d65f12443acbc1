//! Writes. An object is made by one call, or, where it is large, by an upload of parts that are sent several at a time and
//! become an object at the end or never. Both leave an object alone that is there, where they are asked to.
//!
//! An upload that nobody ends (its writer was killed) is no object, and is deleted by the bucket's lifecycle rule
//! (`AbortIncompleteMultipartUpload`).

use super::S3;
use super::failure::{Action, code, status};
use crate::store::Existing;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart};
use bytes::{Bytes, BytesMut};
use futures::{StreamExt, TryStreamExt};
use object_store::PutPayload;
use object_store::path::Path;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;
use stepgrad_contract::{ErrorKind, FunctionError};

/// What an upload's parts have, and what is written by one call at the most: S3 takes parts from 5 MiB, 10,000 of them (AWS page
/// "Amazon S3 multipart upload limits").
pub(super) const PART: usize = 16 << 20;
/// Parts under way at a time: so much is held twice.
const PARTS: usize = 4;
/// Times that a write is made which S3 says another one was in the way of.
const CONFLICTS: u32 = 6;
/// Before the second of them; it doubles.
const PAUSE: Duration = Duration::from_millis(50);

/// What became of a write.
enum Outcome {
    Written,
    /// There is an object, and it stays.
    Taken,
    /// Another write of the key was under way: it has to be made again.
    Conflict,
}

impl S3 {
    /// Writes an object; gives `false` where one is there and stays.
    pub(in crate::store) async fn put(
        &self,
        key: &Path,
        content: &PutPayload,
        existing: Existing,
    ) -> Result<bool, FunctionError> {
        let key = self.key(key);
        for conflict in 0..CONFLICTS {
            let outcome = match content.content_length() <= PART {
                true => self.put_whole(&key, content, existing).await?,
                false => self.put_parts(&key, content, existing).await?,
            };
            match outcome {
                Outcome::Written => return Ok(true),
                Outcome::Taken => return Ok(false),
                Outcome::Conflict => tokio::time::sleep(pause(conflict)).await,
            }
        }
        let message = format!(
            "cannot write object {key} of bucket {}: another write of it was in the way {CONFLICTS} times",
            self.bucket
        );
        Err(FunctionError::new(ErrorKind::ObjectUnavailable, message))
    }

    async fn put_whole(
        &self,
        key: &str,
        content: &PutPayload,
        existing: Existing,
    ) -> Result<Outcome, FunctionError> {
        let request = self
            .client
            .put_object()
            .bucket(&self.bucket)
            .key(key)
            .set_if_none_match(condition(existing))
            .checksum_algorithm(ChecksumAlgorithm::Crc32)
            .set_server_side_encryption(self.encryption.kind.clone())
            .set_ssekms_key_id(self.encryption.key.clone())
            .body(ByteStream::from(Bytes::from(content.clone())));
        self.outcome(key, existing, request.send().await)
    }

    async fn put_parts(
        &self,
        key: &str,
        content: &PutPayload,
        existing: Existing,
    ) -> Result<Outcome, FunctionError> {
        let upload = self.begin(key).await?;
        let parts = futures::stream::iter(parts(content).into_iter().zip(1..))
            .map(|(part, number)| self.part(key, &upload, number, part))
            .buffered(PARTS)
            .try_collect()
            .await;
        let ended = match parts {
            Ok(parts) => self.complete(key, &upload, parts, existing).await,
            Err(error) => Err(error),
        };
        if !matches!(ended, Ok(Outcome::Written)) {
            // What is not deleted here is by the bucket's lifecycle rule.
            let aborted =
                self.client.abort_multipart_upload().bucket(&self.bucket).key(key).upload_id(upload);
            drop(aborted.send().await);
        }
        ended
    }

    /// Begins a write that is never completed.
    pub(in crate::store) async fn stage(&self, key: &Path, bytes: Bytes) -> Result<(), FunctionError> {
        let key = self.key(key);
        let upload = self.begin(&key).await?;
        self.part(&key, &upload, 1, vec![bytes]).await.map(drop)
    }

    async fn begin(&self, key: &str) -> Result<String, FunctionError> {
        let request = self
            .client
            .create_multipart_upload()
            .bucket(&self.bucket)
            .key(key)
            .checksum_algorithm(ChecksumAlgorithm::Crc32)
            .set_server_side_encryption(self.encryption.kind.clone())
            .set_ssekms_key_id(self.encryption.key.clone());
        let reply = request.send().await;
        let reply = reply.map_err(|error| self.place(key).failed(Action::Write, &error))?;
        reply.upload_id.ok_or_else(|| {
            let message =
                format!("cannot write object {key} of bucket {}: the server gave no upload id", self.bucket);
            FunctionError::new(ErrorKind::ObjectUnavailable, message)
        })
    }

    async fn part(
        &self,
        key: &str,
        upload: &str,
        number: i32,
        part: Vec<Bytes>,
    ) -> Result<CompletedPart, FunctionError> {
        let request = self
            .client
            .upload_part()
            .bucket(&self.bucket)
            .key(key)
            .upload_id(upload)
            .part_number(number)
            .checksum_algorithm(ChecksumAlgorithm::Crc32)
            .body(ByteStream::from(one(part)));
        let sent = request.send().await;
        let sent = sent.map_err(|error| self.place(key).failed(Action::Write, &error))?;
        Ok(CompletedPart::builder()
            .part_number(number)
            .set_e_tag(sent.e_tag)
            .set_checksum_crc32(sent.checksum_crc32)
            .build())
    }

    async fn complete(
        &self,
        key: &str,
        upload: &str,
        parts: Vec<CompletedPart>,
        existing: Existing,
    ) -> Result<Outcome, FunctionError> {
        let request = self
            .client
            .complete_multipart_upload()
            .bucket(&self.bucket)
            .key(key)
            .upload_id(upload)
            .set_if_none_match(condition(existing))
            .multipart_upload(CompletedMultipartUpload::builder().set_parts(Some(parts)).build());
        let reply = request.send().await;
        match &reply {
            // An earlier attempt of the same call may have made the object, and its answer was lost: whoever finds a key
            // taken compares the bytes.
            Err(error) if existing == Existing::Stays && code(error) == Some("NoSuchUpload") => {
                Ok(Outcome::Taken)
            }
            _ => self.outcome(key, existing, reply),
        }
    }

    /// What the end of a write means.
    fn outcome<T, E>(
        &self,
        key: &str,
        existing: Existing,
        reply: Result<T, SdkError<E, HttpResponse>>,
    ) -> Result<Outcome, FunctionError>
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        match reply {
            Ok(_) => Ok(Outcome::Written),
            Err(error) if existing == Existing::Stays && status(&error) == 412 => Ok(Outcome::Taken),
            Err(error) if matches!(code(&error), Some("ConditionalRequestConflict" | "OperationAborted")) => {
                Ok(Outcome::Conflict)
            }
            Err(error) => Err(self.place(key).failed(Action::Write, &error)),
        }
    }
}

fn condition(existing: Existing) -> Option<String> {
    (existing == Existing::Stays).then(|| "*".to_owned())
}

/// The content by parts of [`PART`] bytes, uncopied.
fn parts(content: &PutPayload) -> Vec<Vec<Bytes>> {
    let (mut parts, mut part, mut room) = (Vec::new(), Vec::new(), PART);
    for bytes in content.iter() {
        let mut rest = bytes.clone();
        while !rest.is_empty() {
            let piece = rest.split_to(rest.len().min(room));
            room -= piece.len();
            part.push(piece);
            if room == 0 {
                parts.push(std::mem::take(&mut part));
                room = PART;
            }
        }
    }
    if !part.is_empty() {
        parts.push(part);
    }
    parts
}

/// The pieces of a part as one; copied where there are several.
fn one(mut pieces: Vec<Bytes>) -> Bytes {
    if pieces.len() == 1 {
        return pieces.pop().unwrap_or_default();
    }
    let mut whole = BytesMut::with_capacity(pieces.iter().map(Bytes::len).sum());
    for piece in pieces {
        whole.extend_from_slice(&piece);
    }
    whole.freeze()
}

/// Between half and all of a time that doubles: writers that met once should not meet again.
fn pause(conflict: u32) -> Duration {
    let longest = PAUSE * 2_u32.pow(conflict.min(8));
    let share = RandomState::new().build_hasher().finish() % 1_000;
    longest / 2 + longest / 2 * u32::try_from(share).unwrap_or_default() / 1_000
}

#[cfg(test)]
mod tests {
    use super::{PART, one, parts, pause};
    use bytes::Bytes;
    use object_store::PutPayload;

    #[test]
    fn parts_are_the_content_in_order() {
        let pieces = [3, PART - 3, 2 * PART + 7, 0, 9].map(|length| Bytes::from(vec![length as u8; length]));
        let content: PutPayload = pieces.iter().cloned().collect();
        let parts: Vec<Bytes> = parts(&content).into_iter().map(one).collect();
        assert_eq!(parts.iter().map(Bytes::len).collect::<Vec<_>>(), [PART, PART, PART, 16]);
        assert!(parts.concat() == pieces.concat());
    }

    #[test]
    fn pauses_double_and_differ() {
        for conflict in 0..6 {
            let longest = super::PAUSE * 2_u32.pow(conflict);
            assert!((0..100).all(|_| (longest / 2..=longest).contains(&pause(conflict))));
        }
        assert!((0..100).any(|_| pause(3) != pause(3)));
    }
}
