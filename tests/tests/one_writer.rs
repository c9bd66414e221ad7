//! One writer: who may write, what counts, and what an outcome was, whatever is lost on the way.
//!
//! The fault model: a process may stop between any two requests; a request may be carried out although its reply
//! is lost, or not be carried out; any number of processes may open a namespace at the same time.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code: a panic is a failed test")]

use std::sync::Arc;

use walkeep::backends::fs::FsConfig;
use walkeep::backends::{Fs, Memory};
use walkeep::core::manifest::ManifestVersion;
use walkeep::core::segment::{Compression, SegmentHeader, SegmentWriter};
use walkeep::core::{
    Backend, Body, Commit, CommitKind, Epoch, Error, FrameNo, Layout, Namespace, NativeLayout, ObjectPath,
    PageCount, PageHashTable, PageNo, PageSize, SegmentId, UnixMillis,
};
use walkeep::verify::verify;
use walkeep::{Bucket, RestorePoint, SealedSegment, Timeline, Writer};
use walkeep_tests::flaky::{Fault, Flaky};
use walkeep_tests::handles::handles;
use walkeep_tests::history::History;
use walkeep_tests::recorded::frame_no;

/// The creates of an opening before the one of its begin: the claim is sent three times at once.
const CLAIMS: usize = 3;

async fn log<B: Backend>(backend: B) -> History<B> {
    History::open(Arc::new(backend), PageSize::MIN, 3).await
}

/// Writes a transaction of one page.
fn transact<B: Backend>(log: &mut History<B>, byte: u8) {
    let before = log.commits.last().map_or(1000, |last| last.commit.time.get());
    log.fill(u32::from(byte % 4) + 1, byte);
    log.commit(4, before + 10);
}

async fn other_writer<B: Backend>(log: &History<B>, seed: u64) -> Writer {
    let (handles, _) = handles(2000, seed);
    Writer::open(&log.bucket, &log.namespace, PageSize::MIN, &handles).await.unwrap()
}

async fn timeline<B: Backend>(log: &History<B>) -> Timeline {
    Timeline::load(&log.bucket, &log.namespace).await.unwrap()
}

fn manifest_path(log: &Namespace, version: u64) -> ObjectPath {
    NativeLayout::new().unwrap().manifest(log, ManifestVersion::new(version).unwrap())
}

async fn a_takeover_fences<B: Backend>(backend: B) {
    let mut log = log(backend).await;
    transact(&mut log, 1);
    log.store().await;
    let mut new = other_writer(&log, 77).await;
    assert_eq!(new.epoch(), Epoch(2));
    assert_eq!(new.next_frame_no().unwrap(), frame_no(2));

    // The old one does not know yet. Its segment lands, but does not count.
    transact(&mut log, 2);
    let late = log.seal().unwrap();
    match log.writer.store(&late).await.unwrap_err() {
        Error::Fenced { namespace, ours, theirs } => {
            assert_eq!((namespace.as_str(), ours), ("shop", 1));
            assert!(theirs.contains("epoch 2"), "{theirs}");
        }
        other => panic!("{other}"),
    }
    assert!(matches!(log.writer.store(&late).await, Err(Error::Fenced { .. })), "and stays fenced");
    let seen = timeline(&log).await;
    assert_eq!((seen.segments().len(), seen.ignored().fenced), (1, 1));
    assert!(log.restore(RestorePoint::Latest).await.unwrap() == log.commits[0].file);
    assert!(matches!(log.restore_frame(2).await, Err(Error::Unreachable(_))));

    // The new writer's frame 2 is another one.
    std::mem::swap(&mut log.writer, &mut new);
    log.frames.truncate(1);
    log.commits.truncate(1);
    log.forget_unstored();
    transact(&mut log, 7);
    log.store().await.unwrap();
    assert!(log.restore_frame(2).await.unwrap() == log.commits[1].file);
    assert_eq!(timeline(&log).await.ignored().fenced, 1);
    let report = verify(&log.bucket, &log.namespace, true).await.unwrap();
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    assert_eq!(report.ignored.fenced, 1);
}

#[tokio::test(start_paused = true)]
async fn a_takeover_fences_the_writer_before() {
    a_takeover_fences(Memory::new()).await;
}

#[tokio::test]
async fn a_takeover_of_a_directory_fences_the_writer_before() {
    let directory = tempfile::tempdir().unwrap();
    a_takeover_fences(Fs::new(FsConfig::open(directory.path()).unwrap())).await;
}

#[tokio::test]
async fn two_instances_over_one_directory_see_each_other() {
    let directory = tempfile::tempdir().unwrap();
    let fs = || Fs::new(FsConfig::open(directory.path()).unwrap());
    let mut old = log(fs()).await;
    transact(&mut old, 1);
    old.store().await;
    let mut new = History::open(Arc::new(fs()), PageSize::MIN, 4).await;
    assert_eq!((new.writer.epoch(), new.writer.tip()), (Epoch(2), Some(&old.stored[0])));
    transact(&mut old, 2);
    let late = old.seal().unwrap();
    assert!(matches!(old.writer.store(&late).await, Err(Error::Fenced { .. })));
    assert!(new.restore(RestorePoint::Latest).await.unwrap() == old.commits[0].file);
    new.writer = other_writer(&new, 8).await;
    assert_eq!(new.writer.epoch(), Epoch(3));
}

/// The table drops an epoch in which nothing counts; a late segment of it is known not to count, like any fenced one.
#[tokio::test(start_paused = true)]
async fn a_late_segment_of_an_epoch_that_owns_nothing_is_never_used() {
    let mut log = log(Memory::new()).await;
    transact(&mut log, 1);
    let late = log.seal().unwrap();
    other_writer(&log, 77).await;
    assert!(matches!(log.writer.store(&late).await, Err(Error::Fenced { .. })));
    let seen = timeline(&log).await;
    assert!(seen.segments().is_empty());
    assert_eq!((seen.ignored().fenced, seen.ignored().unknown_epoch), (1, 0));
    assert!(matches!(log.restore(RestorePoint::Latest).await, Err(Error::Unreachable(_))));
}

/// A segment that was stored, but whose writer was cut off before it heard so, is kept by the next opening.
#[tokio::test(start_paused = true)]
async fn a_segment_stored_before_the_claim_is_kept() {
    let mut log = log(Memory::new()).await;
    transact(&mut log, 1);
    let sealed = log.seal().unwrap();
    log.put(&sealed).await;
    let new = other_writer(&log, 77).await;
    assert_eq!(new.tip(), Some(&sealed.summary.key));
    assert!(log.restore(RestorePoint::Latest).await.unwrap() == log.commits[0].file);
}

/// Stops an opening after its claim: the second manifest of two cannot be created.
async fn claim_and_stop(log: &History<Flaky<Memory>>) {
    let (handles, _) = handles(2000, 99);
    log.backend.after(CLAIMS, Fault::Refuse);
    let opened = Writer::open(&log.bucket, &log.namespace, PageSize::MIN, &handles).await;
    assert!(matches!(opened, Err(Error::Exhausted { .. })));
}

#[tokio::test(start_paused = true)]
async fn what_a_pending_opening_may_cut_off_is_not_served() {
    let mut log = log(Flaky::new(Memory::new())).await;
    transact(&mut log, 1);
    log.store().await;
    log.reopen(PageSize::MIN).await.unwrap();
    transact(&mut log, 2);
    log.store().await;
    transact(&mut log, 3);
    log.store().await;
    claim_and_stop(&log).await;

    let seen = timeline(&log).await;
    assert!(seen.manifest().is_pending());
    assert_eq!((seen.segments().len(), seen.unconfirmed().len()), (1, 2));
    for point in [
        RestorePoint::Latest,
        RestorePoint::Frame(frame_no(2)),
        RestorePoint::Frame(frame_no(3)),
        // The answer may be one that is not confirmed: it must not be the one before.
        RestorePoint::Time(log.commits[1].commit.time),
        RestorePoint::Time(UnixMillis(u64::MAX)),
    ] {
        let error = log.restore(point).await.unwrap_err();
        assert!(matches!(&error, Error::Unreachable(_)), "{point}: {error}");
        assert!(error.to_string().contains("opening"), "{point}: {error}");
    }
    // Below the begin of the epoch before, nothing can be cut off.
    assert!(log.restore_frame(1).await.unwrap() == log.commits[0].file);
    let report = verify(&log.bucket, &log.namespace, true).await.unwrap();
    assert_eq!((report.unconfirmed, report.segments), (2, 1));

    // The writer before is fenced although the opening never ended.
    transact(&mut log, 4);
    let late = log.seal().unwrap();
    assert!(matches!(log.writer.store(&late).await, Err(Error::Fenced { .. })));
}

#[tokio::test(start_paused = true)]
async fn an_opening_that_was_cut_short_is_settled_by_the_next() {
    let mut log = log(Flaky::new(Memory::new())).await;
    transact(&mut log, 1);
    log.store().await;
    claim_and_stop(&log).await;
    claim_and_stop(&log).await;
    log.reopen(PageSize::MIN).await.unwrap();
    assert_eq!(log.writer.epoch(), Epoch(4));
    let seen = timeline(&log).await;
    assert!(!seen.manifest().is_pending());
    // Claims that never began leave nothing in the table.
    let epochs: Vec<Epoch> = seen.manifest().epochs().iter().map(|entry| entry.epoch).collect();
    assert_eq!(epochs, [Epoch(1), Epoch(4)]);
    assert!(log.restore(RestorePoint::Latest).await.unwrap() == log.commits[0].file);
    transact(&mut log, 2);
    log.store().await;
    assert!(log.restore(RestorePoint::Latest).await.unwrap() == log.commits[1].file);
}

/// A new namespace whose first opening was cut short has no commits, and can be opened.
#[tokio::test(start_paused = true)]
async fn a_namespace_whose_first_opening_was_cut_short_can_be_opened() {
    let backend = Arc::new(Flaky::new(Memory::new()));
    let bucket = Bucket::new(Arc::clone(&backend), None).unwrap();
    let namespace = Namespace::new("shop").unwrap();
    backend.after(CLAIMS, Fault::Refuse);
    let (handles, _) = handles(1000, 1);
    assert!(Writer::open(&bucket, &namespace, PageSize::MIN, &handles).await.is_err());
    let writer = Writer::open(&bucket, &namespace, PageSize::MIN, &handles).await.unwrap();
    assert_eq!((writer.epoch(), writer.tip()), (Epoch(2), None));
}

/// A store says `Unknown` of what is there and may not stay. Reading it back proves nothing: it is passed on.
#[tokio::test(start_paused = true)]
async fn an_outcome_that_reading_does_not_tell_is_passed_on() {
    for at in [0, CLAIMS] {
        let backend = Arc::new(Flaky::new(Memory::new()));
        let bucket = Bucket::new(Arc::clone(&backend), None).unwrap();
        backend.after(at, Fault::ApplyThenUnknown);
        let (handles, _) = handles(1000, 1);
        let opened = Writer::open(&bucket, &"a".parse().unwrap(), PageSize::MIN, &handles).await;
        assert!(matches!(opened, Err(Error::Unknown { .. })), "{at}: {opened:?}");
    }
    let mut log = log(Flaky::new(Memory::new())).await;
    log.backend.after(0, Fault::ApplyThenUnknown);
    transact(&mut log, 1);
    let sealed = log.seal().unwrap();
    assert!(matches!(log.writer.store(&sealed).await, Err(Error::Unknown { .. })));
}

/// Each of the creates of opening and storing in turn is carried out, but its reply is lost.
#[tokio::test(start_paused = true)]
async fn lost_replies_are_resolved() {
    for fault in [Fault::ApplyThenUnavailable, Fault::ApplyThenExists, Fault::Unavailable] {
        for at in 0..CLAIMS + 3 {
            let backend = Flaky::new(Memory::new());
            backend.after(at, fault);
            let mut log = log(backend).await;
            transact(&mut log, 1);
            log.store().await;
            transact(&mut log, 2);
            log.store().await;
            assert!(!log.backend.is_armed(), "{fault:?} at {at} did not happen");
            assert_eq!(log.writer.epoch(), Epoch(1), "{fault:?} at {at}: it has fenced itself");
            assert!(
                log.restore(RestorePoint::Latest).await.unwrap() == log.commits[1].file,
                "{fault:?} at {at}"
            );
            let report = verify(&log.bucket, &log.namespace, true).await.unwrap();
            assert!(report.problems.is_empty(), "{fault:?} at {at}: {:?}", report.problems);
            assert_eq!(report.segments, 2);
        }
    }
}

/// Nobody answers for as long as anybody waits: the outcome is unknown, and the same segment again settles it.
#[tokio::test(start_paused = true)]
async fn a_segment_whose_outcome_is_unknown_is_stored_by_repeating_the_call() {
    let mut log = log(Flaky::new(Memory::new())).await;
    transact(&mut log, 1);
    let sealed = log.seal().unwrap();
    log.backend.always(Some(Fault::Unavailable));
    let error = log.writer.store(&sealed).await.unwrap_err();
    assert!(matches!(error, Error::Unknown { .. }), "{error}");
    log.backend.always(None);
    assert_eq!(log.writer.store(&sealed).await.unwrap(), frame_no(1));
    assert!(log.restore(RestorePoint::Latest).await.unwrap() == log.commits[0].file);
}

/// The rule that keeps two histories out of one epoch: what may be stored already is not cut anew.
#[tokio::test(start_paused = true)]
async fn another_segment_in_place_of_one_whose_outcome_is_unknown_is_refused() {
    let mut log = log(Flaky::new(Memory::new())).await;
    transact(&mut log, 1);
    let sealed = log.seal().unwrap();
    log.backend.always(Some(Fault::Unavailable));
    assert!(matches!(log.writer.store(&sealed).await, Err(Error::Unknown { .. })));
    log.backend.always(None);

    log.frames.clear();
    log.commits.clear();
    log.forget_unstored();
    transact(&mut log, 2);
    transact(&mut log, 3);
    let other = log.seal().unwrap();
    assert!(matches!(log.writer.store(&other).await, Err(Error::Invalid { .. })));
    assert_eq!(log.writer.store(&sealed).await.unwrap(), frame_no(1));

    // Opening again is the other way out: then it is known whether the segment is there.
    log.reopen(PageSize::MIN).await.unwrap();
    assert_eq!(log.writer.tip(), Some(&sealed.summary.key));
}

#[tokio::test(start_paused = true)]
async fn other_content_under_the_same_name_is_refused() {
    let mut log = log(Memory::new()).await;
    transact(&mut log, 1);
    let first = log.seal().unwrap();
    log.put(&first).await;
    log.frames.clear();
    log.commits.clear();
    log.forget_unstored();
    transact(&mut log, 2);
    let second = log.seal().unwrap();
    assert_eq!(second.summary.key, first.summary.key);
    assert!(matches!(log.writer.store(&second).await, Err(Error::Corrupt(_))));
}

#[tokio::test(start_paused = true)]
async fn the_same_segment_again_is_refused_once_it_is_durable() {
    let mut log = log(Memory::new()).await;
    transact(&mut log, 1);
    let sealed = log.seal().unwrap();
    log.writer.store(&sealed).await.unwrap();
    assert!(matches!(log.writer.store(&sealed).await, Err(Error::Invalid { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_segment_that_does_not_follow_is_refused() {
    let mut log = log(Memory::new()).await;
    transact(&mut log, 1);
    let first = log.seal().unwrap();
    transact(&mut log, 2);
    let second = log.seal().unwrap();
    assert!(matches!(log.writer.store(&second).await, Err(Error::Invalid { .. })), "frame 1 comes first");
    log.writer.store(&first).await.unwrap();
    let mut other = log_of_other_page_size().await;
    transact(&mut other, 1);
    transact(&mut other, 2);
    let foreign = other.seal().unwrap();
    assert!(matches!(log.writer.store(&foreign).await, Err(Error::Invalid { .. })), "it is of another log");
    log.writer.store(&second).await.unwrap();
}

async fn log_of_other_page_size() -> History<Memory> {
    History::open(Arc::new(Memory::new()), PageSize::DEFAULT, 4).await
}

/// Times do not fall, also across writers whose clocks differ.
#[tokio::test(start_paused = true)]
async fn a_time_below_that_of_the_commit_before_the_epoch_is_refused() {
    let mut log = log(Memory::new()).await;
    log.fill(1, 1);
    log.commit(1, 5000);
    log.store().await;
    log.reopen(PageSize::MIN).await.unwrap();
    log.fill(1, 2);
    log.commit(1, 4999);
    let early = log.seal().unwrap();
    assert!(matches!(log.writer.store(&early).await, Err(Error::Invalid { .. })));
}

/// The same within an epoch: a look-up by time rests on it.
#[tokio::test(start_paused = true)]
async fn a_time_below_that_of_the_segment_before_is_refused() {
    let mut log = log(Memory::new()).await;
    log.fill(1, 1);
    log.commit(1, 5000);
    log.store().await;
    log.fill(1, 2);
    log.commit(1, 4999);
    let early = log.seal().unwrap();
    assert!(matches!(log.writer.store(&early).await, Err(Error::Invalid { .. })));
}

/// Opens a log of three segments of which some are gone, and returns the bytes of the store after that.
async fn open_with_lost(lost: &[usize], reopened: bool) {
    let mut log = log(Memory::new()).await;
    for byte in 1..=3 {
        transact(&mut log, byte);
        log.store().await;
    }
    if reopened {
        log.reopen(PageSize::MIN).await.unwrap();
    }
    for key in lost.iter().map(|at| log.stored[*at]).collect::<Vec<_>>() {
        log.delete(key).await;
    }
    let before = log.backend.objects();
    let error = log.reopen(PageSize::MIN).await.unwrap_err();
    assert!(matches!(&error, Error::Corrupt(_)), "{lost:?}: {error}");
    let (first, last) = (lost[0] + 1, lost[lost.len() - 1] + 1);
    assert!(error.to_string().contains(&format!("frames {first} to {last}")), "{error}");
    let after = log.backend.objects();
    let new: Vec<_> = after.keys().filter(|path| !before.contains_key(*path)).collect();
    let claim = manifest_path(&log.namespace, if reopened { 5 } else { 3 });
    assert_eq!(new, [&claim], "the claim and nothing else is written");
    // And again: the damage does not go away by trying.
    assert!(matches!(log.reopen(PageSize::MIN).await, Err(Error::Corrupt(_))));
}

#[tokio::test(start_paused = true)]
async fn a_hole_below_the_newest_segment_is_never_written_over() {
    open_with_lost(&[0], false).await;
    open_with_lost(&[1], false).await;
    open_with_lost(&[0, 1], false).await;
}

/// The begin of the newest epoch tells that frames below it were stored.
#[tokio::test(start_paused = true)]
async fn the_loss_of_segments_below_the_begin_of_an_epoch_is_never_written_over() {
    open_with_lost(&[2], true).await;
    open_with_lost(&[1, 2], true).await;
    open_with_lost(&[0, 1, 2], true).await;
}

#[tokio::test(start_paused = true)]
async fn another_page_size_begins_an_epoch_and_a_base() {
    let mut log = log(Memory::new()).await;
    transact(&mut log, 1);
    log.store().await;
    log.reopen(PageSize::DEFAULT).await.unwrap();
    let manifest = timeline(&log).await.manifest().clone();
    assert_eq!((manifest.last().epoch, manifest.last().page_size), (Epoch(2), PageSize::DEFAULT));
    assert_eq!((manifest.base(frame_no(1)), manifest.base(frame_no(2))), (frame_no(1), frame_no(2)));
    log.fill(1, 9);
    log.commit(1, 5000);
    log.store().await;
    assert!(log.restore_frame(1).await.unwrap() == log.commits[0].file);
    assert!(log.restore_frame(2).await.unwrap() == log.commits[1].file);
}

/// A segment of one page, for a namespace without any.
fn first_segment(writer: &Writer, byte: u8) -> SealedSegment {
    let mut table = PageHashTable::new(writer.hash_seed());
    table.resize(PageCount(1));
    table.set(PageNo::FIRST, table.seed().page(PageNo::FIRST, &[byte; 512]));
    let header = SegmentHeader {
        page_size: PageSize::MIN,
        log_id: writer.log_id(),
        segment_id: SegmentId(u128::from(byte)),
        epoch: writer.epoch(),
        level: 0,
        start: FrameNo::FIRST,
        end: FrameNo::FIRST,
        frame_count: 1,
    };
    let commit = Commit {
        frame_no: FrameNo::FIRST,
        size_after: PageCount(1),
        time: UnixMillis(u64::from(byte)),
        state: Some(table.state()),
        kind: CommitKind::Transaction,
    };
    let mut segment = SegmentWriter::new(Vec::new(), header, table.seed(), Compression::None, false).unwrap();
    segment.push(PageNo::FIRST, FrameNo::FIRST, &[byte; 512]).unwrap();
    let (bytes, summary) = segment.finish(&[commit], PageCount(1)).unwrap();
    SealedSegment { summary, body: Body::from(bytes) }
}

/// Eight processes open at once. At the end one can store, and its history is whole.
async fn race<B: Backend>(backends: Vec<B>) {
    let tasks: Vec<_> = (0_u64..)
        .zip(backends)
        .map(|(seed, backend)| {
            tokio::spawn(async move {
                let bucket = Bucket::new(Arc::new(backend), None).unwrap();
                let namespace = Namespace::new("shop").unwrap();
                let (handles, _) = handles(1000, 100 + seed);
                let opened = Writer::open(&bucket, &namespace, PageSize::MIN, &handles).await;
                (bucket, opened)
            })
        })
        .collect();
    let mut writers = Vec::new();
    let mut buckets = Vec::new();
    for task in tasks {
        let (bucket, opened) = task.await.unwrap();
        match opened {
            Ok(writer) => writers.push(writer),
            Err(error) => {
                let lost =
                    matches!(error, Error::Fenced { .. } | Error::Unavailable { .. } | Error::Unknown { .. });
                assert!(lost, "{error}");
            }
        }
        buckets.push(bucket);
    }
    let mut stored = 0;
    for (byte, mut writer) in (1..).zip(writers) {
        let sealed = first_segment(&writer, byte);
        match writer.store(&sealed).await {
            Ok(frame) => {
                assert_eq!(frame, frame_no(1));
                stored += 1;
            }
            Err(error) => assert!(matches!(error, Error::Fenced { .. }), "{error}"),
        }
    }
    let namespace = Namespace::new("shop").unwrap();
    let timeline = Timeline::load(&buckets[0], &namespace).await.unwrap();
    let pending = timeline.manifest().is_pending();
    // The last claim may be of an opening that gave up; then nobody can store.
    assert_eq!(stored, usize::from(!pending), "of {:?}", timeline.manifest());
    assert_eq!(timeline.segments().len(), stored);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_eight_openings_at_once_one_can_store() {
    for _ in 0..10 {
        let memory = Arc::new(Memory::new());
        race((0..8).map(|_| Flaky::over(Arc::clone(&memory))).collect()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_eight_openings_of_a_directory_at_once_one_can_store() {
    let directory = tempfile::tempdir().unwrap();
    race((0..8).map(|_| Fs::new(FsConfig::open(directory.path()).unwrap())).collect()).await;
}
