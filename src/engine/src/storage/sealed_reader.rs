//! A sealed segment, read where it is: in memory or in a local file.
//!
//! Invariant: what is read is what was sealed, or an error says at which offset it is not.

use walkeep_core::segment::{
    BlockDecoder, BlockEntry, HEADER_LEN, ObjectChecksum, SegmentIndex, SegmentSummary,
};
use walkeep_core::{Error, Result, SealedSegment};

/// Bytes read at once.
const CHUNK: usize = 1 << 20;

/// A sealed segment with its index in memory. Its calls may block.
pub(super) struct SealedReader<'a> {
    name: String,
    sealed: &'a SealedSegment,
    index: SegmentIndex,
}

impl<'a> SealedReader<'a> {
    /// Reads and checks the index.
    ///
    /// # Errors
    ///
    /// `Corrupt` when it is not what was sealed; `Io`.
    pub(super) fn open(sealed: &'a SealedSegment) -> Result<Self> {
        let name = name(&sealed.summary);
        let sections = sealed.summary.footer.sections();
        let bytes = read(&name, sealed, sections.start, sections.end - sections.start)?;
        let index = SegmentIndex::parse(&name, sealed.summary.footer.clone(), &bytes)?;
        Ok(Self { name, sealed, index })
    }

    /// What it holds.
    pub(super) const fn index(&self) -> &SegmentIndex {
        &self.index
    }

    /// The images of a block, one behind the other.
    pub(super) fn block<'d>(&self, decoder: &'d mut BlockDecoder, block: &BlockEntry) -> Result<&'d [u8]> {
        let stored = read(&self.name, self.sealed, block.offset, u64::from(block.stored_len))?;
        decoder.decode(&self.name, block, self.index.footer().header.page_size, &stored)
    }
}

/// Checks that all bytes are those that were sealed: before they go where nobody can seal them again.
///
/// # Errors
///
/// `Corrupt`, `Io`.
pub(super) fn check(sealed: &SealedSegment) -> Result<()> {
    let SegmentSummary { footer, len, .. } = &sealed.summary;
    let name = name(&sealed.summary);
    if sealed.body.len() != *len {
        let found = format!("{} bytes", sealed.body.len());
        return Err(Error::corrupt(name, 0, format!("a segment of {len} bytes"), found));
    }
    let footer_bytes = footer.encode();
    let Some(footer_start) = len.checked_sub(footer_bytes.len() as u64) else {
        return Err(Error::corrupt(name, 0, "a segment with a footer", format!("{len} bytes")));
    };
    let mut checksum = ObjectChecksum::new();
    let mut offset = 0;
    while offset < footer_start {
        let bytes = read(&name, sealed, offset, (footer_start - offset).min(CHUNK as u64))?;
        if offset == 0 && bytes.get(..HEADER_LEN) != Some(&footer.header.encode()) {
            return Err(Error::corrupt(name, 0, "the header that was sealed", "another one"));
        }
        checksum.update(&bytes);
        offset += bytes.len() as u64;
    }
    if checksum.value() != footer.object_checksum {
        let expected = format!("bytes with checksum {:016x}", footer.object_checksum);
        return Err(Error::corrupt(name, 0, expected, format!("{:016x}", checksum.value())));
    }
    if read(&name, sealed, footer_start, footer_bytes.len() as u64)? != footer_bytes {
        return Err(Error::corrupt(name, footer_start, "the footer that was sealed", "another one"));
    }
    Ok(())
}

fn name(summary: &SegmentSummary) -> String {
    format!("the sealed segment {}", summary.key)
}

fn read(name: &str, sealed: &SealedSegment, offset: u64, len: u64) -> Result<Vec<u8>> {
    // Lengths are those of a footer; what it names lies within the body, or nothing is allocated.
    let within = offset.checked_add(len).is_some_and(|end| end <= sealed.body.len());
    let len = usize::try_from(len).ok().filter(|_| within).ok_or_else(|| {
        let found = format!("{} bytes in all", sealed.body.len());
        Error::corrupt(name, offset, format!("{len} bytes"), found)
    })?;
    let mut bytes = vec![0; len];
    sealed
        .body
        .read_exact_at(offset, &mut bytes)
        .map_err(|error| Error::io(format!("read {name}"), error))?;
    Ok(bytes)
}
