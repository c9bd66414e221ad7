//! What a server embeds: implementations of [`Storage`](walkeep_core::Storage).
//!
//! - [`AsyncStorage`] queues segments and stores them in any backend, in order for each namespace, fair across them;
//! - [`NoStorage`] keeps nothing, for databases that need no copy;
//! - [`TestStorage`] is for tests of what uses a storage.
//!
//! [`Either`](walkeep_core::Either) of two of them, and [`DynStorage`], are storages as well.

mod async_storage;
mod batch;
mod callbacks;
mod no_storage;
mod options;
mod queue;
mod queue_status;
mod quota;
mod removing;
mod repeated;
mod scheduler;
mod sealed_reader;
mod segment_data;
mod shared;

pub mod test_storage;
mod upload;

pub use async_storage::AsyncStorage;
pub use no_storage::NoStorage;
pub use options::StorageOptions;
pub use queue_status::QueueStatus;
pub use quota::{Total, Usage};
pub use test_storage::TestStorage;

use walkeep_core::Error;
pub use walkeep_core::storage::{
    Durable, DynStorage, FindSegment, LeftSegment, OnStored, SegmentInfo, SegmentReader,
};

/// A task ended without a result: it panicked, or the runtime ends.
fn not_finished(error: tokio::task::JoinError) -> Error {
    Error::Unknown { what: format!("a task of the storage did not finish: {error}") }
}
