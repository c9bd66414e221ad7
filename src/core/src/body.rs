//! What is written as an object.
//!
//! A body can be read more than once: an upload whose outcome is unknown is repeated with the same bytes.

use std::fmt::Debug;
use std::sync::Arc;

use bytes::Bytes;

/// The content of a new object.
#[derive(Clone, Debug)]
pub enum Body {
    /// In memory.
    Bytes(Bytes),
    /// In a file, or wherever it can be read from repeatedly.
    Source(Arc<dyn BodySource>),
}

impl Body {
    /// The length in bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Source(source) => source.len(),
        }
    }

    /// Whether there are no bytes at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many of its bytes are held in memory.
    #[must_use]
    pub fn memory_len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Source(_) => 0,
        }
    }

    /// Reads bytes at an offset. This may block.
    ///
    /// # Errors
    ///
    /// As [`BodySource::read_exact_at`].
    pub fn read_exact_at(&self, offset: u64, bytes: &mut [u8]) -> std::io::Result<()> {
        match self {
            Self::Source(source) => source.read_exact_at(offset, bytes),
            Self::Bytes(body) => {
                let rest = usize::try_from(offset).ok().and_then(|start| body.get(start..));
                let part = rest.and_then(|rest| rest.get(..bytes.len()));
                bytes.copy_from_slice(part.ok_or(std::io::ErrorKind::UnexpectedEof)?);
                Ok(())
            }
        }
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes.into())
    }
}

/// Immutable bytes that can be read again and again, at any offset.
pub trait BodySource: Debug + Send + Sync {
    /// The length in bytes.
    fn len(&self) -> u64;

    /// Whether there are no bytes at all.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reads bytes at an offset. This may block: backends call it where blocking is allowed.
    ///
    /// # Errors
    ///
    /// The operating system's; `UnexpectedEof` when the source ends before `bytes` is full.
    fn read_exact_at(&self, offset: u64, bytes: &mut [u8]) -> std::io::Result<()>;
}
