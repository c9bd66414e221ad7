//! Restoring: from a view to a file, proven while it is written.
//!
//! [`RestorePlan`] says what will be fetched; [`View::write_to`](crate::View::write_to) does it, into any [`RestoreTarget`]. Every block's
//! checksum, every page's hash and the state checksum of the whole are checked on the way; a target is only
//! published by its owner, after that.

mod file_target;
mod plan;
mod run;

pub use file_target::FileTarget;
pub(crate) use file_target::LEFTOVERS;
pub use plan::RestorePlan;
pub use run::{Progress, RestoreOptions};
pub use walkeep_core::{DatabaseShape, NullTarget, PageSink, RestoreTarget, Restored};
