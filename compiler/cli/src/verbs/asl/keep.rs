//! The flags of `asl run` that say in what time a machine runs and where its history is kept.

use super::read;
use crate::exit::Exit;
use crate::failure::Failure;
use bytes::Bytes;
use std::path::PathBuf;
use stepgrad_engine::core::Invocation;
use stepgrad_engine::driver::durations::Table;
use stepgrad_engine::log::Log;
use stepgrad_engine::run::{RunError, RunOptions, RunReport, run_logged, run_virtual};
use tokio::runtime::Runtime;

/// What they are. The name is that of a group of arguments, which has to be unique.
#[derive(Debug, clap::Args)]
pub(crate) struct Keeping {
    /// Write the history to a new file, a JSON line for each event, while it happens.
    #[arg(long, value_name = "FILE")]
    history: Option<PathBuf>,
    /// Go on with the killed run that --history is of; nothing is called again that was done.
    #[arg(long, requires = "history", conflicts_with_all = ["input", "redrive"])]
    resume: bool,
    /// Go on with the failed run that --history is of, from the states that failed, as AWS's redrive.
    #[arg(long, requires = "history", conflicts_with = "input")]
    redrive: bool,
    /// Decides every draw: jitter, random numbers, and durations in virtual time.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Run in virtual time: waiting costs nothing, and a week is over at once.
    #[arg(long)]
    virtual_time: bool,
    /// How long functions take in virtual time, and what they answer where no endpoint is to be called: a JSON file of
    /// {"default": {"median_ms": 20, "sigma": 0.25}, "functions": {"NAME": {"median_ms": 300, "answer": {}}}}.
    #[arg(long, value_name = "FILE", requires = "virtual_time")]
    durations: Option<PathBuf>,
}

impl Keeping {
    /// Runs the machine. `options.seed` is set here.
    pub(crate) fn run(
        &self,
        mut options: RunOptions,
        runtime: &Runtime,
    ) -> Result<Result<RunReport, RunError>, Failure> {
        options.seed = self.seed;
        let log = match self.history.clone() {
            None => Log::Nowhere,
            Some(path) if self.resume => Log::Resume(path),
            Some(path) if self.redrive => Log::Redrive(path),
            Some(path) => Log::New(path),
        };
        let report = if self.virtual_time {
            let table = match &self.durations {
                None => Table::default(),
                Some(path) => Table::from_json(&read(path)?)
                    .map_err(|error| Failure::new(Exit::Invalid, format!("{}: {error}", path.display())))?,
            };
            let invoke = options.invoke.clone();
            let mut functions = |invocation: &Invocation| {
                table.answer(&invocation.function).unwrap_or_else(|| {
                    let payload = Bytes::copy_from_slice(invocation.payload.text().as_bytes());
                    runtime.block_on(invoke.invoke(&invocation.function, payload))
                })
            };
            run_virtual(options, &log, &table, &mut functions)
        } else {
            runtime.block_on(run_logged(options, &log))
        };
        match report {
            Err(RunError::Log(error)) => Err(Failure::new(Exit::Usage, error.to_string())),
            report => Ok(report),
        }
    }
}
