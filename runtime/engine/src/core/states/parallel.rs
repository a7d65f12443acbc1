//! The Parallel state.

use super::super::engine::{Core, Here, Work};
use super::super::failure::Failure;
use super::super::frame::{Activity, Fork, ForkWork, Frame};
use super::super::history::{Details, EventType};
use std::collections::BTreeMap;
use stepgrad_asl::Payload;
use stepgrad_asl::program::ScopeId;

impl Core {
    pub(super) fn parallel(
        &mut self,
        here: &Here,
        frame: &mut Frame,
        branches: &[ScopeId],
        effective: &Payload,
    ) -> Result<Work, Failure> {
        let input = self.evaluate(here, frame, |state, scope| state.flow.arguments(effective, scope))?;
        self.record(here, frame, EventType::ParallelStateStarted, Details::default());
        let mut fork = Fork {
            results: vec![None; branches.len()],
            running: BTreeMap::new(),
            started: 0,
            limit: branches.len(),
            done: 0,
            work: ForkWork::Parallel { input },
        };
        self.start_more(here, frame, &mut fork)?;
        frame.activity = Activity::Fork(fork);
        Ok(Work::Suspended)
    }
}
