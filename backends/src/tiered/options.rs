//! How a tiered store works.

use std::sync::Arc;

use walkeep_core::Directory;

/// When a segment counts as stored. Whatever decides who may write (manifests) always goes to the remote store first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TieredAck {
    /// When both stores have it.
    #[default]
    Both,
    /// When the local store has it. It is shipped in the background: what was not shipped yet is lost with the local disk,
    /// and when another machine takes the namespace over.
    Local,
}

/// How a tiered store works.
#[derive(Clone, Debug)]
pub struct TieredOptions {
    /// When a segment counts as stored.
    pub ack: TieredAck,
    /// Where to keep parts of remote objects that were read; `None`: nowhere.
    pub cache: Option<CacheOptions>,
}

/// A cache of parts of remote objects.
#[derive(Clone, Debug)]
pub struct CacheOptions {
    /// Where. Whatever is there is taken for a part of the cache if it looks like one, and may be removed.
    pub directory: Arc<dyn Directory>,
    /// Which remote store it is, so that a directory that served another one gives no wrong answers: its address.
    pub store: String,
    /// How many bytes it may take, file headers included.
    pub bytes_max: u64,
}

impl TieredOptions {
    /// Without a cache.
    #[must_use]
    pub const fn new(ack: TieredAck) -> Self {
        Self { ack, cache: None }
    }

    /// The same with a cache.
    #[must_use]
    pub fn with_cache(self, cache: CacheOptions) -> Self {
        Self { cache: Some(cache), ..self }
    }
}
