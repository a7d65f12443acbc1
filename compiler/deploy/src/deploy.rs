//! Makes what is to be. Every step looks at what is there and does what is missing, so a deployment that was interrupted
//! anywhere is finished by another one.

use crate::desired::Desired;
use crate::difference::{Action, Kind, Step, Tags, ours};
use crate::error::{Error, Kind as Failure};
use crate::plan::{PART_OF_BUCKET, Plan};
use crate::session::Session;
use crate::things::{bucket, function, key, log_group, object, role, state_machine};
use crate::watch::Watch;
use futures::{StreamExt, TryStreamExt};
use std::collections::BTreeMap;
use std::time::Duration;
use stepgrad_compiler::aws::FunctionResource;
use tokio::time::Instant;

/// Things made at once.
const AT_ONCE: usize = 4;

/// What a deployment gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployed {
    /// The ARN of the alias that runs are started on.
    pub start: String,
}

/// Carries a plan out. Where it changes what roles may do, it ends no sooner than `propagation` after that: IAM tells it to all
/// its places by and by, and nothing tells when it has (IAM User Guide, "Changes that I make are not always immediately visible").
///
/// # Errors
/// [`Error::Foreign`] and [`Error::UnderWay`], before anything is changed; or where a call fails, after which the same deployment goes on where
/// this one ended.
pub async fn deploy(
    session: &Session,
    desired: &Desired,
    plan: &Plan,
    propagation: Duration,
    watch: &dyn Watch,
) -> Result<Deployed, Error> {
    plan.refuse_foreign()?;
    plan.refuse_runs_under_way(session, desired).await?;
    let deployment = Deployment { session, desired, plan, watch };
    deployment.has_keys()?;
    deployment.bucket().await?;
    deployment.objects().await?;
    deployment.log_groups().await?;
    deployment.keys().await?;
    deployment.roles().await?;
    let known = Instant::now() + propagation;
    let versions = deployment.functions().await?;
    let versions = deployment.machines(versions).await?;
    deployment.are_the_newest(&versions).await?;
    deployment.unwanted().await?;
    if let Some(left) = unknown_for(&plan.steps, known, Instant::now()) {
        watch.waits("until IAM has told what the roles may do");
        tokio::time::sleep(left).await;
    }
    Ok(Deployed { start: desired.start(session)? })
}

/// How long what roles may do is not yet known everywhere, where a deployment of these steps has changed it.
fn unknown_for(steps: &[Step], known: Instant, now: Instant) -> Option<Duration> {
    let changes = |step: &Step| {
        step.kind == Kind::Role && matches!(step.action, Action::Create | Action::Change | Action::Replace)
    };
    let left = known.saturating_duration_since(now);
    (!left.is_zero() && steps.iter().any(changes)).then_some(left)
}

impl Desired {
    /// The ARN that runs are started on.
    ///
    /// # Errors
    /// Where the bundle has no such state machine.
    pub fn start(&self, session: &Session) -> Result<String, Error> {
        let machines = &self.resources.machines;
        let first = machines.iter().find_map(|machine| Some((machine, machine.alias.as_ref()?)));
        first
            .map(|(machine, alias)| format!("{}:{alias}", session.state_machine_arn(&machine.name)))
            .ok_or_else(|| Error::Desired("the bundle has no state machine to start".to_owned()))
    }
}

struct Deployment<'a> {
    session: &'a Session,
    desired: &'a Desired,
    plan: &'a Plan,
    watch: &'a dyn Watch,
}

impl Deployment<'_> {
    fn tags(&self, part: &str) -> Tags {
        self.desired.resources.tags_of(part)
    }

    /// The step of a thing, if there is something to be done about it.
    fn step(&self, kind: Kind, name: &str) -> Option<&Step> {
        let mut steps = self.plan.steps.iter();
        let step = steps.find(|step| step.kind == kind && step.name == name)?;
        (step.action != Action::Leave).then_some(step)
    }

    /// Does what `work` does, and says so.
    async fn told<T>(&self, step: &Step, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        self.watch.begins(step);
        let done = work.await?;
        self.watch.done(step);
        Ok(done)
    }

    /// Makes a thing what it is to be, from what was `seen`. Where that meets what was not there before, or another change,
    /// the answer to a call was lost and the call made again: then it is looked at once more, and what is left is done.
    async fn settled<S, T>(
        &self,
        seen: Option<&S>,
        tags: fn(&S) -> &Tags,
        look: impl AsyncFnOnce() -> Result<Option<S>, Error>,
        apply: impl AsyncFn(Option<&S>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        match apply(seen).await {
            Err(Error::Api(error)) if error.kind == Failure::Conflict => match look().await? {
                Some(now) if ours(tags(&now), &self.desired.owned.tags) => apply(Some(&now)).await,
                _ => Err(Error::Api(error)),
            },
            ended => ended,
        }
    }

    async fn bucket(&self) -> Result<(), Error> {
        let (session, name) = (self.session, &self.desired.owned.bucket);
        let Some(step) = self.step(Kind::Bucket, name) else { return Ok(()) };
        let (wanted, tags) = (&self.desired.resources.bucket, self.tags(PART_OF_BUCKET));
        let look = async || match bucket::look(session, name).await? {
            bucket::Found::Seen(seen) => Ok(Some(*seen)),
            bucket::Found::Nothing | bucket::Found::Hidden => Ok(None),
        };
        let apply =
            async |seen: Option<&bucket::Seen>| bucket::apply(session, name, wanted, &tags, seen).await;
        let seen = self.plan.seen.bucket.as_ref();
        self.told(step, self.settled(seen, |seen| &seen.tags, look, apply)).await
    }

    async fn objects(&self) -> Result<(), Error> {
        let bucket = &object::Bucket { session: self.session, name: &self.desired.owned.bucket };
        let steps = self.desired.objects().into_iter().filter_map(|object| {
            let step = self.step(Kind::Object, &object.key)?;
            Some((object, step))
        });
        let (small, large): (Vec<_>, Vec<_>) = steps.partition(|(object, _)| object.goes_at_once());
        let upload = |(object, step): (_, _)| async move {
            let object: &object::Upload = object;
            let seen = self.plan.seen.objects.get(&object.key);
            self.told(step, bucket.upload(object, seen, self.watch)).await
        };
        let small = small.into_iter().map(upload).collect::<Vec<_>>();
        futures::stream::iter(small).buffer_unordered(AT_ONCE).try_collect::<()>().await?;
        // Of these, some parts at once are on their way, each as large as a small file is at the most.
        for large in large {
            upload(large).await?;
        }
        Ok(())
    }

    async fn log_groups(&self) -> Result<(), Error> {
        let work = self.desired.resources.log_groups.iter().filter_map(|group| {
            let step = self.step(Kind::LogGroup, &group.name)?;
            Some(async move {
                let (session, name, tags) = (self.session, &group.name, self.tags(&group.part));
                let look = async || log_group::look(session, name).await;
                let apply = async |seen: Option<&log_group::Seen>| {
                    log_group::apply(session, group, &tags, seen).await
                };
                let seen = self.plan.seen.log_groups.get(name);
                self.told(step, self.settled(seen, |seen| &seen.tags, look, apply)).await
            })
        });
        futures::stream::iter(work.collect::<Vec<_>>()).buffer_unordered(AT_ONCE).try_collect().await
    }

    /// That every private key that is to be put is at hand: nothing is changed before.
    fn has_keys(&self) -> Result<(), Error> {
        for key in &self.desired.resources.keys {
            if key::is_to_be_put(key, self.plan.seen.keys.get(&key.name)) {
                let _ = key::read(self.desired.keys.as_deref(), key)?;
            }
        }
        Ok(())
    }

    async fn keys(&self) -> Result<(), Error> {
        let work = self.desired.resources.keys.iter().filter_map(|key| {
            let step = self.step(Kind::PrivateKey, &key.name)?;
            Some(async move {
                let (session, name, tags) = (self.session, &key.name, self.tags(&key.part));
                let look = async || key::look(session, name).await;
                let apply = async |seen: Option<&key::Seen>| {
                    key::apply(session, key, self.desired.keys.as_deref(), &tags, seen).await
                };
                let seen = self.plan.seen.keys.get(name);
                self.told(step, self.settled(seen, |seen| &seen.tags, look, apply)).await
            })
        });
        futures::stream::iter(work.collect::<Vec<_>>()).buffer_unordered(AT_ONCE).try_collect().await
    }

    async fn roles(&self) -> Result<(), Error> {
        let work = self.desired.resources.roles.iter().filter_map(|role| {
            let step = self.step(Kind::Role, &role.name)?;
            Some(async move {
                let (session, name, tags) = (self.session, &role.name, self.tags(&role.part));
                let look = async || role::look(session, name).await;
                let apply = async |seen: Option<&role::Seen>| role::apply(session, role, &tags, seen).await;
                let seen = self.plan.seen.roles.get(name);
                self.told(step, self.settled(seen, |seen| &seen.tags, look, apply)).await
            })
        });
        futures::stream::iter(work.collect::<Vec<_>>()).buffer_unordered(AT_ONCE).try_collect().await
    }

    /// Gives the ARNs of versions by placeholder.
    async fn functions(&self) -> Result<BTreeMap<String, String>, Error> {
        let work = self.desired.resources.functions.iter().map(|function| self.function(function));
        futures::stream::iter(work.collect::<Vec<_>>()).buffer_unordered(AT_ONCE).try_collect().await
    }

    async fn function(&self, resource: &FunctionResource) -> Result<(String, String), Error> {
        let wanted = self.desired.function(self.session, resource)?;
        let mut seen = self.plan.seen.functions.get(&resource.name);
        let version = match self.step(Kind::Function, &resource.name) {
            None => seen.and_then(|seen| seen.version(&wanted)).unwrap_or_default().to_owned(),
            Some(step) => {
                let tags = self.tags(&self.desired.part_of_role(&resource.role));
                let work = async {
                    if step.action == Action::Replace {
                        function::delete(self.session, &resource.name).await?;
                        seen = None;
                    }
                    let look = async || function::look(self.session, &resource.name).await;
                    let apply = async |seen: Option<&function::Seen>| {
                        function::apply(self.session, &wanted, &tags, seen).await
                    };
                    self.settled(seen, |seen| &seen.tags, look, apply).await
                };
                self.told(step, work).await?
            }
        };
        let arn = format!("{}:{version}", self.session.function_arn(&resource.name));
        Ok((resource.placeholder.clone(), arn))
    }

    /// One after the other: each needs the versions of those that it starts. Gives the ARNs of all versions by placeholder.
    async fn machines(
        &self,
        mut versions: BTreeMap<String, String>,
    ) -> Result<BTreeMap<String, String>, Error> {
        for machine in &self.desired.resources.machines {
            let wanted = self.desired.machine(self.session, machine, &versions);
            if wanted.definition.is_none() {
                let what = format!("{} calls something that is not in the bundle", machine.definition);
                return Err(Error::Desired(what));
            }
            let mut seen = self.plan.seen.machines.get(&machine.name);
            let version = match self.step(Kind::StateMachine, &machine.name) {
                None => seen.and_then(|seen| seen.version(&wanted)).unwrap_or_default().to_owned(),
                Some(step) => {
                    let tags = self.tags(&self.desired.part_of_role(&machine.role));
                    let work = async {
                        if step.action == Action::Replace {
                            state_machine::delete(self.session, &machine.name).await?;
                            seen = None;
                        }
                        let look = async || {
                            state_machine::look(self.session, &machine.name, machine.alias.as_deref()).await
                        };
                        let apply = async |seen: Option<&state_machine::Seen>| {
                            state_machine::apply(self.session, &wanted, &tags, seen).await
                        };
                        self.settled(seen, |seen| &seen.tags, look, apply).await
                    };
                    self.told(step, work).await?
                }
            };
            versions.insert(machine.placeholder.clone(), version);
        }
        Ok(versions)
    }

    /// That nobody has changed the same state machines meanwhile: two deployments that publish versions by turns leave machines
    /// that start the other one's. Whichever is the last to change one of them finds all its own, or the other's here.
    async fn are_the_newest(&self, versions: &BTreeMap<String, String>) -> Result<(), Error> {
        for machine in &self.desired.resources.machines {
            if self.step(Kind::StateMachine, &machine.name).is_none() {
                continue;
            }
            let newest = state_machine::newest_version(self.session, &machine.name).await?;
            let number = |arn: Option<&String>| arn.and_then(|arn| state_machine::number(arn));
            // An older one is a list that does not know ours yet.
            if number(newest.as_ref()) > number(versions.get(&machine.placeholder)) {
                return Err(Error::Broken {
                    what: format!("the state machine {}", machine.name),
                    reason: "another deployment changed it at the same time; run this one again when that has ended"
                        .to_owned(),
                });
            }
        }
        Ok(())
    }

    /// Removes what is no longer wanted, when nothing uses it any more.
    async fn unwanted(&self) -> Result<(), Error> {
        for step in self.plan.steps.iter().filter(|step| step.action == Action::Delete) {
            let seen = self.plan.seen.objects.get(&step.name);
            self.told(step, remove(self.session, &self.desired.owned.bucket, step, seen)).await?;
        }
        Ok(())
    }
}

/// Removes one thing, an object from the deployment's `bucket` as it was `seen`; that it is gone already is fine.
pub(crate) async fn remove(
    session: &Session,
    bucket: &str,
    step: &Step,
    seen: Option<&object::Seen>,
) -> Result<(), Error> {
    match step.kind {
        Kind::StateMachine => state_machine::delete(session, &step.name).await,
        Kind::Function => function::delete(session, &step.name).await,
        Kind::PrivateKey => key::delete(session, &step.name).await,
        Kind::Role => role::delete(session, &step.name).await,
        Kind::LogGroup => log_group::delete(session, &step.name).await,
        Kind::Bucket => bucket::delete(session, &step.name).await.map(drop),
        Kind::Object => object::Bucket { session, name: bucket }.delete(&step.name, seen).await,
    }
}

#[cfg(test)]
mod tests {
    use super::unknown_for;
    use crate::difference::{Action, Kind, Step};
    use std::time::Duration;
    use tokio::time::Instant;

    #[test]
    fn only_changed_roles_are_waited_for_and_only_for_the_rest_of_the_time() {
        let now = Instant::now();
        let known = now + Duration::from_secs(10);
        let role =
            |action| [Step::new(Kind::Function, "f", Action::Change), Step::new(Kind::Role, "r", action)];
        for action in [Action::Create, Action::Change] {
            let later = now + Duration::from_secs(4);
            assert_eq!(unknown_for(&role(action), known, later), Some(Duration::from_secs(6)));
            assert_eq!(unknown_for(&role(action), known, known), None);
        }
        for action in [Action::Leave, Action::Delete] {
            assert_eq!(unknown_for(&role(action), known, now), None);
        }
    }
}
