//! Any bytes as a segment: an error or a segment, never a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use walkeep_core::segment::{BlockDecoder, Footer, HEADER_LEN, SegmentHeader, SegmentIndex};

fuzz_target!(|bytes: &[u8]| {
    let _ = SegmentHeader::parse("fuzz", 0, &bytes[..bytes.len().min(HEADER_LEN)]);
    let Ok(footer) = Footer::parse("fuzz", bytes, bytes.len() as u64) else { return };
    let sections = footer.sections();
    let Some(sections) = bytes.get(sections.start as usize..sections.end as usize) else { return };
    let page_size = footer.header.page_size;
    let Ok(index) = SegmentIndex::parse("fuzz", footer, sections) else { return };
    let mut decoder = BlockDecoder::new().expect("memory for a decoder");
    for block in index.blocks() {
        let stored = &bytes[block.offset as usize..block.end() as usize];
        let _ = decoder.decode("fuzz", block, page_size, stored);
    }
});
