//! The order in which replies are handed to the core: as they come, or, for tests, shuffled by a seed.

use crate::core::{TaskError, TaskId};
use rand::SeedableRng;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;
use std::collections::{BTreeMap, VecDeque};
use stepgrad_asl::Payload;

/// A task's outcome.
pub(super) type Reply = (TaskId, Result<Payload, TaskError>);

/// Replies that came and were not handed on yet.
#[derive(Debug)]
pub(super) enum Replies {
    /// First come, first served.
    AsTheyCome(VecDeque<Reply>),
    /// One is drawn when all calls under way have replied: so the order is the seed's alone, not that of the calls'
    /// durations.
    Shuffled { rng: Box<ChaCha8Rng>, waiting: BTreeMap<TaskId, Result<Payload, TaskError>> },
}

impl Replies {
    pub(super) fn new(shuffle: Option<u64>) -> Self {
        match shuffle {
            None => Self::AsTheyCome(VecDeque::new()),
            Some(seed) => {
                Self::Shuffled { rng: Box::new(ChaCha8Rng::seed_from_u64(seed)), waiting: BTreeMap::new() }
            }
        }
    }

    pub(super) fn push(&mut self, (task, result): Reply) {
        match self {
            Self::AsTheyCome(queue) => queue.push_back((task, result)),
            Self::Shuffled { waiting, .. } => {
                waiting.insert(task, result);
            }
        }
    }

    /// The task's reply is not wanted any more.
    pub(super) fn forget(&mut self, task: TaskId) {
        match self {
            Self::AsTheyCome(queue) => queue.retain(|(other, _)| *other != task),
            Self::Shuffled { waiting, .. } => {
                waiting.remove(&task);
            }
        }
    }

    /// Whether what follows from one reply decides which is the next.
    pub(super) fn one_by_one(&self) -> bool {
        matches!(self, Self::Shuffled { .. })
    }

    /// The next reply to hand on, with so many calls under way that have not replied.
    pub(super) fn next(&mut self, under_way: usize) -> Option<Reply> {
        match self {
            Self::AsTheyCome(queue) => queue.pop_front(),
            Self::Shuffled { .. } if under_way > 0 => None,
            Self::Shuffled { rng, waiting } => {
                let tasks: Vec<TaskId> = waiting.keys().copied().collect();
                let task = *tasks.choose(rng)?;
                waiting.remove(&task).map(|result| (task, result))
            }
        }
    }
}
