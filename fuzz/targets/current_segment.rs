//! Any bytes as a current segment: frames or none, never a panic. Half of the inputs get a header and checksums that hold, so
//! that what stands behind them is looked at too.
#![no_main]

use libfuzzer_sys::fuzz_target;
use walkeep_core::current_segment::{CURRENT_HEADER_LEN, Chain, CurrentHeader};
use walkeep_core::{FrameNo, LogId, PageCount, PageNo, PageSize, StateChecksum};

fuzz_target!(|bytes: &[u8]| {
    let Some((mode, bytes)) = bytes.split_first() else { return };
    let (header, frames) = if mode % 2 == 0 {
        let (head, frames) = bytes.split_at(bytes.len().min(CURRENT_HEADER_LEN));
        let Ok(header) = CurrentHeader::parse("fuzz", head) else { return };
        (header, frames.to_vec())
    } else {
        let header = CurrentHeader {
            page_size: PageSize::MIN,
            log_id: LogId(1),
            start: if mode % 4 == 1 { FrameNo::FIRST } else { FrameNo::MAX },
            salt: 2,
            state_before: StateChecksum(3),
            size_before: PageCount(4),
        };
        let mut written = Vec::new();
        let mut chain = Chain::new(&header);
        for frame in bytes.chunks_exact(4 + 512) {
            let (page, image) = frame.split_at(4);
            let page = page.try_into().map(u32::from_le_bytes).ok().and_then(PageNo::new);
            let _ = chain.append(page.unwrap_or(PageNo::FIRST), image, None, &mut written);
        }
        let whole = written.len();
        written.extend_from_slice(&bytes[..bytes.len() % (4 + 512)]);
        let mut chain = Chain::new(&header);
        let accepted =
            written[..whole].chunks(header.frame_len()).filter(|frame| chain.accept(frame).is_some());
        assert_eq!(accepted.count() * header.frame_len(), whole, "what was written is accepted");
        (header, written)
    };
    let mut chain = Chain::new(&header);
    for frame in frames.chunks(header.frame_len()) {
        if chain.accept(frame).is_none() {
            break;
        }
    }
});
