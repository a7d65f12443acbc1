//! The deployment's bucket.

use crate::difference::{Difference, Differences, Tags, ours};
use crate::error::{Call, Error, Kind, call};
use crate::patience::{Patience, STATE};
use crate::session::Session;
use aws_sdk_s3::types::{
    AbortIncompleteMultipartUpload, BucketLifecycleConfiguration, BucketLocationConstraint,
    CreateBucketConfiguration, Delete, ExpirationStatus, LifecycleExpiration, LifecycleRule as Rule,
    LifecycleRuleFilter, ObjectIdentifier, PublicAccessBlockConfiguration, ServerSideEncryption,
    ServerSideEncryptionByDefault, ServerSideEncryptionConfiguration, ServerSideEncryptionRule, Tag, Tagging,
};
use serde_json::Value;
use stepgrad_compiler::aws::{Bucket, Encryption, LifecycleRule};

/// The region whose name a bucket's place must not be given by (S3 API Reference, `CreateBucket`).
const DEFAULT_REGION: &str = "us-east-1";

/// The bucket as it is.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) tags: Tags,
    encryption: Option<Encryption>,
    private: bool,
    policy: Option<Value>,
    lifecycle: Vec<LifecycleRule>,
}

impl Session {
    pub(crate) fn bucket_arn(&self, name: &str) -> String {
        format!("arn:{}:s3:::{name}", self.place.partition)
    }
}

fn on(session: &Session, api: &'static str, name: &str) -> Call {
    call(api, session.bucket_arn(name))
}

/// What a name of a bucket stands for.
#[derive(Debug)]
pub(crate) enum Found {
    /// Nothing.
    Nothing,
    /// Somebody else's bucket, at which this caller must not look.
    Hidden,
    /// A bucket of this account.
    Seen(Box<Seen>),
}

pub(crate) async fn look(session: &Session, name: &str) -> Result<Found, Error> {
    let head = session.s3.head_bucket().bucket(name).expected_bucket_owner(&session.place.account);
    match head.send().await {
        Ok(_) => {}
        Err(error) => {
            let failed = on(session, "s3:HeadBucket", name).needs("s3:ListBucket").failed(&error);
            return match failed.kind {
                Kind::Absent => Ok(Found::Nothing),
                // No body comes with it: not ours, or no permission to look.
                Kind::Denied => Ok(Found::Hidden),
                _ => Err(failed.into()),
            };
        }
    }
    let s3 = &session.s3;
    let asked = on(session, "s3:GetBucketTagging", name);
    let tags = asked.found(s3.get_bucket_tagging().bucket(name).send().await)?;
    let asked = on(session, "s3:GetBucketEncryption", name).needs("s3:GetEncryptionConfiguration");
    let encryption = asked.found(s3.get_bucket_encryption().bucket(name).send().await)?;
    let asked = on(session, "s3:GetPublicAccessBlock", name).needs("s3:GetBucketPublicAccessBlock");
    let private = asked.found(s3.get_public_access_block().bucket(name).send().await)?;
    let asked = on(session, "s3:GetBucketPolicy", name);
    let policy = asked.found(s3.get_bucket_policy().bucket(name).send().await)?;
    let asked = on(session, "s3:GetBucketLifecycleConfiguration", name).needs("s3:GetLifecycleConfiguration");
    let lifecycle = asked.found(s3.get_bucket_lifecycle_configuration().bucket(name).send().await)?;
    let tag = |tag: &Tag| (tag.key().to_owned(), tag.value().to_owned());
    Ok(Found::Seen(Box::new(Seen {
        tags: tags.map(|tags| tags.tag_set().iter().map(tag).collect()).unwrap_or_default(),
        encryption: encryption
            .as_ref()
            .and_then(|answer| answer.server_side_encryption_configuration())
            .and_then(encryption_of),
        private: private
            .and_then(|answer| answer.public_access_block_configuration)
            .is_some_and(|block| is_private(&block)),
        policy: policy.and_then(|answer| serde_json::from_str(answer.policy()?).ok()),
        lifecycle: lifecycle.map(|answer| answer.rules().iter().map(rule_of).collect()).unwrap_or_default(),
    })))
}

fn encryption_of(configuration: &ServerSideEncryptionConfiguration) -> Option<Encryption> {
    let applied = configuration.rules().first()?.apply_server_side_encryption_by_default()?;
    match applied.sse_algorithm() {
        ServerSideEncryption::Aes256 => Some(Encryption::S3),
        ServerSideEncryption::AwsKms => {
            Some(Encryption::Kms { key: applied.kms_master_key_id().unwrap_or_default().to_owned() })
        }
        _ => None,
    }
}

fn is_private(block: &PublicAccessBlockConfiguration) -> bool {
    [
        block.block_public_acls(),
        block.ignore_public_acls(),
        block.block_public_policy(),
        block.restrict_public_buckets(),
    ]
    .iter()
    .all(|on| *on == Some(true))
}

fn rule_of(rule: &Rule) -> LifecycleRule {
    // A rule that somebody has disabled does nothing.
    let enabled = *rule.status() == ExpirationStatus::Enabled;
    let days = |days: Option<i32>| days.filter(|_| enabled).and_then(|days| u32::try_from(days).ok());
    LifecycleRule {
        id: rule.id().unwrap_or_default().to_owned(),
        prefix: rule.filter().and_then(LifecycleRuleFilter::prefix).unwrap_or_default().to_owned(),
        expire_days: days(rule.expiration().and_then(LifecycleExpiration::days)),
        abort_upload_days: days(
            rule.abort_incomplete_multipart_upload()
                .and_then(AbortIncompleteMultipartUpload::days_after_initiation),
        ),
    }
}

fn shown(encryption: Option<&Encryption>) -> String {
    match encryption {
        None => "none".to_owned(),
        Some(Encryption::S3) => "S3's keys".to_owned(),
        Some(Encryption::Kms { key }) => key.clone(),
    }
}

fn value(bucket: &Bucket) -> Value {
    // Serialising it cannot fail: all keys are strings.
    serde_json::to_value(&bucket.policy).unwrap_or_default()
}

pub(crate) fn compare(wanted: &Bucket, tags: &Tags, seen: &Seen) -> Vec<Difference> {
    let mut differences = Differences::default();
    differences.field("encryption", &shown(seen.encryption.as_ref()), &shown(Some(&wanted.encryption)));
    let private = |on: bool| if on { "blocked" } else { "possible" };
    differences.field("public access", private(seen.private), private(wanted.block_public_access));
    differences.policy("policy", seen.policy.as_ref(), &value(wanted));
    if seen.lifecycle != wanted.lifecycle {
        let shown = |rules: &[LifecycleRule]| {
            let ids: Vec<_> = rules.iter().map(|rule| rule.id.as_str()).collect();
            if ids.is_empty() { "none".to_owned() } else { ids.join(", ") }
        };
        differences.push("lifecycle", &shown(&seen.lifecycle), &shown(&wanted.lifecycle));
    }
    differences.tags(&seen.tags, tags);
    differences.0
}

fn built<T>(result: Result<T, aws_sdk_s3::error::BuildError>) -> Result<T, Error> {
    result.map_err(|error| Error::Desired(error.to_string()))
}

fn to_tags(tags: &Tags) -> Result<Vec<Tag>, Error> {
    tags.iter().map(|(key, value)| built(Tag::builder().key(key).value(value).build())).collect()
}

pub(crate) async fn apply(
    session: &Session,
    name: &str,
    wanted: &Bucket,
    tags: &Tags,
    seen: Option<&Seen>,
) -> Result<(), Error> {
    let s3 = &session.s3;
    match seen {
        None => {
            // With its tags at once: a bucket without would be nobody's.
            let region = session.place.region.as_str();
            let place = (region != DEFAULT_REGION).then(|| BucketLocationConstraint::from(region));
            let configuration = CreateBucketConfiguration::builder()
                .set_location_constraint(place)
                .set_tags(Some(to_tags(tags)?))
                .build();
            let created =
                s3.create_bucket().bucket(name).create_bucket_configuration(configuration).send().await;
            // With tags it takes both permissions.
            on(session, "s3:CreateBucket", name).needs("s3:CreateBucket and s3:TagResource").ok(created)?;
        }
        Some(seen) if !ours(&seen.tags, tags) => {
            // The call replaces all tags; others stay.
            let mut all = seen.tags.clone();
            all.extend(tags.clone());
            let tagging = built(Tagging::builder().set_tag_set(Some(to_tags(&all)?)).build())?;
            let tagged = s3.put_bucket_tagging().bucket(name).tagging(tagging).send().await;
            on(session, "s3:PutBucketTagging", name).ok(tagged)?;
        }
        Some(_) => {}
    }
    if seen.is_none_or(|seen| !seen.private) && wanted.block_public_access {
        let all = PublicAccessBlockConfiguration::builder()
            .block_public_acls(true)
            .ignore_public_acls(true)
            .block_public_policy(true)
            .restrict_public_buckets(true)
            .build();
        let put =
            s3.put_public_access_block().bucket(name).public_access_block_configuration(all).send().await;
        on(session, "s3:PutPublicAccessBlock", name).needs("s3:PutBucketPublicAccessBlock").ok(put)?;
    }
    if seen.is_none_or(|seen| seen.encryption.as_ref() != Some(&wanted.encryption)) {
        let put = s3.put_bucket_encryption().bucket(name);
        let put = put.server_side_encryption_configuration(encryption(&wanted.encryption)?).send().await;
        on(session, "s3:PutBucketEncryption", name).needs("s3:PutEncryptionConfiguration").ok(put)?;
    }
    let policy = value(wanted);
    let mut differences = Differences::default();
    differences.policy("", seen.and_then(|seen| seen.policy.as_ref()), &policy);
    if !differences.0.is_empty() {
        let put = s3.put_bucket_policy().bucket(name).policy(policy.to_string()).send().await;
        on(session, "s3:PutBucketPolicy", name).ok(put)?;
    }
    if seen.is_none_or(|seen| seen.lifecycle != wanted.lifecycle) {
        let rules = wanted.lifecycle.iter().map(rule).collect::<Result<_, _>>()?;
        let configuration = built(BucketLifecycleConfiguration::builder().set_rules(Some(rules)).build())?;
        let put = s3.put_bucket_lifecycle_configuration().bucket(name);
        let put = put.lifecycle_configuration(configuration).send().await;
        on(session, "s3:PutBucketLifecycleConfiguration", name)
            .needs("s3:PutLifecycleConfiguration")
            .ok(put)?;
    }
    Ok(())
}

/// What ends a loop in which nothing goes on.
fn kept(name: &str, what: &str) -> Error {
    Error::Broken { what: format!("the bucket {name}"), reason: format!("it still holds {what}") }
}

fn encryption(wanted: &Encryption) -> Result<ServerSideEncryptionConfiguration, Error> {
    let by = ServerSideEncryptionByDefault::builder();
    let by = match wanted {
        Encryption::S3 => by.sse_algorithm(ServerSideEncryption::Aes256),
        Encryption::Kms { key } => by.sse_algorithm(ServerSideEncryption::AwsKms).kms_master_key_id(key),
    };
    let rule = ServerSideEncryptionRule::builder()
        .apply_server_side_encryption_by_default(built(by.build())?)
        .bucket_key_enabled(matches!(wanted, Encryption::Kms { .. }))
        .build();
    built(ServerSideEncryptionConfiguration::builder().rules(rule).build())
}

fn rule(wanted: &LifecycleRule) -> Result<Rule, Error> {
    let days = |days: u32| i32::try_from(days).unwrap_or(i32::MAX);
    let expiration = wanted.expire_days.map(|count| LifecycleExpiration::builder().days(days(count)).build());
    let abort = wanted
        .abort_upload_days
        .map(|count| AbortIncompleteMultipartUpload::builder().days_after_initiation(days(count)).build());
    let rule = Rule::builder()
        .id(&wanted.id)
        .filter(LifecycleRuleFilter::builder().prefix(&wanted.prefix).build())
        .status(ExpirationStatus::Enabled)
        .set_expiration(expiration)
        .set_abort_incomplete_multipart_upload(abort);
    built(rule.build())
}

/// Deletes the bucket with everything in it: objects, their versions, and uploads that were never completed. Gives how
/// many objects there were.
pub(crate) async fn delete(session: &Session, name: &str) -> Result<u64, Error> {
    let mut patience = Patience::of(STATE);
    let mut removed = 0;
    loop {
        removed += empty(session, name).await?;
        let deleted = session.s3.delete_bucket().bucket(name).send().await;
        match on(session, "s3:DeleteBucket", name).found(deleted) {
            // A call of a function that was not over yet has written something.
            Err(Error::Api(error)) if error.kind == Kind::Conflict && patience.wait().await => {}
            ended => return ended.map(|_| removed),
        }
    }
}

/// Deletes what is in the bucket.
async fn empty(session: &Session, name: &str) -> Result<u64, Error> {
    let s3 = &session.s3;
    let asked = on(session, "s3:ListMultipartUploads", name).needs("s3:ListBucketMultipartUploads");
    let mut first: Option<String> = None;
    loop {
        // The first page each time: what was on it is gone by then.
        let Some(page) = asked.found(s3.list_multipart_uploads().bucket(name).send().await)? else {
            return Ok(0);
        };
        let Some(now) = page.uploads().first() else { break };
        let now = now.upload_id().unwrap_or_default().to_owned();
        if first.replace(now.clone()) == Some(now) {
            return Err(kept(name, "an upload that was given up"));
        }
        for upload in page.uploads() {
            let (key, id) = (upload.key().unwrap_or_default(), upload.upload_id().unwrap_or_default());
            let aborted = s3.abort_multipart_upload().bucket(name).key(key).upload_id(id).send().await;
            // One that is gone was given up by an earlier attempt.
            on(session, "s3:AbortMultipartUpload", name).found(aborted)?;
        }
    }
    let versioning = s3.get_bucket_versioning().bucket(name).send().await;
    let Some(versioning) = on(session, "s3:GetBucketVersioning", name).found(versioning)? else {
        return Ok(0);
    };
    // Where versions are, or were, kept, an object from before them has the version `null`, and deleting it without naming that
    // would keep it.
    let keeps_versions = versioning.status().is_some();
    let asked = on(session, "s3:ListObjectVersions", name).needs("s3:ListBucketVersions");
    let (mut removed, mut first) = (0, None);
    loop {
        // The first page each time: what was on it is gone by then.
        let Some(page) = asked.found(s3.list_object_versions().bucket(name).send().await)? else {
            return Ok(removed);
        };
        let versions = page.versions().iter().map(|version| (version.key(), version.version_id()));
        let markers = page.delete_markers().iter().map(|marker| (marker.key(), marker.version_id()));
        let identify = |(key, version): (Option<&str>, Option<&str>)| {
            let version = version.filter(|_| keeps_versions).map(str::to_owned);
            built(ObjectIdentifier::builder().key(key.unwrap_or_default()).set_version_id(version).build())
        };
        let objects: Vec<_> = versions.chain(markers).map(identify).collect::<Result<_, _>>()?;
        let Some(now) = objects.first() else { break };
        let now = (now.key().to_owned(), now.version_id().map(str::to_owned));
        if first.replace(now.clone()) == Some(now) {
            return Err(kept(name, "an object that was deleted"));
        }
        removed += objects.len() as u64;
        let delete = built(Delete::builder().set_objects(Some(objects)).quiet(true).build())?;
        let answer = s3.delete_objects().bucket(name).delete(delete).send().await;
        let answer = on(session, "s3:DeleteObjects", name).needs("s3:DeleteObject").ok(answer)?;
        if let Some(error) = answer.errors().first() {
            let object = format!("{}/{}", session.bucket_arn(name), error.key().unwrap_or_default());
            let needed = if keeps_versions { "s3:DeleteObjectVersion" } else { "s3:DeleteObject" };
            let asked = call("s3:DeleteObjects", object).needs(needed);
            return Err(asked.refused(error.code(), error.message()).into());
        }
    }
    Ok(removed)
}
