//! What giving space back to the file system has brought.

use serde::Serialize;

/// How long the files of a set were before and after its unused space was given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Shrunk {
    /// Bytes of all files before.
    pub bytes_before: u64,
    /// Bytes of all files now. Closing them writes a few pages more.
    pub bytes: u64,
}
