//! Who owns which row of the decode batch.

/// A place in the decode batch, handed to one utterance.
///
/// Carries a generation, so that a place given to someone else never answers its former owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SlotId {
    index: usize,
    generation: u32,
}

/// The rows in use, without gaps, and the slots that own them.
#[derive(Debug)]
pub(super) struct Slots {
    generations: Vec<u32>,
    /// Slot of each row in use.
    owners: Vec<usize>,
}

impl Slots {
    /// Room for this many utterances at once.
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            generations: vec![0; capacity],
            owners: Vec::with_capacity(capacity),
        }
    }

    pub(super) fn capacity(&self) -> usize {
        self.generations.len()
    }

    /// Takes a free slot, whose row is the one behind the others; `None` when all are taken.
    pub(super) fn take(&mut self) -> Option<SlotId> {
        let index = (0..self.capacity()).find(|index| !self.owners.contains(index))?;
        self.owners.push(index);
        Some(SlotId {
            index,
            generation: self.generations[index],
        })
    }

    /// The row of a slot, or `None` once it was given up.
    pub(super) fn row(&self, slot: SlotId) -> Option<usize> {
        if self.generations[slot.index] != slot.generation {
            return None;
        }
        self.owners.iter().position(|&owner| owner == slot.index)
    }

    /// Gives a slot up; returns the row that became free, into which the last row moves.
    pub(super) fn give_up(&mut self, slot: SlotId) -> Option<usize> {
        let row = self.row(slot)?;
        self.generations[slot.index] = self.generations[slot.index].wrapping_add(1);
        self.owners.swap_remove(row);
        Some(row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_have_no_gaps_and_slots_keep_their_row() {
        let mut slots = Slots::new(3);
        let [first, second, third] = std::array::from_fn(|_| slots.take().expect("free"));
        assert_eq!(slots.take(), None);
        assert_eq!(slots.give_up(first), Some(0));
        assert_eq!(slots.row(third), Some(0));
        assert_eq!(slots.row(second), Some(1));
    }

    #[test]
    fn a_reused_slot_does_not_answer_its_former_owner() {
        let mut slots = Slots::new(1);
        let former = slots.take().expect("free");
        slots.give_up(former);
        let present = slots.take().expect("free again");
        assert_ne!(former, present);
        assert_eq!(slots.row(former), None);
        assert_eq!(slots.give_up(former), None);
        assert_eq!(slots.row(present), Some(0));
    }
}
