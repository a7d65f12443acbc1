//! Records on their way into a replay: one at a time, so that a history of any length can be gone on from.

use super::history::{EventType, Record};
use super::recovery::RecoveryError;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use stepgrad_asl::program::Name;

/// The records of a run, in order; they are read as the replay gets to them.
pub struct Recorded {
    /// How often each execution was redriven: the replay has to know before it gets there.
    redrives: BTreeMap<Name, u32>,
    records: Box<dyn Iterator<Item = Result<Record, RecoveryError>> + Send>,
}

impl Recorded {
    /// Records that an iterator gives, and how often they redrive each execution (`machine:name`).
    #[must_use]
    pub fn new(
        redrives: BTreeMap<Name, u32>,
        records: impl Iterator<Item = Result<Record, RecoveryError>> + Send + 'static,
    ) -> Self {
        Self { redrives, records: Box::new(records) }
    }

    /// These, and one more at their end.
    #[must_use]
    pub fn and(self, record: Record) -> Self {
        let mut redrives = self.redrives;
        count_redrive(&mut redrives, &record);
        Self { redrives, records: Box::new(self.records.chain([Ok(record)])) }
    }

    pub(super) fn into_parts(self) -> (BTreeMap<Name, u32>, Expected) {
        (
            self.redrives,
            Expected {
                records: self.records,
                front: None,
                taken: 0,
                passed_over: VecDeque::new(),
                ends: BTreeMap::new(),
            },
        )
    }
}

impl std::fmt::Debug for Recorded {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Recorded").field("redrives", &self.redrives).finish_non_exhaustive()
    }
}

impl From<Vec<Record>> for Recorded {
    fn from(records: Vec<Record>) -> Self {
        let mut redrives = BTreeMap::new();
        for record in &records {
            count_redrive(&mut redrives, record);
        }
        Self::new(redrives, records.into_iter().map(Ok))
    }
}

/// Counts a record that redrives an execution.
pub fn count_redrive(redrives: &mut BTreeMap<Name, u32>, record: &Record) {
    if let Record::Event { execution, event, .. } = record
        && event.event_type == EventType::ExecutionRedriven
    {
        *redrives.entry(execution.clone()).or_default() += 1;
    }
}

/// What the replay has still to come to.
pub(super) struct Expected {
    records: Box<dyn Iterator<Item = Result<Record, RecoveryError>> + Send>,
    front: Option<Record>,
    /// Records gone past so far.
    taken: u64,
    passed_over: VecDeque<PassedOver>,
    /// The last events of executions whose ends were left out.
    ends: BTreeMap<Name, u64>,
}

/// What is left out.
enum PassedOver {
    /// The records of `key` until it is redriven, and until then those of `ended`.
    Redriven { key: Name, ended: BTreeSet<Name> },
    /// The records of an execution until it has ended.
    Ended(Name),
}

impl Expected {
    /// The next record, once [`Expected::advance`] was called for the first time.
    pub(super) fn front(&self) -> Option<&Record> {
        self.front.as_ref()
    }

    pub(super) fn taken(&self) -> u64 {
        self.taken
    }

    /// Goes past the front.
    pub(super) fn advance(&mut self) -> Result<(), RecoveryError> {
        self.taken += u64::from(self.front.is_some());
        loop {
            self.front = self.records.next().transpose()?;
            match &self.front {
                Some(record) if is_left_out(&mut self.passed_over, &mut self.ends, record) => {}
                _ => return Ok(()),
            }
        }
    }

    /// Leaves out the records of `key` until it is redriven, and until then those of `ended`.
    pub(super) fn pass_over(&mut self, key: Name, ended: BTreeSet<Name>) -> Result<(), RecoveryError> {
        self.leave_out(PassedOver::Redriven { key, ended })
    }

    /// Leaves out the records of `key` until it has ended.
    pub(super) fn pass_over_end(&mut self, key: Name) -> Result<(), RecoveryError> {
        self.leave_out(PassedOver::Ended(key))
    }

    /// The last events of executions whose ends were left out since it was asked for.
    pub(super) fn take_ends(&mut self) -> BTreeMap<Name, u64> {
        std::mem::take(&mut self.ends)
    }

    fn leave_out(&mut self, what: PassedOver) -> Result<(), RecoveryError> {
        self.passed_over.push_back(what);
        match &self.front {
            Some(record) if is_left_out(&mut self.passed_over, &mut self.ends, record) => self.advance(),
            _ => Ok(()),
        }
    }
}

fn is_left_out(
    passed_over: &mut VecDeque<PassedOver>,
    ends: &mut BTreeMap<Name, u64>,
    record: &Record,
) -> bool {
    // What went wrong on purpose is no event of an execution: what it led to stands in the events.
    let Record::Event { execution, event, .. } = record else {
        return matches!(record, Record::Fault { .. });
    };
    let redriven = event.event_type == EventType::ExecutionRedriven;
    // From the first that was passed over to the last, as each leaves out from what those before it left.
    let mut place = 0;
    while let Some(what) = passed_over.get(place) {
        let (left_out, is_over) = match what {
            PassedOver::Redriven { key, .. } if redriven && execution == key => (false, true),
            PassedOver::Redriven { key, ended } => (execution == key || ended.contains(execution), false),
            PassedOver::Ended(key) => (execution == key, execution == key && event.event_type.is_end()),
        };
        if is_over {
            passed_over.remove(place);
        }
        if left_out {
            if event.event_type.is_end() {
                ends.insert(execution.clone(), event.id);
            }
            return true;
        }
        place += usize::from(!is_over);
    }
    false
}
