//! Lambda functions. What is called is always a *version*, which nothing changes any more; `$LATEST` is only where the
//! next one is put together.

use crate::difference::{Difference, Differences, Tags, ours};
use crate::error::{Call, Error, call};
use crate::patience::{Patience, STATE, until_the_role_is_known};
use crate::session::Session;
use crate::things::object::Upload;
use aws_sdk_lambda::operation::get_function_configuration::GetFunctionConfigurationOutput;
use aws_sdk_lambda::types::{
    Architecture, Environment, EphemeralStorage, FunctionCode, FunctionConfiguration, LastUpdateStatus,
    PackageType, Runtime, State, TracingConfig, TracingMode,
};
use std::collections::BTreeMap;
use stepgrad_compiler::aws::FunctionResource;

/// What stands for the newest code.
const LATEST: &str = "$LATEST";

/// A function that is to be, with the package that it is made of.
#[derive(Debug, Clone)]
pub(crate) struct Wanted<'a> {
    pub(crate) function: &'a FunctionResource,
    pub(crate) role: String,
    pub(crate) package: &'a Upload,
    pub(crate) bucket: &'a str,
}

/// What a version is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Shape {
    code: String,
    handler: String,
    runtime: String,
    role: String,
    memory: String,
    timeout: String,
    architecture: String,
    storage: String,
    tracing: String,
    environment: BTreeMap<String, String>,
}

impl Shape {
    fn wanted(wanted: &Wanted<'_>) -> Self {
        let function = wanted.function;
        Self {
            code: wanted.package.base64(),
            handler: function.handler.clone(),
            runtime: function.runtime.clone(),
            role: wanted.role.clone(),
            memory: format!("{} MB", function.memory_mb),
            timeout: format!("{} s", function.timeout_s),
            architecture: function.architecture.clone(),
            storage: format!("{} MB", function.storage_mb),
            tracing: tracing(function.tracing).as_str().to_owned(),
            environment: function.environment.clone(),
        }
    }

    fn compare(&self, wanted: &Self, differences: &mut Differences) {
        differences.field("package", &self.code, &wanted.code);
        differences.field("handler", &self.handler, &wanted.handler);
        differences.field("runtime", &self.runtime, &wanted.runtime);
        differences.field("role", &self.role, &wanted.role);
        differences.field("memory", &self.memory, &wanted.memory);
        differences.field("timeout", &self.timeout, &wanted.timeout);
        differences.field("architecture", &self.architecture, &wanted.architecture);
        differences.field("/tmp", &self.storage, &wanted.storage);
        differences.field("tracing", &self.tracing, &wanted.tracing);
        let names: std::collections::BTreeSet<_> =
            self.environment.keys().chain(wanted.environment.keys()).collect();
        for name in names {
            let shown =
                |all: &BTreeMap<String, String>| all.get(name).cloned().unwrap_or_else(|| "none".into());
            differences.field(
                &format!("variable {name}"),
                &shown(&self.environment),
                &shown(&wanted.environment),
            );
        }
    }

    /// Whether it differs in what `UpdateFunctionConfiguration` sets.
    fn configured_as(&self, wanted: &Self) -> bool {
        let same =
            Self { code: wanted.code.clone(), architecture: wanted.architecture.clone(), ..self.clone() };
        same == *wanted
    }
}

/// The two shapes in which the SDK gives a configuration.
macro_rules! shape {
    ($configuration:expr) => {{
        let found = $configuration;
        let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
        let number = |number: Option<i32>, unit: &str| format!("{} {unit}", number.unwrap_or_default());
        let variables = found.environment().and_then(|environment| environment.variables());
        Shape {
            code: text(found.code_sha256()),
            handler: text(found.handler()),
            runtime: text(found.runtime().map(Runtime::as_str)),
            role: text(found.role()),
            memory: number(found.memory_size(), "MB"),
            timeout: number(found.timeout(), "s"),
            architecture: text(found.architectures().first().map(Architecture::as_str)),
            storage: number(found.ephemeral_storage().map(EphemeralStorage::size), "MB"),
            tracing: found
                .tracing_config()
                .and_then(|tracing| tracing.mode())
                .unwrap_or(&TracingMode::PassThrough)
                .as_str()
                .to_owned(),
            environment: variables.into_iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect(),
        }
    }};
}

fn tracing(on: bool) -> TracingMode {
    if on { TracingMode::Active } else { TracingMode::PassThrough }
}

/// A function as it is.
#[derive(Debug)]
pub(crate) struct Seen {
    shape: Shape,
    zip: bool,
    pub(crate) tags: Tags,
    /// The newest published version and what it is made of.
    version: Option<(String, Shape)>,
}

impl Seen {
    /// The version that is what is wanted.
    pub(crate) fn version(&self, wanted: &Wanted<'_>) -> Option<&str> {
        let wanted = Shape::wanted(wanted);
        self.version.as_ref().filter(|(_, shape)| *shape == wanted).map(|(version, _)| version.as_str())
    }

    /// Whether it can be made what is wanted.
    pub(crate) const fn is_changeable(&self) -> bool {
        self.zip
    }
}

impl Session {
    /// A function's ARN, without a version.
    pub(crate) fn function_arn(&self, name: &str) -> String {
        self.arn("lambda", &format!("function:{name}"))
    }
}

fn on(session: &Session, api: &'static str, name: &str) -> Call {
    call(api, session.function_arn(name))
}

pub(crate) async fn look(session: &Session, name: &str) -> Result<Option<Seen>, Error> {
    let answer = session.lambda.get_function().function_name(name).send().await;
    let Some(answer) = on(session, "lambda:GetFunction", name).found(answer)? else { return Ok(None) };
    let Some(configuration) = answer.configuration() else { return Ok(None) };
    let shape = shape!(configuration);
    let zip = !matches!(configuration.package_type(), Some(PackageType::Image));
    let tags = answer.tags().cloned().unwrap_or_default().into_iter().collect();
    let version = match newest(session, name).await? {
        None => None,
        Some(version) => {
            configuration_of(session, name, Some(&version)).await?.map(|found| (version, shape!(&found)))
        }
    };
    Ok(Some(Seen { shape, zip, tags, version }))
}

/// The newest published version.
async fn newest(session: &Session, name: &str) -> Result<Option<String>, Error> {
    let asked = on(session, "lambda:ListVersionsByFunction", name);
    let mut pages = session.lambda.list_versions_by_function().function_name(name).into_paginator().send();
    let mut newest = None;
    while let Some(page) = pages.next().await {
        let page = asked.ok(page)?;
        let number = |version: &FunctionConfiguration| version.version()?.parse::<u64>().ok();
        newest = newest.max(page.versions().iter().filter_map(number).max());
    }
    Ok(newest.map(|number| number.to_string()))
}

async fn configuration_of(
    session: &Session,
    name: &str,
    version: Option<&str>,
) -> Result<Option<GetFunctionConfigurationOutput>, Error> {
    let get = session.lambda.get_function_configuration().function_name(name);
    let answer = get.set_qualifier(version.map(str::to_owned)).send().await;
    on(session, "lambda:GetFunctionConfiguration", name).found(answer)
}

pub(crate) fn compare(wanted: &Wanted<'_>, tags: &Tags, seen: &Seen) -> Vec<Difference> {
    let mut differences = Differences::default();
    let shape = Shape::wanted(wanted);
    seen.shape.compare(&shape, &mut differences);
    if differences.0.is_empty() && seen.version(wanted).is_none() {
        let is = seen.version.as_ref().map_or("none", |(version, _)| version.as_str());
        differences.push("published version", is, "a new one");
    }
    if !seen.zip {
        differences.push("kind of package", "image", "zip");
    }
    differences.tags(&seen.tags, tags);
    differences.0
}

/// Makes the function what is wanted, and gives the version that is so.
pub(crate) async fn apply(
    session: &Session,
    wanted: &Wanted<'_>,
    tags: &Tags,
    seen: Option<&Seen>,
) -> Result<String, Error> {
    let name = &wanted.function.name;
    let shape = Shape::wanted(wanted);
    match seen {
        None => create(session, wanted, tags).await?,
        Some(seen) => {
            if !ours(&seen.tags, tags) {
                let tag = session.lambda.tag_resource().resource(session.function_arn(name));
                let tagged = tag.set_tags(Some(tags.clone().into_iter().collect())).send().await;
                on(session, "lambda:TagResource", name).ok(tagged)?;
            }
            // A change that was interrupted may still be under way.
            ready(session, name, None).await?;
            if seen.shape.code != shape.code || seen.shape.architecture != shape.architecture {
                let update = session.lambda.update_function_code().function_name(name);
                let update = update.s3_bucket(wanted.bucket).s3_key(&wanted.package.key);
                let updated = update.architectures(architecture(wanted)).send().await;
                on(session, "lambda:UpdateFunctionCode", name).ok(updated)?;
                ready(session, name, None).await?;
            }
            if !seen.shape.configured_as(&shape) {
                configure(session, wanted).await?;
            }
        }
    }
    ready(session, name, None).await?;
    if let Some(version) = seen.and_then(|seen| seen.version(wanted)) {
        return Ok(version.to_owned());
    }
    let publish = session.lambda.publish_version().function_name(name).code_sha256(&shape.code);
    let published = on(session, "lambda:PublishVersion", name).ok(publish.send().await)?;
    let version = published.version().unwrap_or_default().to_owned();
    ready(session, name, Some(&version)).await?;
    Ok(version)
}

fn architecture(wanted: &Wanted<'_>) -> Architecture {
    Architecture::from(wanted.function.architecture.as_str())
}

fn number(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

fn environment(function: &FunctionResource) -> Environment {
    Environment::builder().set_variables(Some(function.environment.clone().into_iter().collect())).build()
}

fn storage(function: &FunctionResource) -> Result<EphemeralStorage, Error> {
    let built = EphemeralStorage::builder().size(number(function.storage_mb)).build();
    built.map_err(|error| Error::Desired(error.to_string()))
}

async fn create(session: &Session, wanted: &Wanted<'_>, tags: &Tags) -> Result<(), Error> {
    let function = wanted.function;
    let code = FunctionCode::builder().s3_bucket(wanted.bucket).s3_key(&wanted.package.key).build();
    let create = session
        .lambda
        .create_function()
        .function_name(&function.name)
        .runtime(Runtime::from(function.runtime.as_str()))
        .role(&wanted.role)
        .handler(&function.handler)
        .code(code)
        .architectures(architecture(wanted))
        .memory_size(number(function.memory_mb))
        .timeout(number(function.timeout_s))
        .ephemeral_storage(storage(function)?)
        .environment(environment(function))
        .tracing_config(TracingConfig::builder().mode(tracing(function.tracing)).build())
        .set_tags(Some(tags.clone().into_iter().collect()));
    let asked = on(session, "lambda:CreateFunction", &function.name);
    until_the_role_is_known(async || asked.ok(create.clone().send().await)).await.map(drop)
}

async fn configure(session: &Session, wanted: &Wanted<'_>) -> Result<(), Error> {
    let function = wanted.function;
    let update = session
        .lambda
        .update_function_configuration()
        .function_name(&function.name)
        .runtime(Runtime::from(function.runtime.as_str()))
        .role(&wanted.role)
        .handler(&function.handler)
        .memory_size(number(function.memory_mb))
        .timeout(number(function.timeout_s))
        .ephemeral_storage(storage(function)?)
        .environment(environment(function))
        .tracing_config(TracingConfig::builder().mode(tracing(function.tracing)).build());
    let asked = on(session, "lambda:UpdateFunctionConfiguration", &function.name);
    until_the_role_is_known(async || asked.ok(update.clone().send().await)).await.map(drop)
}

/// Waits until a function, or one of its versions, can be called and changed.
async fn ready(session: &Session, name: &str, version: Option<&str>) -> Result<(), Error> {
    let mut patience = Patience::of(STATE);
    loop {
        let Some(found) = configuration_of(session, name, version).await? else {
            return Err(broken(name, version, "it is gone"));
        };
        let state = match (found.state(), found.last_update_status()) {
            (Some(State::Failed), _) => {
                return Err(broken(name, version, found.state_reason().unwrap_or("it failed")));
            }
            (_, Some(LastUpdateStatus::Failed)) => {
                let reason = found.last_update_status_reason().unwrap_or("its update failed");
                return Err(broken(name, version, reason));
            }
            (Some(State::Pending), _) => State::Pending.as_str(),
            (_, Some(LastUpdateStatus::InProgress)) => LastUpdateStatus::InProgress.as_str(),
            // Inactive is a function that nobody called for long: a call wakes it.
            _ => return Ok(()),
        };
        if !patience.wait().await {
            let what = format!("the function {name}");
            return Err(Error::Waited { what, state: state.to_owned(), seconds: STATE.as_secs() });
        }
    }
}

fn broken(name: &str, version: Option<&str>, reason: &str) -> Error {
    Error::Broken {
        what: format!("the function {name}:{}", version.unwrap_or(LATEST)),
        reason: reason.to_owned(),
    }
}

/// Deletes a function with all its versions.
pub(crate) async fn delete(session: &Session, name: &str) -> Result<(), Error> {
    let deleted = session.lambda.delete_function().function_name(name).send().await;
    on(session, "lambda:DeleteFunction", name).found(deleted).map(drop)
}

/// Functions whose names begin so, with their tags.
pub(crate) async fn list(session: &Session, prefix: &str) -> Result<Vec<(String, Tags)>, Error> {
    let asked = call("lambda:ListFunctions", "*");
    let mut pages = session.lambda.list_functions().into_paginator().send();
    let mut names = Vec::new();
    while let Some(page) = pages.next().await {
        let page = asked.ok(page)?;
        names.extend(page.functions().iter().filter_map(|found| found.function_name().map(str::to_owned)));
    }
    let mut found = Vec::new();
    for name in names.into_iter().filter(|name| name.starts_with(prefix)) {
        let answer = session.lambda.list_tags().resource(session.function_arn(&name)).send().await;
        if let Some(answer) = on(session, "lambda:ListTags", &name).found(answer)? {
            found.push((name, answer.tags().cloned().unwrap_or_default().into_iter().collect()));
        }
    }
    Ok(found)
}
