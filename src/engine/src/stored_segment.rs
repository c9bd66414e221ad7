//! One stored segment: its name and size from a listing, and its index once it was opened.
//!
//! Invariants: an opened segment is what its name says and belongs to the log that the manifest names; bytes of it
//! are used only after their checksums held.

use bytes::Bytes;
use std::ops::Range;
use walkeep_core::segment::{BlockDecoder, BlockEntry, FOOTER_LEN, Footer, SegmentIndex, TAIL_LEN};
use walkeep_core::{
    ByteRange, Commit, Error, HashSeed, LogId, Namespace, ObjectPath, Result, SegmentKey, UnixMillis,
};

use crate::bucket::Bucket;

/// A segment as a listing shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredSegment {
    /// What it holds for its namespace: its name, unless a fork shares only a part of it.
    pub key: SegmentKey,
    /// The length of the object in bytes.
    pub size: u64,
    /// When it was stored, by the clock of the store, if that says so.
    pub modified: Option<UnixMillis>,
    /// Set where a fork shares a segment that is stored elsewhere.
    pub(crate) inherited: Option<Inherited>,
}

/// Where a segment is that a fork shares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Inherited {
    /// Which of the timeline's ancestors stores it.
    pub(crate) ancestor: u16,
    /// Its name there. It ends behind the key if the fork lies inside it.
    pub(crate) object: SegmentKey,
}

impl StoredSegment {
    /// A segment of this name and size.
    #[must_use]
    pub const fn new(key: SegmentKey, size: u64) -> Self {
        Self { key, size, modified: None, inherited: None }
    }

    /// Whether a fork shares it with the namespace that it came from, where it is stored.
    #[must_use]
    pub const fn is_inherited(&self) -> bool {
        self.inherited.is_some()
    }

    /// The name of the object.
    #[must_use]
    pub const fn object(&self) -> SegmentKey {
        match self.inherited {
            Some(inherited) => inherited.object,
            None => self.key,
        }
    }
}

/// A stored segment with its index in memory.
#[derive(Debug)]
pub struct OpenSegment {
    path: ObjectPath,
    stored: StoredSegment,
    index: SegmentIndex,
    /// How many of its commits count: all, unless a fork shares only a part of it.
    counted: usize,
    /// The whole object, where it was small enough to come with the tail.
    whole: Option<Bytes>,
}

impl OpenSegment {
    /// Fetches and checks the index of a segment: one request for most, two when the index is larger than
    /// [`TAIL_LEN`].
    ///
    /// # Errors
    ///
    /// `NotFound` when the object is gone; `Corrupt` when it is damaged, or not what its name says; `Invalid` for
    /// versions that this code does not know; `Unavailable`.
    pub async fn open(
        bucket: &Bucket,
        namespace: &Namespace,
        stored: StoredSegment,
        log_id: LogId,
    ) -> Result<Self> {
        if let Some(libsql) = bucket.libsql() {
            return libsql.open(bucket, namespace, stored, log_id).await;
        }
        let path = bucket.layout().segment(namespace, &stored.object());
        let (footer, tail, tail_start) = fetch_tail(bucket, &path, stored.size).await?;
        let found = footer.key()?;
        if found != stored.object() {
            return Err(Error::corrupt(
                &path,
                footer_offset(stored.size),
                "the segment its name says",
                found,
            ));
        }
        if footer.header.log_id != log_id {
            let expected = format!("a segment of log {log_id}");
            let found = format!("one of log {}", footer.header.log_id);
            return Err(Error::corrupt(&path, footer_offset(stored.size), expected, found));
        }
        let opened = Self::from_tail(bucket, path, stored, footer, tail, tail_start).await?;
        opened.check_end()?;
        Ok(opened)
    }

    /// A fork lies at a commit: of what it shares, the last that counts is that.
    fn check_end(&self) -> Result<()> {
        let last = self.commits().last().map(|commit| (commit.frame_no, commit.time));
        let expected = (self.key().end(), self.key().time());
        if last == Some(expected) {
            return Ok(());
        }
        let expected = format!("a commit of frame {} at {}, where it was forked", expected.0, expected.1);
        Err(Error::corrupt(&self.path, self.index.footer().sections().start, expected, "none"))
    }

    /// Opens any object as a segment, whatever log it belongs to: for inspection.
    ///
    /// # Errors
    ///
    /// As [`OpenSegment::open`].
    pub async fn inspect(bucket: &Bucket, path: ObjectPath, size: u64) -> Result<Self> {
        let (footer, tail, tail_start) = fetch_tail(bucket, &path, size).await?;
        let stored = StoredSegment::new(footer.key()?, size);
        Self::from_tail(bucket, path, stored, footer, tail, tail_start).await
    }

    /// A segment whose index was made elsewhere, by the invariants of this module.
    pub(crate) fn from_parts(
        path: ObjectPath,
        stored: StoredSegment,
        index: SegmentIndex,
        whole: Option<Bytes>,
    ) -> Self {
        let counted = index.commits().partition_point(|commit| commit.frame_no <= stored.key.end());
        Self { path, stored, index, counted, whole }
    }

    async fn from_tail(
        bucket: &Bucket,
        path: ObjectPath,
        stored: StoredSegment,
        footer: Footer,
        tail: Bytes,
        tail_start: u64,
    ) -> Result<Self> {
        let Range { start, end } = footer.sections();
        let sections = if start >= tail_start {
            part(&tail, start - tail_start, end - tail_start)
        } else {
            let bytes = bucket.get(&path, ByteRange::Bounded(start..end)).await?;
            if bytes.len() as u64 != end - start {
                let expected = format!("an object of {} bytes", stored.size);
                return Err(Error::corrupt(&path, start, expected, "a shorter one"));
            }
            bytes
        };
        let index = SegmentIndex::parse(path.as_str(), footer, &sections)?;
        let whole = (tail_start == 0).then_some(tail);
        Ok(Self::from_parts(path, stored, index, whole))
    }

    /// The object's path.
    #[must_use]
    pub const fn path(&self) -> &ObjectPath {
        &self.path
    }

    /// What it holds for its namespace: its name, unless a fork shares only a part of it.
    #[must_use]
    pub const fn key(&self) -> &SegmentKey {
        &self.stored.key
    }

    /// The length of the object in bytes.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.stored.size
    }

    /// What it holds.
    #[must_use]
    pub const fn index(&self) -> &SegmentIndex {
        &self.index
    }

    /// Its commits, oldest first; of a segment that a fork shares a part of, those up to the fork.
    #[must_use]
    pub fn commits(&self) -> &[Commit] {
        self.index.commits().get(..self.counted).unwrap_or_default()
    }

    /// Whether it holds frames that do not count: those behind the fork, in a segment that is shared in part.
    pub(crate) fn is_cut(&self) -> bool {
        self.stored.object().end() > self.stored.key.end()
    }

    /// All that the object holds, without the rest.
    #[must_use]
    pub fn into_index(self) -> SegmentIndex {
        self.index
    }

    /// Forgets the page images that came with the index, to bound memory.
    pub(crate) fn drop_whole(&mut self) {
        self.whole = None;
    }

    /// How many bytes beyond the index are held in memory.
    pub(crate) fn whole_len(&self) -> usize {
        self.whole.as_ref().map_or(0, Bytes::len)
    }

    /// Whether reading blocks needs a request.
    pub(crate) const fn is_whole(&self) -> bool {
        self.whole.is_some()
    }

    /// Bytes of the object, unchecked: at most one request.
    ///
    /// # Errors
    ///
    /// `Corrupt` when the object is shorter than it was; `NotFound`, `Unavailable`.
    pub(crate) async fn bytes(&self, bucket: &Bucket, range: Range<u64>) -> Result<Bytes> {
        let bytes = match &self.whole {
            Some(whole) => part(whole, range.start, range.end),
            None => bucket.get(&self.path, ByteRange::Bounded(range.clone())).await?,
        };
        if bytes.len() as u64 != range.end.saturating_sub(range.start) {
            let expected = format!("bytes {} to {}", range.start, range.end);
            return Err(Error::corrupt(&self.path, range.start, expected, format!("{} bytes", bytes.len())));
        }
        Ok(bytes)
    }

    /// The image at a position, checked: at most one request.
    ///
    /// # Errors
    ///
    /// `Corrupt`, `NotFound`, `Unavailable`.
    pub(crate) async fn image(&self, bucket: &Bucket, seed: HashSeed, position: u32) -> Result<Bytes> {
        let page_size = self.index.footer().header.page_size;
        let block = self.index.block_of(position).ok_or_else(|| self.no_position(0, position))?;
        let stored = self.bytes(bucket, block.offset..block.end()).await?;
        let mut decoder = BlockDecoder::new()?;
        let raw = decoder.decode(self.path.as_str(), block, page_size, &stored)?;
        let start = (position - block.first) as usize * page_size.bytes();
        let image = raw.get(start..start + page_size.bytes()).unwrap_or_default();
        self.check_image(seed, position, block, image)?;
        Ok(Bytes::copy_from_slice(image))
    }

    /// Checks an image against the hash that the segment has for it, which it returns.
    ///
    /// # Errors
    ///
    /// `Corrupt`.
    pub(crate) fn check_image(
        &self,
        seed: HashSeed,
        position: u32,
        block: &BlockEntry,
        image: &[u8],
    ) -> Result<u64> {
        let at = position as usize;
        if let (Some(page), Some(expected)) = (self.index.pages().get(at), self.index.hashes().get(at)) {
            let found = seed.page(*page, image);
            if found == *expected {
                return Ok(found.0);
            }
            let expected = format!("an image of page {page} with hash {:016x}", expected.0);
            let found = format!("one with hash {:016x}", found.0);
            return Err(Error::corrupt(&self.path, block.offset, expected, found));
        }
        Err(self.no_position(block.offset, position))
    }

    fn no_position(&self, offset: u64, position: u32) -> Error {
        Error::corrupt(&self.path, offset, format!("a frame at position {position}"), "none")
    }
}

const fn footer_offset(size: u64) -> u64 {
    size.saturating_sub(FOOTER_LEN as u64)
}

async fn fetch_tail(bucket: &Bucket, path: &ObjectPath, size: u64) -> Result<(Footer, Bytes, u64)> {
    let start = size.saturating_sub(TAIL_LEN);
    // The size is that of the listing: an object that is shorter or longer now was replaced, and is refused.
    let tail = bucket.get(path, ByteRange::Bounded(start..size)).await?;
    if tail.len() as u64 != size - start {
        let expected = format!("an object of {size} bytes");
        return Err(Error::corrupt(
            path,
            start,
            expected,
            format!("one of {} bytes", start + tail.len() as u64),
        ));
    }
    let footer = Footer::parse(path.as_str(), &tail, size)?;
    Ok((footer, tail, start))
}

/// A part of `bytes`, cut to it.
fn part(bytes: &Bytes, start: u64, end: u64) -> Bytes {
    let len = bytes.len();
    let at = |offset: u64| usize::try_from(offset).unwrap_or(len).min(len);
    bytes.slice(at(start)..at(end).max(at(start)))
}
