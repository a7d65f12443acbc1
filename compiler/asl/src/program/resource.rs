//! What a Task's Resource names.

use super::S3Action;

/// How a Task waits for what it starts (AWS: "Discover service integration patterns in Step Functions").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pattern {
    /// For the service's reply.
    RequestResponse,
    /// For the job's end; results as strings.
    Sync,
    /// For the job's end; results as JSON.
    Sync2,
    /// For a callback with the task's token.
    WaitForTaskToken,
}

/// What a Task's Resource names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resource {
    /// A function's own ARN: the payload is the input, the result is the reply.
    Function(String),
    /// `arn:aws:states:::lambda:invoke`.
    LambdaInvoke(Pattern),
    /// `arn:aws:states:::states:startExecution`.
    StartExecution(Pattern),
    /// `arn:aws:states:::aws-sdk:s3:…`.
    S3(S3Action),
}

impl Resource {
    /// Reads a Resource.
    ///
    /// # Errors
    /// What it names, where there is no integration for it.
    pub fn parse(resource: &str) -> Result<Self, String> {
        let parts: Vec<&str> = resource.splitn(6, ':').collect();
        match parts[..] {
            ["arn", _, "lambda", _, _, rest] if rest.starts_with("function:") => {
                Ok(Self::Function(resource.to_owned()))
            }
            ["arn", _, "states", _, _, rest] => {
                let (action, pattern) = if let Some(action) = rest.strip_suffix(".waitForTaskToken") {
                    (action, Pattern::WaitForTaskToken)
                } else if let Some(action) = rest.strip_suffix(".sync:2") {
                    (action, Pattern::Sync2)
                } else if let Some(action) = rest.strip_suffix(".sync") {
                    (action, Pattern::Sync)
                } else {
                    (rest, Pattern::RequestResponse)
                };
                match (action, pattern) {
                    ("lambda:invoke", Pattern::RequestResponse | Pattern::WaitForTaskToken) => {
                        Ok(Self::LambdaInvoke(pattern))
                    }
                    ("states:startExecution", pattern) => Ok(Self::StartExecution(pattern)),
                    (action, Pattern::RequestResponse) => action
                        .strip_prefix("aws-sdk:s3:")
                        .and_then(S3Action::from_name)
                        .map(Self::S3)
                        .ok_or_else(|| format!("the integration {rest:?}")),
                    _ => Err(format!("the integration {rest:?}")),
                }
            }
            // A placeholder that was not filled in stands for a function's ARN.
            _ if resource.starts_with("${") => Ok(Self::Function(resource.to_owned())),
            _ => Err(format!("the resource {resource:?}")),
        }
    }

    /// `lambda`, `states`: the resource type in history events.
    #[must_use]
    pub const fn service(&self) -> &'static str {
        match self {
            Self::Function(_) | Self::LambdaInvoke(_) => "lambda",
            Self::StartExecution(_) => "states",
            Self::S3(_) => "aws-sdk:s3",
        }
    }

    /// The action in history events, e.g. `startExecution.sync:2`.
    #[must_use]
    pub fn action(&self) -> &str {
        match self {
            Self::Function(arn) => arn,
            Self::LambdaInvoke(Pattern::WaitForTaskToken) => "invoke.waitForTaskToken",
            Self::LambdaInvoke(_) => "invoke",
            Self::S3(action) => action.name(),
            Self::StartExecution(Pattern::RequestResponse) => "startExecution",
            Self::StartExecution(Pattern::Sync) => "startExecution.sync",
            Self::StartExecution(Pattern::Sync2) => "startExecution.sync:2",
            Self::StartExecution(Pattern::WaitForTaskToken) => "startExecution.waitForTaskToken",
        }
    }
}
