//! What can go wrong, as bits of a state.
//!
//! Job: name each broken promise and collect them.
//!
//! Invariants: a bit of `Faults` that an event sets (an acknowledgement, a read) stays; those that follow from the
//! store are judged anew for each state.
//!
//! Not here: the judging (`judge`) and the names shown by the checker (`properties`).

/// A broken promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Fault {
    /// A frame was acknowledged twice with different content.
    AcknowledgedTwice,
    /// An acknowledged frame is not in the history, or not with its content.
    AcknowledgedLost,
    /// A frame that a reader confirmed is not in the history, or not with its content.
    ConfirmedLost,
    /// A promised restore point that retention keeps cannot be restored.
    PointLost,
    /// A pinned point cannot be restored.
    PinLost,
    /// Valid segments with a hole below them, although the store lost nothing.
    Hole,
    /// Valid segments contradict each other.
    HistoryMixed,
    /// A reader was given frames of two histories.
    MixReturned,
    /// A restore was answered from a compacted segment that no longer has the images.
    Inexact,
    /// A reader found less than had been acknowledged when it listed.
    DurableWentBack,
    /// Retention runs ahead of the end of the history.
    FrontierAhead,
    /// An epoch began at or below an acknowledged frame.
    BegunBelowAcknowledged,
}

/// A set of faults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Faults(u16);

impl Faults {
    /// Adds a fault if the condition holds.
    pub fn note_if(&mut self, condition: bool, fault: Fault) {
        if condition {
            self.0 |= 1 << (fault as u8);
        }
    }

    /// Whether a fault is in the set.
    pub fn has(self, fault: Fault) -> bool {
        self.0 & (1 << (fault as u8)) != 0
    }
}
