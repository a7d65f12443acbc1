//! Terraform, in its JSON syntax, beside the bundle's definitions, which it reads with `templatefile`.
//!
//! Sources: Terraform, "JSON Configuration Syntax"; the AWS provider's pages of each resource. In a string `${…}` is an
//! expression, so whatever else has those characters is escaped.

use super::{IMAGE, IMAGE_BY_DIGEST, POLICY};
use crate::aws::{Bucket, Encryption, FunctionResource, MADE_BY, MachineResource, Resources, names};
use crate::bundle::Bundle;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The provider's major version that the arguments are those of.
const PROVIDER: &str = "~> 6.0";
/// The key of the archive in the bucket.
const ARCHIVE: &str = "functions.zip";

pub(super) fn configuration(bundle: &Bundle) -> Value {
    let resources = &bundle.resources;
    let mut writer = Writer { resources, all: Map::new() };
    writer.bucket();
    for (part, log_group) in parts(resources) {
        writer.ground(&part, &log_group);
    }
    for function in &resources.functions {
        writer.function(function);
    }
    for machine in &resources.machines {
        writer.machine(machine);
    }
    let started = resources.machines.iter().filter(|machine| machine.alias.is_some());
    let mut outputs =
        Map::from_iter([("bucket".to_owned(), json!({"value": "${aws_s3_bucket.runs.bucket}"}))]);
    outputs.extend(started.map(|machine| {
        let value = format!("${{aws_sfn_alias.{}.arn}}", machine.machine);
        (format!("{}_state_machine", machine.machine), json!({"value": value}))
    }));
    json!({
        "terraform": {
            "required_version": ">= 1.9.0",
            "required_providers": {"aws": {"source": "hashicorp/aws", "version": PROVIDER}},
        },
        "variable": {
            "package": {
                "type": "string",
                "default": null,
                "description": "The functions' zip archive, a file",
            },
            "image_uri": {
                "type": "string",
                "default": null,
                "description": "In the archive's place: a container image by its digest",
                "validation": [
                    {
                        "condition": "${(var.image_uri == null) != (var.package == null)}",
                        "error_message": "Give package or image_uri, and not both.",
                    },
                    {
                        "condition": format!(
                            "${{var.image_uri == null || can(regex(\"^{IMAGE}$\", var.image_uri))}}"
                        ),
                        "error_message": IMAGE_BY_DIGEST,
                    },
                ],
            },
        },
        "data": {
            "aws_caller_identity": {"current": {}},
            "aws_partition": {"current": {}},
            "aws_region": {"current": {}},
        },
        "locals": {
            "bucket": format!(
                "{prefix}-${{substr(sha256(\"${{data.aws_caller_identity.current.account_id}}/${{data.aws_region.current.region}}/{prefix}\"), 0, 8)}}",
                prefix = resources.prefix
            ),
        },
        "resource": writer.all,
        "output": outputs,
    })
}

/// What has a log group and a role.
fn parts(resources: &Resources) -> Vec<(String, String)> {
    let functions =
        resources.functions.iter().map(|one| (names::function_part(&one.handler), one.log_group.clone()));
    let machines =
        resources.machines.iter().map(|one| (names::machine_part(&one.machine), one.log_group.clone()));
    functions.chain(machines).collect()
}

/// The name of a part's resources: `functions/gradient` is `gradient_function`.
fn label(part: &str) -> String {
    match part.split_once('/') {
        Some(("functions", name)) => format!("{name}_function"),
        Some((_, name)) => format!("{name}_machine"),
        None => part.to_owned(),
    }
}

/// A policy as Terraform's text of it: the placeholders are expressions, all else is as it is.
fn policy(policy: &impl Serialize) -> String {
    filled(&serde_json::to_string(policy).unwrap_or_default())
}

/// A text whose placeholders are expressions.
fn filled(text: &str) -> String {
    [
        (names::PARTITION, "${data.aws_partition.current.partition}"),
        (names::REGION, "${data.aws_region.current.region}"),
        (names::ACCOUNT, "${data.aws_caller_identity.current.account_id}"),
        (names::BUCKET, "${local.bucket}"),
    ]
    .into_iter()
    .fold(text.to_owned(), |text, (placeholder, expression)| text.replace(placeholder, expression))
}

struct Writer<'a> {
    resources: &'a Resources,
    all: Map<String, Value>,
}

impl Writer<'_> {
    fn tags_of(&self, part: &str) -> BTreeMap<String, String> {
        let mut tags = self.resources.tags_of(part);
        // Terraform's own things: `deploy` and `destroy` leave them alone.
        tags.insert(MADE_BY.to_owned(), "Terraform".to_owned());
        tags
    }

    fn add(&mut self, kind: &str, name: &str, value: Value) {
        let of_kind = self.all.entry(kind).or_insert_with(|| json!({}));
        of_kind[name] = value;
    }

    fn bucket(&mut self) {
        let Bucket { encryption, policy: access, lifecycle, .. } = &self.resources.bucket;
        let bucket = "${aws_s3_bucket.runs.id}";
        let tags = self.tags_of("bucket");
        self.add("aws_s3_bucket", "runs", json!({"bucket": "${local.bucket}", "tags": tags}));
        self.add(
            "aws_s3_bucket_public_access_block",
            "runs",
            json!({
                "bucket": bucket,
                "block_public_acls": true,
                "block_public_policy": true,
                "ignore_public_acls": true,
                "restrict_public_buckets": true,
            }),
        );
        self.add(
            "aws_s3_bucket_ownership_controls",
            "runs",
            json!({"bucket": bucket, "rule": {"object_ownership": "BucketOwnerEnforced"}}),
        );
        let rule = match encryption {
            Encryption::S3 => json!({"apply_server_side_encryption_by_default": {"sse_algorithm": "AES256"}}),
            Encryption::Kms { key } => json!({
                "apply_server_side_encryption_by_default": {"sse_algorithm": "aws:kms", "kms_master_key_id": key},
                "bucket_key_enabled": true,
            }),
        };
        self.add(
            "aws_s3_bucket_server_side_encryption_configuration",
            "runs",
            json!({"bucket": bucket, "rule": rule}),
        );
        self.add("aws_s3_bucket_policy", "runs", json!({"bucket": bucket, "policy": policy(access)}));
        let rules: Vec<Value> = lifecycle
            .iter()
            .map(|rule| {
                let mut fields =
                    json!({"id": rule.id, "status": "Enabled", "filter": {"prefix": rule.prefix}});
                if let Some(days) = rule.expire_days {
                    fields["expiration"] = json!({"days": days});
                }
                if let Some(days) = rule.abort_upload_days {
                    fields["abort_incomplete_multipart_upload"] = json!({"days_after_initiation": days});
                }
                fields
            })
            .collect();
        self.add("aws_s3_bucket_lifecycle_configuration", "runs", json!({"bucket": bucket, "rule": rules}));
        self.add(
            "aws_s3_object",
            "code",
            json!({
                "count": "${var.package == null ? 0 : 1}",
                "bucket": bucket,
                "key": format!("{}/{ARCHIVE}", names::CODE),
                "source": "${var.package}",
                "source_hash": "${filebase64sha256(var.package)}",
            }),
        );
    }

    fn ground(&mut self, part: &str, log_group: &str) {
        let label = label(part);
        let tags = self.tags_of(part);
        let group = self.resources.log_groups.iter().find(|group| group.name == log_group);
        let retention = group.map(|group| group.retention_days);
        self.add(
            "aws_cloudwatch_log_group",
            &label,
            json!({"name": log_group, "retention_in_days": retention, "tags": tags}),
        );
        let Some(role) = self.resources.roles.iter().find(|role| role.part == part) else { return };
        self.add(
            "aws_iam_role",
            &label,
            json!({"name": filled(&role.name), "assume_role_policy": policy(&role.trust), "tags": tags}),
        );
        self.add(
            "aws_iam_role_policy",
            &label,
            json!({
                "name": POLICY,
                "role": format!("${{aws_iam_role.{label}.id}}"),
                "policy": policy(&role.policy),
            }),
        );
    }

    fn function(&mut self, function: &FunctionResource) {
        let part = names::function_part(&function.handler);
        let label = label(&part);
        let variables: Map<String, Value> = function
            .environment
            .iter()
            .map(|(name, value)| {
                (name.clone(), json!(value.replace(names::BUCKET, "${aws_s3_bucket.runs.bucket}")))
            })
            .collect();
        let archive = |value: &str| format!("${{var.image_uri == null ? {value} : null}}");
        let value = json!({
            "function_name": function.name,
            "role": format!("${{aws_iam_role.{label}.arn}}"),
            "architectures": [function.architecture],
            "memory_size": function.memory_mb,
            "timeout": function.timeout_s,
            "ephemeral_storage": {"size": function.storage_mb},
            "environment": {"variables": variables},
            "tracing_config": {"mode": if function.tracing { "Active" } else { "PassThrough" }},
            "logging_config": {
                "log_format": "Text",
                "log_group": format!("${{aws_cloudwatch_log_group.{label}.name}}"),
            },
            "package_type": "${var.image_uri == null ? \"Zip\" : \"Image\"}",
            "runtime": archive(&format!("\"{}\"", function.runtime)),
            "handler": archive(&format!("\"{}\"", function.handler)),
            "s3_bucket": archive("aws_s3_bucket.runs.bucket"),
            "s3_key": archive("aws_s3_object.code[0].key"),
            "source_code_hash": archive("filebase64sha256(var.package)"),
            "image_uri": "${var.image_uri}",
            "dynamic": {"image_config": {
                "for_each": "${var.image_uri == null ? [] : [1]}",
                "content": {"command": [function.handler]},
            }},
            "publish": true,
            "tags": self.tags_of(&part),
            // Lambda checks the role when it makes the function.
            "depends_on": [format!("aws_iam_role_policy.{label}")],
        });
        self.add("aws_lambda_function", &label, value);
    }

    fn machine(&mut self, machine: &MachineResource) {
        let part = names::machine_part(&machine.machine);
        let label = label(&part);
        let called =
            self.resources.functions.iter().filter(|function| machine.calls.contains(&function.handler));
        let started = self.resources.machines.iter().filter(|child| machine.starts.contains(&child.machine));
        let mut values: Vec<String> = called
            .map(|function| {
                format!(
                    "{} = aws_lambda_function.{}_function.qualified_arn",
                    function.placeholder, function.handler
                )
            })
            .chain(started.map(|child| {
                format!(
                    "{} = aws_sfn_state_machine.{}_machine.state_machine_version_arn",
                    child.placeholder, child.machine
                )
            }))
            .collect();
        values.sort();
        let definition = format!(
            "${{templatefile(\"${{path.module}}/../{}\", {{ {} }})}}",
            machine.definition,
            values.join(", ")
        );
        let value = json!({
            "name": machine.name,
            "type": machine.kind,
            "role_arn": format!("${{aws_iam_role.{label}.arn}}"),
            "definition": definition,
            "publish": true,
            "logging_configuration": {
                "level": machine.logging.level,
                "include_execution_data": machine.logging.include_execution_data,
                "log_destination": format!("${{aws_cloudwatch_log_group.{label}.arn}}:*"),
            },
            "tracing_configuration": {"enabled": machine.tracing},
            "tags": self.tags_of(&part),
            // Step Functions checks the role's right to deliver logs when it makes the state machine.
            "depends_on": [format!("aws_iam_role_policy.{label}")],
        });
        self.add("aws_sfn_state_machine", &label, value);
        if let Some(alias) = &machine.alias {
            let version = format!("${{aws_sfn_state_machine.{label}.state_machine_version_arn}}");
            let routing = json!({"state_machine_version_arn": version, "weight": 100});
            let value = json!({"name": alias, "routing_configuration": routing});
            self.add("aws_sfn_alias", &machine.machine, value);
        }
    }
}
