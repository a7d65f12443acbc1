//! Frames by number: a number is not used again while anybody may still have it.

use super::frame::Frame;

/// A frame of an execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FrameId {
    slot: u32,
    generation: u32,
}

#[derive(Debug, Default)]
pub(super) struct Arena {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

#[derive(Debug)]
struct Slot {
    generation: u32,
    /// In a box: frames are taken out and put back at every step.
    frame: Option<Box<Frame>>,
}

impl Arena {
    pub(super) fn add(&mut self, frame: Frame) -> FrameId {
        if let Some(slot) = self.free.pop()
            && let Some(place) = self.slots.get_mut(slot as usize)
        {
            place.frame = Some(Box::new(frame));
            return FrameId { slot, generation: place.generation };
        }
        let slot = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        self.slots.push(Slot { generation: 0, frame: Some(Box::new(frame)) });
        FrameId { slot, generation: 0 }
    }

    pub(super) fn get(&self, id: FrameId) -> Option<&Frame> {
        self.slots.get(id.slot as usize).filter(|slot| slot.generation == id.generation)?.frame.as_deref()
    }

    pub(super) fn get_mut(&mut self, id: FrameId) -> Option<&mut Frame> {
        self.slots
            .get_mut(id.slot as usize)
            .filter(|slot| slot.generation == id.generation)?
            .frame
            .as_deref_mut()
    }

    /// All frames that are not taken out, by place.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (FrameId, &mut Frame)> {
        self.slots.iter_mut().enumerate().filter_map(|(slot, place)| {
            let id = FrameId { slot: u32::try_from(slot).unwrap_or(u32::MAX), generation: place.generation };
            place.frame.as_deref_mut().map(|frame| (id, frame))
        })
    }

    /// Takes the frame out for a while; [`Arena::put`] brings it back under the same number.
    pub(super) fn take(&mut self, id: FrameId) -> Option<Box<Frame>> {
        self.slots.get_mut(id.slot as usize).filter(|slot| slot.generation == id.generation)?.frame.take()
    }

    pub(super) fn put(&mut self, id: FrameId, frame: Box<Frame>) {
        if let Some(slot) =
            self.slots.get_mut(id.slot as usize).filter(|slot| slot.generation == id.generation)
        {
            slot.frame = Some(frame);
        }
    }

    /// Ends the use of a number, whether or not its frame is taken out.
    pub(super) fn remove(&mut self, id: FrameId) -> Option<Box<Frame>> {
        let slot = self.slots.get_mut(id.slot as usize).filter(|slot| slot.generation == id.generation)?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(id.slot);
        slot.frame.take()
    }
}
