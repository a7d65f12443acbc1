//! Faults of a peer: what is called in its name is not there.

use super::{Faults, process};
use stepgrad_contract::faults::{Action, Fault, Set};
use stepgrad_contract::{ErrorKind, FunctionError};

impl Faults {
    /// Whether the peer in whose name the function is called is there.
    ///
    /// # Errors
    /// [`ErrorKind::PeerLeft`] or [`ErrorKind::PeerAbsent`] where it is not; in an outage the process ends.
    pub(super) fn peer(&self) -> Result<(), FunctionError> {
        let (Some(peer), Some(round)) = (self.call.peer, self.call.round) else { return Ok(()) };
        if let Some(fault) = self.plan.faults.iter().find(|fault| not_yet(fault, peer, round)) {
            self.fire(fault, None);
            let message = format!("peer {peer} has not joined yet in round {round}");
            return Err(FunctionError::new(ErrorKind::PeerAbsent, message));
        }
        // A partition keeps objects from the peer, and a peer that has joined is there: both leave the call to what comes after.
        let mut faults = self.plan.faults.iter().filter(|fault| fault.at.matches(&self.call));
        match faults.find(|fault| matches!(fault.action, Action::Outage {} | Action::Leave {})) {
            Some(fault) if matches!(fault.action, Action::Outage {}) => {
                self.fire(fault, None);
                process::kill()
            }
            Some(fault) => {
                self.fire(fault, None);
                let message = format!("peer {peer} has left before round {round}");
                Err(FunctionError::new(ErrorKind::PeerLeft, message))
            }
            None => Ok(()),
        }
    }

    /// The fault that keeps this call's peer from reading what `owner` wrote for others.
    pub(super) fn parted(&self, owner: u32) -> Option<&Fault> {
        let peer = self.call.peer?;
        self.plan.faults.iter().find(|fault| match &fault.action {
            Action::Partition { groups } => {
                let group = |peer| groups.iter().position(|group| group.contains(peer));
                fault.at.matches(&self.call)
                    && matches!((group(peer), group(owner)), (Some(one), Some(other)) if one != other)
            }
            _ => false,
        })
    }
}

/// Whether `fault` is a peer's joining in a later round.
fn not_yet(fault: &Fault, peer: u32, round: u32) -> bool {
    matches!(fault.action, Action::Join {})
        && fault.at.peer.as_ref().is_some_and(|peers| peers.contains(peer))
        && fault.at.round.as_ref().and_then(Set::first).is_some_and(|first| round < first)
}
