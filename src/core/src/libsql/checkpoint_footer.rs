//! The 34 bytes that libsql-wal puts behind the last page of a database file when it checkpoints.
//!
//! Big-endian, unlike everything else. They are there exactly if the length of the file leaves 34 when it is divided
//! by the page size. They have no checksum: what they say is believed no further than magic and version go.

use zerocopy::big_endian::{U16, U64, U128};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::magic::{MAGIC, PAGE_LEN, PAGE_SIZE, VERSION, expect_magic, expect_version};
use crate::error::{Error, Result};
use crate::frame_no::FrameNo;
use crate::ids::LogId;

/// The length of the footer in bytes.
pub const CHECKPOINT_FOOTER_LEN: usize = 34;

const LEN: u64 = CHECKPOINT_FOOTER_LEN as u64;

#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawFooter {
    magic: U64,
    version: U16,
    replication_index: U64,
    log_id: U128,
}

const _: () = assert!(size_of::<RawFooter>() == CHECKPOINT_FOOTER_LEN);

/// What a checkpointed database file says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckpointFooter {
    /// The last frame that was copied into the file; `None` before the first.
    pub frame_no: Option<FrameNo>,
    /// The log the frames came from.
    pub log_id: LogId,
}

impl CheckpointFooter {
    /// Where the footer of a file of this length begins; `None` when the file has none.
    ///
    /// # Errors
    ///
    /// `Corrupt` when the length is not that of whole pages, with or without a footer.
    pub fn offset(file: &str, file_len: u64) -> Result<Option<u64>> {
        match file_len % PAGE_SIZE.bytes_u64() {
            0 => Ok(None),
            LEN => Ok(Some(file_len - LEN)),
            rest => Err(Error::corrupt(
                file,
                file_len - rest,
                format!("the end of the file, or a footer of {LEN} bytes, behind pages of {PAGE_LEN} bytes"),
                format!("{rest} bytes"),
            )),
        }
    }

    /// Reads the footer that stands at `offset` of the file `file`.
    ///
    /// # Errors
    ///
    /// `Corrupt` when it is not one; `Invalid` when it is of a version that this code does not know.
    pub fn parse(file: &str, offset: u64, bytes: &[u8]) -> Result<Self> {
        let raw = RawFooter::read_from_bytes(bytes).map_err(|_| {
            let expected = format!("a checkpoint footer of {LEN} bytes");
            Error::corrupt(file, offset, expected, format!("{} bytes", bytes.len()))
        })?;
        expect_magic(file, offset, raw.magic.get())?;
        expect_version(file, offset.saturating_add(8), raw.version.get())?;
        Ok(Self { frame_no: FrameNo::new(raw.replication_index.get()), log_id: LogId(raw.log_id.get()) })
    }

    /// The pages of a database file, and its footer if it has one.
    ///
    /// # Errors
    ///
    /// `Corrupt` when the file is not whole pages with or without a footer.
    pub fn split<'a>(file: &str, bytes: &'a [u8]) -> Result<(&'a [u8], Option<Self>)> {
        let Some(offset) = Self::offset(file, bytes.len() as u64)? else { return Ok((bytes, None)) };
        let cut = bytes.len().saturating_sub(CHECKPOINT_FOOTER_LEN);
        let (pages, footer) = bytes.split_at(cut);
        Ok((pages, Some(Self::parse(file, offset, footer)?)))
    }

    /// The bytes of the footer.
    #[must_use]
    pub fn encode(&self) -> [u8; CHECKPOINT_FOOTER_LEN] {
        zerocopy::transmute!(RawFooter {
            magic: U64::new(MAGIC),
            version: U16::new(VERSION),
            replication_index: U64::new(self.frame_no.map_or(0, FrameNo::get)),
            log_id: U128::new(self.log_id.0),
        })
    }
}
