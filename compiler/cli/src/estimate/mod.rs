//! What a run costs before it runs: how many batches each peer has, what a run did that is like it, and both shown.

mod batches;
mod measured;
mod show;

pub(crate) use show::{json, text};

use crate::failure::Failure;
use measured::Measured;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use stepgrad_compiler::Compilation;
use stepgrad_compiler::estimate::{self, Estimate};
use stepgrad_contract::Function;

/// What it is made from beside the spec.
#[derive(Debug, clap::Args)]
pub(crate) struct CostArgs {
    /// A run of the same data, here or on AWS, by its id: how many batches there are, how long calls took, what they moved.
    #[arg(long, value_name = "RUN")]
    like: Option<String>,
    /// The folder of records, for --like.
    #[arg(long, value_name = "DIR", default_value = "runs")]
    runs: PathBuf,
}

impl CostArgs {
    /// Whether somebody wants to know.
    pub(crate) const fn is_given(&self) -> bool {
        self.like.is_some()
    }
}

/// What is known of the cost of a run.
#[derive(Debug)]
pub(crate) struct Costs {
    /// The counts, and where the batches are from; or why nothing can be counted.
    estimate: Result<(Estimate, String), String>,
    /// What a run took that is like it.
    measured: Option<Measured>,
    /// Where it will run, if that is known.
    region: Option<String>,
    /// Bytes that stay in S3 while it is deployed, if that is known.
    stored_bytes: Option<u64>,
    /// Memory of the functions in MB.
    memory: BTreeMap<Function, u32>,
}

impl Costs {
    /// Of a spec, with its data below `root`.
    pub(crate) async fn of(
        args: &CostArgs,
        compiled: &Compilation,
        root: Option<&Path>,
    ) -> Result<Self, Failure> {
        let like = args.like.as_deref().map(|run| measured::like(&args.runs, run, compiled)).transpose()?;
        let batches = match &like {
            Some((manifest, measured)) => Ok((manifest.clone(), format!("run {}", measured.run))),
            None => batches::of(&compiled.bundle, root).await,
        };
        let estimate = batches.and_then(|(manifest, source)| {
            let estimate = estimate::estimate(compiled, &manifest).map_err(|error| error.to_string())?;
            Ok((estimate, source))
        });
        let memory = compiled.bundle.index.functions.iter();
        let memory = memory.filter_map(|entry| Some((Function::from_name(&entry.handler)?, entry.memory_mb)));
        Ok(Self {
            estimate,
            measured: like.map(|(_, measured)| measured),
            region: None,
            stored_bytes: None,
            memory: memory.collect(),
        })
    }

    /// With what is known of its deployment.
    pub(crate) fn deployed(self, region: &str, stored_bytes: u64) -> Self {
        Self { region: Some(region.to_owned()), stored_bytes: Some(stored_bytes), ..self }
    }
}
