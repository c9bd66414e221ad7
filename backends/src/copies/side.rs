//! One of two stores, with the configuration to call it with.

use std::sync::Arc;

use futures::TryStreamExt;
use walkeep_core::{Backend, ByteRange, Error, ObjectPath, Result};

/// A store and how to call it. Cheap to clone where its configuration is.
#[derive(Debug)]
pub(crate) struct Side<B: Backend> {
    pub(crate) backend: Arc<B>,
    pub(crate) config: Option<B::Config>,
    /// What it is called in messages: `first`, `remote`.
    pub(crate) name: &'static str,
}

impl<B: Backend> Clone for Side<B> {
    fn clone(&self) -> Self {
        Self { backend: Arc::clone(&self.backend), config: self.config.clone(), name: self.name }
    }
}

impl<B: Backend> Side<B> {
    /// A part of an object that is known to be there in full.
    ///
    /// # Errors
    ///
    /// `Unavailable` when fewer bytes came; as [`Backend::get`].
    pub(crate) async fn part(&self, path: &ObjectPath, offset: u64, len: u64) -> Result<bytes::Bytes> {
        let range = ByteRange::Bounded(offset..offset + len);
        let bytes = self.backend.get(self.config.as_ref(), path, range).await?;
        if bytes.len() as u64 != len {
            let what = format!(
                "{path} in the {} store: {len} bytes at {offset} were asked for, and {} came",
                self.name,
                bytes.len()
            );
            return Err(Error::Unavailable { what, source: None });
        }
        Ok(bytes)
    }

    /// The size of an object, as a listing says; `None` when it is not there.
    ///
    /// # Errors
    ///
    /// As [`Backend::list`].
    pub(crate) async fn size_of(&self, path: &ObjectPath) -> Result<Option<u64>> {
        let text = path.as_str();
        let Some((parent, name)) = text.rsplit_once('/') else { return Ok(None) };
        let prefix = ObjectPath::new(parent)?;
        // What a name begins with sorts before it, and little lies between.
        let mut shorter = name.chars();
        shorter.next_back();
        let after = prefix.join(shorter.as_str()).ok();
        let mut listing = self.backend.list(self.config.as_ref(), &prefix, after.as_ref(), usize::MAX);
        while let Some(object) = listing.try_next().await? {
            if object.path >= *path {
                return Ok((object.path == *path).then_some(object.size));
            }
        }
        Ok(None)
    }
}
