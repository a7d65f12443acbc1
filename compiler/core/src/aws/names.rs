//! Names and ARNs. Every name begins with `stepgrad-` and the spec's name, so that two specs do not meet in one account;
//! for two deployments of one spec in one account and region, give one of them another `name`. Roles are the account's, in
//! all regions: their names end with the region.
//!
//! What only the place of a deployment tells stands as a placeholder: [`PARTITION`], [`REGION`] and [`ACCOUNT`], which
//! are also `CloudFormation`'s pseudo parameters, and [`BUCKET`].
//!
//! Sources: Service Authorization Reference, "Actions, resources, and condition keys for AWS Lambda", "… AWS Step
//! Functions", "… Amazon S3", "… Amazon CloudWatch Logs" (the forms of ARNs); IAM User Guide, "IAM and AWS STS quotas" (64
//! characters of a role's name); Lambda API Reference, "CreateFunction" (64); Step Functions API Reference,
//! "CreateStateMachine" (80); S3 User Guide, "General purpose bucket naming rules" (63).

use stepgrad_contract::digest::sha256;

/// `aws`, `aws-cn`, …
pub const PARTITION: &str = "${AWS::Partition}";
/// The region.
pub const REGION: &str = "${AWS::Region}";
/// The account's number.
pub const ACCOUNT: &str = "${AWS::AccountId}";
/// The bucket's name.
pub const BUCKET: &str = "${Bucket}";

/// Below this key of the bucket every run has its folder.
pub const RUNS: &str = "runs";
/// Below this key of the bucket stand the data that the spec names, by the spec's paths.
pub const DATA: &str = "data";
/// Below this key of the bucket stands what the functions are made of.
pub const CODE: &str = "code";
/// The alias of the state machine that is started.
pub const ALIAS: &str = "live";

/// How every name begins.
#[must_use]
pub fn prefix(name: &str) -> String {
    format!("stepgrad-{name}")
}

/// The bucket's name: it has to be unique in the world, so account and region go into it, as a digest because the
/// prefix may take 49 of the 63 characters.
#[must_use]
pub fn bucket(prefix: &str, account: &str, region: &str) -> String {
    let digest = sha256(format!("{account}/{region}/{prefix}").as_bytes());
    format!("{prefix}-{}", digest.get(..8).unwrap_or_default())
}

/// A function's name.
#[must_use]
pub fn function(prefix: &str, function: &str) -> String {
    format!("{prefix}-{function}")
}

/// A state machine's name.
#[must_use]
pub fn machine(prefix: &str, machine: &str) -> String {
    format!("{prefix}-{machine}")
}

/// The name of a function's role. Functions and machines share names (`train`), and roles are all in one list.
#[must_use]
pub fn function_role(prefix: &str, function: &str) -> String {
    role(format!("{prefix}-{function}-fn"))
}

/// The name of a state machine's role.
#[must_use]
pub fn machine_role(prefix: &str, machine: &str) -> String {
    role(format!("{prefix}-{machine}-sm"))
}

/// The name of the role that AWS Fault Injection Service takes.
#[must_use]
pub fn experiments_role(prefix: &str) -> String {
    role(format!("{prefix}-fis"))
}

/// How the names of the roles of one region end.
#[must_use]
pub fn role_ending(region: &str) -> String {
    format!("-{region}")
}

/// A role's name as it is, or, where it is longer than IAM allows, its beginning and a digest of the whole; and the region.
fn role(name: String) -> String {
    // The longest region's name, `ap-southeast-1` or `us-isob-west-1`, has 14 characters; two more may come.
    const LONGEST: usize = 64 - 17;
    let name = match name.get(..LONGEST - 9) {
        Some(beginning) if name.len() > LONGEST => {
            let digest = sha256(name.as_bytes());
            format!("{beginning}-{}", digest.get(..8).unwrap_or_default())
        }
        _ => name,
    };
    format!("{name}{}", role_ending(REGION))
}

/// Where Lambda writes the logs of a function.
#[must_use]
pub fn function_log_group(name: &str) -> String {
    format!("/aws/lambda/{name}")
}

/// Where Step Functions writes the logs of a state machine. With this beginning the resource policy of CloudWatch
/// Logs, which may have 5,120 characters, does not grow with each group (Step Functions Developer Guide, "Using
/// CloudWatch Logs to log execution history").
#[must_use]
pub fn machine_log_group(name: &str) -> String {
    format!("/aws/vendedlogs/states/{name}")
}

/// What the names of the parameters with private keys begin with, without the `/` that follows.
#[must_use]
pub fn keys(prefix: &str) -> String {
    format!("/{prefix}/keys")
}

/// What the ARNs of these parameters begin with, likewise (Service Authorization Reference, "Actions, resources, and condition
/// keys for AWS Systems Manager").
#[must_use]
pub fn keys_arn(prefix: &str) -> String {
    arn("ssm", &format!("parameter{}", keys(prefix)))
}

/// What a resource of a function is for.
#[must_use]
pub fn function_part(function: &str) -> String {
    format!("functions/{function}")
}

/// What a resource of a state machine is for.
#[must_use]
pub fn machine_part(machine: &str) -> String {
    format!("machines/{machine}")
}

/// The ARN of something in this account and region.
#[must_use]
pub fn arn(service: &str, resource: &str) -> String {
    format!("arn:{PARTITION}:{service}:{REGION}:{ACCOUNT}:{resource}")
}

/// A role's ARN.
#[must_use]
pub fn role_arn(name: &str) -> String {
    format!("arn:{PARTITION}:iam::{ACCOUNT}:role/{name}")
}

/// The bucket's ARN.
#[must_use]
pub fn bucket_arn() -> String {
    format!("arn:{PARTITION}:s3:::{BUCKET}")
}

/// The ARN of objects, by a key or a pattern of keys.
#[must_use]
pub fn objects_arn(key: &str) -> String {
    format!("arn:{PARTITION}:s3:::{BUCKET}/{key}")
}
