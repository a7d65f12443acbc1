//! Whether every object that a plan reads was written before, which is what makes a stage a pure step that may
//! run again at any time.

use super::{Object, Plan, Stage, Step};
use std::collections::BTreeSet;

/// A stage that reads an object which nothing has written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// The stage.
    pub stage: &'static str,
    /// What it reads.
    pub object: Object,
}

/// The gaps of a plan; none in a sound one.
#[must_use]
pub fn gaps(plan: &Plan) -> Vec<Gap> {
    let mut there = BTreeSet::from([Object::Source]);
    let mut gaps = Vec::new();
    for stage in &plan.setup {
        visit(stage, &mut there, &mut gaps);
    }
    steps(&plan.round, &mut there, &mut gaps);
    for stage in &plan.finish {
        visit(stage, &mut there, &mut gaps);
    }
    gaps
}

fn steps(list: &[Step], there: &mut BTreeSet<Object>, gaps: &mut Vec<Gap>) {
    for step in list {
        match step {
            Step::Task(stage) | Step::Probe(stage) => visit(stage, there, gaps),
            Step::Map(map) => steps(&map.steps, there, gaps),
            Step::Guarded(guarded) => {
                // What the call would have written is not there where it has failed.
                let mut without = there.clone();
                visit(&guarded.stage, there, gaps);
                steps(&guarded.then, &mut without, gaps);
            }
            Step::Quorum(_) => {}
        }
    }
}

fn visit(stage: &Stage, there: &mut BTreeSet<Object>, gaps: &mut Vec<Gap>) {
    let missing = stage.reads.iter().filter(|object| !there.contains(object));
    gaps.extend(missing.map(|object| Gap { stage: stage.name, object: *object }));
    there.extend(stage.writes);
}

#[cfg(test)]
mod tests {
    use super::super::topologies::peer_to_peer;
    use super::{Gap, Object, Step, gaps};
    use stepgrad_contract::training::Algorithm;

    #[test]
    fn a_stage_before_its_input_is_found() {
        let mut plan = peer_to_peer::plan(Algorithm::GradientAveraging);
        plan.round.retain(|step| !matches!(step, Step::Task(stage) if stage.name == "Membership"));
        assert_eq!(gaps(&plan)[0], Gap { stage: "Update", object: Object::Members });
    }
}
