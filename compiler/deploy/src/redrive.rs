//! Going on with a run that was stopped or ran out of time.
//!
//! `RedriveExecution` schedules again what was under way, a task that starts a child among it, and each child of a run has a
//! name of its own that is given once. So children are redriven first: `StartExecution` with the name and input of an
//! execution that is running gives that one (Step Functions API Reference, "StartExecution"), which the task then waits for;
//! of one that has ended it gives an error. Sources: Step Functions Developer Guide, "Restarting state machine executions
//! with redrive"; API Reference, "RedriveExecution", "DescribeExecution".

use crate::error::{Error, call};
use crate::execution::{Runs, child};
use crate::patience::Patience;
use aws_sdk_sfn::types::{ExecutionRedriveStatus, ExecutionStatus};
use std::time::Duration;

/// Executions that are redriven at the most, and as many that are looked at: those that were under way when a run ended.
const EXECUTIONS: usize = 2_000;

/// How long it may take until Step Functions tells that an execution is redriven.
const TOLD: Duration = Duration::from_secs(20);

/// Why a run cannot be gone on with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotRedrivable {
    /// It goes on, or has reached its end.
    #[error("run {run} is {status}: there is nothing to go on with")]
    Stands {
        /// The run.
        run: String,
        /// Where it stands.
        status: String,
    },
    /// An execution of it ended in a Fail state.
    #[error(
        "{execution} failed with {error}: every failure is caught and leads to a Fail state, from which Step Functions would go on, and fail again; start it anew: `stepgrad rerun` repeats a run"
    )]
    Failed {
        /// The execution.
        execution: String,
        /// Its error.
        error: String,
    },
    /// Step Functions says that it cannot.
    #[error("Step Functions cannot go on with {execution}: {reason}")]
    Refused {
        /// The execution.
        execution: String,
        /// What it says.
        reason: String,
    },
    /// There are too many.
    #[error("more than {} executions were under way", EXECUTIONS)]
    TooMany,
}

impl Runs<'_> {
    /// The executions of a run that are to be redriven, children before those that wait for them. Nothing is changed.
    ///
    /// # Errors
    /// Where AWS does not answer, or the run cannot be gone on with.
    pub async fn redrivable(&self, run: &str) -> Result<Vec<String>, Error> {
        let root = self.arn(run);
        let stands = self.describe(&root).await?;
        let aborted =
            [ExecutionStatus::Aborted, ExecutionStatus::TimedOut].map(|status| status.as_str().to_owned());
        if !aborted.contains(&stands.status) && stands.status != ExecutionStatus::Failed.as_str() {
            let status = stands.status;
            return Err(NotRedrivable::Stands { run: run.to_owned(), status }.into());
        }
        // From above; those that a parent waits for come after it, so the other way round is the order to redrive in.
        let (mut found, mut open) = (Vec::new(), vec![root]);
        while let Some(arn) = open.pop() {
            if found.len() + open.len() > EXECUTIONS {
                return Err(NotRedrivable::TooMany.into());
            }
            if !self.is_open(&arn).await? {
                continue;
            }
            let events = self.events(&arn).await?;
            open.extend(under_way(&events));
            found.push(arn);
        }
        found.reverse();
        Ok(found)
    }

    /// Whether an execution ended before its work was done, and can be redriven.
    async fn is_open(&self, arn: &str) -> Result<bool, Error> {
        let asked = call("states:DescribeExecution", arn);
        let found = asked.ok(self.session.states.describe_execution().execution_arn(arn).send().await)?;
        match found.status() {
            ExecutionStatus::Succeeded | ExecutionStatus::Running | ExecutionStatus::PendingRedrive => {
                return Ok(false);
            }
            ExecutionStatus::Failed => {
                let error = found.error().unwrap_or("no error").to_owned();
                return Err(NotRedrivable::Failed { execution: arn.to_owned(), error }.into());
            }
            _ => {}
        }
        if found.redrive_status() == Some(&ExecutionRedriveStatus::NotRedrivable) {
            let reason = found.redrive_status_reason().unwrap_or("it does not say why").to_owned();
            return Err(NotRedrivable::Refused { execution: arn.to_owned(), reason }.into());
        }
        Ok(true)
    }

    /// Redrives the executions of a run, in this order, until the run is under way again.
    ///
    /// # Errors
    /// Where AWS refuses; what was redriven before goes on, and going on with the run once more is no mistake.
    pub async fn redrive(&self, run: &str, executions: &[String]) -> Result<(), Error> {
        let root = self.arn(run);
        let before = self.describe(&root).await?.redrives;
        for arn in executions {
            let redrive = self.session.states.redrive_execution().execution_arn(arn);
            call("states:RedriveExecution", arn).ok(redrive.send().await)?;
        }
        let mut patience = Patience::of(TOLD);
        loop {
            let stands = self.describe(&root).await?;
            if stands.is_running() || stands.redrives > before {
                return Ok(());
            }
            if !patience.wait().await {
                return Err(Error::Waited { what: root, state: stands.status, seconds: TOLD.as_secs() });
            }
        }
    }
}

/// The executions that were started and whose end their parent did not hear of.
fn under_way(events: &[serde_json::Value]) -> Vec<String> {
    let mut open: Vec<(u64, String)> = Vec::new();
    for event in events {
        if let Some(arn) = child(event) {
            open.push((event["id"].as_u64().unwrap_or_default(), arn));
        }
        // What ends a task comes after what it submitted.
        if matches!(event["type"].as_str(), Some("TaskSucceeded" | "TaskFailed" | "TaskTimedOut")) {
            let before = event["previousEventId"].as_u64().unwrap_or_default();
            open.retain(|(id, _)| *id != before);
        }
    }
    open.into_iter().map(|(_, arn)| arn).collect()
}

#[cfg(test)]
mod tests {
    use super::under_way;
    use serde_json::json;

    #[test]
    fn children_whose_end_was_heard_of_are_not_under_way() {
        let submitted = |id: u64, name: &str| {
            let output = json!({"ExecutionArn": name}).to_string();
            json!({"id": id, "previousEventId": id - 1, "type": "TaskSubmitted",
                "taskSubmittedEventDetails": {"resourceType": "states", "output": output}})
        };
        let ended =
            |id: u64, before: u64, kind: &str| json!({"id": id, "previousEventId": before, "type": kind});
        let events = [
            submitted(4, "one"),
            submitted(8, "two"),
            submitted(12, "three"),
            ended(13, 8, "TaskFailed"),
            ended(14, 4, "TaskSucceeded"),
            ended(15, 14, "TaskStateExited"),
        ];
        assert_eq!(under_way(&events), ["three"]);
        assert_eq!(under_way(&events[..3]), ["one", "two", "three"]);
    }
}
