//! Waiting for AWS, always with an end.

use crate::error::{ApiError, Error, Kind};
use std::time::Duration;

/// Until a role that was just made can be taken: IAM tells it to all its places within seconds, mostly.
pub(crate) const ROLE: Duration = Duration::from_secs(120);
/// Until a function can be called, or a state machine is gone.
pub(crate) const STATE: Duration = Duration::from_secs(300);
const FIRST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(5);

/// The waits between looks: longer each time, in all no longer than it was given.
#[derive(Debug)]
pub(crate) struct Patience {
    next: Duration,
    left: Duration,
}

impl Patience {
    pub(crate) const fn of(left: Duration) -> Self {
        Self { next: FIRST, left }
    }

    /// Waits for the next look; `false` where patience is at its end.
    pub(crate) async fn wait(&mut self) -> bool {
        if self.left.is_zero() {
            return false;
        }
        let wait = self.next.min(self.left);
        tokio::time::sleep(wait).await;
        self.left = self.left.saturating_sub(wait);
        self.next = (self.next * 2).min(LONGEST);
        true
    }
}

/// Makes a call again while AWS does not yet know the role that it names.
pub(crate) async fn until_the_role_is_known<T>(
    mut attempt: impl AsyncFnMut() -> Result<T, Error>,
) -> Result<T, Error> {
    let mut patience = Patience::of(ROLE);
    loop {
        match attempt().await {
            Err(Error::Api(error)) if is_about_a_new_role(&error) => {
                if !patience.wait().await {
                    return Err(Error::Api(error));
                }
            }
            ended => return ended,
        }
    }
}

/// Lambda: `InvalidParameterValueException`, "The role defined for the function cannot be assumed by Lambda.", "The provided
/// execution role does not have permissions to call …", or that the key of the environment "is invalid for CreateGrant", for the
/// role is not a principal yet. Step
/// Functions: `AccessDeniedException`, "Neither the global service principal states.amazonaws.com, nor the regional one is
/// authorized to assume the provided role.", or that the role may not deliver logs or make the rule of `.sync` yet.
fn is_about_a_new_role(error: &ApiError) -> bool {
    let said = error.message.to_ascii_lowercase();
    // What names a permission is about the caller: waiting does not help.
    let callers = said.contains("not authorized to perform");
    let may_not_yet = ["assume", "access the log destination", "create managed-rule"];
    match (error.code.as_deref(), error.kind) {
        (Some("InvalidParameterValueException"), _) => {
            let not_yet = ["assume", "execution role does not have permissions", "invalid for creategrant"];
            not_yet.iter().any(|what| said.contains(what))
        }
        (Some("InvalidLoggingConfiguration"), _) => said.contains("not authorized"),
        (_, Kind::Denied) => !callers && may_not_yet.iter().any(|what| said.contains(what)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::{Patience, is_about_a_new_role, until_the_role_is_known};
    use crate::error::{ApiError, Error, Kind};
    use std::time::Duration;

    fn error(code: &str, kind: Kind, message: &str) -> ApiError {
        ApiError {
            api: "lambda:CreateFunction",
            resource: "f".to_owned(),
            kind,
            code: Some(code.to_owned()),
            message: message.to_owned(),
            request: None,
            permission: None,
        }
    }

    #[test]
    fn only_what_time_heals_is_waited_for() {
        let lambda = "The role defined for the function cannot be assumed by Lambda.";
        assert!(is_about_a_new_role(&error("InvalidParameterValueException", Kind::Refused, lambda)));
        for lambda in [
            "The provided execution role does not have permissions to call CreateNetworkInterface on EC2",
            "Lambda was unable to configure access to your environment variables because the KMS key is invalid for CreateGrant. Please check your KMS key settings. KMS Exception: InvalidArnException KMS Message: ARN does not refer to a valid principal",
        ] {
            assert!(is_about_a_new_role(&error("InvalidParameterValueException", Kind::Refused, lambda)));
        }
        let states = "Neither the global service principal states.amazonaws.com, nor the regional one is authorized to assume the provided role.";
        assert!(is_about_a_new_role(&error("AccessDeniedException", Kind::Denied, states)));
        let logs = "The state machine IAM Role is not authorized to access the Log Destination";
        assert!(is_about_a_new_role(&error("InvalidLoggingConfiguration", Kind::Refused, logs)));
        assert!(is_about_a_new_role(&error("AccessDeniedException", Kind::Denied, logs)));
        let rule = "'arn:aws:iam::1:role/r' is not authorized to create managed-rule.";
        assert!(is_about_a_new_role(&error("AccessDeniedException", Kind::Denied, rule)));
        let caller =
            "User: x is not authorized to perform: iam:PassRole on resource: r because it may not assume";
        assert!(!is_about_a_new_role(&error("AccessDeniedException", Kind::Denied, caller)));
        assert!(!is_about_a_new_role(&error("InvalidParameterValueException", Kind::Refused, "memory")));
    }

    #[tokio::test(start_paused = true)]
    async fn patience_has_an_end_and_then_the_error_is_told() {
        let begin = tokio::time::Instant::now();
        let lambda = "The role defined for the function cannot be assumed by Lambda.";
        let mut calls = 0;
        let ended: Result<(), _> = until_the_role_is_known(async || {
            calls += 1;
            Err(error("InvalidParameterValueException", Kind::Refused, lambda).into())
        })
        .await;
        assert!(matches!(ended, Err(Error::Api(_))));
        assert_eq!(begin.elapsed().as_secs(), super::ROLE.as_secs());
        assert!((10..60).contains(&calls), "{calls}");
        let mut patience = Patience::of(Duration::ZERO);
        assert!(!patience.wait().await);
    }
}
