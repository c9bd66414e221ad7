//! How fast is a page found in an open index, by the map and by the columns?
//!
//! `cargo bench -p walkeep-benches --bench index_lookup`

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use walkeep::core::segment::{Compression, Footer, SegmentIndex};
use walkeep::core::{FrameNo, PageNo};
use walkeep_benches::{images, segment};
use walkeep_tests::handles::SeededRandom;

const PAGES: u32 = 20_000;

fn look_up(c: &mut Criterion) {
    let (bytes, summary) = segment(&images(PAGES), Compression::Lz4);
    let footer = Footer::parse("bench", &bytes, summary.len).unwrap();
    let sections = footer.sections();
    let sections = &bytes[usize::try_from(sections.start).unwrap()..usize::try_from(sections.end).unwrap()];
    let index = SegmentIndex::parse("bench", footer.clone(), sections).unwrap();
    let random = SeededRandom::new(3);
    let page = || PageNo::new(u32::try_from(random.below(u64::from(PAGES))).unwrap() + 1).unwrap();
    c.bench_function("index/find", |b| b.iter(|| black_box(index.find("bench", page()).unwrap())));
    c.bench_function("index/newest_until", |b| {
        b.iter(|| black_box(index.newest_until(page(), FrameNo::MAX)))
    });
    c.bench_function("index/open", |b| {
        b.iter(|| SegmentIndex::parse("bench", footer.clone(), sections).unwrap());
    });
}

criterion_group!(benches, look_up);
criterion_main!(benches);
