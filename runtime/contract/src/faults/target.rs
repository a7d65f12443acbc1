//! Where a fault acts: the coordinates of a call and of the objects that it moves.

use super::Set;
use crate::Function;
use serde::{Deserialize, Serialize};

/// The coordinates that a fault asks for. What is absent is not asked for; what is there must be there in the call
/// too: a fault at `batch: 3` does not fire in `combine`, which has no batch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// The functions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function: Option<Vec<Function>>,
    /// The peers in whose name is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<Set>,
    /// The rounds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round: Option<Set>,
    /// The batches, by their place in the epoch's order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<Set>,
    /// The attempts: 0 is the first call, 1 its first repetition (`$$.State.RetryCount`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<Set>,
    /// What is done to an object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<Operation>,
    /// What the object is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<Vec<ObjectKind>>,
    /// Whose the object is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Set>,
}

/// The coordinates of one call of a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// The function.
    pub function: Function,
    /// The peer in whose name it is called.
    pub peer: Option<u32>,
    /// The round.
    pub round: Option<u32>,
    /// The batch.
    pub batch: Option<u32>,
    /// 0 for the first call.
    pub attempt: u32,
}

impl Call {
    /// The coordinates that stand in an event; `attempt` is 0 where it has none.
    #[must_use]
    pub fn of(function: Function, event: &serde_json::Value) -> Self {
        let number = |key: &str| {
            event.get(key).and_then(serde_json::Value::as_u64).and_then(|n| u32::try_from(n).ok())
        };
        Self {
            function,
            peer: number("peer"),
            round: number("round"),
            batch: number("batch"),
            attempt: number("attempt").unwrap_or(0),
        }
    }
}

/// The coordinates of one operation on an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Object {
    /// What is done.
    pub operation: Operation,
    /// What the object is.
    pub kind: ObjectKind,
    /// Whose it is.
    pub owner: Option<u32>,
}

/// What is done to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// It is read.
    Get,
    /// It is written.
    Put,
}

/// What an object is; its key says it ([`crate::keys`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ObjectKind {
    /// A batch of data.
    Data,
    /// One batch's gradient.
    Gradient,
    /// What a peer publishes.
    Published,
    /// A replica, a peer's or the server's.
    Replica,
    /// An optimiser's state, a peer's or the server's.
    Optimizer,
    /// Who takes part in a round.
    Members,
    /// What was measured and decided after a round.
    Progress,
    /// The trained model.
    Model,
}

impl ObjectKind {
    /// Every kind.
    pub const ALL: [Self; 8] = [
        Self::Data,
        Self::Gradient,
        Self::Published,
        Self::Replica,
        Self::Optimizer,
        Self::Members,
        Self::Progress,
        Self::Model,
    ];

    /// As a fault file writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Gradient => "gradient",
            Self::Published => "published",
            Self::Replica => "replica",
            Self::Optimizer => "optimizer",
            Self::Members => "members",
            Self::Progress => "progress",
            Self::Model => "model",
        }
    }

    /// What the object under `key` is, and whose; `None` for what no fault can be about.
    #[must_use]
    pub fn of_key(key: &str) -> Option<(Self, Option<u32>)> {
        let mut parts = key.rsplit('/');
        let (file, folder) = (parts.next()?, parts.next()?);
        let owner = folder.strip_prefix("peer-").and_then(|peer| peer.parse().ok());
        let stem = file.split('.').next().unwrap_or(file);
        let kind = match stem {
            "published" => Self::Published,
            "replica" => Self::Replica,
            "optimizer" => Self::Optimizer,
            "members" => Self::Members,
            "progress" => Self::Progress,
            "model" if file == "model.safetensors" => Self::Model,
            _ if stem.starts_with("batch-") => match key.contains("/objects/data/") {
                true => Self::Data,
                false => Self::Gradient,
            },
            _ => return None,
        };
        Some((kind, owner))
    }
}

impl Target {
    /// Whether a call is one that is asked for, as far as calls go.
    #[must_use]
    pub fn matches(&self, call: &Call) -> bool {
        let within = |set: &Option<Set>, number: Option<u32>| match set {
            None => true,
            Some(set) => number.is_some_and(|number| set.contains(number)),
        };
        self.function.as_ref().is_none_or(|functions| functions.contains(&call.function))
            && within(&self.peer, call.peer)
            && within(&self.round, call.round)
            && within(&self.batch, call.batch)
            && within(&self.attempt, Some(call.attempt))
    }

    /// Whether an operation on an object is one that is asked for.
    #[must_use]
    pub fn matches_object(&self, object: &Object) -> bool {
        self.operation.is_none_or(|operation| operation == object.operation)
            && self.object.as_ref().is_none_or(|kinds| kinds.contains(&object.kind))
            && self.owner.as_ref().is_none_or(|set| object.owner.is_some_and(|owner| set.contains(owner)))
    }
}

#[cfg(test)]
mod tests {
    use super::{Call, Object, ObjectKind, Operation, Set, Target};
    use crate::{Function, keys};

    #[test]
    fn what_is_asked_for_must_be_there() {
        let target = Target { peer: Some(Set::of([2])), batch: Some(Set::of([3])), ..Target::default() };
        let event = serde_json::json!({"run": "r", "round": 1, "peer": 2, "batch": 3, "attempt": 1});
        let call = Call::of(Function::Gradient, &event);
        assert_eq!(call.attempt, 1);
        assert!(target.matches(&call));
        assert!(!target.matches(&Call { batch: None, ..call }));
        assert!(!target.matches(&Call { peer: Some(1), ..call }));
        assert!(Target::default().matches(&Call { peer: None, round: None, ..call }));
    }

    #[test]
    fn a_key_says_what_the_object_is() {
        let kinds = [
            (keys::batch("r", 2, 1), ObjectKind::Data, Some(2)),
            (keys::validation_batch("r", 1), ObjectKind::Data, None),
            (keys::batch_gradient("r", 1, 3, 1), ObjectKind::Gradient, Some(3)),
            (keys::published("r", 1, 3), ObjectKind::Published, Some(3)),
            (keys::replica("r", 1, 3), ObjectKind::Replica, Some(3)),
            (keys::server_replica("r", 1), ObjectKind::Replica, None),
            (keys::optimizer("r", 1, 4), ObjectKind::Optimizer, Some(4)),
            (keys::members("r", 1), ObjectKind::Members, None),
            (keys::progress("r", 1), ObjectKind::Progress, None),
            (keys::trained_model("r"), ObjectKind::Model, None),
        ];
        for (key, kind, owner) in kinds {
            assert_eq!(ObjectKind::of_key(&key), Some((kind, owner)), "{key}");
        }
        for key in [keys::training("r"), keys::torchscript("r"), keys::faults("r"), keys::manifest("r")] {
            assert_eq!(ObjectKind::of_key(&key), None, "{key}");
        }
        let target = Target { object: Some(vec![ObjectKind::Published]), ..Target::default() };
        let object = Object { operation: Operation::Put, kind: ObjectKind::Published, owner: Some(1) };
        assert!(target.matches_object(&object));
        assert!(!target.matches_object(&Object { kind: ObjectKind::Gradient, ..object }));
    }
}
