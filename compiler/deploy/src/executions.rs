//! Which runs there are on AWS, and the end of one.

use crate::error::{Error, call};
use crate::execution::Runs;
use aws_sdk_sfn::types::ExecutionStatus;

/// Runs that are listed at the most: the newest ones.
pub const LISTED: usize = 1_000;

/// A run as the list of executions tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The run's id.
    pub run: String,
    /// With the names of Step Functions, e.g. `RUNNING`.
    pub status: String,
    /// When it was started, in milliseconds since 1970.
    pub started: Option<i64>,
    /// When it ended, likewise.
    pub stopped: Option<i64>,
}

impl Runs<'_> {
    /// The newest runs, at the most [`LISTED`], in the order in which they were started. Step Functions forgets a run 90 days
    /// after its end.
    ///
    /// # Errors
    /// Where AWS does not answer.
    pub async fn list(&self) -> Result<Vec<Listed>, Error> {
        let machine = self.machine();
        let asked = call("states:ListExecutions", &machine);
        let list = self.session.states.list_executions().state_machine_arn(&machine);
        let mut pages = list.into_paginator().send();
        let mut found: Vec<Listed> = Vec::new();
        while let Some(page) = pages.next().await {
            // Nothing was ever deployed.
            let Some(page) = asked.found(page)? else { break };
            found.extend(page.executions().iter().map(|execution| Listed {
                run: execution.name().to_owned(),
                status: execution.status().as_str().to_owned(),
                started: execution.start_date().to_millis().ok(),
                stopped: execution.stop_date().and_then(|date| date.to_millis().ok()),
            }));
            // The newest come first (Step Functions API Reference, `ListExecutions`).
            if found.len() >= LISTED {
                break;
            }
        }
        found.truncate(LISTED);
        found.sort_by(|one, other| (one.started, &one.run).cmp(&(other.started, &other.run)));
        Ok(found)
    }

    /// Ends a run: its own execution, and those that it started, of which Step Functions ends those that are waited for as
    /// well as it can. Gives how many went on. Of a run that is not `under_way` itself only what it started is looked for.
    ///
    /// # Errors
    /// Where AWS refuses.
    pub async fn stop(&self, run: &str, under_way: bool, cause: &str) -> Result<usize, Error> {
        let arn = self.arn(run);
        let mut stopped = 0;
        if under_way {
            stopped += usize::from(self.stop_one(&arn, cause).await?);
        }
        let begins = format!("{run}-");
        // From above: one whose child ends would start it again.
        for machine in self.machines() {
            let asked = call("states:ListExecutions", &machine);
            let list = self.session.states.list_executions().state_machine_arn(&machine);
            let mut pages = list.status_filter(ExecutionStatus::Running).into_paginator().send();
            while let Some(page) = pages.next().await {
                let Some(page) = asked.found(page)? else { break };
                for execution in page.executions().iter().filter(|found| found.name().starts_with(&begins)) {
                    stopped += usize::from(self.stop_one(execution.execution_arn(), cause).await?);
                }
            }
        }
        Ok(stopped)
    }

    /// Whether there was one to be stopped.
    async fn stop_one(&self, arn: &str, cause: &str) -> Result<bool, Error> {
        let stop = self.session.states.stop_execution().execution_arn(arn).cause(cause);
        Ok(call("states:StopExecution", arn).found(stop.send().await)?.is_some())
    }
}
