//! The bucket's settings.

use super::names::{CODE, DATA, RUNS, bucket_arn, objects_arn};
use super::policy::{Effect, Policy, Principal, Statement, condition};
use crate::spec::Aws;
use serde::{Deserialize, Serialize};

/// Days after which S3 lets go of the parts of an upload that was never completed.
const ABANDONED_DAYS: u32 = 1;

/// The bucket. Its name is [`super::names::bucket`]. Objects are owned by the bucket's owner, access lists are off, and
/// objects have no versions: keys say what an object is, and nothing is ever overwritten.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bucket {
    /// How objects are encrypted.
    pub encryption: Encryption,
    /// All four settings of Block Public Access.
    pub block_public_access: bool,
    /// Refuses what does not come by TLS (S3 User Guide, "Security best practices for Amazon S3").
    pub policy: Policy,
    /// When S3 deletes what by itself.
    pub lifecycle: Vec<LifecycleRule>,
    /// Keys below which stands what is the deployment's own.
    pub prefixes: Vec<String>,
}

/// How objects are encrypted at rest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Encryption {
    /// By keys of S3 (SSE-S3, AES-256).
    S3,
    /// By a key of KMS, with a bucket key, so that not every object asks KMS.
    Kms {
        /// Its ARN.
        key: String,
    },
}

/// When S3 deletes what by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LifecycleRule {
    /// Its name.
    pub id: String,
    /// Keys that it is about; empty for all.
    pub prefix: String,
    /// Days after which an object is deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expire_days: Option<u32>,
    /// Days after which the parts of an incomplete upload are deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub abort_upload_days: Option<u32>,
}

impl Bucket {
    pub(super) fn new(aws: &Aws) -> Self {
        let refuse = Statement {
            sid: "RefusePlainHttp".to_owned(),
            effect: Effect::Deny,
            principal: Some(Principal::Everyone("*".to_owned())),
            action: vec!["s3:*".to_owned()],
            resource: vec![bucket_arn(), objects_arn("*")],
            condition: condition("Bool", "aws:SecureTransport", "false".to_owned()),
        };
        let mut lifecycle = vec![LifecycleRule {
            id: "abandoned-uploads".to_owned(),
            prefix: String::new(),
            expire_days: None,
            abort_upload_days: Some(ABANDONED_DAYS),
        }];
        // The round's objects behind a training are deleted by `evaluate`; this is about whole runs. A run that is under way
        // loses nothing: `train` times out a day before (`Aws::longest_run_s`).
        lifecycle.extend(aws.run_retention_days.as_ref().map(|days| LifecycleRule {
            id: "old-runs".to_owned(),
            prefix: format!("{RUNS}/"),
            expire_days: Some(days.value),
            abort_upload_days: None,
        }));
        Self {
            encryption: match &aws.kms_key {
                None => Encryption::S3,
                Some(key) => Encryption::Kms { key: key.value.clone() },
            },
            block_public_access: true,
            policy: Policy::of([refuse]),
            lifecycle,
            prefixes: [CODE, DATA, RUNS].map(|prefix| format!("{prefix}/")).into(),
        }
    }
}
