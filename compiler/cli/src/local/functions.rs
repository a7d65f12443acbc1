//! The functions of a bundle on this machine.
#![expect(clippy::disallowed_methods, reason = "looks at the environment")]

use crate::exit::Exit;
use crate::failure::Failure;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use stepgrad_compiler::bundle::{FunctionEntry, Index};
use stepgrad_contract::function::Artefact;
use stepgrad_contract::signing::FOLDER_VARIABLE;
use stepgrad_contract::{Function, Training};
use stepgrad_engine::host::{FunctionConfig, HostConfig};

/// Processes that are kept for their next call, on top of those at work: one for each function and some.
const IDLE: usize = 16;
/// Calls that may wait for a process. A Map of Maps runs 40 × 40 at once.
const QUEUE: usize = 10_000;

/// Function processes at work at once: as many as the spec allows, but no more than this machine has use for.
pub(crate) fn concurrency(wanted: u32, given: Option<usize>) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let useful = given.unwrap_or(2 * cores);
    useful.min(usize::try_from(wanted).unwrap_or(usize::MAX)).max(1)
}

/// Says so where this machine has use for fewer processes than the spec allows.
pub(crate) fn capped(wanted: u32, at_work: usize) -> String {
    match usize::try_from(wanted) {
        Ok(wanted) if wanted > at_work => {
            format!(" (functions.max_concurrency is {wanted}; --concurrency decides for this computer)")
        }
        _ => String::new(),
    }
}

/// The host's settings for `concurrency` processes at work.
pub(crate) fn host(bootstrap: &Path, concurrency: usize) -> HostConfig {
    HostConfig {
        max_concurrency: concurrency + IDLE,
        max_idle: IDLE,
        queue_size: QUEUE,
        ..HostConfig::new(bootstrap)
    }
}

/// The functions of a bundle, with the roots of their objects and data.
pub(crate) fn functions(
    index: &Index,
    bootstrap: &Path,
    runs: &Path,
    data: &Path,
    keys: Option<&str>,
) -> Vec<FunctionConfig> {
    let light = light(bootstrap);
    let mut environment = BTreeMap::from([
        ("STEPGRAD_STORE".to_owned(), file_url(runs)),
        ("STEPGRAD_DATA".to_owned(), file_url(data)),
    ]);
    // Where `prepare` spools data to; but for this and the place of keys nothing of the user's environment
    // reaches a function.
    if let Ok(folder) = std::env::var("TMPDIR") {
        environment.insert("TMPDIR".to_owned(), folder);
    }
    let configured = |entry: &FunctionEntry| {
        let mut environment = environment.clone();
        if let Some(folder) =
            keys.filter(|_| Function::from_name(&entry.handler).is_some_and(Function::signs))
        {
            environment.insert(FOLDER_VARIABLE.to_owned(), folder.to_owned());
        }
        let own = light.clone().filter(|_| entry.artefact == Artefact::Light);
        FunctionConfig { bootstrap: own, ..function(entry, environment) }
    };
    index.functions.iter().map(configured).collect()
}

/// Where the private keys of peers are; `None` where nothing is signed.
pub(crate) fn keys(training: &Training) -> Result<Option<String>, Failure> {
    if training.public_keys.is_none() {
        return Ok(None);
    }
    match std::env::var(FOLDER_VARIABLE) {
        Ok(folder) if folder.starts_with("file:///") => Ok(Some(folder)),
        _ => {
            let what = format!(
                "the peers sign what they publish: set {FOLDER_VARIABLE}=file:///folder to the folder that `stepgrad keys generate` wrote their private keys to"
            );
            Err(Failure::new(Exit::Usage, what))
        }
    }
}

/// The binary without libtorch, beside the one with it, for the functions that need none: it starts sooner. It has to be as new
/// as the other one, as both are built from the same sources; where it is not there, the other one serves every function.
fn light(bootstrap: &Path) -> Option<PathBuf> {
    let own = bootstrap.file_name().is_some_and(|name| name == Artefact::Torch.name());
    let light = bootstrap.with_file_name(Artefact::Light.name());
    let built = |path: &Path| path.metadata().and_then(|metadata| metadata.modified()).ok();
    (own && built(&light)? >= built(bootstrap)?).then_some(light)
}

fn function(entry: &FunctionEntry, environment: BTreeMap<String, String>) -> FunctionConfig {
    FunctionConfig {
        handler: entry.handler.clone(),
        memory_mb: entry.memory_mb,
        timeout_s: entry.timeout_s,
        environment,
        ..FunctionConfig::new(&entry.name)
    }
}

fn file_url(path: &Path) -> String {
    format!("file://{}", path.display())
}
