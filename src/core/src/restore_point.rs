//! What to restore.

use std::fmt;

use crate::frame_no::FrameNo;
use crate::unix_millis::UnixMillis;

/// A point in a namespace's history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RestorePoint {
    /// The newest commit.
    #[default]
    Latest,
    /// The commit that ends with this frame.
    Frame(FrameNo),
    /// The last commit at or before this time.
    Time(UnixMillis),
}

impl fmt::Display for RestorePoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Latest => f.write_str("the newest commit"),
            Self::Frame(frame) => write!(f, "frame {frame}"),
            Self::Time(time) => write!(f, "time {time}"),
        }
    }
}
