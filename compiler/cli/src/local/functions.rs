//! The functions of a bundle on this machine.

use std::collections::BTreeMap;
use std::path::Path;
use stepgrad_compiler::bundle::{FunctionEntry, Index};
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
pub(crate) fn functions(index: &Index, runs: &Path, data: &Path) -> Vec<FunctionConfig> {
    let environment = BTreeMap::from([
        ("STEPGRAD_STORE".to_owned(), file_url(runs)),
        ("STEPGRAD_DATA".to_owned(), file_url(data)),
    ]);
    index.functions.iter().map(|entry| function(entry, &environment)).collect()
}

fn function(entry: &FunctionEntry, environment: &BTreeMap<String, String>) -> FunctionConfig {
    FunctionConfig {
        handler: entry.handler.clone(),
        memory_mb: entry.memory_mb,
        timeout_s: entry.timeout_s,
        environment: environment.clone(),
        ..FunctionConfig::new(&entry.name)
    }
}

fn file_url(path: &Path) -> String {
    format!("file://{}", path.display())
}
