//! How fast are segments written and read, in bytes of page images a second?
//!
//! `cargo bench -p walkeep-benches --bench segment`

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use walkeep::core::PageSize;
use walkeep::core::segment::{BlockDecoder, Compression, Footer, SegmentIndex};
use walkeep_benches::{images, segment};

const PAGES: u32 = 4096;

fn write_and_read(c: &mut Criterion) {
    let images = images(PAGES);
    let mut group = c.benchmark_group("segment");
    group.throughput(Throughput::Bytes(u64::from(PAGES) * PageSize::DEFAULT.bytes_u64())).sample_size(10);
    for (name, compression) in
        [("none", Compression::None), ("zstd-1", Compression::Zstd(1)), ("lz4", Compression::Lz4)]
    {
        group.bench_function(format!("write/{name}"), |b| b.iter(|| segment(&images, compression)));
        let (bytes, summary) = segment(&images, compression);
        group.bench_function(format!("read/{name}"), |b| {
            b.iter(|| {
                let footer = Footer::parse("bench", &bytes, summary.len).unwrap();
                let at = |offset: u64| usize::try_from(offset).unwrap();
                let sections = footer.sections();
                let sections = &bytes[at(sections.start)..at(sections.end)];
                let index = SegmentIndex::parse("bench", footer, sections).unwrap();
                let mut decoder = BlockDecoder::new().unwrap();
                let decoded = index.blocks().iter().map(|block| {
                    let stored = &bytes[at(block.offset)..at(block.end())];
                    decoder.decode("bench", block, PageSize::DEFAULT, stored).unwrap().len()
                });
                decoded.sum::<usize>()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, write_and_read);
criterion_main!(benches);
