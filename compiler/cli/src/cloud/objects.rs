//! Objects of a run on AWS that its record here is made of, several read at once.
#![expect(clippy::disallowed_methods, reason = "reads and writes the record")]

use super::training::{FAULTS, RECORD};
use super::{AT_ONCE, failure};
use crate::failure::Failure;
use crate::local::read_json;
use crate::record::{Record, below};
use futures::{StreamExt, TryStreamExt};
use stepgrad_contract::events::RoundMetrics;
use stepgrad_contract::{Training, keys};
use stepgrad_deploy::Runs;

/// Replicas that are read at once: each is as large as the model, and held in memory whole.
const REPLICAS_AT_ONCE: usize = 4;

/// Reads the models and all documents of a run; tensors of batches and rounds stay where they are.
pub(super) async fn download(runs: &Runs<'_>, record: &Record, run: &str) -> Result<(), Failure> {
    let models = [keys::initial_model(run), keys::trained_model(run), keys::torchscript(run)];
    let mut wanted = Vec::new();
    for key in runs.keys(run).await.map_err(failure)? {
        let Some(below) = key.strip_prefix(&format!("{run}/")) else { continue };
        // Keys are made by functions, and paths of them must not lead out of the record.
        if below.split('/').any(|part| part.is_empty() || part.starts_with('.')) {
            continue;
        }
        let is_wanted = key.ends_with(".json")
            || models.contains(&key)
            || below.starts_with("bundle/")
            || FAULTS.contains(&below);
        // What is here already never changes there; and the record is this computer's own.
        if is_wanted && below != RECORD && !record.folder.join(below).is_file() {
            wanted.push((below.to_owned(), key));
        }
    }
    let (models, documents): (Vec<_>, Vec<_>) = wanted.into_iter().partition(|(_, key)| models.contains(key));
    read(runs, record, documents, AT_ONCE).await?;
    // Each is held in memory whole.
    read(runs, record, models, 1).await
}

/// Reads objects into the record, so many at once; those that are gone by now are left out.
async fn read(
    runs: &Runs<'_>,
    record: &Record,
    objects: Vec<(String, String)>,
    most: usize,
) -> Result<(), Failure> {
    let reads = objects.into_iter().map(|(name, key)| async move {
        match runs.get(&key).await.map_err(failure)? {
            Some(content) => record.replace(&name, &content),
            None => Ok(()),
        }
    });
    at_once(reads, most).await
}

/// Does what is to be done, so much of it at once, until something fails: the first in this order.
pub(super) async fn at_once(
    work: impl Iterator<Item = impl Future<Output = Result<(), Failure>>>,
    most: usize,
) -> Result<(), Failure> {
    futures::stream::iter(work).buffered(most).try_collect().await
}

/// Reads the replicas of the last round that came to its end: whether they are the same is asked of every rerun.
pub(super) async fn download_replicas(runs: &Runs<'_>, record: &Record, run: &str) -> Result<(), Failure> {
    let path = record.folder.join("metrics.jsonl");
    let text = std::fs::read_to_string(&path).map_err(|error| Failure::file("read", &path, &error))?;
    let last = text.lines().last().and_then(|line| serde_json::from_str::<RoundMetrics>(line).ok());
    let Some(RoundMetrics { round, view, .. }) = last else { return Ok(()) };
    let training: Training = read_json(&record.folder.join("bundle/training.json"))?;
    let replicas = (1..=training.peers).map(|peer| keys::in_view(keys::replica(run, round, peer), view));
    let all = replicas.chain([keys::server_replica(run, round)]).map(|key| (below(run, key.clone()), key));
    let missing = all.filter(|(name, _)| !record.folder.join(name).is_file()).collect();
    read(runs, record, missing, REPLICAS_AT_ONCE).await
}
