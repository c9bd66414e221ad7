//! A sealed segment in a file of its own, with the position behind it.
//!
//! The file has the very bytes that are stored, then the position as in [`super::checked_file`], then 16 bytes: the
//! length of that (u32, little-endian), its CRC-32, and a magic number. It gets its name when it is whole; after a
//! power loss it may not be, which its checksums tell.
//!
//! The file is opened anew for every read, so that thousands of them can wait.

use std::io;
use std::path::Path;
use std::sync::Arc;

use walkeep::SealedSegment;
use walkeep::core::segment::{FOOTER_LEN, Footer, SegmentIndex, SegmentSummary, restamp};
use walkeep::core::{Body, BodySource, Directory, Epoch, Error, File, FrameNo, Result};

use super::checked_file;
use super::position::Position;

const MAGIC: &[u8; 8] = b"WKSPOOL1";
const TAIL_LEN: usize = 16;
/// More than any position has.
const POSITION_MAX: u64 = 1 << 16;

/// A segment that waits on local disk.
#[derive(Clone, Debug)]
pub(crate) struct SpoolFile {
    pub(crate) segment: SealedSegment,
    /// The place behind it.
    pub(crate) position: Position,
    /// Whether the file was synced.
    pub(crate) synced: bool,
}

/// The name of the segment with these frames.
pub(super) fn name(start: FrameNo, end: FrameNo) -> String {
    format!("{:020}-{:020}.segment", start.get(), end.get())
}

/// Whether a name is that of such a file.
pub(super) fn is_name(name: &str) -> bool {
    let parsed = name.strip_suffix(".segment").and_then(|frames| frames.split_once('-'));
    let number = |text: &str| text.parse().ok().and_then(FrameNo::new);
    parsed
        .and_then(|(start, end)| Some(self::name(number(start)?, number(end)?)))
        .is_some_and(|own| own == name)
}

/// What stands behind the segment.
pub(super) fn tail(position: &Position) -> Result<Vec<u8>> {
    let mut bytes = checked_file::encode(position)?;
    let sum = crc32fast::hash(&bytes);
    let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    bytes.extend_from_slice(&len.to_le_bytes());
    bytes.extend_from_slice(&sum.to_le_bytes());
    bytes.extend_from_slice(MAGIC);
    Ok(bytes)
}

/// The bytes of the segment, read from the file each time.
#[derive(Debug)]
struct SpoolBody {
    directory: Arc<dyn Directory>,
    name: String,
    len: u64,
}

impl BodySource for SpoolBody {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_exact_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        let file = self.directory.open(Path::new(&self.name))?;
        let whole = offset.saturating_add(bytes.len() as u64) <= self.len;
        if whole && file.read_at(offset, bytes)? == bytes.len() {
            return Ok(());
        }
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

impl SpoolFile {
    /// A file that was just written.
    pub(super) fn new(
        directory: &Arc<dyn Directory>,
        name: String,
        summary: SegmentSummary,
        position: Position,
        synced: bool,
    ) -> Self {
        let body = SpoolBody { directory: Arc::clone(directory), name, len: summary.len };
        let segment = SealedSegment { summary, body: Body::Source(Arc::new(body)) };
        Self { segment, position, synced }
    }

    /// Reads what a file holds; `None` when it is not whole, which is proven by reading all of it.
    ///
    /// # Errors
    ///
    /// `Io`.
    pub(super) fn open(directory: &Arc<dyn Directory>, name: &str) -> Result<Option<Self>> {
        let failed = |error| Error::io(format!("read {name} of the spool"), error);
        let file = directory.open(Path::new(name)).map_err(failed)?;
        let len = file.len().map_err(failed)?;
        let Some((position, segment_len)) = read_tail(&*file, len).map_err(failed)? else { return Ok(None) };
        let mut bytes = [0; FOOTER_LEN];
        let Some(at) = segment_len.checked_sub(FOOTER_LEN as u64) else { return Ok(None) };
        let read = file.read_at(at, &mut bytes).map_err(failed)?;
        let footer = Footer::parse(name, bytes.get(..read).unwrap_or_default(), segment_len);
        let Ok((footer, key)) = footer.and_then(|footer| footer.key().map(|key| (footer, key))) else {
            return Ok(None);
        };
        let fits = key.end() == position.commit.frame_no
            && Some(footer.state) == position.commit.state
            && footer.header.log_id == position.log_id
            && self::name(key.start(), key.end()) == name;
        let summary = SegmentSummary { key, footer, len: segment_len };
        let opened = Self::new(directory, name.to_string(), summary, position, false);
        let epoch = opened.segment.summary.key.epoch();
        match opened.restamped(epoch) {
            Err(Error::Corrupt(_)) => Ok(None),
            whole => whole.map(|file| Some(file).filter(|_| fits)),
        }
    }

    /// The same with a segment of this epoch, its bytes proven.
    ///
    /// # Errors
    ///
    /// `Corrupt` when they are not what was sealed; `Io`.
    pub(crate) fn restamped(self, epoch: Epoch) -> Result<Self> {
        let (summary, body) = restamp(&self.name(), &self.segment.summary, &self.segment.body, epoch)?;
        Ok(Self { segment: SealedSegment { summary, body }, ..self })
    }

    /// What the segment holds.
    ///
    /// # Errors
    ///
    /// `Corrupt`; `Io`.
    pub(crate) fn index(&self) -> Result<SegmentIndex> {
        let footer = &self.segment.summary.footer;
        let range = footer.sections();
        let mut sections = vec![0; usize::try_from(range.end - range.start).unwrap_or_default()];
        let read = self.segment.body.read_exact_at(range.start, &mut sections);
        read.map_err(|error| Error::io(format!("read {} of the spool", self.name()), error))?;
        SegmentIndex::parse(&self.name(), footer.clone(), &sections)
    }

    pub(crate) fn name(&self) -> String {
        name(self.start(), self.end())
    }

    pub(crate) fn start(&self) -> FrameNo {
        self.segment.summary.key.start()
    }

    pub(crate) fn end(&self) -> FrameNo {
        self.segment.summary.key.end()
    }
}

/// The position at the end of a file, and the length of the segment before it.
fn read_tail(file: &dyn File, len: u64) -> io::Result<Option<(Position, u64)>> {
    let Some(tail_at) = len.checked_sub(TAIL_LEN as u64) else { return Ok(None) };
    let mut tail = [0; TAIL_LEN];
    if file.read_at(tail_at, &mut tail)? != tail.len() || !tail.ends_with(MAGIC) {
        return Ok(None);
    }
    let word =
        |at: usize| tail.get(at..at + 4).and_then(|four| four.try_into().ok()).map_or(0, u32::from_le_bytes);
    let position_len = u64::from(word(0));
    let Some(position_at) = tail_at.checked_sub(position_len).filter(|_| position_len <= POSITION_MAX) else {
        return Ok(None);
    };
    let mut bytes = vec![0; usize::try_from(position_len).unwrap_or_default()];
    if file.read_at(position_at, &mut bytes)? != bytes.len() || crc32fast::hash(&bytes) != word(4) {
        return Ok(None);
    }
    Ok(checked_file::decode(&bytes).map(|position| (position, position_at)))
}
