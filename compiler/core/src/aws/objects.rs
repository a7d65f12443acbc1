//! The kinds of objects, by which roles are told what they may read and write. A run's name is known only when it is
//! started, and rounds, peers and batches are data; so patterns of keys stand in policies, one for each kind.

use super::names::{DATA, RUNS};
use stepgrad_contract::Training;
use stepgrad_contract::training::Validation;

/// A kind of object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The files that the spec names.
    Source,
    /// What the functions need to know of the spec.
    Training,
    /// What goes wrong in a rerun.
    Faults,
    /// A scripted module of the user's.
    Script,
    /// What `prepare` found out.
    Manifest,
    /// Batches of the peers' shards.
    Batches,
    /// Batches of the held-out set.
    Validation,
    /// What every replica starts from.
    Initial,
    /// The same in the record.
    InitialModel,
    /// Batches' gradients.
    Gradients,
    /// What peers publish.
    Published,
    /// Its signatures.
    Signatures,
    /// Peers' replicas.
    Replicas,
    /// Peers' optimiser states.
    Optimizers,
    /// What `train` hands over from call to call.
    HandedOver,
    /// The server's model.
    ServerReplicas,
    /// The server's optimiser state.
    ServerOptimizers,
    /// Who takes part.
    Members,
    /// What an exchange found amiss.
    Anomalies,
    /// What was measured and decided.
    Progress,
    /// The trained model.
    Model,
    /// All objects of rounds, for deleting them.
    Rounds,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 22] = [
        Self::Source,
        Self::Training,
        Self::Faults,
        Self::Script,
        Self::Manifest,
        Self::Batches,
        Self::Validation,
        Self::Initial,
        Self::InitialModel,
        Self::Gradients,
        Self::Published,
        Self::Signatures,
        Self::Replicas,
        Self::Optimizers,
        Self::HandedOver,
        Self::ServerReplicas,
        Self::ServerOptimizers,
        Self::Members,
        Self::Anomalies,
        Self::Progress,
        Self::Model,
        Self::Rounds,
    ];

    /// The pattern of its keys in the bucket, as policies write it: `*` stands for any characters. Of the source it is
    /// what no spec narrows; see [`source`].
    #[must_use]
    pub fn pattern(self) -> String {
        let below = match self {
            Self::Source => return format!("{DATA}/*"),
            Self::Training => "objects/training.json",
            Self::Faults => "objects/faults.json",
            Self::Script => "objects/model.pt",
            Self::Manifest => "objects/data/manifest.json",
            Self::Batches => "objects/data/peer-*/batch-*.safetensors",
            Self::Validation => "objects/data/validation/batch-*.safetensors",
            Self::Initial => "objects/round-000000/server/replica.safetensors",
            Self::InitialModel => "init.safetensors",
            Self::Gradients => "objects/round-*/peer-*/batch-*.safetensors",
            Self::Published => "objects/round-*/peer-*/published.safetensors",
            Self::Signatures => "objects/round-*/peer-*/published.sig",
            Self::Replicas => "objects/round-*/peer-*/replica.safetensors",
            Self::Optimizers => "objects/round-*/peer-*/optimizer.safetensors",
            Self::HandedOver => "objects/round-*/peer-*/handed-over/*.safetensors",
            Self::ServerReplicas => "objects/round-*/server/replica.safetensors",
            Self::ServerOptimizers => "objects/round-*/server/optimizer.safetensors",
            Self::Members => "objects/round-*/members.json",
            Self::Anomalies => "objects/round-*/anomalies.json",
            Self::Progress => "objects/round-*/progress.json",
            Self::Model => "model.safetensors",
            Self::Rounds => "objects/round-*/*",
        };
        format!("{RUNS}/*/{below}")
    }

    /// Whether a key of the bucket is one of this kind.
    #[must_use]
    pub fn has(self, key: &str) -> bool {
        matches(&self.pattern(), key)
    }
}

/// The patterns of the files that a spec names: each by its path, which may be a file's or a folder's.
#[must_use]
pub fn source(training: &Training) -> Vec<String> {
    let held_out = match &training.data.validation {
        Some(Validation::Source(source)) => Some(source),
        _ => None,
    };
    let named = [Some(&training.data.source), held_out].into_iter().flatten();
    let paths = named.filter(|path| !path.is_empty());
    paths.flat_map(|path| [format!("{DATA}/{path}"), format!("{DATA}/{path}/*")]).collect()
}

/// Whether `text` is of the form `pattern`, in which `*` stands for any characters, `/` included.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        let Some((_, after)) = text.split_once(part) else { return false };
        text = after;
    }
    text.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::{Kind, RUNS};
    use stepgrad_contract::keys;

    #[test]
    fn every_key_of_a_run_is_of_its_kind_and_of_no_other() {
        let run = "digits-20261121-a";
        let all = [
            (Kind::Training, keys::training(run)),
            (Kind::Faults, keys::faults(run)),
            (Kind::Script, keys::torchscript(run)),
            (Kind::Manifest, keys::manifest(run)),
            (Kind::Batches, keys::batch(run, 3, 12)),
            (Kind::Validation, keys::validation_batch(run, 12)),
            (Kind::Initial, keys::server_replica(run, 0)),
            (Kind::InitialModel, keys::initial_model(run)),
            (Kind::Gradients, keys::batch_gradient(run, 1, 2, 3)),
            (Kind::Published, keys::published(run, 1, 2)),
            (Kind::Signatures, keys::signature(run, 1, 2)),
            (Kind::Replicas, keys::replica(run, 1, 2)),
            (Kind::Optimizers, keys::optimizer(run, 1, 2)),
            (Kind::HandedOver, keys::local_model(run, 1, 2, 3)),
            (Kind::HandedOver, keys::local_optimizer(run, 1, 2, 3)),
            (Kind::ServerReplicas, keys::server_replica(run, 1)),
            (Kind::ServerOptimizers, keys::server_optimizer(run, 1)),
            (Kind::Members, keys::members(run, 1)),
            (Kind::Anomalies, keys::anomalies(run, 1)),
            (Kind::Progress, keys::progress(run, 1)),
            (Kind::Model, keys::trained_model(run)),
            // A later view of a round's members has a folder of its own below the round's.
            (Kind::Replicas, keys::in_view(keys::replica(run, 1, 2), 2)),
            (Kind::Optimizers, keys::in_view(keys::optimizer(run, 1, 2), 2)),
            (Kind::Members, keys::in_view(keys::members(run, 1), 2)),
            (Kind::Anomalies, keys::in_view(keys::anomalies(run, 1), 2)),
        ];
        for (kind, key) in all {
            let key = format!("{RUNS}/{key}");
            let found: Vec<Kind> = Kind::ALL
                .into_iter()
                .filter(|other| *other != Kind::Rounds && other.has(&key))
                // The first model of a server is one of a server's models.
                .filter(|other| (kind, *other) != (Kind::Initial, Kind::ServerReplicas))
                .collect();
            assert_eq!(found, [kind], "{key}");
            assert_eq!(Kind::Rounds.has(&key), key.contains("/round-"), "{key}");
        }
        assert!(Kind::Source.has("data/examples/digits/train.gz"));
    }
}
