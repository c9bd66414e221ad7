//! Makes `fixtures/v1`: `cargo run -p walkeep-tests --bin make_fixtures -- fixtures/v1`, into an empty directory.
//!
//! It is run once per format version. The bytes stay as they are for ever; this program says how they came to be.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a tool for developers: a panic tells enough"
)]

use std::path::Path;
use std::sync::Arc;

use walkeep::backends::fs::{Fs, FsConfig};
use walkeep::core::segment::Compression;
use walkeep::core::{FrameNo, PageSize};
use walkeep::{Bucket, Writer};
use walkeep_tests::handles::{SeededRandom, handles};
use walkeep_tests::page_log::PageLog;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let directory = std::env::args().nth(1).expect("usage: make_fixtures DIRECTORY");
    let directory = Path::new(&directory);
    let states = directory.join("states");
    std::fs::create_dir_all(&states).unwrap();
    let (handles, _clock) = handles(1_795_250_000_000, 1);
    let fs =
        Fs::with_random(FsConfig::create(&directory.join("store")).unwrap(), Arc::clone(&handles.random));
    let bucket = Bucket::new(Arc::new(fs), None).unwrap();
    let namespace = "fixture".parse().unwrap();
    let random = SeededRandom::new(2);
    let image = |len: usize, fill: u64| {
        // Half text, half noise: compressible, but not all of it.
        let mut bytes = format!("page {fill} ").repeat(len).into_bytes();
        bytes.truncate(len);
        walkeep::core::Random::fill(&random, &mut bytes[len / 2..]).unwrap();
        bytes
    };
    let keep = |log: &PageLog, frame: FrameNo| {
        std::fs::write(states.join(format!("{:05}.db", frame.get())), log.file()).unwrap();
    };

    let small = PageSize::new(512).unwrap();
    let mut writer = Writer::open(&bucket, &namespace, small, &handles).await.unwrap();
    let mut log = PageLog::new(small, writer.hash_seed(), FrameNo::FIRST);
    let mut fill = 0;
    let mut images = |pages: &[u32], len: usize| {
        fill += 1;
        pages.iter().map(|page| (*page, image(len, fill))).collect::<Vec<_>>()
    };
    // Several commits, a page written twice, a page that stays zero; zstd.
    for (pages, size, time) in [(&[1, 2, 3][..], 4, 10), (&[1, 3], 4, 20), (&[1, 6, 8], 8, 20)] {
        let frame = log.commit(&images(pages, 512), size, 1_795_250_000_000 + time);
        keep(&log, frame);
    }
    writer.store(&log.seal(&writer, 101, Compression::Zstd(1))).await.unwrap();
    // A shrink and growth behind it; lz4.
    for (pages, size, time) in [(&[1, 2][..], 3, 30), (&[1, 5], 9, 40)] {
        let frame = log.commit(&images(pages, 512), size, 1_795_250_000_000 + time);
        keep(&log, frame);
    }
    writer.store(&log.seal(&writer, 102, Compression::Lz4)).await.unwrap();

    // A second epoch; not compressed.
    let mut writer = Writer::open(&bucket, &namespace, small, &handles).await.unwrap();
    let frame = log.commit(&images(&[1, 9, 10], 512), 10, 1_795_250_000_050);
    keep(&log, frame);
    writer.store(&log.seal(&writer, 103, Compression::None)).await.unwrap();

    // Another page size begins anew.
    let large = PageSize::new(1024).unwrap();
    let mut writer = Writer::open(&bucket, &namespace, large, &handles).await.unwrap();
    let mut log = PageLog::new(large, writer.hash_seed(), writer.next_frame_no().unwrap());
    let frame = log.commit(&images(&[1, 2, 4], 1024), 5, 1_795_250_000_060);
    keep(&log, frame);
    writer.store(&log.seal(&writer, 104, Compression::Zstd(1))).await.unwrap();
}
