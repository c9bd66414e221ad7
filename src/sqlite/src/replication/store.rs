//! A store that databases are replicated to: how it is read, and the queue in front of it.

use std::fmt;
use std::num::NonZeroU64;
use std::sync::Arc;

use walkeep::core::{DynBackend, Result};
use walkeep::storage::{AsyncStorage, StorageOptions, Total};
use walkeep::{Bucket, Fencing, Handles};

/// A store, for any number of databases. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ReplicationStore {
    pub(super) bucket: Bucket,
    pub(super) storage: Arc<AsyncStorage<DynBackend>>,
    pub(super) name: String,
    /// Segments of one namespace that its queue takes.
    pub(super) queue_segments_max: usize,
}

impl ReplicationStore {
    /// The store of a backend. `name` is shown to people, so it has no secrets. It works on the tokio runtime in which
    /// this is called.
    ///
    /// # Errors
    ///
    /// `Invalid`, as [`StorageOptions::check`].
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn new(
        backend: DynBackend,
        name: impl fmt::Display,
        fencing: Fencing,
        options: StorageOptions,
        handles: Handles,
    ) -> Result<Self> {
        let name = name.to_string();
        let shared = Arc::new(backend);
        let bucket = Bucket::new(Arc::clone(&shared), None)?.with_fencing(fencing).named(&name);
        let named = bucket.clone();
        let buckets = move |config: Option<_>| match config {
            None => Ok(named.clone()),
            config => Ok(Bucket::new(Arc::clone(&shared), config)?.with_fencing(fencing)),
        };
        let queue_segments_max = options.queue_segments_max;
        let storage = AsyncStorage::with_buckets(buckets, options, handles)?;
        Ok(Self { bucket, storage: Arc::new(storage), name, queue_segments_max })
    }

    /// Sets how many bytes the segments of all databases that are replicated to it may have together; `None`: no limit.
    /// What waits for room goes on at once if there is some now.
    pub fn set_total(&self, bytes_max: Option<NonZeroU64>) {
        self.storage.set_total(bytes_max);
    }

    /// What all databases that are replicated to it may take together, and take.
    #[must_use]
    pub fn total(&self) -> Total {
        self.storage.total()
    }
}
