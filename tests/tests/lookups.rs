//! What looking up costs in requests, and that the answer is right.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code: a panic is a failed test")]

use std::sync::Arc;

use bytes::Bytes;
use walkeep::backends::metered::Requests;
use walkeep::backends::{Memory, Metered};
use walkeep::core::segment::{Compression, SegmentHeader, SegmentWriter};
use walkeep::core::{
    Commit, CommitKind, Epoch, Error, FrameNo, PageCount, PageNo, PageSize, SegmentId, SegmentKey,
    StateChecksum, UnixMillis,
};
use walkeep::{DATABASE_BYTES_MAX, Fencing, RestorePoint, Timeline, View, locate};
use walkeep_tests::handles::SeededRandom;
use walkeep_tests::history::History;
use walkeep_tests::recorded::{Recorded, frame_no, page_no};
use walkeep_tests::scenario::{Step, run};

type Log = History<Metered<Memory>>;

async fn log() -> Log {
    History::open(Arc::new(Metered::new(Memory::new())), PageSize::MIN, 9).await
}

/// What a call costs.
async fn cost<T>(log: &Log, call: impl Future<Output = T>) -> (T, Requests) {
    let before = log.backend.requests();
    let done = call.await;
    (done, log.backend.requests().since(&before))
}

#[tokio::test]
async fn storing_a_segment_is_one_put_and_one_get() {
    let mut log = log().await;
    for byte in 1..=5 {
        log.fill(1, byte);
        log.commit(1, 1000 + u64::from(byte));
        let sealed = log.seal().unwrap();
        let before = log.backend.requests();
        log.writer.store(&sealed).await.unwrap();
        let spent = log.backend.requests().since(&before);
        assert_eq!((spent.puts, spent.gets, spent.total()), (1, 1, 2), "{spent:?}");
        assert_eq!(spent.bytes_written, sealed.body.len());
        assert_eq!(spent.bytes_read, 0, "there is no newer manifest");
    }
}

/// Opening is two manifests, each looked for first, and two looks at the segments: for lost manifests, and for the end.
/// The first manifest is sent three times at once, which tries out whether the store can fence.
#[tokio::test]
async fn opening_is_a_handful_of_requests() {
    let mut log = log().await;
    log.fill(1, 1);
    log.commit(1, 1000);
    log.store().await;
    let before = log.backend.requests();
    log.reopen(PageSize::MIN).await.unwrap();
    let spent = log.backend.requests().since(&before);
    assert_eq!((spent.puts, spent.deletes), (4, 0));
    assert!(spent.total() <= 10, "{spent:?}");

    log.bucket = log.bucket.with_fencing(Fencing::Unfenced);
    let before = log.backend.requests();
    log.reopen(PageSize::MIN).await.unwrap();
    let spent = log.backend.requests().since(&before);
    assert_eq!((spent.puts, spent.deletes), (2, 0));
    assert!(spent.total() <= 8, "{spent:?}");
}

/// A namespace of very many raw segments, most of them names only: their content is made when a test needs it.
struct Many {
    log: Log,
    /// Raw segments, oldest first.
    raw: Vec<SegmentKey>,
}

const FRAMES_EACH: u64 = 10;

/// The time of a commit. Each time is that of three segments.
const fn time_of(segment: u64) -> u64 {
    10_000 + segment / 3 * 10
}

impl Many {
    /// Segments of `FRAMES_EACH` frames each, in epochs of `per_epoch` of them.
    async fn new(count: u64, per_epoch: u64, frames_each: u64) -> Self {
        let mut log = log().await;
        let mut raw = Vec::new();
        for at in 0..count {
            if at > 0 && at.is_multiple_of(per_epoch) {
                log.writer = walkeep::Writer::open(&log.bucket, &log.namespace, PageSize::MIN, &log.handles)
                    .await
                    .unwrap();
            }
            let (start, end) = (frame_no(at * frames_each + 1), frame_no((at + 1) * frames_each));
            let time = UnixMillis(time_of(at));
            let key = SegmentKey::new(log.writer.epoch(), start, end, time, 0).unwrap();
            log.backend.inner().replace(&log.path(&key), Bytes::new());
            raw.push(key);
        }
        log.stored = raw.clone();
        Self { log, raw }
    }

    /// Names a compacted segment that covers everything up to a raw one.
    fn compact_until(&self, segment: usize) -> SegmentKey {
        let last = self.raw[segment];
        let key = SegmentKey::new(last.epoch(), FrameNo::FIRST, last.end(), last.time(), 1).unwrap();
        self.log.backend.inner().replace(&self.log.path(&key), Bytes::new());
        key
    }

    /// Gives a segment its content: one page.
    fn fill(&self, key: &SegmentKey) {
        let header = SegmentHeader {
            page_size: PageSize::MIN,
            log_id: self.log.writer.log_id(),
            segment_id: SegmentId(1),
            epoch: key.epoch(),
            level: key.level(),
            start: key.start(),
            end: key.end(),
            frame_count: 1,
        };
        let commit = Commit {
            frame_no: key.end(),
            size_after: PageCount(1),
            time: key.time(),
            state: Some(StateChecksum(1)),
            kind: CommitKind::Transaction,
        };
        let seed = self.log.writer.hash_seed();
        let mut writer = SegmentWriter::new(Vec::new(), header, seed, Compression::None, false).unwrap();
        writer.push(PageNo::FIRST, key.end(), &[1; 512]).unwrap();
        let (bytes, _) = writer.finish(&[commit], PageCount(1)).unwrap();
        self.log.backend.inner().replace(&self.log.path(key), bytes.into());
    }

    /// The last segment at or before a time.
    fn at(&self, time: u64) -> Option<usize> {
        self.raw.partition_point(|key| key.time().get() <= time).checked_sub(1)
    }

    /// Looks a time up, and checks the answer and what it cost.
    async fn check(&self, time: u64, lists_max: u64) {
        let answer = self.at(time);
        let behind = self.raw.get(answer.map_or(0, |at| at + 1));
        if let Some(behind) = behind {
            self.fill(behind);
        }
        let point = RestorePoint::Time(UnixMillis(time));
        let (located, spent) = cost(&self.log, locate(&self.log.bucket, &self.log.namespace, point)).await;
        match answer {
            Some(at) => {
                let located = located.unwrap();
                assert_eq!(located.frame_no, self.raw[at].end(), "time {time}");
                assert!(spent.lists <= lists_max, "time {time}: {spent:?}");
                // The manifest, and the segment behind the answer.
                assert!(spent.gets <= 2, "time {time}: {spent:?}");
            }
            None => assert!(matches!(located, Err(Error::Unreachable(_))), "time {time}"),
        }
    }

    /// The times around every edge, and many between.
    async fn check_many(&self, lists_max: u64) {
        let last = time_of(self.raw.len() as u64 - 1);
        for time in [0, 9999, 10_000, 10_001, 10_010, last - 1, last, last + 1, u64::MAX] {
            self.check(time, lists_max).await;
        }
        let random = SeededRandom::new(4);
        for _ in 0..150 {
            self.check(10_000 + random.below(last - 10_000), lists_max).await;
        }
    }
}

/// With a compacted segment now and then, so that what is to be restored is listed in one page.
#[tokio::test]
async fn a_time_among_a_hundred_thousand_segments_takes_at_most_12_listings() {
    let many = Many::new(100_000, u64::MAX, 1).await;
    for at in (0..100_000).step_by(400) {
        many.compact_until(at);
    }
    many.check_many(12).await;
}

#[tokio::test]
async fn a_time_among_a_million_frames_in_several_epochs_takes_few_listings() {
    let many = Many::new(100_000, 17_000, FRAMES_EACH).await;
    for at in (0..100_000).step_by(400) {
        many.compact_until(at);
    }
    // log2(1,000,000 / 1000) and 2 for the time; the manifest twice, the answer's bound, and its cover.
    many.check_many(10 + 2 + 3).await;
    // Around the edges of epochs.
    for edge in (17_000..100_000).step_by(17_000) {
        for time in time_of(edge) - 11..=time_of(edge) + 11 {
            many.check(time, 15).await;
        }
    }
}

#[tokio::test]
async fn the_newest_commit_behind_one_compacted_segment_is_one_page_of_names() {
    let many = Many::new(100_000, u64::MAX, 1).await;
    many.compact_until(99_900);
    let point = RestorePoint::Latest;
    let (located, spent) = cost(&many.log, locate(&many.log.bucket, &many.log.namespace, point)).await;
    let located = located.unwrap();
    assert_eq!(located.frame_no, frame_no(100_000));
    // The manifest's name, the segments, and whether the manifest still is the newest.
    assert_eq!((spent.lists, spent.gets, spent.total()), (3, 1, 4), "{spent:?}");
    assert_eq!(located.timeline.cover(frame_no(100_000)).unwrap().len(), 100);
}

/// A frame is found whether segments end at it or hold it.
#[tokio::test]
async fn a_frame_among_many_segments_is_found_with_few_listings() {
    let many = Many::new(20_000, 7000, FRAMES_EACH).await;
    for at in (0..20_000).step_by(400) {
        many.compact_until(at);
    }
    let random = SeededRandom::new(5);
    for _ in 0..200 {
        let frame = frame_no(random.below(200_000) + 1);
        let point = RestorePoint::Frame(frame);
        let (located, spent) = cost(&many.log, locate(&many.log.bucket, &many.log.namespace, point)).await;
        let located = located.unwrap();
        let first = located.timeline.cover(frame).unwrap()[0];
        assert!(first.key.includes(frame));
        assert_eq!(first.key.level() > 0, first.key.start() == FrameNo::FIRST && first.key.end().get() > 10);
        assert!(spent.lists <= 6, "{spent:?}");
    }
    let behind = RestorePoint::Frame(frame_no(200_001));
    let error = locate(&many.log.bucket, &many.log.namespace, behind).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable(_)), "{error}");
}

/// An index larger than what is fetched of it at once: two requests, one for the page; then one a page.
#[tokio::test]
async fn a_cold_page_takes_three_requests_and_the_next_ones_one() {
    let mut log = log().await;
    log.compression = Compression::None;
    for page in 1..=4000 {
        log.fill(page, u8::try_from(page % 251).unwrap());
    }
    log.commit(4000, 1000);
    log.store().await;
    let timeline = Timeline::load(&log.bucket, &log.namespace).await.unwrap();
    let before = log.backend.requests();
    let view = View::at(&log.bucket, &timeline, frame_no(4000), DATABASE_BYTES_MAX).await.unwrap();
    view.page(page_no(1234)).await.unwrap();
    let spent = log.backend.requests().since(&before);
    assert_eq!((spent.gets, spent.total()), (3, 3), "{spent:?}");
    for page in [1, 77, 4000] {
        let (image, spent) = cost(&log, view.page(page_no(page))).await;
        assert!(image.unwrap() == log.commits[0].page(page_no(page)));
        assert_eq!((spent.gets, spent.total()), (1, 1), "{spent:?}");
    }
}

#[tokio::test]
async fn a_page_of_a_small_segment_takes_one_request_and_no_more() {
    let mut log = log().await;
    for page in 1..=20 {
        log.fill(page, 7);
    }
    log.commit(20, 1000);
    log.store().await;
    let timeline = Timeline::load(&log.bucket, &log.namespace).await.unwrap();
    let (view, spent) = cost(&log, View::at(&log.bucket, &timeline, frame_no(20), DATABASE_BYTES_MAX)).await;
    assert_eq!(spent.total(), 1);
    let view = view.unwrap();
    let (pages, spent) = cost(&log, async {
        for page in 1..=20 {
            view.page(page_no(page)).await.unwrap();
        }
    })
    .await;
    assert_eq!((pages, spent.total()), ((), 0), "they came with the index");
}

/// What the answer to a time is, if everything is known: the last commit at or before it, unless the one behind it
/// says that what was between is unknown.
fn answer(commits: &[Recorded], time: u64) -> Option<&Recorded> {
    let at = commits.partition_point(|recorded| recorded.commit.time.get() <= time);
    let answer = commits.get(at.checked_sub(1)?)?;
    let gap = commits.get(at).is_some_and(|next| next.commit.kind == CommitKind::Discontinuous);
    (!gap || answer.commit.time.get() == time).then_some(answer)
}

async fn check_times(log: &History<Memory>, seed: u64) {
    let stored = log.stored.iter().map(|key| key.end()).max();
    // What was lost at the very end cannot be known, unless a later epoch tells.
    let commits = log.commits.iter().filter(|recorded| Some(recorded.commit.frame_no) <= stored);
    let commits: Vec<Recorded> = commits.cloned().collect();
    let timeline = Timeline::load(&log.bucket, &log.namespace).await.unwrap();
    let begun = timeline.manifest().last_begin().map_or(1, FrameNo::get);
    let short = stored.map_or(0, FrameNo::get) + 1 < begun;
    let last = commits.last().map_or(1000, |last| last.commit.time.get());
    for time in 998..=last + 2 {
        let expected = answer(&commits, time);
        let raw_is_whole = log.commits.iter().all(|recorded| {
            log.stored.iter().any(|key| key.level() == 0 && key.includes(recorded.commit.frame_no))
        });
        match locate(&log.bucket, &log.namespace, RestorePoint::Time(UnixMillis(time))).await {
            Ok(located) => {
                let expected = expected.map(|recorded| recorded.commit.frame_no);
                assert_eq!(Some(located.frame_no), expected, "seed {seed}, time {time}");
                assert!(!short || time < last, "seed {seed}, time {time}: what is lost may be the answer");
            }
            Err(Error::Unreachable(error)) => {
                assert!(expected.is_none() || !raw_is_whole, "seed {seed}, time {time}: {error}");
            }
            Err(error) => panic!("seed {seed}, time {time}: {error}"),
        }
    }
}

/// Raw, compacted, overlapping, deleted, in several epochs, with equal times and gaps: never a wrong answer, and
/// never none where the raw segments are there.
#[test]
fn times_in_random_histories_are_answered_as_by_reading_all_commits() {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_time().start_paused(true).build().unwrap();
    for seed in 10_000..11_000 {
        let steps = Step::sequence(seed, seed % 2 == 0);
        runtime.block_on(async { check_times(&run(seed, &steps).await, seed).await });
    }
}

async fn small() -> History<Memory> {
    let mut log = History::open(Arc::new(Memory::new()), PageSize::MIN, 2).await;
    for (byte, time) in [(1, 1000), (2, 1010), (3, 1010), (4, 1020)] {
        log.fill(1, byte);
        log.commit(1, time);
        log.store().await;
    }
    log
}

async fn at(log: &History<Memory>, time: u64) -> Result<u64, Error> {
    let located = locate(&log.bucket, &log.namespace, RestorePoint::Time(UnixMillis(time))).await?;
    Ok(located.frame_no.get())
}

#[tokio::test]
async fn equal_times_are_answered_with_the_last() {
    let log = small().await;
    assert_eq!(at(&log, 1009).await.unwrap(), 1);
    assert_eq!(at(&log, 1010).await.unwrap(), 3);
    assert_eq!(at(&log, 1019).await.unwrap(), 3);
    assert_eq!(at(&log, u64::MAX).await.unwrap(), 4);
    assert!(matches!(at(&log, 999).await, Err(Error::Unreachable(_))));
}

/// Between two commits that a compaction merged, and right before: which was the last one is not known any more.
#[tokio::test]
async fn a_time_whose_successor_is_not_known_is_unreachable_with_both_neighbours() {
    let mut log = small().await;
    log.compact(2, 4, 1).await;
    for at in (1..4).rev() {
        log.delete(log.stored[at]).await;
    }
    for time in [1000, 1010, 1019] {
        match at(&log, time).await.unwrap_err() {
            Error::Unreachable(error) => {
                assert_eq!(error.before.unwrap().frame_no, frame_no(1), "{time}: {error}");
                assert_eq!(error.after.unwrap().frame_no, frame_no(4), "{time}: {error}");
            }
            other => panic!("{other}"),
        }
    }
    assert_eq!(at(&log, 1020).await.unwrap(), 4);
}

#[tokio::test]
async fn a_time_strictly_inside_a_gap_is_unreachable() {
    let mut log = small().await;
    log.fill(1, 5);
    log.commit_as(CommitKind::Discontinuous, 1, 1030);
    log.fill(1, 6);
    log.commit_as(CommitKind::Snapshot, 1, 1040);
    log.store().await;
    assert_eq!(at(&log, 1020).await.unwrap(), 4);
    assert!(matches!(at(&log, 1021).await, Err(Error::Unreachable(_))));
    assert!(matches!(at(&log, 1029).await, Err(Error::Unreachable(_))));
    assert_eq!(at(&log, 1030).await.unwrap(), 5);
    assert_eq!(at(&log, 1039).await.unwrap(), 5, "between captures: the earlier one");
    assert_eq!(at(&log, 1040).await.unwrap(), 6);
}

/// The newest segment of an epoch is lost, and the epoch behind it has none: what is lost may be the answer.
#[tokio::test(start_paused = true)]
async fn a_time_behind_which_commits_are_lost_is_unreachable() {
    let mut log = small().await;
    log.reopen(PageSize::MIN).await.unwrap();
    assert_eq!(log.writer.epoch(), Epoch(2));
    log.delete(log.stored[3]).await;
    for time in [1010, 1015, 2000] {
        match at(&log, time).await.unwrap_err() {
            Error::Unreachable(error) => {
                assert_eq!(error.missing, Some(frame_no(4)..=frame_no(4)), "{error}")
            }
            other => panic!("{other}"),
        }
    }
    assert_eq!(at(&log, 1005).await.unwrap(), 1);
}
