//! Faults of objects on their way to and from the store. What they do to the bytes is done to the bytes: a reader
//! finds it by the checksum or not at all.

use super::{Faults, process};
use bytes::Bytes;
use object_store::PutPayload;
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
        self.reach(fault, key).await?;
        Ok(key.to_owned())
    }

    /// The bytes that a reader gets.
    pub(crate) fn read(&self, key: &str, bytes: Bytes) -> Bytes {
        let fault =
            object(Operation::Get, key).and_then(|object| self.plan.first_object(&self.call, &object));
        match fault {
            Some(fault) if alters(&fault.action) => {
                self.fire(fault, Some(key));
                self.alter(fault, &bytes)
            }
            _ => bytes,
        }
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
            return Ok(Write::Made(self.alter(fault, &content.into()).into()));
        }
        self.reach(fault, key).await?;
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
    async fn reach(&self, fault: &Fault, key: &str) -> Result<(), FunctionError> {
        match fault.action {
            Action::Delay { ms, jitter_ms } => {
                self.fire(fault, Some(key));
                self.wait(fault, ms, jitter_ms).await;
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

    /// The bytes as the fault leaves them.
    fn alter(&self, fault: &Fault, bytes: &Bytes) -> Bytes {
        match fault.action {
            Action::Truncate { bytes: missing } => {
                let missing = usize::try_from(missing).unwrap_or(usize::MAX);
                bytes.slice(..bytes.len().saturating_sub(missing))
            }
            Action::BitFlip { bits } if !bytes.is_empty() => {
                let mut flipped = bytes.to_vec();
                for bit in 0..bits {
                    let mut coordinates = self.call.numbers().to_vec();
                    coordinates.push(bit.into());
                    let place = self.plan.draw(fault, &coordinates) % (8 * flipped.len() as u64);
                    let byte = usize::try_from(place / 8).unwrap_or_default();
                    flipped[byte] ^= 1 << (place % 8);
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
