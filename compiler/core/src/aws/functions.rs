//! The functions, and the role of each.
//!
//! Sources: AWS Lambda Developer Guide, "Defining Lambda function permissions with an execution role", "Sending Lambda
//! function logs to CloudWatch Logs", "Visualize Lambda function invocations using AWS X-Ray", "Configure ephemeral
//! storage"; Amazon S3 User Guide, "Required permissions for Amazon S3 API operations"; S3 API Reference, "GetObject"
//! (without `s3:ListBucket` a missing object is answered by 403 and not by 404, so that no function could tell that it
//! is missing); AWS KMS Developer Guide, "Protecting data in Amazon S3" (`kms:GenerateDataKey` to write,
//! `kms:Decrypt` to read); Systems Manager User Guide, "Restricting access to Parameter Store parameters using IAM policies".

use super::access::{Access, access};
use super::objects::{Kind, source};
use super::policy::{Policy, Statement};
use super::{Context, Role, names};
use crate::bundle::FunctionEntry;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use stepgrad_contract::Function;
use stepgrad_contract::signing::FOLDER_VARIABLE;

/// MB of `/tmp` that Lambda gives without being asked.
const LEAST_STORAGE_MB: u32 = 512;
/// MB for libtorch, which the x86_64 package unpacks there.
const UNPACKED_MB: u32 = 1_024;
/// MB for `prepare`, which spools batches that do not fit its memory: the most there is.
const SPOOL_MB: u32 = 10_240;

/// A function.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FunctionResource {
    /// Its name, at most 64 characters.
    pub name: String,
    /// Its handler, which is its name in the bundle.
    pub handler: String,
    /// What stands for its ARN in definitions, without `${` and `}`. It is filled with the ARN of a *version*, so that
    /// a deployment never changes a run that is under way.
    pub placeholder: String,
    /// `provided.al2023`.
    pub runtime: String,
    /// Its role's name.
    pub role: String,
    /// Memory.
    pub memory_mb: u32,
    /// Timeout.
    pub timeout_s: u32,
    /// `arm64` or `x86_64`.
    pub architecture: String,
    /// Room in `/tmp`.
    pub storage_mb: u32,
    /// Environment variables; nothing secret.
    pub environment: BTreeMap<String, String>,
    /// Whether X-Ray traces it.
    pub tracing: bool,
    /// Its log group's name.
    pub log_group: String,
}

pub(super) fn resources(context: &Context<'_>) -> Vec<FunctionResource> {
    let make = |entry: &FunctionEntry| {
        let name = names::function(context.prefix, &entry.name);
        FunctionResource {
            log_group: names::function_log_group(&name),
            name,
            handler: entry.handler.clone(),
            placeholder: bare(&entry.placeholder),
            runtime: "provided.al2023".to_owned(),
            role: names::function_role(context.prefix, &entry.name),
            memory_mb: entry.memory_mb,
            timeout_s: entry.timeout_s,
            architecture: entry.architecture.clone(),
            storage_mb: storage_mb(&entry.name, &entry.architecture),
            environment: environment(context, entry),
            tracing: context.aws.tracing.value,
        }
    };
    context.index.functions.iter().map(make).collect()
}

fn accesses(context: &Context<'_>, entry: &FunctionEntry) -> Access {
    Function::from_name(&entry.name)
        .map_or_else(Access::default, |function| access(function, context.training))
}

fn environment(context: &Context<'_>, entry: &FunctionEntry) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::from([
        ("STEPGRAD_DATA".to_owned(), format!("s3://{}/{}", names::BUCKET, names::DATA)),
        ("STEPGRAD_STORE".to_owned(), format!("s3://{}/{}", names::BUCKET, names::RUNS)),
    ]);
    if accesses(context, entry).signs {
        variables.insert(FOLDER_VARIABLE.to_owned(), names::keys_arn(context.prefix));
    }
    variables
}

/// MB of `/tmp` that a function of this name has on this architecture.
pub(crate) fn storage_mb(function: &str, architecture: &str) -> u32 {
    match (function, architecture) {
        ("prepare", _) => SPOOL_MB,
        (_, "x86_64") => UNPACKED_MB,
        _ => LEAST_STORAGE_MB,
    }
}

/// A placeholder's name.
pub(super) fn bare(placeholder: &str) -> String {
    placeholder.trim_start_matches("${").trim_end_matches('}').to_owned()
}

pub(super) fn roles(context: &Context<'_>) -> Vec<Role> {
    let role = |entry: &FunctionEntry| Role {
        name: names::function_role(context.prefix, &entry.name),
        part: names::function_part(&entry.name),
        trust: Policy::trust("lambda.amazonaws.com", BTreeMap::new()),
        policy: policy(context, entry),
    };
    context.index.functions.iter().map(role).collect()
}

fn policy(context: &Context<'_>, entry: &FunctionEntry) -> Policy {
    let access = accesses(context, entry);
    let objects = |kinds: &BTreeSet<Kind>| -> Vec<String> {
        let patterns = kinds.iter().flat_map(|kind| match kind {
            Kind::Source => source(context.training),
            other => vec![other.pattern()],
        });
        patterns.map(|pattern| names::objects_arn(&pattern)).collect()
    };
    let group = names::function_log_group(&names::function(context.prefix, &entry.name));
    let mut statements = vec![
        // The group is the deployment's own: it has a retention, and no function can make one that has none.
        Statement::allow(
            "WriteLogs",
            &["logs:CreateLogStream", "logs:PutLogEvents"],
            [names::arn("logs", &format!("log-group:{group}:*"))],
        ),
        Statement::allow("ReadObjects", &["s3:GetObject"], objects(&access.reads)),
        Statement::allow("TellWhatIsMissing", &["s3:ListBucket"], [names::bucket_arn()]),
    ];
    if !access.writes.is_empty() {
        // A large object is an upload of parts, which is given up where a part cannot be sent.
        let actions = ["s3:AbortMultipartUpload", "s3:PutObject"];
        statements.push(Statement::allow("WriteObjects", &actions, objects(&access.writes)));
    }
    if !access.deletes.is_empty() {
        statements.push(Statement::allow("DeleteOldRounds", &["s3:DeleteObject"], objects(&access.deletes)));
    }
    if access.signs {
        // Of the account's own key for parameters no permission is needed beside.
        let keys = format!("{}/*", names::keys_arn(context.prefix));
        statements.push(Statement::allow("ReadPrivateKeys", &["ssm:GetParameter"], [keys]));
    }
    if let Some(key) = &context.aws.kms_key {
        statements.push(Statement::allow(
            "UseTheKey",
            &["kms:Decrypt", "kms:GenerateDataKey"],
            [key.value.clone()],
        ));
    }
    if context.aws.tracing.value {
        // X-Ray has no resources to name for these.
        statements.push(Statement::allow(
            "Trace",
            &["xray:PutTelemetryRecords", "xray:PutTraceSegments"],
            ["*"],
        ));
    }
    Policy::of(statements)
}
