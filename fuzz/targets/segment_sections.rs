//! Any bytes as the sections of a segment whose checksums are right: what somebody could make up on purpose. An error
//! or an index that answers, never a panic and no allocation beyond the object's size.
#![no_main]

use libfuzzer_sys::fuzz_target;
use walkeep_core::segment::{FOOTER_LEN, Footer, HEADER_LEN, SegmentIndex};
use walkeep_core::{FrameNo, PageNo};

const CRC_OF_FOOTER: usize = 276;

fn put32(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

fn put64(bytes: &mut [u8], at: usize, value: u64) {
    bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
}

/// CRC-32, bit by bit: the harness must not share code with what it tests.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

fuzz_target!(|input: (u8, u8, u8, u8, u8, Vec<u8>)| {
    let (frames, commits, blocks, block_bytes, level, content) = input;
    let (frames, block_bytes) = (usize::from(frames % 8) + 1, usize::from(block_bytes) + 1);
    let lens = [frames * 20, (usize::from(commits % 4) + 1) * 32, (usize::from(blocks % 4) + 1) * 32];
    let mut object = vec![0; HEADER_LEN + block_bytes];
    object.extend_from_slice(&content);
    object.resize(object.len().max(HEADER_LEN + block_bytes + lens.iter().sum::<usize>() + 36), 0);

    let mut footer = vec![0; FOOTER_LEN];
    footer[..8].copy_from_slice(b"WALKEEP\0");
    footer[8] = 1;
    put32(&mut footer, 12, 512);
    put32(&mut footer, 48, 1);
    footer[52] = level % 2;
    put64(&mut footer, 56, 1);
    put64(&mut footer, 64, 8);
    put32(&mut footer, 72, frames as u32);
    let crc = crc32(&footer[..124]);
    put32(&mut footer, 124, crc);
    let mut at = HEADER_LEN + block_bytes;
    let ends = [lens[0], lens[1], lens[2], object.len() - at - lens.iter().sum::<usize>()];
    for (section, len) in ends.into_iter().enumerate() {
        put64(&mut footer, 128 + section * 24, at as u64);
        put64(&mut footer, 136 + section * 24, len as u64);
        let crc = crc32(&object[at..at + len]);
        put32(&mut footer, 144 + section * 24, crc);
        at += len;
    }
    // What the footer sums up is taken from the last commit row, so that the fuzzer gets past the comparison.
    let last = HEADER_LEN + block_bytes + lens[0] + lens[1] - 32;
    let first = HEADER_LEN + block_bytes + lens[0];
    footer[224..232].copy_from_slice(&object[first + 8..first + 16]);
    footer[232..240].copy_from_slice(&object[last + 8..last + 16]);
    footer[240..248].copy_from_slice(&object[last + 16..last + 24]);
    footer[248..252].copy_from_slice(&object[last + 24..last + 28]);
    footer[252..256].copy_from_slice(&object[last + 24..last + 28]);
    put32(&mut footer, 272, FOOTER_LEN as u32);
    footer[280..].copy_from_slice(b"PEEKLAW\0");
    let crc = crc32(&footer[..CRC_OF_FOOTER]);
    put32(&mut footer, CRC_OF_FOOTER, crc);
    object.extend_from_slice(&footer);

    let footer = Footer::parse("fuzz", &object, object.len() as u64).expect("a footer made with care");
    let sections = footer.sections();
    let sections = &object[sections.start as usize..sections.end as usize];
    let Ok(index) = SegmentIndex::parse("fuzz", footer, sections) else { return };
    let _ = index.check_map("fuzz");
    for page in (1..10).filter_map(PageNo::new) {
        let _ = index.find("fuzz", page);
        let _ = index.newest_until(page, FrameNo::MAX);
    }
    for position in 0..10 {
        let _ = index.block_of(position);
    }
});
