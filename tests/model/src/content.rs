//! What a frame holds, reduced to a tag.
//!
//! Job: give every frame image a small number that says which open wrote it, so that a mix of two histories can be
//! seen by comparing numbers.
//!
//! Invariants: tag 0 means "says nothing"; two frames with the same number and the same tag are the same bytes.
//!
//! Not here: who may write a frame (`writer`) and which segments count (`manifest`).

/// A frame number, 1-based. 0 stands for "before the first frame".
pub type Frame = u8;

/// A writer's fencing number, 1-based.
pub type Epoch = u8;

/// The identity of one frame's content. 0 is "none".
pub type Tag = u8;

/// The largest frame number that a model may use.
pub const FRAMES_MAX: Frame = 4;

/// Added to a tag when a writer sends other bytes for a frame that it has sent before.
pub const RECUT: Tag = 8;

/// A tag per frame: a history, or what one segment says about it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tags([Tag; FRAMES_MAX as usize]);

impl Tags {
    /// The tag of a frame; 0 when nothing is said about it.
    pub fn get(&self, frame: Frame) -> Tag {
        let Some(at) = frame.checked_sub(1) else { return 0 };
        self.0.get(usize::from(at)).copied().unwrap_or(0)
    }

    /// Sets the tag of a frame; frame 0 and frames beyond the bound have none and are left alone.
    pub fn set(&mut self, frame: Frame, tag: Tag) {
        let Some(at) = frame.checked_sub(1) else { return };
        if let Some(slot) = self.0.get_mut(usize::from(at)) {
            *slot = tag;
        }
    }

    /// The same tags with everything after `end` forgotten.
    pub fn up_to(&self, end: Frame) -> Self {
        let mut kept = Self::default();
        for frame in 1..=end.min(FRAMES_MAX) {
            kept.set(frame, self.get(frame));
        }
        kept
    }

    /// Takes over what `other` says about frames not known here. False if the two contradict each other.
    pub fn merge(&mut self, other: &Self) -> bool {
        let mut agree = true;
        for frame in 1..=FRAMES_MAX {
            let (mine, theirs) = (self.get(frame), other.get(frame));
            if mine == 0 {
                self.set(frame, theirs);
            } else if theirs != 0 && mine != theirs {
                agree = false;
            }
        }
        agree
    }

    /// The last frame that has a tag, 0 if none has.
    pub fn last(&self) -> Frame {
        (1..=FRAMES_MAX).rev().find(|&frame| self.get(frame) != 0).unwrap_or(0)
    }
}
