//! What is there, what is to be, and what has to be done about it.

use crate::desired::{Desired, Owned};
use crate::difference::{Action, Difference, Kind, Step, Tags, ours};
use crate::error::Error;
use crate::session::Session;
use crate::things::{bucket, function, key, log_group, object, role, state_machine};
use futures::{StreamExt, TryStreamExt};
use std::collections::{BTreeMap, BTreeSet};
use stepgrad_asl::program::substitute;
use stepgrad_compiler::aws::{FunctionResource, MachineResource, names};

/// Things looked at at once.
const AT_ONCE: usize = 8;

/// What a deployment would do, in the order in which it would.
#[derive(Debug)]
pub struct Plan {
    /// One for each thing.
    pub steps: Vec<Step>,
    pub(crate) seen: Seen,
}

/// Everything as it is, by name; what is missing is not there.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) bucket: Option<bucket::Seen>,
    pub(crate) objects: BTreeMap<String, object::Seen>,
    pub(crate) log_groups: BTreeMap<String, log_group::Seen>,
    pub(crate) keys: BTreeMap<String, key::Seen>,
    pub(crate) roles: BTreeMap<String, role::Seen>,
    pub(crate) functions: BTreeMap<String, function::Seen>,
    pub(crate) machines: BTreeMap<String, state_machine::Seen>,
}

impl Plan {
    /// Looks at everything; changes nothing.
    ///
    /// # Errors
    /// Where AWS does not answer.
    pub async fn make(session: &Session, desired: &Desired) -> Result<Self, Error> {
        let mut planner = Planner { session, desired, steps: Vec::new(), seen: Seen::default() };
        planner.bucket().await?;
        planner.objects().await?;
        planner.log_groups().await?;
        planner.keys().await?;
        planner.roles().await?;
        let versions = planner.functions().await?;
        planner.machines(versions).await?;
        planner.unwanted().await?;
        Ok(Self { steps: planner.steps, seen: planner.seen })
    }

    /// Whether everything is as it is to be.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.iter().all(|step| matches!(step.action, Action::Leave | Action::Alone))
    }

    /// How many things something happens to.
    #[must_use]
    pub fn count(&self, action: Action) -> usize {
        self.steps.iter().filter(|step| step.action == action).count()
    }

    /// That no run is under way that would lose what it is made of.
    ///
    /// # Errors
    /// [`Error::UnderWay`] with all of them, or where AWS does not answer.
    pub async fn refuse_runs_under_way(&self, session: &Session, desired: &Desired) -> Result<(), Error> {
        let taking: Vec<_> = self.steps.iter().filter(|step| takes_from_runs(step)).collect();
        // Without a state machine there is nothing that could run.
        if taking.is_empty() || self.seen.machines.is_empty() {
            return Ok(());
        }
        // The one that runs are started on comes last; a child may be there without it.
        let mut runs = Vec::new();
        for machine in desired.resources.machines.iter().rev() {
            runs = state_machine::running(session, &machine.name).await?;
            if !runs.is_empty() {
                break;
            }
        }
        if runs.is_empty() {
            return Ok(());
        }
        let told = |step: &&Step| format!("{} {} ({})", step.kind.name(), step.name, step.action.name());
        Err(Error::UnderWay { runs, steps: taking.iter().map(told).collect() })
    }

    /// That nothing of somebody else's stands in the way.
    ///
    /// # Errors
    /// [`Error::Foreign`] with all that does.
    pub fn refuse_foreign(&self) -> Result<(), Error> {
        let foreign = self.steps.iter().filter(|step| step.action == Action::Foreign);
        let names: Vec<_> = foreign.map(in_the_way).collect();
        if names.is_empty() { Ok(()) } else { Err(Error::Foreign(names)) }
    }
}

/// Whether a step takes something from runs under way. They call versions, which nothing changes, but versions go with their
/// function; roles have no versions, and data are read until the end.
fn takes_from_runs(step: &Step) -> bool {
    match (step.kind, step.action) {
        (Kind::Function | Kind::StateMachine | Kind::Role | Kind::Object, Action::Delete) => true,
        (Kind::Function | Kind::StateMachine, Action::Replace) => true,
        (Kind::PrivateKey, Action::Change | Action::Delete) => true,
        (Kind::Role, Action::Change) => true,
        (Kind::Object, Action::Change) => step.name.starts_with(&format!("{}/", names::DATA)),
        _ => false,
    }
}

struct Planner<'a> {
    session: &'a Session,
    desired: &'a Desired,
    steps: Vec<Step>,
    seen: Seen,
}

/// Looks at some things at once, and gives those that are there by name.
async fn all<'a, T, Seen, Look>(
    things: &'a [T],
    name: impl Fn(&'a T) -> &'a str,
    look: impl Fn(&'a T) -> Look,
) -> Result<BTreeMap<String, Seen>, Error>
where
    Look: Future<Output = Result<Option<Seen>, Error>>,
{
    let looks = things.iter().map(|thing| {
        let (name, look) = (name(thing), look(thing));
        async move { Ok::<_, Error>((name.to_owned(), look.await?)) }
    });
    let found: Vec<_> =
        futures::stream::iter(looks.collect::<Vec<_>>()).buffered(AT_ONCE).try_collect().await?;
    Ok(found.into_iter().filter_map(|(name, seen)| Some((name, seen?))).collect())
}

impl<'a> Planner<'a> {
    /// The tags that a thing is to have.
    fn tags(&self, part: &str) -> Tags {
        self.desired.resources.tags_of(part)
    }

    /// What is to be done to a thing that may be there.
    fn step<S>(
        &mut self,
        kind: Kind,
        name: &str,
        seen: Option<&S>,
        tags: impl Fn(&S) -> &Tags,
        compare: impl Fn(&S) -> Vec<Difference>,
    ) -> Action {
        let step = match seen {
            None => Step::new(kind, name, Action::Create),
            Some(seen) if !ours(tags(seen), &self.desired.owned.tags) => {
                Step::new(kind, name, Action::Foreign)
            }
            Some(seen) => Step::of(kind, name, compare(seen)),
        };
        let action = step.action;
        self.steps.push(step);
        action
    }

    async fn bucket(&mut self) -> Result<(), Error> {
        let name = &self.desired.owned.bucket;
        let seen = match bucket::look(self.session, name).await? {
            bucket::Found::Nothing => None,
            bucket::Found::Hidden => {
                self.steps.push(hidden(name));
                return Ok(());
            }
            bucket::Found::Seen(seen) => Some(*seen),
        };
        let (wanted, tags) = (&self.desired.resources.bucket, self.tags(PART_OF_BUCKET));
        let _ = self.step(
            Kind::Bucket,
            name,
            seen.as_ref(),
            |seen| &seen.tags,
            |seen| bucket::compare(wanted, &tags, seen),
        );
        self.seen.bucket = seen;
        Ok(())
    }

    async fn objects(&mut self) -> Result<(), Error> {
        let bucket = object::Bucket { session: self.session, name: &self.desired.owned.bucket };
        let objects = self.desired.objects();
        if self.seen.bucket.is_some() {
            self.seen.objects =
                all(&objects, |object| &object.key, |object| bucket.look(&object.key)).await?;
        }
        let kept: BTreeSet<&str> = objects.iter().map(|object| object.key.as_str()).collect();
        if self.seen.bucket.is_some() {
            let listed = bucket.list(&format!("{}/", names::DATA)).await?;
            let others: Vec<String> = listed.into_iter().filter(|key| !kept.contains(key.as_str())).collect();
            let seen = all(&others, String::as_str, |key| bucket.look(key)).await?;
            self.steps.extend(seen.iter().map(|(key, seen)| match seen.is_ours() {
                // A function reads all that is in the folder of its source.
                true => Step::new(Kind::Object, key, Action::Delete),
                false if self.desired.is_read(key) => read(key),
                false => Step::new(Kind::Object, key, Action::Alone),
            }));
            self.seen.objects.extend(seen);
        }
        for object in objects {
            self.steps.push(match self.seen.objects.get(&object.key) {
                None => Step::new(Kind::Object, &object.key, Action::Create),
                Some(seen) if !seen.is_ours() && !seen.has_content(object) => {
                    Step::new(Kind::Object, &object.key, Action::Foreign)
                }
                Some(seen) => Step::of(Kind::Object, &object.key, object::compare(object, seen)),
            });
        }
        Ok(())
    }

    async fn log_groups(&mut self) -> Result<(), Error> {
        let groups = &self.desired.resources.log_groups;
        let session = self.session;
        let seen = all(groups, |group| &group.name, |group| log_group::look(session, &group.name)).await?;
        for group in groups {
            let tags = self.tags(&group.part);
            let _ = self.step(
                Kind::LogGroup,
                &group.name,
                seen.get(&group.name),
                |seen| &seen.tags,
                |seen| log_group::compare(group, &tags, seen),
            );
        }
        self.seen.log_groups = seen;
        Ok(())
    }

    async fn keys(&mut self) -> Result<(), Error> {
        let keys = &self.desired.resources.keys;
        let session = self.session;
        let seen = all(keys, |key| &key.name, |key| key::look(session, &key.name)).await?;
        for key in keys {
            let tags = self.tags(&key.part);
            let _ = self.step(
                Kind::PrivateKey,
                &key.name,
                seen.get(&key.name),
                |seen| &seen.tags,
                |seen| key::compare(key, &tags, seen),
            );
        }
        self.seen.keys = seen;
        Ok(())
    }

    async fn roles(&mut self) -> Result<(), Error> {
        let roles = &self.desired.resources.roles;
        let session = self.session;
        let seen = all(roles, |role| &role.name, |role| role::look(session, &role.name)).await?;
        for role in roles {
            let tags = self.tags(&role.part);
            let _ = self.step(
                Kind::Role,
                &role.name,
                seen.get(&role.name),
                |seen| &seen.tags,
                |seen| role::compare(role, &tags, seen),
            );
        }
        self.seen.roles = seen;
        Ok(())
    }

    /// Gives the ARNs of the versions that stay, by placeholder.
    async fn functions(&mut self) -> Result<BTreeMap<String, String>, Error> {
        let functions = &self.desired.resources.functions;
        let session = self.session;
        let seen = all(functions, |found| &found.name, |found| function::look(session, &found.name)).await?;
        let mut versions = BTreeMap::new();
        for resource in functions {
            let wanted = self.desired.function(session, resource)?;
            let tags = self.tags(&self.desired.part_of_role(&resource.role));
            let found = seen.get(&resource.name);
            let action = self.step(
                Kind::Function,
                &resource.name,
                found,
                |seen| &seen.tags,
                |seen| function::compare(&wanted, &tags, seen),
            );
            if action == Action::Change && found.is_some_and(|seen| !seen.is_changeable(&wanted)) {
                self.replace();
            }
            // A role that is made again under its name is another one, and Lambda's right to decrypt the function's variables
            // is given to the one that is gone.
            let bereft = !self.seen.roles.contains_key(&resource.role);
            if bereft && matches!(action, Action::Leave | Action::Change) {
                self.replace();
                self.differs("role", "gone", "made anew");
            }
            if let Some(version) = found.filter(|_| !bereft).and_then(|seen| seen.version(&wanted)) {
                let arn = format!("{}:{version}", session.function_arn(&resource.name));
                versions.insert(resource.placeholder.clone(), arn);
            }
        }
        self.seen.functions = seen;
        Ok(versions)
    }

    /// Makes the last step one that removes first.
    fn replace(&mut self) {
        if let Some(step) = self.steps.last_mut() {
            step.action = Action::Replace;
        }
    }

    /// Says one more reason for the last step.
    fn differs(&mut self, what: &str, from: &str, to: &str) {
        if let Some(step) = self.steps.last_mut() {
            let (what, from, to) = (what.to_owned(), from.to_owned(), to.to_owned());
            step.differences.push(Difference { what, from, to });
        }
    }

    async fn machines(&mut self, mut versions: BTreeMap<String, String>) -> Result<(), Error> {
        let machines = &self.desired.resources.machines;
        let session = self.session;
        let look = |machine: &'a MachineResource| {
            let MachineResource { name, alias, .. } = machine;
            state_machine::look(session, name, alias.as_deref())
        };
        let seen = all(machines, |machine| machine.name.as_str(), look).await?;
        // Those that others start come first.
        for machine in machines {
            let wanted = self.desired.machine(session, machine, &versions);
            let tags = self.tags(&self.desired.part_of_role(&machine.role));
            let found = seen.get(&machine.name);
            let action = self.step(
                Kind::StateMachine,
                &machine.name,
                found,
                |seen| &seen.tags,
                |seen| state_machine::compare(&wanted, &tags, seen),
            );
            if action == Action::Change && found.is_some_and(|seen| !seen.is_changeable(&wanted)) {
                self.replace();
            }
            if let Some(version) = found.and_then(|seen| seen.version(&wanted)) {
                versions.insert(machine.placeholder.clone(), version.to_owned());
            }
        }
        self.seen.machines = seen;
        Ok(())
    }

    /// What an earlier deployment made and this one does not have.
    async fn unwanted(&mut self) -> Result<(), Error> {
        let wanted: BTreeSet<(Kind, String)> =
            self.steps.iter().map(|step| (step.kind, step.name.clone())).collect();
        for (kind, name) in made(self.session, &self.desired.owned).await? {
            if !wanted.contains(&(kind, name.clone())) {
                self.steps.push(Step::new(kind, &name, Action::Delete));
            }
        }
        Ok(())
    }
}

/// An object of somebody else's that runs would take for data.
fn read(key: &str) -> Step {
    let taken = Difference {
        what: "functions read it as data".to_owned(),
        from: "it is there".to_owned(),
        to: "the spec does not name it".to_owned(),
    };
    Step { differences: vec![taken], ..Step::new(Kind::Object, key, Action::Foreign) }
}

/// A bucket at which the caller may not look.
pub(crate) fn hidden(name: &str) -> Step {
    let missing = Difference {
        what: "s3:ListBucket".to_owned(),
        from: "denied".to_owned(),
        to: "allowed, where the bucket is yours".to_owned(),
    };
    Step { differences: vec![missing], ..Step::new(Kind::Bucket, name, Action::Foreign) }
}

/// What somebody else made, and how that is known where it is not by its tags.
pub(crate) fn in_the_way(step: &Step) -> String {
    let why = step.differences.iter().map(|why| format!(" ({}: {} → {})", why.what, why.from, why.to));
    format!("{} {}{}", step.kind.name(), step.name, why.collect::<String>())
}

/// The part that the bucket is, in its tags.
pub(crate) const PART_OF_BUCKET: &str = "bucket";

/// What a deployment made, by the tags that everything of it carries; without its bucket. In the order in which it can
/// be removed.
pub(crate) async fn made(session: &Session, owned: &Owned) -> Result<Vec<(Kind, String)>, Error> {
    let prefix = owned.prefix.as_str();
    let of_functions = format!("/aws/lambda/{prefix}");
    let of_machines = format!("/aws/vendedlogs/states/{prefix}");
    let keys = format!("{}/", names::keys(prefix.strip_suffix('-').unwrap_or(prefix)));
    let (machines, functions, roles, function_logs, machine_logs, keys) = futures::try_join!(
        state_machine::list(session, prefix),
        function::list(session, prefix),
        role::list(session, prefix),
        log_group::list(session, &of_functions),
        log_group::list(session, &of_machines),
        key::list(session, &keys),
    )?;
    let all = [
        (Kind::StateMachine, machines),
        (Kind::Function, functions),
        (Kind::Role, roles),
        (Kind::LogGroup, function_logs),
        (Kind::LogGroup, machine_logs),
        (Kind::PrivateKey, keys),
    ];
    let own = |(kind, found): (Kind, Vec<(String, Tags)>)| {
        let own = found.into_iter().filter(|(name, tags)| {
            // Roles are the same in all regions, and carry the tags of their deployment in each.
            ours(tags, &owned.tags) && (kind != Kind::Role || name.ends_with(&owned.role_ending))
        });
        own.map(move |(name, _)| (kind, name)).collect::<Vec<_>>()
    };
    Ok(all.into_iter().flat_map(own).collect())
}

impl Desired {
    /// A function with its package.
    pub(crate) fn function<'a>(
        &'a self,
        session: &Session,
        function: &'a FunctionResource,
    ) -> Result<function::Wanted<'a>, Error> {
        let code = self.packages.get(&function.handler);
        let code = code.ok_or_else(|| {
            Error::Desired(format!("there is no package for the function {}", function.handler))
        })?;
        let role = session.role_arn(&function.role);
        Ok(function::Wanted { function, role, code, bucket: &self.owned.bucket })
    }

    /// A state machine with its definition, if all versions that it calls are known.
    pub(crate) fn machine<'a>(
        &self,
        session: &Session,
        machine: &'a MachineResource,
        versions: &BTreeMap<String, String>,
    ) -> state_machine::Wanted<'a> {
        let text = self.definitions.get(&machine.machine).map(String::as_str).unwrap_or_default();
        let filled = substitute(text, versions);
        state_machine::Wanted {
            machine,
            definition: (!filled.contains("${")).then_some(filled),
            role: session.role_arn(&machine.role),
            log_group: session.log_group_arn(&machine.log_group),
        }
    }

    /// Whether functions read an object as data: they read what is directly in the folder that a source is, if anything is.
    fn is_read(&self, key: &str) -> bool {
        let Some((folder, name)) = key.rsplit_once('/') else { return false };
        let parts = |path: &str| -> Vec<String> {
            path.split('/').filter(|part| !matches!(*part, "" | ".")).map(str::to_owned).collect()
        };
        let of = |source: &String| parts(&format!("{}/{source}", names::DATA)) == parts(folder);
        // The object of no bytes by which a console makes a folder is none.
        !name.is_empty() && self.sources.iter().any(of)
    }

    /// Which part of the deployment something is, as the role of that part tells.
    pub(crate) fn part_of_role(&self, role: &str) -> String {
        let found = self.resources.roles.iter().find(|found| found.name == role);
        found.map(|role| role.part.clone()).unwrap_or_default()
    }
}
