//! What can go wrong on AWS: which call, what AWS said, which permission is missing, what to do.

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use std::fmt;
use std::path::PathBuf;

/// What to do where a verb was interrupted, at the end of what is said.
pub const AGAIN: &str = "run the same command again, it goes on from here";

/// Why a verb did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Neither the command line nor the environment nor the profile names a region.
    #[error(
        "no AWS region is set: give --region, set AWS_REGION, or write `region` into the profile of ~/.aws/config"
    )]
    NoRegion,
    /// No credentials were found, or they could not be loaded.
    #[error(
        "no AWS credentials: {0}; set AWS_PROFILE or --profile, run `aws sso login`, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    )]
    NoCredentials(String),
    /// A call failed.
    #[error(transparent)]
    Api(Box<ApiError>),
    /// Things of these names are there that this deployment did not make.
    #[error("{} not made by this deployment, and is left alone: {}; give the spec another `name`, or remove what is there", one_or_many(.0), .0.join(", "))]
    Foreign(Vec<String>),
    /// Something did not come to the state that it was to come to.
    #[error("{what} is still {state} after {seconds} s; {AGAIN}")]
    Waited {
        /// What was waited for.
        what: String,
        /// The state that it is in.
        state: String,
        /// How long.
        seconds: u64,
    },
    /// AWS took something and then could not use it.
    #[error("{what} cannot be used: {reason}")]
    Broken {
        /// What it is.
        what: String,
        /// What AWS says.
        reason: String,
    },
    /// Runs are under way that the deployment would end or leave without what they need.
    #[error("{} under way, and would lose what {} made of: {}; wait for the end, or run `stepgrad stop`: {}", if .runs.len() == 1 { "a run is" } else { "runs are" }, if .runs.len() == 1 { "it is" } else { "they are" }, .steps.join(", "), .runs.join(", "))]
    UnderWay {
        /// The executions' names.
        runs: Vec<String>,
        /// What would happen to what.
        steps: Vec<String>,
    },
    /// AWS in a part of the world for which the definitions are not made.
    #[error(
        "{region} is of the partition {partition}, and the definitions name integrations of the partition aws (arn:aws:states:::…): use a region of that one"
    )]
    Partition {
        /// The partition.
        partition: String,
        /// The region.
        region: String,
    },
    /// A definition that Step Functions refuses.
    #[error("Step Functions refuses the definition of {machine}: {findings}")]
    Definition {
        /// The state machine.
        machine: String,
        /// What it found, with places.
        findings: String,
    },
    /// A file of this computer.
    #[error("cannot read {}: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// A private key that is to be put is not at hand, or is another one.
    #[error("{0}")]
    Key(String),
    /// A run cannot be gone on with.
    #[error(transparent)]
    NotRedrivable(#[from] crate::redrive::NotRedrivable),
    /// The desired state is not whole.
    #[error("{0}")]
    Desired(String),
}

fn one_or_many(names: &[String]) -> &'static str {
    if names.len() == 1 { "what is there already was" } else { "some of what is there already was" }
}

impl From<ApiError> for Error {
    fn from(error: ApiError) -> Self {
        Self::Api(Box::new(error))
    }
}

impl Error {
    /// The call that failed, if it was one.
    #[must_use]
    pub fn api(&self) -> Option<&ApiError> {
        if let Self::Api(error) = self { Some(error) } else { None }
    }
}

/// Of what kind a failed call is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A permission is missing.
    Denied,
    /// What was asked for is not there.
    Absent,
    /// Too many calls, also after all retries.
    Throttled,
    /// AWS failed, also after all retries.
    Server,
    /// No answer in time, also after all retries.
    TimedOut,
    /// Nothing could be reached.
    Unreachable,
    /// Who asks is not known, or not any more.
    Unknown,
    /// It is there already, or something else is just changing it.
    Conflict,
    /// The request as it is was refused.
    Refused,
}

/// A call of AWS that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    /// The call, e.g. `iam:CreateRole`.
    pub api: &'static str,
    /// What it was about: an ARN or a name.
    pub resource: String,
    /// Of what kind the failure is.
    pub kind: Kind,
    /// AWS's code, e.g. `AccessDenied`.
    pub code: Option<String>,
    /// What AWS said.
    pub message: String,
    /// AWS's id of the request, which its support asks for.
    pub request: Option<String>,
    /// The missing permission and what it is missing for; only of [`Kind::Denied`].
    pub permission: Option<(String, String)>,
}

impl std::error::Error for ApiError {}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { api, resource, code, message, .. } = self;
        write!(f, "{api} on {resource} ")?;
        match self.kind {
            Kind::Denied => write!(f, "was denied")?,
            Kind::Absent => write!(f, "found nothing")?,
            Kind::Throttled => write!(f, "was throttled, also when it was asked again")?,
            Kind::Server => write!(f, "failed at AWS, also when it was asked again")?,
            Kind::TimedOut => write!(f, "had no whole answer in time, also when it was asked again")?,
            Kind::Unreachable => write!(f, "could not be sent")?,
            Kind::Unknown => write!(f, "was not taken with these credentials")?,
            Kind::Conflict => write!(f, "met what is there already, or another change")?,
            Kind::Refused => write!(f, "was refused")?,
        }
        match code {
            Some(code) => write!(f, ": {code}: {message}")?,
            None => write!(f, ": {message}")?,
        }
        if let Some(request) = &self.request {
            write!(f, " (request {request})")?;
        }
        match (&self.permission, self.kind) {
            (Some((action, on)), _) => write!(f, "; allow {action} on {on} to whoever runs this command"),
            (None, Kind::Throttled | Kind::Server | Kind::TimedOut | Kind::Conflict) => {
                write!(f, "; {AGAIN}")
            }
            (None, Kind::Unknown) => write!(
                f,
                "; get new credentials (such as by `aws sso login`), look whether this computer's clock is right, and run the same command again"
            ),
            (None, Kind::Unreachable) => {
                write!(f, "; check the network, --endpoint-url and --region")
            }
            _ => Ok(()),
        }
    }
}

/// A call that is about to be made.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    api: &'static str,
    permission: &'static str,
    resource: String,
}

/// A call whose permission has its own name.
pub(crate) fn call(api: &'static str, resource: impl Into<String>) -> Call {
    Call { api, permission: api, resource: resource.into() }
}

/// Codes of what is not there.
const ABSENT: [&str; 17] = [
    "ExecutionDoesNotExist",
    "InvalidResourceId",
    "NoSuchBucket",
    "NoSuchBucketPolicy",
    "NoSuchEntity",
    "NoSuchKey",
    "NoSuchLifecycleConfiguration",
    "NoSuchPublicAccessBlockConfiguration",
    "NoSuchTagSet",
    "NoSuchUpload",
    "NotFound",
    "ParameterNotFound",
    "ResourceNotFound",
    "ResourceNotFoundException",
    "ServerSideEncryptionConfigurationNotFoundError",
    // What is being deleted is as good as gone to all but those who make it again, and they wait.
    "StateMachineDeleting",
    "StateMachineDoesNotExist",
];
/// Codes of credentials that are not, or no longer, good (IAM User Guide and STS, "Common errors"; S3, "List of error codes").
const UNKNOWN: [&str; 11] = [
    "AuthFailure",
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "RequestExpired",
    "RequestTimeTooSkewed",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
];
/// Not `LimitExceededException`, which is about how many things an account may have (CloudWatch Logs, IAM).
const THROTTLED: [&str; 6] = [
    "RequestLimitExceeded",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
    "ServiceUnavailable",
];
const CONFLICT: [&str; 15] = [
    "BucketAlreadyOwnedByYou",
    "BucketNotEmpty",
    "ConcurrentModification",
    "ConditionalRequestConflict",
    "ConflictException",
    "EntityAlreadyExists",
    "ExecutionAlreadyExists",
    "OperationAborted",
    "OperationAbortedException",
    "ParameterAlreadyExists",
    "PreconditionFailed",
    "ResourceAlreadyExistsException",
    "ResourceConflictException",
    "StateMachineAlreadyExists",
    "TooManyUpdates",
];

impl Call {
    /// The same call, of which the permission is called otherwise (Service Authorization Reference).
    pub(crate) const fn needs(mut self, permission: &'static str) -> Self {
        self.permission = permission;
        self
    }

    /// The error of this call.
    pub(crate) fn failed<E>(&self, error: &SdkError<E, HttpResponse>) -> ApiError
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let code = error.code().map(str::to_owned);
        let status = error.raw_response().map(|response| response.status().as_u16());
        let kind = match (error, code.as_deref(), status) {
            (SdkError::TimeoutError(_), ..) => Kind::TimedOut,
            (SdkError::DispatchFailure(failure), ..) if failure.is_timeout() => Kind::TimedOut,
            (SdkError::DispatchFailure(_) | SdkError::ConstructionFailure(_), ..) => Kind::Unreachable,
            (_, Some(code), _) if ABSENT.contains(&code) => Kind::Absent,
            (_, Some(code), _) if UNKNOWN.contains(&code) => Kind::Unknown,
            (_, Some(code), _) if THROTTLED.contains(&code) => Kind::Throttled,
            (_, Some(code), _) if CONFLICT.contains(&code) => Kind::Conflict,
            (_, _, Some(404)) => Kind::Absent,
            (_, _, Some(429)) => Kind::Throttled,
            (_, Some(code), _) if code.contains("AccessDenied") || code == "UnauthorizedOperation" => {
                Kind::Denied
            }
            (_, _, Some(403)) => Kind::Denied,
            (_, _, Some(500..)) => Kind::Server,
            _ => Kind::Refused,
        };
        let message = error.message().map_or_else(|| reasons(error), str::to_owned);
        let request = error.raw_response().and_then(|response| {
            let headers = response.headers();
            headers.get("x-amzn-requestid").or_else(|| headers.get("x-amz-request-id")).map(str::to_owned)
        });
        let permission = (kind == Kind::Denied)
            .then(|| said(&message).unwrap_or_else(|| (self.permission.to_owned(), self.resource.clone())));
        ApiError { api: self.api, resource: self.resource.clone(), kind, code, message, request, permission }
    }

    /// The error of one of the things that a call was about, in an answer of which the rest went well.
    pub(crate) fn refused(&self, code: Option<&str>, message: Option<&str>) -> ApiError {
        let kind = match code {
            Some("AccessDenied") => Kind::Denied,
            Some("InternalError") => Kind::Server,
            Some(code) if THROTTLED.contains(&code) => Kind::Throttled,
            _ => Kind::Refused,
        };
        ApiError {
            api: self.api,
            resource: self.resource.clone(),
            kind,
            code: code.map(str::to_owned),
            message: message.unwrap_or("nothing else was said").to_owned(),
            request: None,
            permission: (kind == Kind::Denied).then(|| (self.permission.to_owned(), self.resource.clone())),
        }
    }

    /// The error of an answer that broke off, or stood still, on its way.
    pub(crate) fn broke_off(&self, error: &(dyn std::error::Error + 'static)) -> ApiError {
        ApiError {
            api: self.api,
            resource: self.resource.clone(),
            kind: Kind::TimedOut,
            code: None,
            message: reasons(error),
            request: None,
            permission: None,
        }
    }

    /// The answer.
    pub(crate) fn ok<T, E>(&self, result: Result<T, SdkError<E, HttpResponse>>) -> Result<T, Error>
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        result.map_err(|error| self.failed(&error).into())
    }

    /// The answer, or that there is no such thing.
    pub(crate) fn found<T, E>(&self, result: Result<T, SdkError<E, HttpResponse>>) -> Result<Option<T>, Error>
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        match result {
            Ok(answer) => Ok(Some(answer)),
            Err(error) => match self.failed(&error) {
                failed if failed.kind == Kind::Absent => Ok(None),
                failed => Err(failed.into()),
            },
        }
    }
}

/// What an error and those behind it say, each once.
fn reasons(error: &(dyn std::error::Error + 'static)) -> String {
    let mut said: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        if !text.is_empty() && !said.contains(&text) {
            said.push(text);
        }
        next = error.source();
    }
    said.join(": ")
}

/// The permission that AWS itself names: "… is not authorized to perform: iam:PassRole on resource: arn:… because …"
/// (IAM User Guide, "Troubleshoot access denied error messages").
fn said(message: &str) -> Option<(String, String)> {
    let (_, rest) = message.split_once("to perform: ")?;
    let action = rest.split([' ', ',']).next()?;
    let (_, on) = rest.split_once("on resource: ")?;
    let on = on.split([' ', ',']).next()?;
    Some((action.to_owned(), on.trim_matches('"').to_owned()))
}

#[cfg(test)]
mod tests {
    use super::{ApiError, Kind, call, said};

    #[test]
    fn the_permission_is_the_one_that_aws_names() {
        let message = "User: arn:aws:iam::1:user/x is not authorized to perform: iam:PassRole on resource: arn:aws:iam::1:role/r because no identity-based policy allows the iam:PassRole action";
        assert_eq!(said(message), Some(("iam:PassRole".to_owned(), "arn:aws:iam::1:role/r".to_owned())));
        assert_eq!(said("Access Denied"), None);
    }

    #[test]
    fn one_of_many_that_is_refused_names_its_permission() {
        let asked = call("s3:DeleteObjects", "arn:aws:s3:::b/k").needs("s3:DeleteObjectVersion");
        let denied = asked.refused(Some("AccessDenied"), Some("Access Denied")).to_string();
        assert_eq!(
            denied,
            "s3:DeleteObjects on arn:aws:s3:::b/k was denied: AccessDenied: Access Denied; allow s3:DeleteObjectVersion on arn:aws:s3:::b/k to whoever runs this command"
        );
        assert_eq!(asked.refused(Some("InternalError"), None).kind, Kind::Server);
        assert_eq!(asked.refused(Some("SlowDown"), None).kind, Kind::Throttled);
        assert_eq!(asked.refused(None, None).kind, Kind::Refused);
    }

    #[test]
    fn an_error_says_the_call_the_answer_and_what_to_do() {
        let error = ApiError {
            api: "iam:CreateRole",
            resource: "arn:aws:iam::1:role/r".to_owned(),
            kind: Kind::Denied,
            code: Some("AccessDenied".to_owned()),
            message: "no".to_owned(),
            request: Some("q-1".to_owned()),
            permission: Some(("iam:CreateRole".to_owned(), "arn:aws:iam::1:role/r".to_owned())),
        };
        assert_eq!(
            error.to_string(),
            "iam:CreateRole on arn:aws:iam::1:role/r was denied: AccessDenied: no (request q-1); allow iam:CreateRole on arn:aws:iam::1:role/r to whoever runs this command"
        );
        let late = ApiError { kind: Kind::TimedOut, permission: None, ..error };
        assert!(late.to_string().ends_with("; run the same command again, it goes on from here"), "{late}");
    }
}
