//! What a training does, as data: the set-up, the stages of one round, the finish.
//!
//! A topology (one file each in [`topologies`]) turns a spec into a [`Plan`]; everything after the plan is the
//! same for every topology. A plan says *which function* works on *which dimension* and what it reads and
//! writes; it says nothing of states, ARNs or JSON.

mod dataflow;
mod stage;
pub mod topologies;

pub use dataflow::{Gap, gaps};
pub use stage::{Dimension, Failure, Guarded, Map, Object, Stage, Step};

use stepgrad_contract::training::{Algorithm, Topology};

/// What a training does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// One line for people, e.g. for the definitions' `Comment`.
    pub summary: &'static str,
    /// Before the first round, one after the other.
    pub setup: Vec<Stage>,
    /// One round, one step after the other; the last one decides what comes next.
    pub round: Vec<Step>,
    /// After the last round, one after the other.
    pub finish: Vec<Stage>,
}

/// The plan of a topology under an algorithm.
#[must_use]
pub fn plan(topology: Topology, algorithm: Algorithm) -> Plan {
    match topology {
        Topology::PeerToPeer => topologies::peer_to_peer::plan(algorithm),
        Topology::ParameterServer => topologies::parameter_server::plan(algorithm),
    }
}

impl Plan {
    /// Every stage, set-up first, in the order of the round.
    #[must_use]
    pub fn stages(&self) -> Vec<&Stage> {
        fn collect<'a>(steps: &'a [Step], stages: &mut Vec<&'a Stage>) {
            for step in steps {
                match step {
                    Step::Task(stage) | Step::Probe(stage) => stages.push(stage),
                    Step::Quorum(_) => {}
                    Step::Guarded(guarded) => {
                        stages.push(&guarded.stage);
                        collect(&guarded.then, stages);
                    }
                    Step::Map(map) => collect(&map.steps, stages),
                }
            }
        }
        let mut stages: Vec<_> = self.setup.iter().collect();
        collect(&self.round, &mut stages);
        stages.extend(&self.finish);
        stages
    }
}

#[cfg(test)]
mod tests {
    use super::{gaps, plan};
    use stepgrad_contract::training::{Algorithm, Topology};

    #[test]
    fn every_plan_reads_only_what_was_written_before() {
        for topology in [Topology::PeerToPeer, Topology::ParameterServer] {
            for algorithm in [Algorithm::GradientAveraging, Algorithm::ModelAveraging] {
                assert_eq!(gaps(&plan(topology, algorithm)), [], "{topology:?} {algorithm:?}");
            }
        }
    }
}
