//! What somebody needs who trains with a deployment that is there: puts data, starts a run, watches it, reads its record,
//! stops it, redrives it. Making and removing the deployment needs more and is not in it.
//!
//! Source: Service Authorization Reference, "Actions, resources, and condition keys for AWS Step Functions".

use super::policy::{Policy, Statement};
use super::{Context, names};

pub(super) fn policy(context: &Context<'_>) -> Policy {
    let states = |resource: String| names::arn("states", &resource);
    let all = || context.index.machines.iter().map(|entry| names::machine(context.prefix, &entry.name));
    let first = context.index.machines.first().map(|entry| names::machine(context.prefix, &entry.name));
    let functions =
        || context.index.functions.iter().map(|entry| names::function(context.prefix, &entry.name));
    let groups = functions()
        .map(|name| names::function_log_group(&name))
        .chain(all().map(|name| names::machine_log_group(&name)));
    let mut statements = vec![
        Statement::allow(
            "StartRuns",
            &["states:StartExecution"],
            first.iter().map(|name| states(format!("stateMachine:{name}"))),
        ),
        // What is deployed is held against the spec before a run.
        Statement::allow(
            "SeeWhatIsDeployed",
            &["states:DescribeStateMachine"],
            all().map(|name| states(format!("stateMachine:{name}:*"))),
        ),
        Statement::allow(
            "SeeWhatIsCalled",
            &["lambda:GetFunctionConfiguration"],
            functions().map(|name| names::arn("lambda", &format!("function:{name}:*"))),
        ),
        // Of both: the reference of this action names the alias, and the developer guide says that an alias is authorized by the
        // ARN of its state machine ("Authorization for versions and aliases in Step Functions workflows").
        Statement::allow(
            "SeeWhichVersionIsStarted",
            &["states:DescribeStateMachineAlias"],
            first.iter().flat_map(|name| {
                let machine = format!("stateMachine:{name}");
                [states(format!("{machine}:{}", names::ALIAS)), states(machine)]
            }),
        ),
        // Of all, for what a run has started is stopped with it, and a rerun asks whether they are those of its run.
        Statement::allow(
            "SeeMachinesAndListRuns",
            &["states:DescribeStateMachine", "states:ListExecutions"],
            all().map(|name| states(format!("stateMachine:{name}"))),
        ),
        Statement::allow(
            "FollowStopAndRedriveRuns",
            &[
                "states:DescribeExecution",
                "states:GetExecutionHistory",
                "states:RedriveExecution",
                "states:StopExecution",
            ],
            all().map(|name| states(format!("execution:{name}:*"))),
        ),
        Statement::allow(
            "ReadLogs",
            &["logs:FilterLogEvents"],
            groups.map(|group| names::arn("logs", &format!("log-group:{group}:*"))),
        ),
        Statement::allow("ListObjects", &["s3:ListBucket"], [names::bucket_arn()]),
        Statement::allow(
            "PutDataAndReadRecords",
            &["s3:GetObject", "s3:PutObject"],
            [names::DATA, names::RUNS].map(|prefix| names::objects_arn(&format!("{prefix}/*"))),
        ),
    ];
    if let Some(key) = &context.aws.kms_key {
        statements.push(Statement::allow(
            "UseTheKey",
            &["kms:Decrypt", "kms:GenerateDataKey"],
            [key.value.clone()],
        ));
    }
    Policy::of(statements)
}
