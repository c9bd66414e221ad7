//! Segments that are wrong although every checksum in them holds: what a defect, or somebody with access to the
//! store, could leave there. Offsets are those of `docs/format.md`.

use std::ops::Range;

use bytes::Bytes;
use walkeep::core::segment::{FOOTER_LEN, HEADER_LEN, ObjectChecksum};

/// The bytes of a segment, to be changed.
#[derive(Clone, Debug)]
pub struct Forged(Vec<u8>);

/// One of the four sections, by its place in the footer.
#[derive(Clone, Copy, Debug)]
pub enum Section {
    /// Page numbers, frame numbers, page hashes.
    Columns,
    /// Commits.
    Commits,
    /// The directory of blocks.
    Directory,
    /// The map of pages.
    Index,
}

impl Forged {
    /// A copy of a segment.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }

    /// Where the footer begins.
    #[must_use]
    pub const fn footer(&self) -> usize {
        self.0.len() - FOOTER_LEN
    }

    const fn entry(&self, section: Section) -> usize {
        self.footer() + HEADER_LEN + 24 * section as usize
    }

    /// The bytes of a section.
    #[must_use]
    pub fn section(&self, section: Section) -> Range<usize> {
        let entry = self.entry(section);
        let offset = usize::try_from(self.u64_at(entry)).unwrap();
        offset..offset.saturating_add(usize::try_from(self.u64_at(entry + 8)).unwrap())
    }

    /// Where the length of a section stands.
    #[must_use]
    pub const fn section_len_at(&self, section: Section) -> usize {
        self.entry(section) + 8
    }

    /// A number of the object.
    #[must_use]
    pub fn u32_at(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.0[at..at + 4].try_into().unwrap())
    }

    /// A long number of the object.
    #[must_use]
    pub fn u64_at(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.0[at..at + 8].try_into().unwrap())
    }

    /// Changes bytes.
    #[must_use]
    pub fn with(mut self, at: usize, bytes: &[u8]) -> Self {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
        self
    }

    /// Swaps two pieces of equal length.
    #[must_use]
    pub fn swapped(mut self, a: usize, b: usize, len: usize) -> Self {
        let (first, second) = (self.0[a..a + len].to_vec(), self.0[b..b + len].to_vec());
        self.0[a..a + len].copy_from_slice(&second);
        self.0[b..b + len].copy_from_slice(&first);
        self
    }

    /// The bytes as they are, whatever their checksums say.
    #[must_use]
    pub fn unsealed(self) -> Bytes {
        self.0.into()
    }

    /// Makes every checksum hold again: of blocks, sections, header, object and footer.
    #[must_use]
    pub fn resealed(self) -> Bytes {
        self.sealed_again(true)
    }

    /// The same, with the footer going on to repeat the header that was there before.
    #[must_use]
    pub fn resealed_with_a_header_apart(self) -> Bytes {
        self.sealed_again(false)
    }

    fn sealed_again(mut self, repeat_header: bool) -> Bytes {
        let directory = self.section(Section::Directory);
        if directory.end <= self.footer() {
            for row in directory.step_by(32) {
                let start = usize::try_from(self.u64_at(row)).unwrap();
                let len = self.u32_at(row + 16) as usize;
                if let Some(block) = self.0.get(start..start.saturating_add(len)) {
                    let crc = crc32fast::hash(block);
                    self = self.with(row + 20, &crc.to_le_bytes());
                }
            }
        }
        for section in [Section::Columns, Section::Commits, Section::Directory, Section::Index] {
            if let Some(bytes) = self.0.get(self.section(section)) {
                let crc = crc32fast::hash(bytes);
                let at = self.entry(section) + 16;
                self = self.with(at, &crc.to_le_bytes());
            }
        }
        let crc = crc32fast::hash(&self.0[..HEADER_LEN - 4]);
        self = self.with(HEADER_LEN - 4, &crc.to_le_bytes());
        let (header, footer) = (self.0[..HEADER_LEN].to_vec(), self.footer());
        if repeat_header {
            self = self.with(footer, &header);
        }
        let mut checksum = ObjectChecksum::new();
        checksum.update(&self.0[..footer]);
        self = self.with(footer + 256, &checksum.value().to_le_bytes());
        let crc = crc32fast::hash(&self.0[footer..footer + 276]);
        self.with(footer + 276, &crc.to_le_bytes()).0.into()
    }
}
