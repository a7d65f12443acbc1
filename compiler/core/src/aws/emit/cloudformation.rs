//! `CloudFormation`, and SAM, which is the same but for the functions and state machines.
//!
//! Sources: AWS `CloudFormation` Template Reference, one page for each resource type; AWS SAM Developer Guide,
//! "`AWS::Serverless::Function`" and "`AWS::Serverless::StateMachine`". Versions of functions are kept when newer ones come
//! (`UpdateReplacePolicy`), because runs that are under way call them.

use super::{IMAGE, IMAGE_BY_DIGEST, POLICY, capital};
use crate::aws::{Bucket, Encryption, FunctionResource, MADE_BY, MachineResource, Resources, Role, names};
use crate::bundle::Bundle;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use stepgrad_contract::digest::sha256;

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// Without a transform.
    Plain,
    /// With SAM's.
    Sam,
}

/// Where SAM finds what the functions are made of; `sam deploy` uploads it.
const PACKAGE: &str = "functions.zip";

pub(super) fn template(bundle: &Bundle, dialect: Dialect) -> Value {
    let resources = &bundle.resources;
    let writer = Writer { bundle, resources, dialect };
    let mut all = Map::new();
    all.extend(writer.bucket());
    for function in &resources.functions {
        all.extend(writer.function(function));
    }
    for machine in &resources.machines {
        all.extend(writer.machine(machine));
    }
    let mut template = Map::new();
    template.insert("AWSTemplateFormatVersion".to_owned(), json!("2010-09-09"));
    if dialect == Dialect::Sam {
        template.insert("Transform".to_owned(), json!("AWS::Serverless-2016-10-31"));
    }
    let name = &bundle.index.name;
    template.insert("Description".to_owned(), json!(format!("stepgrad: the training {name}")));
    if dialect == Dialect::Plain {
        template.insert("Parameters".to_owned(), parameters());
        template.insert("Rules".to_owned(), rules());
        template.insert(
            "Conditions".to_owned(),
            json!({"FromImage": {"Fn::Not": [{"Fn::Equals": [{"Ref": "ImageUri"}, ""]}]}}),
        );
    }
    template.insert("Resources".to_owned(), Value::Object(all));
    template.insert("Outputs".to_owned(), writer.outputs());
    Value::Object(template)
}

/// A parameter that was not given: its own value has to be one that S3 would take.
const NOT_GIVEN: &str = "none";

fn parameters() -> Value {
    let text = |default: &str, what: &str| json!({"Type": "String", "Default": default, "Description": what});
    let mut image = text("", "In the archive's place: a container image by its digest, ...@sha256:...");
    image["AllowedPattern"] = json!(format!("^({IMAGE})?$"));
    image["ConstraintDescription"] = json!(IMAGE_BY_DIGEST);
    json!({
        "CodeBucket": text(NOT_GIVEN, "A bucket of this region that holds the functions' zip archive"),
        "CodeKey": text(NOT_GIVEN, "The archive's key"),
        "CodeSha256": text("", "The archive's SHA-256 in base64; a new one makes new versions of the functions"),
        "ImageUri": image,
    })
}

/// Either an archive with its digest, or an image.
fn rules() -> Value {
    let is = |name: &str, value: &str| json!({"Fn::Equals": [{"Ref": name}, value]});
    let given = |name: &str, default: &str| json!({"Fn::Not": [is(name, default)]});
    let archive = json!({"Fn::And": [
        given("CodeBucket", NOT_GIVEN),
        given("CodeKey", NOT_GIVEN),
        given("CodeSha256", ""),
        is("ImageUri", ""),
    ]});
    let image = json!({"Fn::And": [is("CodeKey", NOT_GIVEN), given("ImageUri", "")]});
    json!({"WhatTheFunctionsAreMadeOf": {"Assertions": [{
        "Assert": {"Fn::Or": [archive, image]},
        "AssertDescription": "give CodeBucket, CodeKey and CodeSha256, or ImageUri",
    }]}})
}

/// Strings with placeholders as `Fn::Sub`, whose variables they are.
fn filled(value: &impl Serialize) -> Value {
    fn walk(value: Value) -> Value {
        match value {
            Value::String(text) if text.contains("${") => json!({"Fn::Sub": text}),
            Value::Array(items) => items.into_iter().map(walk).collect(),
            Value::Object(fields) => {
                fields.into_iter().map(|(key, value)| (key, walk(value))).collect::<Map<_, _>>().into()
            }
            other => other,
        }
    }
    walk(serde_json::to_value(value).unwrap_or_default())
}

fn reference(id: &str) -> Value {
    json!({"Ref": id})
}

fn attribute(id: &str, attribute: &str) -> Value {
    json!({"Fn::GetAtt": [id, attribute]})
}

struct Writer<'a> {
    bundle: &'a Bundle,
    resources: &'a Resources,
    dialect: Dialect,
}

type Entries = Vec<(String, Value)>;

impl Writer<'_> {
    fn tags(&self, part: &str) -> BTreeMap<String, String> {
        let mut tags = self.resources.tags_of(part);
        // A stack's own things: `deploy` and `destroy` leave them alone.
        tags.insert(MADE_BY.to_owned(), "CloudFormation".to_owned());
        tags
    }

    fn tag_list(&self, part: &str) -> Value {
        self.tags(part).into_iter().map(|(key, value)| json!({"Key": key, "Value": value})).collect()
    }

    fn bucket(&self) -> Entries {
        let Bucket { encryption, policy, lifecycle, .. } = &self.resources.bucket;
        let rules: Vec<Value> = lifecycle
            .iter()
            .map(|rule| {
                let mut fields = Map::from_iter([
                    ("Id".to_owned(), json!(rule.id)),
                    ("Status".to_owned(), json!("Enabled")),
                    ("Prefix".to_owned(), json!(rule.prefix)),
                ]);
                fields.extend(rule.expire_days.map(|days| ("ExpirationInDays".to_owned(), json!(days))));
                fields.extend(rule.abort_upload_days.map(|days| {
                    ("AbortIncompleteMultipartUpload".to_owned(), json!({"DaysAfterInitiation": days}))
                }));
                Value::Object(fields)
            })
            .collect();
        let by_default = match encryption {
            Encryption::S3 => json!({"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}),
            Encryption::Kms { key } => json!({
                "ServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key},
                "BucketKeyEnabled": true,
            }),
        };
        // The name is left to CloudFormation: it has to be unique in the world.
        let bucket = json!({
            "Type": "AWS::S3::Bucket",
            "DeletionPolicy": "Retain",
            "UpdateReplacePolicy": "Retain",
            "Properties": {
                "BucketEncryption": {"ServerSideEncryptionConfiguration": [by_default]},
                "OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]},
                "PublicAccessBlockConfiguration": {
                    "BlockPublicAcls": true,
                    "BlockPublicPolicy": true,
                    "IgnorePublicAcls": true,
                    "RestrictPublicBuckets": true,
                },
                "LifecycleConfiguration": {"Rules": rules},
                "Tags": self.tag_list("bucket"),
            },
        });
        let policy = json!({
            "Type": "AWS::S3::BucketPolicy",
            "Properties": {"Bucket": reference("Bucket"), "PolicyDocument": filled(policy)},
        });
        vec![("Bucket".to_owned(), bucket), ("BucketPolicy".to_owned(), policy)]
    }

    /// The log group and the role of a part.
    fn ground(&self, id: &str, part: &str, log_group: &str) -> Entries {
        let days = self.resources.log_groups.iter().find(|group| group.name == log_group);
        let group = json!({
            "Type": "AWS::Logs::LogGroup",
            "DeletionPolicy": "Delete",
            "UpdateReplacePolicy": "Delete",
            "Properties": {
                "LogGroupName": log_group,
                "RetentionInDays": days.map(|group| group.retention_days),
                "Tags": self.tag_list(part),
            },
        });
        let role = self.resources.roles.iter().find(|role| role.part == part);
        let role = role.map(|Role { name, trust, policy, .. }| {
            json!({
                "Type": "AWS::IAM::Role",
                "Properties": {
                    "RoleName": filled(name),
                    "AssumeRolePolicyDocument": filled(trust),
                    "Policies": [{"PolicyName": POLICY, "PolicyDocument": filled(policy)}],
                    "Tags": self.tag_list(part),
                },
            })
        });
        let mut entries = vec![(format!("{id}LogGroup"), group)];
        entries.extend(role.map(|role| (format!("{id}Role"), role)));
        entries
    }

    fn function(&self, function: &FunctionResource) -> Entries {
        let id = format!("{}Function", capital(&function.handler));
        let part = names::function_part(&function.handler);
        let mut entries = self.ground(&id, &part, &function.log_group);
        let mut fields = json!({
            "FunctionName": function.name,
            "Role": attribute(&format!("{id}Role"), "Arn"),
            "Architectures": [function.architecture],
            "MemorySize": function.memory_mb,
            "Timeout": function.timeout_s,
            "EphemeralStorage": {"Size": function.storage_mb},
            "Environment": {"Variables": filled(&function.environment)},
            "LoggingConfig": {"LogFormat": "Text", "LogGroup": reference(&format!("{id}LogGroup"))},
        });
        let mode = if function.tracing { "Active" } else { "PassThrough" };
        let mut add = |key: &str, value: Value| fields[key] = value;
        match self.dialect {
            Dialect::Plain => {
                let choice = |image: Value, archive: Value| json!({"Fn::If": ["FromImage", image, archive]});
                let nothing = reference("AWS::NoValue");
                add("PackageType", choice(json!("Image"), json!("Zip")));
                add("Runtime", choice(nothing.clone(), json!(function.runtime)));
                add("Handler", choice(nothing.clone(), json!(function.handler)));
                add("ImageConfig", choice(json!({"Command": [function.handler]}), nothing.clone()));
                let archive = json!({"S3Bucket": reference("CodeBucket"), "S3Key": reference("CodeKey")});
                add("Code", choice(json!({"ImageUri": reference("ImageUri")}), archive));
                add("TracingConfig", json!({"Mode": mode}));
                add("Tags", self.tag_list(&part));
                // Whatever changes what a call does has to change the version's own properties.
                let settings = sha256(fields.to_string().as_bytes());
                let settings = settings.get(..12).unwrap_or_default();
                let version = json!({
                    "Type": "AWS::Lambda::Version",
                    "DeletionPolicy": "Delete",
                    "UpdateReplacePolicy": "Retain",
                    "Properties": {
                        "FunctionName": reference(&id),
                        "CodeSha256": choice(nothing, reference("CodeSha256")),
                        "Description": {"Fn::Sub": format!("settings {settings} ${{ImageUri}}")},
                    },
                });
                entries.push((id.clone(), json!({"Type": "AWS::Lambda::Function", "Properties": fields})));
                entries.push((format!("{id}Version"), version));
            }
            Dialect::Sam => {
                add("PackageType", json!("Zip"));
                add("Runtime", json!(function.runtime));
                add("Handler", json!(function.handler));
                add("CodeUri", json!(PACKAGE));
                add("Tracing", json!(mode));
                add("AutoPublishAlias", json!(names::ALIAS));
                add("AutoPublishAliasAllProperties", json!(true));
                add("VersionDeletionPolicy", json!("Retain"));
                add("Tags", json!(self.tags(&part)));
                entries.push((id, json!({"Type": "AWS::Serverless::Function", "Properties": fields})));
            }
        }
        entries
    }

    /// What stands for a function's ARN: its version.
    fn version(&self, function: &FunctionResource) -> Value {
        let id = format!("{}Function", capital(&function.handler));
        match self.dialect {
            Dialect::Plain => reference(&format!("{id}Version")),
            Dialect::Sam => reference(&format!("{id}.Version")),
        }
    }

    fn machine(&self, machine: &MachineResource) -> Entries {
        let id = format!("{}StateMachine", capital(&machine.machine));
        let part = names::machine_part(&machine.machine);
        let mut entries = self.ground(&id, &part, &machine.log_group);
        let called =
            self.resources.functions.iter().filter(|function| machine.calls.contains(&function.handler));
        let started = self.resources.machines.iter().filter(|child| machine.starts.contains(&child.machine));
        let substitutions: Map<String, Value> = called
            .map(|function| (function.placeholder.clone(), self.version(function)))
            .chain(started.map(|child| {
                let id = format!("{}StateMachineVersion", capital(&child.machine));
                (child.placeholder.clone(), reference(&id))
            }))
            .collect();
        let logging = json!({
            "Level": machine.logging.level,
            "IncludeExecutionData": machine.logging.include_execution_data,
            "Destinations": [{"CloudWatchLogsLogGroup": {"LogGroupArn": attribute(&format!("{id}LogGroup"), "Arn")}}],
        });
        let role = attribute(&format!("{id}Role"), "Arn");
        let definition = self.bundle.machines.iter().find(|other| other.name == machine.machine);
        let state_machine = match self.dialect {
            Dialect::Plain => json!({
                "Type": "AWS::StepFunctions::StateMachine",
                "Properties": {
                    "StateMachineName": machine.name,
                    "StateMachineType": machine.kind,
                    "RoleArn": role,
                    "DefinitionString": definition.map(|machine| machine.definition.to_string()),
                    "DefinitionSubstitutions": substitutions,
                    "LoggingConfiguration": logging,
                    "TracingConfiguration": {"Enabled": machine.tracing},
                    "Tags": self.tag_list(&part),
                },
            }),
            Dialect::Sam => json!({
                "Type": "AWS::Serverless::StateMachine",
                "Properties": {
                    "Name": machine.name,
                    "Type": machine.kind,
                    "Role": role,
                    "DefinitionUri": format!("../{}", machine.definition),
                    "DefinitionSubstitutions": substitutions,
                    "Logging": logging,
                    "Tracing": {"Enabled": machine.tracing},
                    "Tags": self.tags(&part),
                },
            }),
        };
        let version = json!({
            "Type": "AWS::StepFunctions::StateMachineVersion",
            "DeletionPolicy": "Delete",
            "UpdateReplacePolicy": "Retain",
            "Properties": {
                "StateMachineArn": reference(&id),
                "StateMachineRevisionId": attribute(&id, "StateMachineRevisionId"),
            },
        });
        entries.push((id.clone(), state_machine));
        entries.push((format!("{id}Version"), version));
        entries.extend(machine.alias.as_ref().map(|alias| {
            let version = reference(&format!("{id}Version"));
            let routing = json!([{"StateMachineVersionArn": version, "Weight": 100}]);
            (
                format!("{id}Alias"),
                json!({
                    "Type": "AWS::StepFunctions::StateMachineAlias",
                    "Properties": {"Name": alias, "RoutingConfiguration": routing},
                }),
            )
        }));
        entries
    }

    fn outputs(&self) -> Value {
        let mut outputs = Map::new();
        outputs.insert(
            "Bucket".to_owned(),
            json!({"Description": "Data go below data/, runs stand below runs/", "Value": reference("Bucket")}),
        );
        for machine in self.resources.machines.iter().filter(|machine| machine.alias.is_some()) {
            let id = format!("{}StateMachine", capital(&machine.machine));
            outputs.insert(
                id.clone(),
                json!({
                    "Description": "What a run is an execution of; its input is {\"run\": NAME}",
                    "Value": reference(&format!("{id}Alias")),
                }),
            );
        }
        Value::Object(outputs)
    }
}
