//! Exporting to libsql-wal: what is written reads back the same, by the codecs alone and by the direct reader.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code: a panic is a failed test")]

use std::collections::BTreeMap;
use std::sync::Arc;

use walkeep::backends::Memory;
use walkeep::backends::os::OsDirectory;
use walkeep::core::libsql::{DataObject, ObjectKey, ObjectKind, PageIndex};
use walkeep::core::{Error, FrameNo, PageSize};
use walkeep::libsql::{ExportOptions, Exported, export};
use walkeep::{Bucket, RestorePoint};
use walkeep_tests::handles::SeededRandom;
use walkeep_tests::history::History;
use walkeep_tests::libsql_bucket::{LibsqlBucket, restore};

type Log = History<Memory>;

async fn log() -> Log {
    History::open(Arc::new(Memory::new()), PageSize::DEFAULT, 9).await
}

async fn export_to(log: &Log, to: &LibsqlBucket) -> walkeep::Result<Exported> {
    let directory = tempfile::tempdir().unwrap();
    let options = ExportOptions {
        spool: Arc::new(OsDirectory::open(directory.path()).unwrap()),
        random: Arc::new(SeededRandom::new(1)),
    };
    let target = Bucket::new(Arc::clone(&to.memory), None).unwrap();
    export(&log.bucket, &log.namespace, &target, &to.cluster, &options).await
}

fn target(log: &Log) -> LibsqlBucket {
    LibsqlBucket { namespace: log.namespace.clone(), ..LibsqlBucket::empty() }
}

/// The data objects of a bucket, oldest first, each checked against its name and its index object.
fn objects(bucket: &LibsqlBucket) -> Vec<(ObjectKey, Vec<u8>)> {
    let objects = bucket.memory.objects();
    let folder = bucket.cluster.objects(&bucket.namespace, ObjectKind::Segment);
    let keys = objects.keys().filter_map(|path| path.below(&folder)?.parse::<ObjectKey>().ok());
    let mut keys: Vec<_> = keys.collect();
    keys.reverse();
    assert_eq!(objects.len(), keys.len() * 2, "a data object and an index object each");
    let checked = keys.into_iter().map(|key| {
        let bytes = bucket.object(ObjectKind::Segment, &key).to_vec();
        let data = DataObject::parse("data", &bytes).unwrap();
        data.header().expect_key("data", &key).unwrap();
        let index = bucket.object(ObjectKind::Index, &key);
        PageIndex::parse("index", &index).unwrap().expect_pages("index", data.pages()).unwrap();
        (key, bytes)
    });
    checked.collect()
}

/// What a reader gives that knows the codecs alone, at each end: one that cuts at every end, and one that only looks for
/// the newest image of each page.
fn independent(bucket: &LibsqlBucket) -> BTreeMap<FrameNo, [Vec<u8>; 2]> {
    let (mut cut, mut newest) = (Vec::new(), Vec::new());
    let mut files = BTreeMap::new();
    let mut next = FrameNo::FIRST;
    for (key, bytes) in objects(bucket) {
        assert_eq!(key.start(), next, "segments join");
        next = key.end().next().unwrap();
        let data = DataObject::parse("data", &bytes).unwrap();
        let len = data.header().size_after.as_usize() * 4096;
        cut.resize(len, 0);
        newest.resize(len.max(newest.len()), 0);
        for frame in data.frames() {
            let at = frame.page.index() * 4096;
            cut[at..at + 4096].copy_from_slice(frame.image);
            newest[at..at + 4096].copy_from_slice(frame.image);
        }
        files.insert(key.end(), [cut.clone(), newest[..len].to_vec()]);
    }
    files
}

/// Whether both readers, and our own, give the database of the source at these ends.
async fn reads_back(log: &Log, bucket: &LibsqlBucket, ends: &[FrameNo]) {
    let files = independent(bucket);
    assert_eq!(files.keys().copied().collect::<Vec<_>>(), ends);
    for (end, [cut, newest]) in files {
        let point = RestorePoint::Frame(end);
        let (_, expected) = restore(&log.bucket, &log.namespace, point).await.unwrap();
        assert!(cut == expected, "frame {end}, cut at every end");
        assert!(newest == expected, "frame {end}, newest images");
        let (_, direct) = bucket.restore(point).await.unwrap();
        assert!(direct == expected, "frame {end}, our own reader");
    }
}

/// Stores what is open as one segment; its end.
async fn stored(log: &mut Log, size: u32, time: u64) -> FrameNo {
    let end = log.commit(size, time);
    log.store().await;
    end
}

#[tokio::test]
async fn every_segment_end_reads_back_and_exporting_again_changes_nothing() {
    let mut log = log().await;
    let mut ends = Vec::new();
    for page in 1..=6 {
        log.fill(page, 10 + u8::try_from(page).unwrap());
    }
    ends.push(stored(&mut log, 6, 1000).await);
    // A shrink, and growth over a page whose image is then zeros; two commits in one segment.
    log.fill(1, 20);
    ends.push(stored(&mut log, 2, 2000).await);
    log.fill(1, 30);
    log.commit(3, 2500);
    log.fill(2, 31);
    log.fill(6, 16);
    log.fill(4, 0);
    log.fill(1, 32);
    log.fill(3, 33);
    ends.push(stored(&mut log, 6, 3000).await);
    let bucket = target(&log);
    let exported = export_to(&log, &bucket).await.unwrap();
    assert_eq!((exported.segments_written, exported.ends_merged), (3, 0));
    assert_eq!(exported.frame_no, ends.last().copied());
    reads_back(&log, &bucket, &ends).await;

    let before = bucket.memory.objects();
    let again = export_to(&log, &bucket).await.unwrap();
    assert_eq!((again.segments_written, again.segments_found), (0, 3));
    assert_eq!(bucket.memory.objects(), before);
    log.fill(2, 40);
    ends.push(stored(&mut log, 6, 4000).await);
    let more = export_to(&log, &bucket).await.unwrap();
    assert_eq!((more.segments_written, more.segments_found), (1, 3));
    reads_back(&log, &bucket, &ends).await;
}

/// A data object holds no more images than its range has frames.
#[tokio::test]
async fn an_end_that_has_no_form_is_merged_into_the_next() {
    let mut log = log().await;
    for page in 1..=6 {
        log.fill(page, 7);
    }
    let first = stored(&mut log, 6, 1000).await;
    log.fill(1, 8);
    let second = stored(&mut log, 1, 2000).await;
    // Five pages come back as zeros, with one frame.
    log.fill(1, 9);
    stored(&mut log, 6, 3000).await;
    for page in 2..=6 {
        log.fill(page, 10);
    }
    let last = stored(&mut log, 6, 4000).await;
    let bucket = target(&log);
    assert_eq!(export_to(&log, &bucket).await.unwrap().ends_merged, 1);
    reads_back(&log, &bucket, &[first, second, last]).await;
}

#[tokio::test]
async fn another_log_in_the_way_is_refused_and_left_alone() {
    let mut log = log().await;
    log.fill(1, 1);
    stored(&mut log, 1, 1000).await;
    for (end, time) in [(1, 1000), (1, 999), (9, 1000)] {
        let bucket = target(&log);
        bucket.add(1, end, time, 1, &[(1, 99)]);
        let before = bucket.memory.objects();
        let error = export_to(&log, &bucket).await.unwrap_err();
        assert!(matches!(error, Error::AlreadyExists { .. }), "{error}");
        assert_eq!(bucket.memory.objects(), before);
    }
}

#[tokio::test]
async fn other_page_sizes_are_refused() {
    let mut log: Log = History::open(Arc::new(Memory::new()), PageSize::MIN, 9).await;
    log.fill(1, 1);
    stored(&mut log, 1, 1000).await;
    let error = export_to(&log, &target(&log)).await.unwrap_err();
    assert!(error.to_string().contains("pages of 4096 only"), "{error}");
}
