//! Lambda functions. What is called is always a *version*, which nothing changes any more; `$LATEST` is only where the
//! next one is put together.
//!
//! Source for images: AWS Lambda API Reference, `CreateFunction` (of an image: no runtime, no handler; the command in `ImageConfig`),
//! `UpdateFunctionCode`, `GetFunction` (`ResolvedImageUri`). No call turns a function of a zip into one of an image.

use crate::desired::Code;
use crate::difference::{Difference, Differences, Tags, ours};
use crate::error::{ApiError, Call, Error, Kind, call};
use crate::image::Image;
use crate::patience::{Patience, STATE, until_the_role_is_known};
use crate::session::Session;
use aws_sdk_lambda::operation::get_function::GetFunctionOutput;
use aws_sdk_lambda::operation::get_function_configuration::GetFunctionConfigurationOutput;
use aws_sdk_lambda::types::{
    Architecture, Environment, EphemeralStorage, FunctionCode, FunctionConfiguration, ImageConfig,
    LastUpdateStatus, PackageType, Runtime, State, TracingConfig, TracingMode,
};
use std::collections::BTreeMap;
use stepgrad_compiler::aws::FunctionResource;

/// What stands for the newest code.
const LATEST: &str = "$LATEST";
/// In the place of a runtime: an image brings its own.
const OF_THE_IMAGE: &str = "of the image";

/// A function that is to be, with the package that it is made of.
#[derive(Debug, Clone)]
pub(crate) struct Wanted<'a> {
    pub(crate) function: &'a FunctionResource,
    pub(crate) role: String,
    pub(crate) code: &'a Code,
    pub(crate) bucket: &'a str,
}

/// Kinds of package.
const ZIP: &str = "zip";
const IMAGE: &str = "image";

/// What a version is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Shape {
    /// `zip` or `image`.
    kind: &'static str,
    /// A zip's SHA-256 in base64, an image's name with its digest.
    code: String,
    /// Of an image, its command.
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
        let (kind, code, runtime) = match wanted.code {
            Code::Zip(package) => (ZIP, package.base64(), function.runtime.clone()),
            Code::Image(image) => (IMAGE, image.uri().to_owned(), OF_THE_IMAGE.to_owned()),
        };
        Self {
            kind,
            code,
            handler: function.handler.clone(),
            runtime,
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
        differences.field("kind of package", self.kind, wanted.kind);
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

    /// What an answer tells.
    fn seen(answer: &GetFunctionOutput) -> Option<Self> {
        let found = answer.configuration()?;
        let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
        let number = |number: Option<i32>, unit: &str| format!("{} {unit}", number.unwrap_or_default());
        let variables = found.environment().and_then(|environment| environment.variables());
        let (kind, code, handler, runtime) = match found.package_type() {
            Some(PackageType::Image) => {
                let code = answer.code();
                let uri = code.and_then(|code| code.resolved_image_uri().or_else(|| code.image_uri()));
                let config = found.image_config_response().and_then(|response| response.image_config());
                let command = config.map(|config| config.command().join(" "));
                (IMAGE, text(uri), command.unwrap_or_default(), OF_THE_IMAGE.to_owned())
            }
            _ => {
                let runtime = found.runtime().map(Runtime::as_str);
                (ZIP, text(found.code_sha256()), text(found.handler()), text(runtime))
            }
        };
        Some(Self {
            kind,
            code,
            handler,
            runtime,
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
        })
    }

    /// Whether it differs in what `UpdateFunctionConfiguration` sets.
    fn configured_as(&self, wanted: &Self) -> bool {
        let same =
            Self { code: wanted.code.clone(), architecture: wanted.architecture.clone(), ..self.clone() };
        same == *wanted
    }
}

fn tracing(on: bool) -> TracingMode {
    if on { TracingMode::Active } else { TracingMode::PassThrough }
}

/// A function as it is.
#[derive(Debug)]
pub(crate) struct Seen {
    shape: Shape,
    failure: Option<Failure>,
    pub(crate) tags: Tags,
    /// The newest published version and what it is made of.
    version: Option<(String, Shape)>,
}

/// Why a function cannot be called as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failure {
    /// It could not be made.
    Made,
    /// Its last change could not be made.
    Changed,
}

impl Seen {
    /// The version that is what is wanted.
    pub(crate) fn version(&self, wanted: &Wanted<'_>) -> Option<&str> {
        let wanted = Shape::wanted(wanted);
        self.version.as_ref().filter(|(_, shape)| *shape == wanted).map(|(version, _)| version.as_str())
    }

    /// Whether it can be made what is wanted.
    pub(crate) fn is_changeable(&self, wanted: &Wanted<'_>) -> bool {
        self.shape.kind == Shape::wanted(wanted).kind && self.failure != Some(Failure::Made)
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
    let Some(answer) = get(session, name, None).await? else { return Ok(None) };
    let Some(shape) = Shape::seen(&answer) else { return Ok(None) };
    let found = answer.configuration();
    let failure = match found.map(|found| (found.state(), found.last_update_status())) {
        Some((Some(State::Failed), _)) => Some(Failure::Made),
        Some((_, Some(LastUpdateStatus::Failed))) => Some(Failure::Changed),
        _ => None,
    };
    let tags = answer.tags().cloned().unwrap_or_default().into_iter().collect();
    let version = match newest(session, name).await? {
        None => None,
        Some(version) => {
            let found = get(session, name, Some(&version)).await?;
            found.and_then(|found| Some((version, Shape::seen(&found)?)))
        }
    };
    Ok(Some(Seen { shape, failure, tags, version }))
}

async fn get(
    session: &Session,
    name: &str,
    version: Option<&str>,
) -> Result<Option<GetFunctionOutput>, Error> {
    let get = session.lambda.get_function().function_name(name);
    let answer = get.set_qualifier(version.map(str::to_owned)).send().await;
    on(session, "lambda:GetFunction", name).found(answer)
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
    if seen.failure.is_some() {
        differences.push("state", "Failed", "Active");
    }
    if differences.0.is_empty() && seen.version(wanted).is_none() {
        let is = seen.version.as_ref().map_or("none", |(version, _)| version.as_str());
        differences.push("published version", is, "a new one");
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
            // A change that was interrupted may still be under way, and one that failed is made again.
            let _ = still(session, name, None).await?;
            if seen.shape.code != shape.code || seen.shape.architecture != shape.architecture {
                let update = session.lambda.update_function_code().function_name(name);
                let update = match wanted.code {
                    Code::Zip(package) => update.s3_bucket(wanted.bucket).s3_key(&package.key),
                    Code::Image(image) => update.image_uri(image.uri()),
                };
                let updated = update.architectures(architecture(wanted)).send().await;
                let updated = on(session, "lambda:UpdateFunctionCode", name).ok(updated);
                let _ = updated.map_err(|error| of_the_repository(session, wanted.code, error))?;
                let _ = ready(session, name, None).await?;
            }
            if !seen.shape.configured_as(&shape) || seen.failure.is_some() {
                configure(session, wanted).await?;
            }
        }
    }
    let digest = ready(session, name, None).await?;
    if let Some(version) = seen.and_then(|seen| seen.version(wanted)) {
        return Ok(version.to_owned());
    }
    // What Lambda calls an image's digest is not what its name says; it is asked for what was there a moment ago.
    let digest = if shape.kind == ZIP { Some(shape.code.clone()) } else { digest };
    let publish = session.lambda.publish_version().function_name(name).set_code_sha256(digest);
    let published = on(session, "lambda:PublishVersion", name).ok(publish.send().await)?;
    let version = published.version().unwrap_or_default().to_owned();
    let _ = ready(session, name, Some(&version)).await?;
    // Between the two calls another deployment may have changed it: its version would be taken for this one's.
    let made = get(session, name, Some(&version)).await?;
    match made.as_ref().and_then(Shape::seen) {
        Some(made) if made == shape => Ok(version),
        _ => Err(broken(
            name,
            Some(&version),
            "it is not what it was made of: another deployment changed the function at the same time; run this one again when that has ended",
        )),
    }
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
    let create = session.lambda.create_function().function_name(&function.name).role(&wanted.role);
    let create = match wanted.code {
        Code::Zip(package) => create
            .runtime(Runtime::from(function.runtime.as_str()))
            .handler(&function.handler)
            .code(FunctionCode::builder().s3_bucket(wanted.bucket).s3_key(&package.key).build()),
        Code::Image(image) => create
            .package_type(PackageType::Image)
            .image_config(command(function))
            .code(FunctionCode::builder().image_uri(image.uri()).build()),
    };
    let create = create
        .architectures(architecture(wanted))
        .memory_size(number(function.memory_mb))
        .timeout(number(function.timeout_s))
        .ephemeral_storage(storage(function)?)
        .environment(environment(function))
        .tracing_config(TracingConfig::builder().mode(tracing(function.tracing)).build())
        .set_tags(Some(tags.clone().into_iter().collect()));
    let asked = on(session, "lambda:CreateFunction", &function.name);
    let created = until_the_role_is_known(async || asked.ok(create.clone().send().await)).await;
    created.map(drop).map_err(|error| of_the_repository(session, wanted.code, error))
}

/// What a function of an image is started with: the base image takes the first word as the handler.
fn command(function: &FunctionResource) -> ImageConfig {
    ImageConfig::builder().command(&function.handler).build()
}

/// Where it is not the caller who is denied, but Lambda that may not read the repository: it lets itself in, if the caller may
/// (AWS Lambda Developer Guide, "Amazon ECR permissions").
fn of_the_repository(session: &Session, code: &Code, error: Error) -> Error {
    match (code, error) {
        (Code::Image(image), Error::Api(error)) => Error::Api(Box::new(told(session, image, *error))),
        (_, error) => error,
    }
}

fn told(session: &Session, image: &Image, error: ApiError) -> ApiError {
    if error.kind != Kind::Denied || !error.message.contains("ECR") {
        return error;
    }
    let missing = "ecr:GetRepositoryPolicy and ecr:SetRepositoryPolicy".to_owned();
    let repository = image.repository_arn(&session.place.partition);
    ApiError { permission: Some((missing, repository)), ..error }
}

async fn configure(session: &Session, wanted: &Wanted<'_>) -> Result<(), Error> {
    let function = wanted.function;
    let update = session
        .lambda
        .update_function_configuration()
        .function_name(&function.name)
        .role(&wanted.role)
        .memory_size(number(function.memory_mb))
        .timeout(number(function.timeout_s))
        .ephemeral_storage(storage(function)?)
        .environment(environment(function))
        .tracing_config(TracingConfig::builder().mode(tracing(function.tracing)).build());
    let update = match wanted.code {
        Code::Zip(_) => update.runtime(Runtime::from(function.runtime.as_str())).handler(&function.handler),
        Code::Image(_) => update.image_config(command(function)),
    };
    let asked = on(session, "lambda:UpdateFunctionConfiguration", &function.name);
    until_the_role_is_known(async || asked.ok(update.clone().send().await)).await.map(drop)
}

/// Waits until a function, or one of its versions, can be called and changed. Gives the digest of its code, as Lambda tells it.
async fn ready(session: &Session, name: &str, version: Option<&str>) -> Result<Option<String>, Error> {
    let found = still(session, name, version).await?;
    match (found.state(), found.last_update_status()) {
        (Some(State::Failed), _) => Err(broken(name, version, found.state_reason().unwrap_or("it failed"))),
        (_, Some(LastUpdateStatus::Failed)) => {
            let reason = found.last_update_status_reason().unwrap_or("its update failed");
            Err(broken(name, version, reason))
        }
        // Inactive is a function that nobody called for long: a call wakes it.
        _ => Ok(found.code_sha256().map(str::to_owned)),
    }
}

/// Waits until no change of a function, or of one of its versions, is under way, whatever came of it.
async fn still(
    session: &Session,
    name: &str,
    version: Option<&str>,
) -> Result<GetFunctionConfigurationOutput, Error> {
    let mut patience = Patience::of(STATE);
    loop {
        let Some(found) = configuration_of(session, name, version).await? else {
            return Err(broken(name, version, "it is gone"));
        };
        let state = match (found.state(), found.last_update_status()) {
            (Some(State::Failed), _) => return Ok(found),
            (Some(State::Pending), _) => State::Pending.as_str(),
            (_, Some(LastUpdateStatus::InProgress)) => LastUpdateStatus::InProgress.as_str(),
            _ => return Ok(found),
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
