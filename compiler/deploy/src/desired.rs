//! What is to be on AWS: a bundle's resources at their place, with the files that go with them.

use crate::error::Error;
use crate::session::Session;
use crate::things::object::Upload;
use std::collections::BTreeMap;
use std::path::PathBuf;
use stepgrad_compiler::aws::{Resources, Role, names};

/// By what a deployment's things are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owned {
    /// How every name begins, with the `-` that ends it.
    pub prefix: String,
    /// The tags that everything of the deployment carries.
    pub tags: BTreeMap<String, String>,
    /// The bucket's name.
    pub bucket: String,
    /// How the names of its roles end: those are the same in all regions.
    pub role_ending: String,
}

impl Owned {
    /// What the deployment of `resources` is known by, in the session's account and region.
    #[must_use]
    pub fn new(session: &Session, resources: &Resources) -> Self {
        let place = &session.place;
        Self {
            prefix: format!("{}-", resources.prefix),
            tags: resources.tags.clone(),
            bucket: names::bucket(&resources.prefix, &place.account, &place.region),
            role_ending: names::role_ending(&place.region),
        }
    }
}

/// Files of this computer that a deployment needs.
#[derive(Debug, Clone, Default)]
pub struct Files {
    /// Definitions with placeholders, by the state machine's name in the bundle.
    pub definitions: BTreeMap<String, String>,
    /// The zip that a function is made of, by the function's handler.
    pub packages: BTreeMap<String, PathBuf>,
    /// Data, by its path below [`names::DATA`].
    pub data: BTreeMap<String, PathBuf>,
}

/// What is to be.
#[derive(Debug, Clone)]
pub struct Desired {
    /// By what it is known.
    pub owned: Owned,
    pub(crate) resources: Resources,
    pub(crate) definitions: BTreeMap<String, String>,
    /// By handler.
    pub(crate) packages: BTreeMap<String, Upload>,
    pub(crate) data: Vec<Upload>,
}

impl Desired {
    /// Puts a place's values into resources, and reads the files through.
    ///
    /// # Errors
    /// Where a file cannot be read, or one is missing.
    pub async fn new(session: &Session, resources: &Resources, files: Files) -> Result<Self, Error> {
        let owned = Owned::new(session, resources);
        let place = &session.place;
        let bare = |placeholder: &str| placeholder.trim_start_matches("${").trim_end_matches('}').to_owned();
        let values = BTreeMap::from([
            (bare(names::PARTITION), place.partition.clone()),
            (bare(names::REGION), place.region.clone()),
            (bare(names::ACCOUNT), place.account.clone()),
            (bare(names::BUCKET), owned.bucket.clone()),
        ]);
        let resources = resources.filled(&values).map_err(|error| Error::Desired(error.to_string()))?;
        // One package serves many functions.
        let mut read: BTreeMap<PathBuf, Upload> = BTreeMap::new();
        let mut packages = BTreeMap::new();
        for function in &resources.functions {
            let path = files.packages.get(&function.handler).ok_or_else(|| {
                Error::Desired(format!("there is no package for the function {}", function.handler))
            })?;
            let package = match read.get(path) {
                Some(package) => package.clone(),
                None => {
                    let mut package = Upload::of(String::new(), path.clone()).await?;
                    package.key = format!("{}/{}.zip", names::CODE, package.hex());
                    read.insert(path.clone(), package.clone());
                    package
                }
            };
            packages.insert(function.handler.clone(), package);
        }
        for machine in &resources.machines {
            if !files.definitions.contains_key(&machine.machine) {
                return Err(Error::Desired(format!("there is no definition of {}", machine.machine)));
            }
            if let Some(gap) = machine.gaps.first() {
                return Err(Error::Desired(format!(
                    "{gap}: which permission that needs is not known; use only functions and state machines of the bundle"
                )));
            }
        }
        let mut data = Vec::new();
        for (path, file) in files.data {
            data.push(Upload::of(format!("{}/{path}", names::DATA), file).await?);
        }
        Ok(Self { owned, resources, definitions: files.definitions, packages, data })
    }

    /// Bytes that stay in S3 while it is deployed.
    #[must_use]
    pub fn stored_bytes(&self) -> u64 {
        self.objects().iter().fold(0, |sum, object| sum.saturating_add(object.bytes))
    }

    /// Bytes of the packages of all functions, each with its own.
    #[must_use]
    pub fn code_bytes(&self) -> u64 {
        self.packages.values().fold(0, |sum, package| sum.saturating_add(package.bytes))
    }

    /// The role with the longest policy, and its characters as IAM counts them.
    #[must_use]
    pub fn longest_policy(&self) -> Option<(&str, u64)> {
        let length = |role: &Role| serde_json::to_string(&role.policy).map_or(0, |text| text.len() as u64);
        let lengths = self.resources.roles.iter().map(|role| (role.name.as_str(), length(role)));
        lengths.max_by_key(|(_, length)| *length)
    }

    /// All objects, each once.
    pub(crate) fn objects(&self) -> Vec<&Upload> {
        let mut packages: Vec<&Upload> = self.packages.values().collect();
        packages.sort_by_key(|package| &package.key);
        packages.dedup_by_key(|package| &package.key);
        packages.into_iter().chain(&self.data).collect()
    }
}
