//! The frames of a local segment file, and the chain of checksums that proves them one after the other.
//!
//! The checksum of a frame is the CRC-32 of all that follows it in the frame, begun with the checksum of the frame
//! before, or with the salt. So a frame holds only if all before it do, and frames of an older file in the same
//! blocks of a disk do not hold at all.

use std::ops::ControlFlow;

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::local_header::{LOCAL_HEADER_LEN, LocalHeader};
use super::magic::PAGE_LEN;
use crate::error::Corruption;
use crate::frame_no::FrameNo;
use crate::page::{PageCount, PageNo};

/// The length of a frame of a local segment file in bytes: checksum, page number, size, frame number, image.
pub const LOCAL_FRAME_LEN: usize = FRAME_HEADER_LEN + PAGE_LEN;

pub(super) const FRAME_HEADER_LEN: usize = 20;
const CHECKSUM_LEN: usize = 4;

#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawLocalFrameHeader {
    checksum: U32,
    page: U32,
    size_after: U32,
    frame_no: U64,
}

const _: () = assert!(size_of::<RawLocalFrameHeader>() == FRAME_HEADER_LEN);

/// One frame of a local segment file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct LocalFrame<'a> {
    /// The page.
    pub page: PageNo,
    /// Its number.
    pub frame_no: FrameNo,
    /// On the last frame of a transaction the size of the database after it, else 0. libsql-wal loses it when a
    /// transaction writes its last page twice.
    pub size_after: PageCount,
    /// The image, one page long.
    pub image: &'a [u8],
}

impl std::fmt::Debug for LocalFrame<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LocalFrame(page {}, frame {}, size {})", self.page, self.frame_no, self.size_after)
    }
}

impl LocalFrame<'_> {
    /// The bytes before the image, and the checksum among them.
    pub(super) fn encode_header(&self, chain: u32) -> ([u8; FRAME_HEADER_LEN], u32) {
        let mut raw = RawLocalFrameHeader {
            checksum: U32::new(0),
            page: U32::new(self.page.get()),
            size_after: U32::new(self.size_after.get()),
            frame_no: U64::new(self.frame_no.get()),
        };
        let checksum = chained(chain, &[raw.as_bytes().get(CHECKSUM_LEN..).unwrap_or_default(), self.image]);
        raw.checksum = U32::new(checksum);
        (zerocopy::transmute!(raw), checksum)
    }
}

/// The CRC-32 of the parts, begun with `chain`.
pub(super) fn chained(chain: u32, parts: &[&[u8]]) -> u32 {
    let mut crc = crc32fast::Hasher::new_with_initial(chain);
    for part in parts {
        crc.update(part);
    }
    crc.finalize()
}

/// The frames of a file that hold, from the first on.
pub(super) struct Chain<'a> {
    /// All frames that hold, committed or not.
    pub(super) frames: Vec<LocalFrame<'a>>,
    /// The checksum of the last of them, or the salt.
    pub(super) checksum: u32,
    /// Why the next one does not; `None` when the frames fill their place exactly.
    pub(super) stopped: Option<Corruption>,
}

impl<'a> Chain<'a> {
    /// Walks over `bytes`, the part of the file `file` from behind the header to where its frames must end.
    pub(super) fn walk(file: &str, header: &LocalHeader, bytes: &'a [u8]) -> Self {
        let mut chain = Self { frames: Vec::new(), checksum: header.salt, stopped: None };
        let walked = bytes.chunks(LOCAL_FRAME_LEN).try_for_each(|chunk| chain.step(file, header, chunk));
        if let ControlFlow::Break(corruption) = walked {
            chain.stopped = Some(corruption);
        }
        chain
    }

    /// Where the frames that hold end in the file.
    pub(super) fn end_offset(&self) -> u64 {
        frames_end(self.frames.len() as u64).unwrap_or(u64::MAX)
    }

    fn step(&mut self, file: &str, header: &LocalHeader, chunk: &'a [u8]) -> ControlFlow<Corruption> {
        let offset = self.end_offset();
        let stop = |at: u64, expected: String, found: String| {
            ControlFlow::Break(Corruption { object: file.to_string(), offset: offset + at, expected, found })
        };
        let raw = RawLocalFrameHeader::read_from_prefix(chunk).ok();
        let Some((raw, image)) = raw.filter(|_| chunk.len() == LOCAL_FRAME_LEN) else {
            let expected = format!("a frame of {LOCAL_FRAME_LEN} bytes");
            return stop(0, expected, format!("{} bytes", chunk.len()));
        };
        let (stored, computed) =
            (raw.checksum.get(), chained(self.checksum, &[chunk.get(CHECKSUM_LEN..).unwrap_or_default()]));
        if stored != computed {
            return stop(
                0,
                format!("a frame with checksum {stored:08x}"),
                format!("checksum {computed:08x}"),
            );
        }
        let Some(page) = PageNo::new(raw.page.get()) else {
            return stop(4, "a page number of at least 1".into(), "0".into());
        };
        let in_order = header.start.get().checked_add(self.frames.len() as u64);
        let frame_no = FrameNo::new(raw.frame_no.get())
            .filter(|frame| header.unordered || Some(frame.get()) == in_order);
        let Some(frame_no) = frame_no else {
            let expected = in_order.filter(|_| !header.unordered).unwrap_or(1);
            let expected =
                format!("frame {expected}{}", if header.unordered { " or a later one" } else { "" });
            return stop(12, expected, format!("frame {}", raw.frame_no));
        };
        self.frames.push(LocalFrame { page, frame_no, size_after: PageCount(raw.size_after.get()), image });
        self.checksum = computed;
        ControlFlow::Continue(())
    }
}

/// Where the first `count` frames of a file end.
pub(super) const fn frames_end(count: u64) -> Option<u64> {
    match count.checked_mul(LOCAL_FRAME_LEN as u64) {
        Some(len) => len.checked_add(LOCAL_HEADER_LEN as u64),
        None => None,
    }
}
