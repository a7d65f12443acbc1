//! Timers, in the order in which they are due. Equal times go by the order in which they were set, so that a replay
//! fires them in the same order.

use super::Time;
use super::arena::FrameId;
use super::execution::ExecutionId;
use std::collections::BTreeMap;

/// A timer that is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TimerKey {
    at: Time,
    sequence: u64,
}

/// What a timer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Alarm {
    /// A Wait ends.
    Wait(ExecutionId, FrameId),
    /// A state is tried again.
    Retry(ExecutionId, FrameId),
    /// A task times out.
    Timeout(ExecutionId, FrameId),
    /// A task's heartbeat is missing.
    Heartbeat(ExecutionId, FrameId),
    /// An execution times out.
    Execution(ExecutionId),
}

#[derive(Debug, Default)]
pub(super) struct Timers {
    set: BTreeMap<TimerKey, Alarm>,
    sequence: u64,
}

impl Timers {
    pub(super) fn set(&mut self, at: Time, alarm: Alarm) -> TimerKey {
        self.sequence += 1;
        let key = TimerKey { at, sequence: self.sequence };
        self.set.insert(key, alarm);
        key
    }

    pub(super) fn cancel(&mut self, key: TimerKey) {
        self.set.remove(&key);
    }

    pub(super) fn next(&self) -> Option<Time> {
        self.set.first_key_value().map(|(key, _)| key.at)
    }

    /// The first timer that is for what `wanted` says, due or not.
    pub(super) fn take_first(&mut self, wanted: impl Fn(&Alarm) -> bool) -> Option<Alarm> {
        let key = self.set.iter().find(|(_, alarm)| wanted(alarm)).map(|(key, _)| *key)?;
        self.set.remove(&key)
    }

    /// The first timer, if it is due.
    pub(super) fn due(&mut self, now: Time) -> Option<Alarm> {
        if self.next()? <= now { self.set.pop_first().map(|(_, alarm)| alarm) } else { None }
    }
}
