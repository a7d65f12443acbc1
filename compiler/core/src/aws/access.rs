//! What each function reads, writes and deletes: the handlers' own inputs and outputs, and those of the steps that they
//! repeat where an input is lost or damaged (lineage, `runtime/functions/src/handlers/lineage.rs`).
//!
//! A write is a create-if-absent that reads what is there already, so whoever writes a kind reads it too.

use super::objects::Kind;
use std::collections::BTreeSet;
use stepgrad_contract::Function;
use stepgrad_contract::Training;
use stepgrad_contract::aggregation::Aggregation;
use stepgrad_contract::training::{Algorithm, Architecture, Optimizer, Topology};

/// What one function may do with objects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Access {
    /// Kinds that it reads.
    pub reads: BTreeSet<Kind>,
    /// Kinds that it writes.
    pub writes: BTreeSet<Kind>,
    /// Kinds that it deletes.
    pub deletes: BTreeSet<Kind>,
    /// Whether it reads private keys of peers (`handlers/publish.rs`).
    pub signs: bool,
}

/// What the handler of `function` does in a training, and whatever it may have to make again.
#[must_use]
pub fn access(function: Function, training: &Training) -> Access {
    let steps = Steps { training };
    let own = steps.of(function);
    let mut access = Access {
        reads: own.reads.into_iter().collect(),
        writes: own.writes.into_iter().collect(),
        deletes: BTreeSet::new(),
        // What is made again on a peer's behalf is not signed.
        signs: function.signs() && steps.signed(),
    };
    access.reads.extend(&own.made);
    let (mut open, mut seen) = (own.made, BTreeSet::new());
    while let Some(kind) = open.pop() {
        for maker in steps.makers(kind) {
            if !seen.insert(maker) {
                continue;
            }
            let step = steps.of(maker);
            access.reads.extend(step.reads);
            access.reads.extend(&step.made);
            // What is made again on a peer's behalf is not signed (`handlers/publish.rs`), and of what `prepare` writes
            // it is one batch.
            let not_again = [Kind::Signatures, Kind::Manifest];
            access.writes.extend(step.writes.iter().filter(|kind| !not_again.contains(kind)));
            open.extend(step.made);
        }
    }
    access.reads.extend(&access.writes);
    if function == Function::Evaluate && training.retain_rounds.is_some() {
        access.deletes.insert(Kind::Rounds);
    }
    access
}

/// One handler's own doing.
struct Step {
    /// Read as they are.
    reads: Vec<Kind>,
    /// Read, and made again where they are lost.
    made: Vec<Kind>,
    writes: Vec<Kind>,
}

struct Steps<'a> {
    training: &'a Training,
}

impl Steps<'_> {
    fn momentum(&self) -> bool {
        let Optimizer::Sgd { momentum, .. } = self.training.optimizer;
        momentum != 0.0
    }

    fn gradients(&self) -> bool {
        self.training.algorithm == Algorithm::GradientAveraging
    }

    fn signed(&self) -> bool {
        self.training.public_keys.is_some()
    }

    fn peer_to_peer(&self) -> bool {
        self.training.topology == Topology::PeerToPeer
    }

    /// What every replica of a round is made of.
    fn replicas(&self) -> Vec<Kind> {
        if self.peer_to_peer() {
            vec![Kind::Initial, Kind::Replicas]
        } else {
            vec![Kind::Initial, Kind::ServerReplicas]
        }
    }

    fn state(&self) -> Kind {
        if self.peer_to_peer() { Kind::Optimizers } else { Kind::ServerOptimizers }
    }

    fn held_out(&self) -> Vec<Kind> {
        self.training.data.validation.iter().map(|_| Kind::Validation).collect()
    }

    /// Who makes a kind; two for one that differs by round.
    fn makers(&self, kind: Kind) -> Vec<Function> {
        let exchange = if self.peer_to_peer() { Function::Synchronise } else { Function::Aggregate };
        match kind {
            Kind::Batches | Kind::Validation => vec![Function::Prepare],
            Kind::Initial => vec![Function::Initialise],
            Kind::Gradients => vec![Function::Gradient],
            Kind::Published if self.gradients() => vec![Function::Combine],
            Kind::Published => vec![Function::Train],
            Kind::Optimizers if !self.gradients() => vec![Function::Train],
            Kind::Replicas | Kind::Optimizers | Kind::ServerReplicas | Kind::ServerOptimizers => {
                vec![exchange]
            }
            _ => Vec::new(),
        }
    }

    /// A handler by itself (`runtime/functions/src/handlers/`, one file each).
    fn of(&self, function: Function) -> Step {
        // `Environment::of_call` and `Run::load`.
        let mut reads = vec![Kind::Training, Kind::Faults, Kind::Manifest];
        if self.training.model.architecture == Architecture::TorchScript {
            reads.push(Kind::Script);
        }
        let (mut made, mut writes) = (Vec::new(), Vec::new());
        match function {
            Function::Prepare => {
                if !self.training.data.source.is_empty() {
                    reads.push(Kind::Source);
                }
                writes.extend([Kind::Batches, Kind::Manifest]);
                writes.extend(self.held_out());
            }
            Function::Initialise => writes.extend([Kind::Initial, Kind::InitialModel]),
            Function::Gradient => {
                self.start(&mut reads, &mut made);
                made.push(Kind::Batches);
                writes.push(Kind::Gradients);
            }
            Function::Combine => {
                made.push(Kind::Gradients);
                self.publish(&mut writes);
            }
            Function::Train => {
                self.start(&mut reads, &mut made);
                made.push(Kind::Batches);
                reads.push(Kind::Progress);
                // Of its own, and of the call before: what is lost there is trained again from an earlier state.
                writes.push(Kind::HandedOver);
                if self.momentum() {
                    reads.push(Kind::Members);
                    made.push(Kind::Optimizers);
                    writes.push(Kind::Optimizers);
                }
                self.publish(&mut writes);
            }
            Function::Membership => {
                // Who is gone, and who was away the round before.
                reads.push(Kind::Progress);
                writes.push(Kind::Members);
            }
            // These two tell what they can read, and make nothing again.
            Function::Heartbeat => {
                reads.push(Kind::Progress);
                reads.extend(self.replicas());
            }
            Function::Reach => reads.extend([Kind::Members, Kind::Published]),
            Function::Synchronise | Function::Aggregate => self.exchange(&mut reads, &mut made, &mut writes),
            Function::Evaluate => {
                reads.extend([Kind::Members, Kind::Progress]);
                if self.training.reports() {
                    reads.push(Kind::Anomalies);
                }
                made.push(Kind::Published);
                made.extend(self.replicas());
                made.extend(self.held_out());
                writes.push(Kind::Progress);
            }
            Function::Finish => {
                reads.push(Kind::Progress);
                made.extend(self.replicas());
                writes.push(Kind::Model);
            }
        }
        Step { reads, made, writes }
    }

    /// `Run::start`.
    fn start(&self, reads: &mut Vec<Kind>, made: &mut Vec<Kind>) {
        reads.push(Kind::Progress);
        made.extend(self.replicas());
    }

    /// `publish::publish`.
    fn publish(&self, writes: &mut Vec<Kind>) {
        writes.push(Kind::Published);
        if self.signed() {
            writes.push(Kind::Signatures);
        }
    }

    /// `exchange::exchange`.
    fn exchange(&self, reads: &mut Vec<Kind>, made: &mut Vec<Kind>, writes: &mut Vec<Kind>) {
        self.start(reads, made);
        reads.push(Kind::Members);
        if self.signed() {
            reads.push(Kind::Signatures);
        }
        made.push(Kind::Published);
        if self.gradients() {
            reads.push(Kind::Progress);
            if self.momentum() {
                made.push(self.state());
                writes.push(self.state());
            }
        }
        if matches!(self.training.aggregation, Aggregation::Zeno { .. }) {
            reads.push(Kind::Progress);
            made.extend(self.held_out());
        }
        if self.training.reports() {
            writes.push(Kind::Anomalies);
        }
        writes.push(if self.peer_to_peer() { Kind::Replicas } else { Kind::ServerReplicas });
    }
}
