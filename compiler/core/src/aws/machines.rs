//! The state machines, and the role of each.
//!
//! Sources, all AWS Step Functions Developer Guide: "Creating an IAM role for your state machine in Step Functions" (trust,
//! and its condition against a confused deputy), "IAM policies for nested AWS Step Functions calls" (`.sync` describes and
//! stops the child and hears of its end through the rule `StepFunctionsGetEventsForStepFunctionsExecutionRule`), "Call an
//! AWS Lambda function with Step Functions", "IAM policies for using Distributed Map states", "Using CloudWatch Logs to log
//! execution history" (why delivery is on `*`), "Tracing Step Functions requests in AWS X-Ray", "Authorization for versions
//! and aliases" (a version is authorised by the ARN of its state machine).

use super::functions::bare;
use super::graph::{Gap, Uses, children_first};
use super::policy::{Condition, Policy, Statement};
use super::{Context, Role, names};
use crate::bundle::MachineEntry;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A state machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MachineResource {
    /// Its name, at most 80 characters.
    pub name: String,
    /// Its name in the bundle.
    pub machine: String,
    /// What stands for its ARN in definitions, without `${` and `}`. It is filled with the ARN of a *version*, so that
    /// a deployment never changes a run that is under way.
    pub placeholder: String,
    /// `STANDARD`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its role's name.
    pub role: String,
    /// The file of its definition, below the bundle.
    pub definition: String,
    /// SHA-256 of the definition with its placeholders.
    pub definition_sha256: String,
    /// What is logged.
    pub logging: Logging,
    /// Its log group's name.
    pub log_group: String,
    /// Whether X-Ray traces it.
    pub tracing: bool,
    /// The alias that points to its last version; only the machine that is started has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
    /// Functions that it calls, by their names in the bundle.
    pub calls: Vec<String>,
    /// State machines that it starts, by their names in the bundle.
    pub starts: Vec<String>,
    /// Tasks of which no permission could be derived; only a changed template has any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<Gap>,
}

/// What a state machine logs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Logging {
    /// `ERROR`: failures, which are few. The history has all events for 90 days; logging them all costs by the byte.
    pub level: String,
    /// Whether input and output are logged. They hold names and numbers, nothing secret.
    pub include_execution_data: bool,
}

pub(super) fn resources(context: &Context<'_>) -> Vec<MachineResource> {
    let none = Uses::default();
    let order: Vec<String> = context.definitions.iter().map(|machine| machine.name.clone()).collect();
    let first = order.first().cloned();
    let entry = |name: String| context.index.machines.iter().find(|entry| entry.name == name);
    let make = |entry: &MachineEntry| {
        let uses = context.graph.get(&entry.name).unwrap_or(&none);
        let name = names::machine(context.prefix, &entry.name);
        MachineResource {
            log_group: names::machine_log_group(&name),
            name,
            machine: entry.name.clone(),
            placeholder: bare(&entry.placeholder),
            kind: "STANDARD".to_owned(),
            role: names::machine_role(context.prefix, &entry.name),
            definition: entry.file.clone(),
            definition_sha256: entry.sha256.clone(),
            logging: Logging { level: "ERROR".to_owned(), include_execution_data: true },
            tracing: context.aws.tracing.value,
            alias: (first.as_ref() == Some(&entry.name)).then(|| names::ALIAS.to_owned()),
            calls: uses.calls.iter().cloned().collect(),
            starts: uses.starts.iter().cloned().collect(),
            gaps: uses.gaps.clone(),
        }
    };
    children_first(context.graph, &order).into_iter().filter_map(entry).map(make).collect()
}

pub(super) fn roles(context: &Context<'_>) -> Vec<Role> {
    let none = Uses::default();
    let role = |entry: &MachineEntry| Role {
        name: names::machine_role(context.prefix, &entry.name),
        part: names::machine_part(&entry.name),
        trust: Policy::trust("states.amazonaws.com", only_for(&names::machine(context.prefix, &entry.name))),
        policy: policy(context, &entry.name, context.graph.get(&entry.name).unwrap_or(&none)),
    };
    context.index.machines.iter().map(role).collect()
}

/// The service may take the role for this state machine only.
fn only_for(name: &str) -> Condition {
    let one = |key: &str, value: String| BTreeMap::from([(key.to_owned(), value)]);
    BTreeMap::from([
        ("ArnLike".to_owned(), one("aws:SourceArn", names::arn("states", &format!("stateMachine:{name}")))),
        ("StringEquals".to_owned(), one("aws:SourceAccount", names::ACCOUNT.to_owned())),
    ])
}

fn policy(context: &Context<'_>, machine: &str, uses: &Uses) -> Policy {
    let name = |machine: &String| names::machine(context.prefix, machine);
    let states = |resource: String| names::arn("states", &resource);
    let mut statements = Vec::new();
    if !uses.calls.is_empty() {
        // Every version, for runs of the version before are still under way after a deployment; no unqualified call.
        let functions = uses.calls.iter().map(|function| {
            names::arn("lambda", &format!("function:{}:*", names::function(context.prefix, function)))
        });
        statements.push(Statement::allow("CallFunctions", &["lambda:InvokeFunction"], functions));
    }
    if !uses.starts.is_empty() {
        let children = uses.starts.iter().map(|child| states(format!("stateMachine:{}", name(child))));
        statements.push(Statement::allow("StartChildren", &["states:StartExecution"], children));
    }
    if uses.waits {
        let executions = uses.starts.iter().map(|child| states(format!("execution:{}:*", name(child))));
        statements.push(Statement::allow(
            "FollowChildren",
            &["states:DescribeExecution", "states:StopExecution"],
            executions,
        ));
        let rule = names::arn("events", "rule/StepFunctionsGetEventsForStepFunctionsExecutionRule");
        statements.push(Statement::allow(
            "HearOfTheirEnd",
            &["events:DescribeRule", "events:PutRule", "events:PutTargets"],
            [rule],
        ));
    }
    if !uses.distributed.is_empty() {
        let own = names::machine(context.prefix, machine);
        let runs = |label: &String| states(format!("execution:{own}/{label}:*"));
        statements.push(Statement::allow(
            "StartItems",
            &["states:StartExecution"],
            [states(format!("stateMachine:{own}"))],
        ));
        statements.push(Statement::allow(
            "FollowItems",
            &["states:DescribeExecution", "states:RedriveExecution", "states:StopExecution"],
            uses.distributed.iter().map(runs),
        ));
    }
    // CloudWatch Logs has no resources to name for its API of deliveries.
    statements.push(Statement::allow(
        "DeliverLogs",
        &[
            "logs:CreateLogDelivery",
            "logs:DeleteLogDelivery",
            "logs:DescribeLogGroups",
            "logs:DescribeResourcePolicies",
            "logs:GetLogDelivery",
            "logs:ListLogDeliveries",
            "logs:PutResourcePolicy",
            "logs:UpdateLogDelivery",
        ],
        ["*"],
    ));
    if context.aws.tracing.value {
        // X-Ray has no resources to name for these.
        statements.push(Statement::allow(
            "Trace",
            &[
                "xray:GetSamplingRules",
                "xray:GetSamplingTargets",
                "xray:PutTelemetryRecords",
                "xray:PutTraceSegments",
            ],
            ["*"],
        ));
    }
    Policy::of(statements)
}
