//! The event each function takes and the reply it gives. Payloads carry references and small numbers, never
//! tensors and never secrets: 262,144 bytes is all that Step Functions passes between states.

use crate::anomaly::Anomaly;
use crate::budget::Cost;
use crate::fanout::Fanout;
use crate::progress::{Lost, Metrics, Stop};
use crate::view::{self, Reached};
use serde::{Deserialize, Serialize};

/// How far a call came that handed over for want of time, and where the next one goes on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandedOver {
    /// Which continuation the next call is, from 1; 0 for a call that begins.
    pub continuation: u32,
    /// For `train`, the place of the next batch; for `prepare`, how many batches are written.
    pub next: u32,
}

/// The event of `prepare`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrepareEvent {
    /// The run.
    pub run: String,
    /// Where to go on.
    #[serde(default)]
    pub handed_over: HandedOver,
    /// When the execution began, where the training has a budget.
    #[serde(default)]
    pub began: Option<String>,
}

/// The reply of `prepare`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PrepareReply {
    /// What the machines carry on; empty where it is not done.
    #[serde(flatten)]
    pub next: Next,
    /// Where the next call has to go on; null where nothing is left to do.
    pub handed_over: Option<HandedOver>,
    /// What the first round has to fit, where the training has a budget.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<Cost>,
}

/// The event of `train`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrainEvent {
    /// The run.
    pub run: String,
    /// The round.
    pub round: u32,
    /// The peer.
    pub peer: u32,
    /// Where to go on.
    #[serde(default)]
    pub handed_over: HandedOver,
}

/// The reply of `train`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainReply {
    /// The work; where it is not done, as far as it came.
    #[serde(flatten)]
    pub work: WorkReply,
    /// Where the next call has to go on; null where nothing is left to do.
    pub handed_over: Option<HandedOver>,
}

/// The event of `initialise`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunEvent {
    /// The run.
    pub run: String,
}

/// The event of `gradient`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GradientEvent {
    /// The run.
    pub run: String,
    /// The round.
    pub round: u32,
    /// The peer.
    pub peer: u32,
    /// The batch, by its place in the epoch's order.
    pub batch: u32,
}

/// The event of `combine` and `heartbeat`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerEvent {
    /// The run.
    pub run: String,
    /// The round.
    pub round: u32,
    /// The peer.
    pub peer: u32,
}

/// The event of `reach`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReachEvent {
    /// The run.
    pub run: String,
    /// The round.
    pub round: u32,
    /// The peer; `None` for the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<u32>,
}

/// The event of `synchronise`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExchangeEvent {
    /// The run.
    pub run: String,
    /// The round.
    pub round: u32,
    /// The view of its members.
    #[serde(default = "view::first")]
    pub view: u32,
    /// The peer.
    pub peer: u32,
}

/// The event of `aggregate`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AggregateEvent {
    /// The run.
    pub run: String,
    /// The round.
    pub round: u32,
    /// The view of its members.
    #[serde(default = "view::first")]
    pub view: u32,
}

/// The event of `finish`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoundEvent {
    /// The run.
    pub run: String,
    /// The last round.
    pub round: u32,
}

/// The event of `membership`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MembershipEvent {
    /// The run.
    pub run: String,
    /// The round.
    pub round: u32,
    /// The view to be decided.
    #[serde(default = "view::first")]
    pub view: u32,
    /// What became of each peer's work, for the first view; of each member's exchange, or of the server's, for the next
    /// one. In any order; nested one level for each group.
    pub reports: Vec<Reports>,
}

/// One report, or those of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Reports {
    /// One peer's.
    One(Report),
    /// A group's.
    Group(Vec<Report>),
    /// A group's whose execution failed as a whole.
    Failed {
        /// Its peers.
        lost: Vec<u32>,
        /// The error's name.
        error: String,
    },
    /// The server's, which could not read what all members published.
    Server {
        /// Which members' contributions it can read.
        reached: Reached,
    },
}

impl Reports {
    /// Each reported peer.
    #[must_use]
    pub fn each(&self) -> Vec<Report> {
        match self {
            Self::One(report) => vec![report.clone()],
            Self::Group(reports) => reports.clone(),
            Self::Server { .. } => Vec::new(),
            Self::Failed { lost, error } => {
                let failed = |peer: &u32| Report {
                    peer: *peer,
                    status: Status::Lost,
                    error: Some(error.clone()),
                    replica: None,
                    reached: None,
                };
                lost.iter().map(failed).collect()
            }
        }
    }
}

impl Report {
    /// The error's name, where the peer is lost.
    #[must_use]
    pub fn loss(&self) -> Option<String> {
        let error = || self.error.clone().unwrap_or_else(|| "States.TaskFailed".to_owned());
        (self.status == Status::Lost).then(error)
    }
}

/// What became of one peer's work in a round, or of its replica.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The peer.
    pub peer: u32,
    /// Whether it published.
    pub status: Status,
    /// The error's name, where it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// SHA-256 of the replica's file, where it has one now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replica: Option<String>,
    /// Which members' contributions it can read that could not read all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reached: Option<Reached>,
}

/// Whether a peer did its part in a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    /// It did.
    Ok,
    /// Its work failed for good.
    Lost,
}

/// The event of `evaluate`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvaluateEvent {
    /// The run.
    pub run: String,
    /// The round.
    pub round: u32,
    /// The view that was exchanged in.
    #[serde(default = "view::first")]
    pub view: u32,
    /// What became of each member's replica, in any order; nested one level for each group.
    pub replicas: Vec<Replicas>,
    /// What was carried of the budget into the round, where the training has one.
    #[serde(default)]
    pub cost: Option<Cost>,
    /// When the state was entered that calls, likewise.
    #[serde(default)]
    pub now: Option<String>,
}

/// One replica, or those of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Replicas {
    /// The SHA-256 digest of the server's file.
    Server(String),
    /// Those of peers, or that there is none because of whom the server reaches.
    Reported(Reports),
}

/// What the machines carry from round to round.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Next {
    /// The round to come; for [`Action::Finish`], the last one done.
    pub round: u32,
    /// What comes next.
    pub next: Action,
    /// Whom the next round maps over.
    pub fanout: Fanout,
}

/// What comes after a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Another round in the same segment.
    Round,
    /// Another round in a new segment, so that no history overflows.
    Segment,
    /// The end.
    Finish,
}

/// The reply of `initialise`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InitialiseReply {
    /// Trainable parameters.
    pub parameters: u64,
    /// SHA-256 of the replica's file.
    pub replica: String,
}

/// The reply of `gradient` and `combine`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkReply {
    /// The peer.
    pub peer: u32,
    /// Samples it worked on.
    pub samples: u64,
    /// Their mean loss; 0 without samples.
    pub loss: f64,
}

/// The reply of `heartbeat`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeartbeatReply {
    /// The round that it is there for.
    pub round: u32,
    /// The peer.
    pub peer: u32,
}

/// The reply of `membership`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MembershipReply {
    /// Whether as many members as the quorum remain.
    pub quorum: bool,
    /// Those who take part in the exchange.
    pub fanout: Fanout,
    /// Who does not and why, in words; what the run says if the quorum is lost.
    pub cause: String,
}

/// The reply of `synchronise`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SynchroniseReply {
    /// The peer.
    pub peer: u32,
    /// SHA-256 of the replica's file.
    pub replica: String,
}

/// The reply of `reach`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReachReply {
    /// The peer; `None` for the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<u32>,
    /// Whose contributions it can read.
    pub reached: Reached,
}

/// The reply of `aggregate`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaReply {
    /// SHA-256 of the replica's file.
    pub replica: String,
}

/// The reply of `evaluate`: what comes next and what was measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EvaluateReply {
    /// What the machines carry on.
    #[serde(flatten)]
    pub next: Next,
    /// For people and records.
    pub metrics: RoundMetrics,
    /// What the round to come has to fit, where the training has a budget.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<Cost>,
}

/// Lost peers that a round's metrics name: they are carried from state to state.
pub const LOST_NAMED: usize = 32;

/// What is recorded of a round: a line of `metrics.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RoundMetrics {
    /// The round.
    pub round: u32,
    /// Epochs completed after it.
    pub epochs: u32,
    /// The learning rate it was taken with.
    pub learning_rate: f64,
    /// Members of its exchange.
    pub members: u32,
    /// The view of the members that its exchange was settled in.
    #[serde(default = "view::first", skip_serializing_if = "view::is_first")]
    pub view: u32,
    /// Peers lost in it, in their work or in the exchange, the first [`LOST_NAMED`].
    pub lost: Vec<Lost>,
    /// Peers that are gone for good and were not called in it, the first [`LOST_NAMED`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gone: Vec<u32>,
    /// Peers that its exchange left out or found amiss, the first [`crate::anomaly::NAMED`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub anomalous: Vec<Anomaly>,
    /// Why its exchange changed nothing, where it did not for want of contributions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped: Option<String>,
    /// Samples of its gradients.
    pub samples: u64,
    /// At the parameters the gradients were taken at.
    pub training: Option<Metrics>,
    /// On the held-out set, if measured in this round.
    pub validation: Option<Metrics>,
    /// SHA-256 of the replica's file, the same for every peer.
    pub replica: String,
    /// Why the training ends here, if it does.
    pub stop: Option<Stop>,
}

/// The reply of `finish`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FinishReply {
    /// SHA-256 of `model.safetensors`.
    pub weights_sha256: String,
    /// Rounds done.
    pub rounds: u32,
    /// Epochs done.
    pub epochs: u32,
    /// Means of the last epoch.
    pub training: Option<Metrics>,
    /// On the held-out set.
    pub validation: Option<Metrics>,
    /// Why the training ended.
    pub stop: Stop,
}
