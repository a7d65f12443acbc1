//! Faults of objects on their way to and from the store. What they do to the bytes is done to the bytes: a reader
//! finds it by the checksum or not at all.

use super::{Faults, process};
use bytes::Bytes;
use object_store::PutPayload;
use std::collections::BTreeSet;
use stepgrad_contract::faults::{Action, Fault, Object, ObjectKind, Operation};
use stepgrad_contract::{ErrorKind, FunctionError, keys};

/// What becomes of a write.
pub(crate) enum Write {
    /// It is made.
    Made(PutPayload),
    /// It is acknowledged and not made.
    Dropped,
    /// Half of it is staged; then [`Faults::die`] is called.
    Half(Bytes),
}

impl Faults {
    /// What happens before an object is read; the key that is read in the place of `key`.
    ///
    /// # Errors
    /// [`ErrorKind::ObjectUnavailable`] where it cannot be reached.
    pub(crate) async fn before_read(&self, key: &str) -> Result<String, FunctionError> {
        let Some(object) = object(Operation::Get, key) else { return Ok(key.to_owned()) };
        if matches!(object.kind, ObjectKind::Published | ObjectKind::Replica | ObjectKind::Optimizer)
            && let Some(fault) = object.owner.and_then(|owner| self.parted(owner))
        {
            self.fire(fault, Some(key));
            return Err(unavailable(key, "its peer is on the other side of a partition"));
        }
        let Some(fault) = self.plan.first_object(&self.call, &object) else { return Ok(key.to_owned()) };
        if let Action::Stale { rounds } = fault.action {
            return Ok(match keys::earlier(key, rounds) {
                Some(earlier) => {
                    self.fire(fault, Some(key));
                    earlier
                }
                None => key.to_owned(),
            });
        }
        self.reach(fault, Operation::Get, key).await?;
        Ok(key.to_owned())
    }

    /// The bytes that a reader gets.
    pub(crate) fn read(&self, key: &str, bytes: Bytes) -> Bytes {
        match self.altering(key) {
            Some(fault) => {
                self.fire(fault, Some(key));
                self.alter(fault, Operation::Get, key, &bytes)
            }
            None => bytes,
        }
    }

    /// Whether a reader gets other bytes than there are.
    pub(crate) fn alters(&self, key: &str) -> bool {
        self.altering(key).is_some()
    }

    fn altering(&self, key: &str) -> Option<&Fault> {
        let object = object(Operation::Get, key)?;
        self.plan.first_object(&self.call, &object).filter(|fault| alters(&fault.action))
    }

    /// What becomes of a write.
    ///
    /// # Errors
    /// [`ErrorKind::ObjectUnavailable`] where the store cannot be reached.
    pub(crate) async fn write(&self, key: &str, content: PutPayload) -> Result<Write, FunctionError> {
        if self.killed_in_first_write().is_some() {
            let bytes = Bytes::from(content);
            return Ok(Write::Half(bytes.slice(..bytes.len() / 2)));
        }
        let fault =
            object(Operation::Put, key).and_then(|object| self.plan.first_object(&self.call, &object));
        let Some(fault) = fault else { return Ok(Write::Made(content)) };
        if matches!(fault.action, Action::Drop {}) {
            self.fire(fault, Some(key));
            return Ok(Write::Dropped);
        }
        if alters(&fault.action) {
            self.fire(fault, Some(key));
            return Ok(Write::Made(self.alter(fault, Operation::Put, key, &content.into()).into()));
        }
        self.reach(fault, Operation::Put, key).await?;
        Ok(Write::Made(content))
    }

    /// Ends the process in the middle of its first write.
    pub(crate) fn die(&self, key: &str) {
        if let Some(fault) = self.killed(stepgrad_contract::faults::When::During) {
            self.fire(fault, Some(key));
            process::kill();
        }
    }

    /// Waits, or fails, as `fault` has it.
    async fn reach(&self, fault: &Fault, operation: Operation, key: &str) -> Result<(), FunctionError> {
        match fault.action {
            Action::Delay { ms, jitter_ms } => {
                self.fire(fault, Some(key));
                self.wait(fault, ms, jitter_ms, &self.coordinates(operation, key)).await;
                Ok(())
            }
            Action::Unavailable {} => {
                self.fire(fault, Some(key));
                Err(unavailable(key, "the store does not answer"))
            }
            Action::SlowDown {} => {
                self.fire(fault, Some(key));
                Err(unavailable(key, "503 Slow Down: please reduce your request rate"))
            }
            _ => Ok(()),
        }
    }

    /// What is drawn for an operation on an object is drawn by: the call, the operation, and the object's key but for
    /// the run, so that a rerun draws the same.
    fn coordinates(&self, operation: Operation, key: &str) -> Vec<u64> {
        let (_, of_run) = key.split_once('/').unwrap_or_default();
        let numbers = self.call.numbers().into_iter().chain([operation as u64]);
        numbers.chain(of_run.bytes().map(u64::from)).collect()
    }

    /// The bytes as the fault leaves them.
    fn alter(&self, fault: &Fault, operation: Operation, key: &str, bytes: &Bytes) -> Bytes {
        match fault.action {
            Action::Truncate { bytes: missing } => {
                let missing = usize::try_from(missing).unwrap_or(usize::MAX);
                bytes.slice(..bytes.len().saturating_sub(missing))
            }
            Action::BitFlip { bits } if !bytes.is_empty() => {
                let mut flipped = bytes.to_vec();
                let (all, mut coordinates) = (8 * flipped.len() as u64, self.coordinates(operation, key));
                // Robert Floyd's sample: as many different ones as asked for, by one draw each.
                let mut places = BTreeSet::new();
                for last in all - u64::from(bits).min(all)..all {
                    coordinates.push(last);
                    let place = self.plan.draw(fault, &coordinates) % (last + 1);
                    coordinates.pop();
                    if !places.insert(place) {
                        places.insert(last);
                    }
                }
                for place in places {
                    if let Some(byte) = usize::try_from(place / 8).ok().and_then(|byte| flipped.get_mut(byte))
                    {
                        *byte ^= 1 << (place % 8);
                    }
                }
                flipped.into()
            }
            _ => bytes.clone(),
        }
    }
}

fn alters(action: &Action) -> bool {
    matches!(action, Action::Truncate { .. } | Action::BitFlip { .. })
}

fn object(operation: Operation, key: &str) -> Option<Object> {
    let (kind, owner) = ObjectKind::of_key(key)?;
    Some(Object { operation, kind, owner })
}

fn unavailable(key: &str, why: &str) -> FunctionError {
    FunctionError::new(ErrorKind::ObjectUnavailable, format!("cannot reach object {key}: {why}"))
}

#[cfg(test)]
mod tests {
    use super::super::Faults;
    use bytes::Bytes;
    use std::sync::Arc;
    use stepgrad_contract::faults::{Action, Fault, Plan, Target, VERSION};
    use stepgrad_contract::{Function, keys};

    /// The bits of 32 bytes that are flipped on their way to a reader.
    fn flipped(key: &str, bits: u32) -> Vec<u8> {
        let fault = Fault { id: "f".to_owned(), at: Target::default(), action: Action::BitFlip { bits } };
        let plan = Arc::new(Plan { version: VERSION, seed: 1, faults: vec![fault] });
        let event = serde_json::json!({"run": "run-1", "round": 1, "peer": 2});
        let faults = Faults::new(plan, Function::Synchronise, &event, 128);
        faults.read(key, Bytes::from_static(&[0; 32])).to_vec()
    }

    #[test]
    fn as_many_bits_are_flipped_as_are_told_and_others_in_each_object() {
        for bits in [0, 1, 40, 255, 256, 257] {
            let found: u32 =
                flipped(&keys::published("run-1", 1, 1), bits).into_iter().map(u8::count_ones).sum();
            assert_eq!(found, bits.min(256));
        }
        let of = |run: &str, owner| flipped(&keys::published(run, 1, owner), 3);
        assert_eq!(of("run-1", 1), of("run-1", 1));
        assert_eq!(of("run-1", 1), of("run-2", 1), "a rerun draws the same");
        assert_ne!(of("run-1", 1), of("run-1", 2));
    }
}
