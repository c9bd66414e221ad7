//! The table of epochs: who may write from which frame on, and so which stored segments count.

use serde::{Deserialize, Serialize};

use crate::epoch::Epoch;
use crate::frame_no::FrameNo;
use crate::ids::Nonce;
use crate::page::PageSize;
use crate::unix_millis::UnixMillis;

/// One opening of the log for writing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpochEntry {
    /// The fencing number.
    pub epoch: Epoch,
    /// The page size of its frames.
    pub page_size: PageSize,
    /// Its first frame; `None` while the opener is still finding out (pending).
    pub begin: Option<FrameNo>,
    /// The time of the commit before `begin`: times in this epoch are not lower.
    pub floor: UnixMillis,
    /// The opener's nonce; kept for the last entry only.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub nonce: Option<Nonce>,
}

/// Whether a stored segment counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    /// Its epoch owns its end.
    Valid,
    /// It would count, but an opening is under way that may yet cut it off: not a restore point yet.
    Unconfirmed,
    /// Another epoch owns its end: a leftover of a writer that lost.
    Fenced,
    /// Its epoch is newer than this manifest, which is therefore not the newest. Never used, never deleted.
    UnknownEpoch,
}
