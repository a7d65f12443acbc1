//! Removes what a deployment made: exactly what carries its tags.

use crate::deploy::remove;
use crate::desired::Owned;
use crate::difference::{Action, Kind, Step, ours};
use crate::error::{Error, call};
use crate::plan::{hidden, in_the_way, made};
use crate::session::Session;
use crate::things::bucket::{self, Found};
use crate::watch::Watch;
use stepgrad_compiler::aws::names;

/// What there is of a deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remains {
    /// What would be removed, in that order.
    pub steps: Vec<Step>,
    /// Runs in the bucket, trained models included; at the most 1,000 are counted.
    pub runs: usize,
}

impl Remains {
    /// Looks for everything that carries the deployment's tags.
    ///
    /// # Errors
    /// Where AWS does not answer, or the bucket may not be looked at.
    pub async fn look(session: &Session, owned: &Owned) -> Result<Self, Error> {
        let mut steps: Vec<_> = made(session, owned)
            .await?
            .into_iter()
            .map(|(kind, name)| Step::new(kind, &name, Action::Delete))
            .collect();
        let mut runs = 0;
        let bucket = bucket::look(session, &owned.bucket).await?;
        if matches!(bucket, Found::Hidden) {
            // What is in it would stay in silence.
            return Err(Error::Foreign(vec![in_the_way(&hidden(&owned.bucket))]));
        }
        if let Found::Seen(seen) = bucket
            && ours(&seen.tags, &owned.tags)
        {
            let list = session.s3.list_objects_v2().bucket(&owned.bucket).delimiter("/");
            let listed = list.prefix(format!("{}/", names::RUNS)).send().await;
            let asked = call("s3:ListObjectsV2", session.bucket_arn(&owned.bucket)).needs("s3:ListBucket");
            runs = asked.ok(listed)?.common_prefixes().len();
            // The last one: while it is there, so are the data that it takes to begin anew.
            steps.push(Step::new(Kind::Bucket, &owned.bucket, Action::Delete));
        }
        Ok(Self { steps, runs })
    }
}

/// Removes what is left.
///
/// # Errors
/// Where a call fails, after which another `destroy` removes the rest.
pub async fn destroy(
    session: &Session,
    owned: &Owned,
    remains: &Remains,
    watch: &dyn Watch,
) -> Result<(), Error> {
    for step in &remains.steps {
        watch.begins(step);
        remove(session, &owned.bucket, step, None).await?;
        watch.done(step);
    }
    Ok(())
}
