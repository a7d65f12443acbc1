//! What a failure of S3 is told as: what was tried on which object, what S3 said, and what to do; for a missing
//! permission, which action on which resource (AWS page "Actions, resources, and condition keys for Amazon S3").

use super::ATTEMPTS;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::RequestId;
use std::error::Error;
use stepgrad_contract::{ErrorKind, FunctionError};

/// What was tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Read,
    Write,
    List,
    Delete,
}

impl Action {
    const fn verb(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::List => "list",
            Self::Delete => "delete",
        }
    }

    const fn permission(self) -> &'static str {
        match self {
            Self::Read => "s3:GetObject",
            Self::Write => "s3:PutObject",
            Self::List => "s3:ListBucket",
            Self::Delete => "s3:DeleteObject",
        }
    }
}

/// On what.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) bucket: &'a str,
    /// The object's key, or what the listed keys begin with.
    pub(super) key: &'a str,
}

/// The code of S3's answer, where it answered.
pub(super) fn code<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> Option<&str> {
    error.as_service_error().and_then(ProvideErrorMetadata::code)
}

/// The status of S3's answer, where it answered.
pub(super) fn status<E>(error: &SdkError<E, HttpResponse>) -> u16 {
    error.raw_response().map_or(0, |response| response.status().as_u16())
}

impl Place<'_> {
    /// The error of trying to `action` it.
    pub(super) fn failed<E>(self, action: Action, error: &SdkError<E, HttpResponse>) -> FunctionError
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        match error {
            SdkError::ServiceError(answer) => {
                let (code, said) = (answer.err().code(), answer.err().message());
                self.refused(action, status(error), code, said, error.request_id())
            }
            SdkError::TimeoutError(_) => self.unavailable(
                action,
                &format!("S3 did not answer in time, {ATTEMPTS} times: see to the way there, an endpoint of the VPC for one"),
            ),
            other => self.unavailable(action, &DisplayErrorContext(other).to_string()),
        }
    }

    fn unavailable(self, action: Action, why: &str) -> FunctionError {
        self.error(ErrorKind::ObjectUnavailable, action, why)
    }

    fn error(self, kind: ErrorKind, action: Action, why: &str) -> FunctionError {
        let Self { bucket, key } = self;
        FunctionError::new(kind, format!("cannot {} object {key} of bucket {bucket}: {why}", action.verb()))
    }

    /// The error of an answer of S3.
    pub(super) fn refused(
        self,
        action: Action,
        status: u16,
        code: Option<&str>,
        said: Option<&str>,
        request: Option<&str>,
    ) -> FunctionError {
        let code = code.unwrap_or(match status {
            403 => "AccessDenied",
            404 => "NoSuchKey",
            _ => "no code",
        });
        let answer = format!(
            "{status} {code}{}{}",
            said.map(|said| format!(", {said}")).unwrap_or_default(),
            request.map(|request| format!(" (request {request})")).unwrap_or_default()
        );
        match code {
            "NoSuchKey" => {
                let message = format!("object {} is not there, in bucket {}", self.key, self.bucket);
                FunctionError::new(ErrorKind::ObjectMissing, message)
            }
            "NoSuchBucket" => self.error(
                ErrorKind::InvalidEvent,
                action,
                &format!("there is no such bucket: set STEPGRAD_STORE, for data STEPGRAD_DATA, to one that is there ({answer})"),
            ),
            "AccessDenied" | "AllAccessDisabled" | "Forbidden" => {
                self.error(ErrorKind::AccessDenied, action, &self.permission(action, &answer))
            }
            "ExpiredToken"
            | "InvalidAccessKeyId"
            | "InvalidToken"
            | "SignatureDoesNotMatch"
            | "RequestTimeTooSkewed" => self.error(
                ErrorKind::AccessDenied,
                action,
                &format!("S3 does not take the credentials: renew them, and see to the clock ({answer})"),
            ),
            "PermanentRedirect" | "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException" => {
                self.error(
                    ErrorKind::InvalidEvent,
                    action,
                    &format!("the bucket is in another region: set AWS_REGION to it ({answer})"),
                )
            }
            "SlowDown" | "ServiceUnavailable" | "RequestLimitExceeded" => self.unavailable(
                action,
                &format!(
                    "S3 asked {ATTEMPTS} times to slow down: lower functions.max_concurrency ({answer})"
                ),
            ),
            _ => self.unavailable(action, &answer),
        }
    }

    /// Which permission is missing. S3 answers so to a read of what is not there, too, where the bucket may not be listed.
    fn permission(self, action: Action, answer: &str) -> String {
        let Self { bucket, key } = self;
        let on = match action {
            Action::List => format!("arn:aws:s3:::{bucket}"),
            _ => format!("arn:aws:s3:::{bucket}/{key}"),
        };
        let more = match action {
            Action::Read => {
                format!(
                    ", and s3:ListBucket on arn:aws:s3:::{bucket}, without which S3 says so of a missing object, too"
                )
            }
            _ => String::new(),
        };
        format!(
            "the function's role does not allow {} on {on}: allow it{more} ({answer})",
            action.permission()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::{Action, Place};
    use stepgrad_contract::ErrorKind;

    #[test]
    fn each_answer_says_what_to_do() {
        let place = Place { bucket: "runs", key: "r/x.json" };
        let told = |action, status, code| place.refused(action, status, code, Some("said"), Some("7F"));
        for (action, status, code, kind, text) in [
            (Action::Read, 404, Some("NoSuchKey"), ErrorKind::ObjectMissing, "object r/x.json is not there"),
            (
                Action::Write,
                403,
                Some("AccessDenied"),
                ErrorKind::AccessDenied,
                "s3:PutObject on arn:aws:s3:::runs/r/x.json: allow it (403",
            ),
            (Action::Read, 403, None, ErrorKind::AccessDenied, "and s3:ListBucket on arn:aws:s3:::runs,"),
            (
                Action::List,
                403,
                Some("AccessDenied"),
                ErrorKind::AccessDenied,
                "s3:ListBucket on arn:aws:s3:::runs: allow it",
            ),
            (Action::Delete, 200, Some("AccessDenied"), ErrorKind::AccessDenied, "s3:DeleteObject on"),
            (Action::Write, 400, Some("ExpiredToken"), ErrorKind::AccessDenied, "renew them"),
            (Action::Write, 404, Some("NoSuchBucket"), ErrorKind::InvalidEvent, "STEPGRAD_STORE"),
            (Action::Write, 301, Some("PermanentRedirect"), ErrorKind::InvalidEvent, "AWS_REGION"),
            (Action::Write, 503, Some("SlowDown"), ErrorKind::ObjectUnavailable, "max_concurrency"),
            (
                Action::Write,
                500,
                Some("InternalError"),
                ErrorKind::ObjectUnavailable,
                "500 InternalError, said (request 7F)",
            ),
        ] {
            let error = told(action, status, code);
            assert_eq!(error.kind, kind, "{error}");
            assert!(error.message.contains(text), "{error}");
        }
    }
}
