//! Writing data objects, frame by frame, the same bytes that libsql-wal writes.

use std::io::Write;

use super::data_header::{DataFrame, DataHeader};
use super::magic::PAGE_LEN;
use crate::error::{Error, Result};
use crate::page::PageNo;

/// Writes one data object to an [`std::io::Write`].
///
/// Call [`DataWriter::new`], then [`DataWriter::push`] for each frame in order of page, then
/// [`DataWriter::finish`]. What was written before `finish` returned is not a data object.
pub struct DataWriter<W> {
    out: W,
    header: DataHeader,
    crc: crc32fast::Hasher,
    written: u32,
    last_page: Option<PageNo>,
}

impl<W> std::fmt::Debug for DataWriter<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DataWriter").field("header", &self.header).finish_non_exhaustive()
    }
}

impl<W: Write> DataWriter<W> {
    /// Begins an object of `header.frame_count` frames.
    ///
    /// # Errors
    ///
    /// `Invalid` for a header that no object can have; `Io` and `Exhausted` from `out`.
    pub fn new(out: W, header: DataHeader) -> Result<Self> {
        if let Some((_, rule)) = header.fault() {
            return Err(Error::invalid(
                format!("a libsql-wal data object {header:?}"),
                format!("it needs {rule}"),
            ));
        }
        let mut writer = Self { out, header, crc: crc32fast::Hasher::new(), written: 0, last_page: None };
        writer.write(&header.encode())?;
        Ok(writer)
    }

    /// Adds a frame.
    ///
    /// # Errors
    ///
    /// `Invalid` when its page does not follow the one before, its number is out of range, its image is not a page
    /// long, or there are more frames than the header says; `Io` and `Exhausted` from the output.
    pub fn push(&mut self, frame: &DataFrame<'_>) -> Result<()> {
        let in_order = self.last_page.is_none_or(|last| last < frame.page);
        let in_range = (self.header.start..=self.header.end).contains(&frame.frame_no);
        let has_room = self.written < self.header.frame_count;
        if !in_order || !in_range || !has_room || frame.image.len() != PAGE_LEN {
            let what = format!("{frame:?} of {} bytes as frame number {}", frame.image.len(), self.written);
            let why =
                "pages rise, frames lie in the range, are as many as the header says, and 4096 bytes long";
            return Err(Error::invalid(what, why));
        }
        self.write(&frame.encode_header())?;
        self.write(frame.image)?;
        self.last_page = Some(frame.page);
        self.written += 1;
        Ok(())
    }

    /// Ends the object with its checksum and gives the output back.
    ///
    /// # Errors
    ///
    /// `Invalid` when frames are missing; `Io` and `Exhausted` from the output.
    pub fn finish(mut self) -> Result<W> {
        if self.written != self.header.frame_count {
            let what = format!("a libsql-wal data object of {} frames", self.written);
            return Err(Error::invalid(what, format!("its header says {}", self.header.frame_count)));
        }
        let crc = self.crc.clone().finalize();
        self.write(&crc.to_le_bytes())?;
        Ok(self.out)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.crc.update(bytes);
        self.out.write_all(bytes).map_err(|error| Error::io("write a libsql-wal data object", error))
    }
}
