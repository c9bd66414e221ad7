//! Blocks: page images of consecutive positions, compressed as one piece; and the directory that finds them.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::header::HEADER_LEN;
use crate::error::{Error, Result};
use crate::libsql::{DATA_FRAME_LEN, PAGE_SIZE};
use crate::page::PageSize;

/// The most bytes of page images in one block: what a reader must be able to hold.
pub const BLOCK_RAW_MAX: usize = 1 << 20;

pub(super) const DIRECTORY_ROW_LEN: usize = 32;

/// How a writer compresses blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// As they are.
    None,
    /// zstd at this level. Level 1, the default, was both the fastest and as small as any on SQLite pages.
    Zstd(i32),
    /// lz4: faster to write, larger.
    Lz4,
}

impl Default for Compression {
    fn default() -> Self {
        Self::Zstd(1)
    }
}

/// How a stored block is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Codec {
    /// Not at all.
    None = 0,
    /// One zstd frame.
    Zstd = 1,
    /// One lz4 block, without a length prefix.
    Lz4 = 2,
    /// Frames of a data object of libsql-wal, each with its header. Only in indexes that were made while such an
    /// object was read ([`super::IndexAssembler`]); no Walkeep segment holds one, and none is parsed.
    LibsqlFrames = 255,
}

impl Codec {
    fn from_byte(byte: u8) -> Option<Self> {
        [Self::None, Self::Zstd, Self::Lz4].into_iter().find(|codec| *codec as u8 == byte)
    }
}

/// A block as it is stored, wherever in an object.
#[derive(Clone, Debug)]
pub struct EncodedBlock {
    pub(super) codec: Codec,
    pub(super) crc: u32,
    pub(super) stored: Bytes,
}

impl EncodedBlock {
    /// The block that `entry` describes in another segment: `stored` is its bytes there, whose checksum was seen to hold.
    #[must_use]
    pub const fn of(entry: &BlockEntry, stored: Bytes) -> Self {
        Self { codec: entry.codec, crc: entry.crc, stored }
    }
}

/// Compresses blocks, one after the other.
pub struct BlockEncoder {
    compression: Compression,
    zstd: Option<zstd::bulk::Compressor<'static>>,
}

impl std::fmt::Debug for BlockEncoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlockEncoder").field("compression", &self.compression).finish_non_exhaustive()
    }
}

impl BlockEncoder {
    /// An encoder.
    ///
    /// # Errors
    ///
    /// `Invalid` for an unknown compression level.
    pub fn new(compression: Compression) -> Result<Self> {
        let zstd = match compression {
            Compression::Zstd(level) => Some(
                zstd::bulk::Compressor::new(level)
                    .map_err(|error| Error::invalid(format!("zstd level {level}"), error.to_string()))?,
            ),
            Compression::None | Compression::Lz4 => None,
        };
        Ok(Self { compression, zstd })
    }

    /// The stored form of a block, whose images are `raw`; as it is where compression does not make it smaller.
    ///
    /// # Errors
    ///
    /// `Io` when compression fails.
    pub fn encode(&mut self, raw: &[u8]) -> Result<EncodedBlock> {
        let (codec, stored) = match (self.compression, &mut self.zstd) {
            (Compression::Zstd(_), Some(zstd)) => {
                let stored = zstd.compress(raw).map_err(|error| Error::io("compress a block", error))?;
                (Codec::Zstd, stored)
            }
            (Compression::Lz4, _) => (Codec::Lz4, lz4_flex::block::compress(raw)),
            _ => (Codec::None, raw.to_vec()),
        };
        let (codec, stored) =
            if stored.len() < raw.len() { (codec, stored) } else { (Codec::None, raw.to_vec()) };
        Ok(EncodedBlock { codec, crc: crc32fast::hash(&stored), stored: stored.into() })
    }
}

/// Where a block is and what it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockEntry {
    /// Where it begins in the object, in bytes.
    pub offset: u64,
    /// The position of its first image.
    pub first: u32,
    /// How many images it holds.
    pub count: u32,
    /// How many bytes it takes in the object.
    pub stored_len: u32,
    /// CRC-32 of those bytes.
    pub crc: u32,
    /// How it is compressed.
    pub codec: Codec,
}

#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawBlockEntry {
    offset: U64,
    first: U32,
    count: U32,
    stored_len: U32,
    crc: U32,
    codec: u8,
    reserved: [u8; 7],
}

const _: () = assert!(size_of::<RawBlockEntry>() == DIRECTORY_ROW_LEN);

impl BlockEntry {
    /// Where the block ends in the object.
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.offset + self.stored_len as u64
    }

    /// How many bytes of page images it holds.
    #[must_use]
    pub const fn raw_len(&self, page_size: PageSize) -> usize {
        self.count as usize * page_size.bytes()
    }

    pub(super) fn encode(&self) -> [u8; DIRECTORY_ROW_LEN] {
        zerocopy::transmute!(RawBlockEntry {
            offset: U64::new(self.offset),
            first: U32::new(self.first),
            count: U32::new(self.count),
            stored_len: U32::new(self.stored_len),
            crc: U32::new(self.crc),
            codec: self.codec as u8,
            reserved: [0; 7],
        })
    }
}

/// Reads the directory; its blocks must follow one another from the header to `blocks_end` and hold the positions
/// `0..frame_count` without a hole. The error names the row that does not fit.
pub(super) fn parse_directory(
    bytes: &[u8],
    page_size: PageSize,
    frame_count: u32,
    blocks_end: u64,
) -> Result<Vec<BlockEntry>, usize> {
    let rows = <[RawBlockEntry]>::ref_from_bytes(bytes).map_err(|_| 0_usize)?;
    let mut entries = Vec::with_capacity(rows.len());
    let (mut offset, mut first) = (HEADER_LEN as u64, 0_u32);
    for (row, raw) in rows.iter().enumerate() {
        let codec = Codec::from_byte(raw.codec).filter(|_| raw.reserved == [0; 7]).ok_or(row)?;
        let entry = BlockEntry {
            offset: raw.offset.get(),
            first: raw.first.get(),
            count: raw.count.get(),
            stored_len: raw.stored_len.get(),
            crc: raw.crc.get(),
            codec,
        };
        let raw_len = u64::from(entry.count) * page_size.bytes_u64();
        let fits = entry.offset == offset
            && entry.first == first
            && entry.count > 0
            && raw_len <= BLOCK_RAW_MAX as u64
            && u64::from(entry.stored_len) <= raw_len
            && (codec != Codec::None || u64::from(entry.stored_len) == raw_len);
        offset = entry.offset.checked_add(u64::from(entry.stored_len)).filter(|_| fits).ok_or(row)?;
        first = first.checked_add(entry.count).ok_or(row)?;
        entries.push(entry);
    }
    if offset == blocks_end && first == frame_count { Ok(entries) } else { Err(rows.len().saturating_sub(1)) }
}

/// Turns stored blocks into page images, one after the other, in one buffer.
pub struct BlockDecoder {
    zstd: zstd::bulk::Decompressor<'static>,
    raw: Vec<u8>,
}

impl std::fmt::Debug for BlockDecoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlockDecoder").finish_non_exhaustive()
    }
}

impl BlockDecoder {
    /// A decoder.
    ///
    /// # Errors
    ///
    /// `Exhausted` when there is no memory for it.
    pub fn new() -> Result<Self> {
        let zstd = zstd::bulk::Decompressor::new()
            .map_err(|error| Error::Exhausted { what: format!("no memory to decompress: {error}") })?;
        Ok(Self { zstd, raw: Vec::new() })
    }

    /// The images of a block, one behind the other. `stored` is its bytes in the object `object`.
    ///
    /// # Errors
    ///
    /// `Corrupt` when the bytes are not those that were written.
    pub fn decode(
        &mut self,
        object: &str,
        entry: &BlockEntry,
        page_size: PageSize,
        stored: &[u8],
    ) -> Result<&[u8]> {
        let mut raw = std::mem::take(&mut self.raw);
        let decoded = self.decode_into(object, entry, page_size, stored, &mut raw);
        self.raw = raw;
        decoded.map(|()| &*self.raw)
    }

    /// The same into a buffer of the caller's, which holds the images afterwards and nothing else.
    ///
    /// # Errors
    ///
    /// As [`BlockDecoder::decode`]; the buffer's content is undefined then.
    pub fn decode_into(
        &mut self,
        object: &str,
        entry: &BlockEntry,
        page_size: PageSize,
        stored: &[u8],
        raw: &mut Vec<u8>,
    ) -> Result<()> {
        let wrong = |expected: String, found: String| Error::corrupt(object, entry.offset, expected, found);
        if stored.len() != entry.stored_len as usize {
            return Err(wrong(
                format!("a block of {} bytes", entry.stored_len),
                format!("{} bytes", stored.len()),
            ));
        }
        let crc = crc32fast::hash(stored);
        if crc != entry.crc {
            return Err(wrong(format!("a block with crc {:08x}", entry.crc), format!("crc {crc:08x}")));
        }
        let raw_len = entry.raw_len(page_size);
        raw.resize(raw_len, 0);
        let len = match entry.codec {
            Codec::None => {
                raw.copy_from_slice(stored);
                raw_len
            }
            Codec::Zstd => self
                .zstd
                .decompress_to_buffer(stored, raw.as_mut_slice())
                .map_err(|error| wrong("a zstd frame".into(), error.to_string()))?,
            Codec::Lz4 => lz4_flex::block::decompress_into(stored, raw)
                .map_err(|error| wrong("an lz4 block".into(), error.to_string()))?,
            Codec::LibsqlFrames => copy_images(stored, raw),
        };
        if len != raw_len {
            return Err(wrong(format!("{raw_len} bytes of page images"), format!("{len} bytes")));
        }
        Ok(())
    }
}

/// Copies the images out of frames of libsql-wal; how many bytes of them there were.
fn copy_images(frames: &[u8], raw: &mut [u8]) -> usize {
    let mut copied = 0;
    for (frame, place) in frames.chunks_exact(DATA_FRAME_LEN).zip(raw.chunks_exact_mut(PAGE_SIZE.bytes())) {
        let image = frame.get(DATA_FRAME_LEN - PAGE_SIZE.bytes()..).unwrap_or_default();
        place.copy_from_slice(image);
        copied += image.len();
    }
    copied
}
