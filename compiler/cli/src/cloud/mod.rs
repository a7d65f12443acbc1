//! A spec on AWS: where, as whom, what is to be there, and how failures of AWS end the command.

mod calls;
mod files;
mod following;
mod known;
mod logs;
mod objects;
mod quotas;
mod show;
mod told;
pub(crate) mod training;

pub(crate) use files::data;
pub(crate) use known::{Known, KnownArgs, of_spec};
pub(crate) use logs::lines;
pub(crate) use quotas::Quotas;
pub(crate) use show::{json, sum, text};
pub(crate) use told::Told;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::local::read_json;
use crate::output::Format;
use crate::project::{Loaded, SpecArgs};
use crate::record::Run;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
use stepgrad_compiler::Compilation;
use stepgrad_compiler::aws::{Resources, names};
use stepgrad_compiler::bundle::{Bundle, Index};
use stepgrad_contract::Training;
use stepgrad_deploy::{Desired, Difference, Error, Options, Runs, Session, Upload};

/// Objects that are read, written or looked at at once.
const AT_ONCE: usize = 8;

/// Where a training runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum Place {
    /// On this computer.
    #[default]
    Here,
    /// On AWS.
    Aws,
}

/// Where AWS is and as whom it is asked, in the manner of the AWS CLI.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "AWS")]
pub(crate) struct AwsArgs {
    /// A profile of ~/.aws/config; AWS_PROFILE if not given.
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
    /// The region; AWS_REGION or the profile's if not given.
    #[arg(long, value_name = "REGION")]
    region: Option<String>,
    /// Ask this address instead of AWS's own, for every service.
    #[arg(long, value_name = "URL")]
    endpoint_url: Option<String>,
    /// Wait so long for the answer to a call, before it is made again: five times at the most.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    cli_read_timeout: u64,
}

impl AwsArgs {
    /// Asks AWS who this is.
    pub(crate) async fn session(&self) -> Result<Session, Failure> {
        let options = Options {
            profile: self.profile.clone(),
            region: self.region.clone(),
            endpoint_url: self.endpoint_url.clone(),
            read_timeout: Some(Duration::from_secs(self.cli_read_timeout)),
        };
        Session::open(&options).await.map_err(failure)
    }
}

/// The packages that functions are made of.
#[derive(Debug, clap::Args)]
pub(crate) struct PackageArgs {
    /// What `functions package` made; or a zip with `bootstrap` at its root, or a container image of Amazon ECR by its digest, for all
    /// functions or, by name, for one or for a kind of them (bootstrap, bootstrap-light).
    #[arg(long = "package", value_name = "FOLDER|[NAME=]ZIP|[NAME=]IMAGE", required = true)]
    pub(crate) packages: Vec<String>,
}

/// Runs `work` to its end.
pub(crate) fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map_err(|error| Failure::new(Exit::Internal, format!("cannot start: {error}")))?.block_on(work)
}

/// What ends the command when something of AWS did not work.
#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` takes")]
pub(crate) fn failure(error: Error) -> Failure {
    let exit = match &error {
        Error::NoRegion | Error::Key(_) | Error::NotRedrivable(_) => Exit::Usage,
        Error::Desired(_) => Exit::Invalid,
        Error::File { .. } => Exit::Internal,
        _ => Exit::Aws,
    };
    Failure::new(exit, error.to_string())
}

/// A spec that was compiled, and what of it is to be on AWS.
pub(crate) struct Site {
    /// Who asks, and where.
    pub(crate) session: Session,
    /// What the compiler made of the spec.
    pub(crate) compiled: Compilation,
    /// What is to be there.
    pub(crate) desired: Desired,
    /// The folder that the spec's paths start from.
    pub(crate) root: PathBuf,
}

impl Site {
    /// Compiles the spec, reads its files, and asks AWS who this is: in that order, so that what is wrong with the spec
    /// is said first.
    pub(crate) async fn open(
        spec: &SpecArgs,
        aws: &AwsArgs,
        packages: &PackageArgs,
        format: Format,
    ) -> Result<Self, Failure> {
        let loaded = Loaded::load(spec, format)?;
        let compiled = loaded.compile(spec, format)?;
        let root: PathBuf = loaded.root(spec, format)?;
        let files = files::of(&compiled.bundle, &root, &packages.packages)?;
        let session = aws.session().await?;
        let desired = Desired::new(&session, &compiled.bundle.resources, files).await.map_err(failure)?;
        Ok(Self { session, compiled, desired, root })
    }
}

/// That what a run needs is on AWS: the state machines and functions that the spec says, and its data with the content that
/// it has here. Gives the version that is to be started.
pub(crate) async fn is_deployed(runs: &Runs<'_>, bundle: &Bundle, root: &Path) -> Result<String, Failure> {
    let version =
        runs.deployed().await.map_err(failure)?.ok_or_else(|| deploy_first("nothing is deployed"))?;
    is_as(runs, &version, &bundle.resources, &files::definitions(bundle), "the spec says").await?;
    has_data(runs, &bundle.training, root).await?;
    Ok(version)
}

/// That a version, with all that it starts and calls, is what `whose` says.
async fn is_as(
    runs: &Runs<'_>,
    version: &str,
    resources: &Resources,
    definitions: &BTreeMap<String, String>,
    whose: &str,
) -> Result<(), Failure> {
    let otherwise = runs.deployed_otherwise(version, resources, definitions).await.map_err(failure)?;
    if otherwise.is_empty() {
        return Ok(());
    }
    let differ: Vec<_> = otherwise
        .iter()
        .map(|Difference { what, from, to }| format!("{what} ({from} there, {to} here)"))
        .collect();
    Err(deploy_first(&format!("what is deployed is not what {whose}: {}", differ.join(", "))))
}

fn deploy_first(what: &str) -> Failure {
    Failure::new(Exit::Usage, format!("{what}: run `stepgrad deploy` first"))
}

/// That the data of a training are on AWS with the content that they have here.
async fn has_data(runs: &Runs<'_>, training: &Training, root: &Path) -> Result<(), Failure> {
    let looks = files::data(training, root)?.into_iter().map(|(path, file)| async move {
        let key = format!("{}/{path}", names::DATA);
        let data = Upload::of(key, file).await.map_err(failure)?;
        if runs.has(&data).await.map_err(failure)? {
            return Ok(());
        }
        Err(deploy_first(&format!("{path} is not on AWS as it is here")))
    });
    // In order: of several that are not there, the first is named.
    objects::at_once(looks, AT_ONCE).await
}

/// The version of the state machine with which a run whose record is in `folder` can be repeated: the one that it was started
/// of; where that is gone, or the run was not on AWS, the deployed one, if it is what the run was compiled to.
pub(crate) async fn version_of(runs: &Runs<'_>, folder: &Path, run: &Run) -> Result<String, Failure> {
    if let Some(aws) = &run.aws
        && runs.has_version(&aws.version).await.map_err(failure)?
    {
        return Ok(aws.version.clone());
    }
    let version =
        runs.deployed().await.map_err(failure)?.ok_or_else(|| deploy_first("nothing is deployed"))?;
    let index: Index = read_json(&folder.join("bundle/bundle.json"))?;
    let mut definitions = BTreeMap::new();
    for machine in &index.machines {
        let definition: Value = read_json(&folder.join("bundle").join(&machine.file))?;
        definitions.insert(machine.name.clone(), definition.to_string());
    }
    let resources: Resources = read_json(&folder.join("bundle/aws.json"))?;
    let whose = format!("run {} was compiled to", run.run);
    is_as(runs, &version, &resources, &definitions, &whose).await?;
    if run.aws.is_none() {
        has_data(runs, &read_json(&folder.join("bundle/training.json"))?, &run.root).await?;
    }
    Ok(version)
}
