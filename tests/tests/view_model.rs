//! What a view shows, against a copy of the database that was made at each commit.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code: a panic is a failed test")]

use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};
use proptest::prelude::*;
use walkeep::backends::Memory;
use walkeep::core::{Error, PageCount, PageNo, PageSize};
use walkeep::verify::verify;
use walkeep::{RestorePoint, Timeline, history};
use walkeep_tests::history::{History, restore};
use walkeep_tests::memory_target::MemoryTarget;
use walkeep_tests::recorded::{Recorded, frame_no, page_no};
use walkeep_tests::scenario::{PAGE_MAX, Step, run};

fn block_on<T>(work: impl Future<Output = T>) -> T {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_time().start_paused(true).build().unwrap().block_on(work)
}

/// Everything that a view of this commit says is what the copy says.
async fn check_commit(log: &History<Memory>, at: usize) {
    let recorded = &log.commits[at];
    let frame = recorded.commit.frame_no;
    let view = log.view(RestorePoint::Frame(frame)).await.unwrap();
    assert_eq!(*view.commit(), recorded.commit);
    assert_eq!(view.page_size(), recorded.page_size);

    let (file, restored) = restore(&view).await.unwrap();
    assert!(file == recorded.file, "the restored file at frame {frame} differs");
    assert!(restored.verified);
    assert_eq!(Some(restored.state), recorded.commit.state);

    let hashes = view.page_hashes().unwrap();
    assert_eq!(hashes.size(), recorded.commit.size_after);
    let pages: Vec<_> = view.pages().try_collect().await.unwrap();
    assert_eq!(pages.len(), recorded.commit.size_after.as_usize());
    for (number, (page, image)) in (1..).zip(pages) {
        assert_eq!(page, page_no(number));
        assert!(image == recorded.page(page), "page {page} at frame {frame} differs");
        assert!(view.page(page).await.unwrap() == image);
        assert_eq!(hashes.get(page), log.writer.hash_seed().page(page, &image));
    }
    let beyond = page_no(recorded.commit.size_after.get() + 1);
    assert!(matches!(view.page(beyond).await, Err(Error::Invalid { .. })));

    for other in [0, at / 2, at.saturating_sub(1)].map(|other| &log.commits[other]) {
        if other.page_size == recorded.page_size && log.is_reachable(other) {
            let older = log.view(RestorePoint::Frame(other.commit.frame_no)).await.unwrap();
            assert_eq!(view.changed_since(&older).unwrap(), recorded.changed_since(other));
            assert_eq!(older.changed_since(&view).unwrap(), recorded.changed_since(other));
        }
    }
}

/// A commit that the stored segments do not lead to is an error that says so.
async fn check_unreachable(log: &History<Memory>, recorded: &Recorded) {
    let error = log.view(RestorePoint::Frame(recorded.commit.frame_no)).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable(_)), "{error}");
}

/// Every commit, the newest, what is said to be restorable, and what a verification finds.
async fn check_all(log: &History<Memory>) {
    let timeline = Timeline::load(&log.bucket, &log.namespace).await.unwrap();
    let ranges = timeline.restorable();
    let mut listed = Vec::new();
    for (at, recorded) in log.commits.iter().enumerate() {
        let frame = recorded.commit.frame_no;
        let reachable = log.is_reachable(recorded);
        let promised = ranges.iter().any(|range| range.contains(&frame));
        assert_eq!(promised, reachable, "frame {frame} of {ranges:?}");
        if reachable {
            listed.push(recorded.commit);
            check_commit(log, at).await;
        } else {
            check_unreachable(log, recorded).await;
        }
    }
    listed.reverse();
    let logged: Vec<_> = history(&log.bucket, &timeline).map_ok(|l| l.commit).try_collect().await.unwrap();
    assert_eq!(logged, listed);
    assert_eq!(timeline.durable_frame_no(), listed.first().map(|commit| commit.frame_no));

    let newest = log.stored.iter().map(|key| key.end()).max();
    let newest = log.commits.iter().find(|recorded| Some(recorded.commit.frame_no) == newest);
    let begun = timeline.manifest().last_begin().map_or(1, |begin| begin.get());
    let short = newest.map_or(0, |recorded| recorded.commit.frame_no.get()) + 1 < begun;
    match newest.filter(|newest| log.is_reachable(newest) && !short) {
        Some(newest) => assert!(log.restore(RestorePoint::Latest).await.unwrap() == newest.file),
        None => {
            let error = log.restore(RestorePoint::Latest).await.unwrap_err();
            assert!(matches!(error, Error::Unreachable(_)), "{error}");
        }
    }

    let ends_are_reachable = log.stored.iter().all(|key| {
        log.commits.iter().any(|recorded| recorded.commit.frame_no == key.end() && log.is_reachable(recorded))
    });
    let report = verify(&log.bucket, &log.namespace, true).await.unwrap();
    assert_eq!(report.problems.is_empty(), ends_are_reachable && !short, "{:?}", report.problems);
    assert_eq!(report.segments, log.stored.len());
}

#[test]
fn every_commit_of_thousands_of_random_histories_is_restored_exactly() {
    for seed in 0..1500 {
        let steps = Step::sequence(seed, seed % 3 == 2);
        let checked =
            std::panic::catch_unwind(|| block_on(async { check_all(&run(seed, &steps).await).await }));
        assert!(checked.is_ok(), "seed {seed} failed: {steps:?}");
    }
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        10 => (0..PAGE_MAX, 0..4_u8).prop_map(|(page, fill)| Step::Write { page, fill }),
        5 => (proptest::option::of(0..=PAGE_MAX), 0..3_u8, any::<bool>())
            .prop_map(|(size, later, discontinuous)| Step::Commit { size, later, discontinuous }),
        3 => Just(Step::Store),
        1 => any::<bool>().prop_map(|resize| Step::Reopen { resize }),
        2 => (0..8_u8, 0..8_u8).prop_map(|(first, last)| Step::Compact { first, last }),
        1 => (0..16_u8).prop_map(|which| Step::Delete { which }),
    ]
}

proptest! {
    // A failure is kept as a test of its own, with its story, not as a number in a file.
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_commit_of_a_generated_history_is_restored_exactly(
        seed in 0..3_u64,
        steps in proptest::collection::vec(any_step(), 1..40),
    ) {
        block_on(async { check_all(&run(seed, &steps).await).await });
    }
}

async fn new_log() -> History<Memory> {
    History::open(Arc::new(Memory::new()), PageSize::MIN, 1).await
}

fn page_of(file: &[u8], page: u32) -> &[u8] {
    &file[(page as usize - 1) * 512..page as usize * 512]
}

/// The story of rule 1: page 9 is written at 10 pages, a shrink to 5 hides it, and growth must not bring it back.
#[tokio::test]
async fn an_image_hidden_by_a_shrink_is_zeros_after_growth() {
    for apart in [false, true] {
        let mut log = new_log().await;
        for (page, size, time) in [(9, 10, 1), (1, 5, 2), (1, 10, 3)] {
            log.fill(page, 9);
            log.commit(size, time);
            if apart {
                log.store().await;
            }
        }
        log.store().await;
        let file = log.restore(RestorePoint::Latest).await.unwrap();
        assert_eq!(page_of(&file, 9), [0; 512], "in segments of their own: {apart}");
        let view = log.view(RestorePoint::Latest).await.unwrap();
        assert_eq!(view.page(page_no(9)).await.unwrap(), [0; 512][..]);
        assert_eq!(
            page_of(&log.restore_frame(1).await.unwrap(), 9),
            [9; 512],
            "before the shrink it was there"
        );
        check_all(&log).await;
    }
}

/// The smallest size of the segment is 5, but page 9 was written after that.
#[tokio::test]
async fn an_image_written_after_the_growth_is_visible_although_the_smallest_size_is_lower() {
    for apart in [false, true] {
        let mut log = new_log().await;
        for (page, size, time) in [(9, 10, 1), (1, 5, 2), (9, 10, 3), (2, 10, 4)] {
            log.fill(page, u8::try_from(time).unwrap());
            log.commit(size, time);
            if apart {
                log.store().await;
            }
        }
        log.store().await;
        assert_eq!(page_of(&log.restore(RestorePoint::Latest).await.unwrap(), 9), [3; 512]);
        check_all(&log).await;
    }
}

/// A transaction may write a page and cut it off itself.
#[tokio::test]
async fn an_image_that_its_own_commit_cuts_off_is_not_visible() {
    let mut log = new_log().await;
    log.fill(9, 1);
    log.commit(10, 1);
    log.fill(9, 2);
    log.commit(5, 2);
    log.fill(1, 3);
    log.commit(10, 3);
    log.store().await;
    assert_eq!(page_of(&log.restore_frame(3).await.unwrap(), 9), [0; 512]);
    check_all(&log).await;
}

/// Rule 3: where the newest image is hidden, the one before it, in an older segment, must not show through.
#[tokio::test]
async fn a_hidden_image_ends_the_search_for_its_page() {
    let mut log = new_log().await;
    log.fill(9, 1);
    log.commit(10, 1);
    log.store().await;
    // In one segment: written, hidden, grown again. The index of this segment does not know page 9.
    log.fill(9, 2);
    log.commit(10, 2);
    log.fill(1, 2);
    log.commit(5, 3);
    log.fill(1, 3);
    log.commit(10, 4);
    log.store().await;
    assert_eq!(page_of(&log.restore(RestorePoint::Latest).await.unwrap(), 9), [0; 512]);
    check_all(&log).await;
}

/// Rule 2: what a segment did after the restore point must not reach back.
#[tokio::test]
async fn a_shrink_behind_the_restore_point_in_the_same_segment_does_not_count() {
    let mut log = new_log().await;
    log.fill(9, 1);
    log.commit(10, 1);
    log.store().await;
    for (page, size, time) in [(1, 10, 2), (2, 5, 3), (3, 10, 4)] {
        log.fill(page, 7);
        log.commit(size, time);
    }
    log.store().await;
    assert_eq!(page_of(&log.restore_frame(2).await.unwrap(), 9), [1; 512]);
    assert_eq!(page_of(&log.restore_frame(4).await.unwrap(), 9), [0; 512]);
    check_all(&log).await;
}

/// A compacted segment lists one commit; that the database was smaller in between stands in its footer alone.
#[tokio::test]
async fn the_smallest_size_of_a_compacted_segment_hides_older_images() {
    let mut log = new_log().await;
    log.fill(9, 1);
    log.commit(10, 1);
    log.store().await;
    let mut inputs = Vec::new();
    for (page, size, time) in [(1, 5, 2), (2, 10, 3)] {
        log.fill(page, 7);
        log.commit(size, time);
        inputs.push(log.store().await.unwrap());
    }
    log.compact(2, 3, 1).await;
    for input in inputs {
        log.delete(input).await;
    }
    assert_eq!(page_of(&log.restore_frame(3).await.unwrap(), 9), [0; 512]);
    check_all(&log).await;
}

/// Frames 1, 2, 3; [1..2] and [2..3] stay, the raw ones go: no two segments join exactly, but they cover.
#[tokio::test]
async fn overlapping_compacted_segments_lead_to_their_ends() {
    let mut log = new_log().await;
    let mut raw = Vec::new();
    for (page, size, time) in [(1, 3, 1), (3, 3, 2), (2, 3, 3)] {
        log.fill(page, u8::try_from(time).unwrap());
        log.commit(size, time);
        raw.push(log.store().await.unwrap());
    }
    log.compact(1, 2, 1).await;
    log.compact(2, 3, 1).await;
    for key in raw {
        log.delete(key).await;
    }
    let timeline = Timeline::load(&log.bucket, &log.namespace).await.unwrap();
    assert_eq!(timeline.restorable(), [frame_no(2)..=frame_no(3)]);
    assert!(log.restore(RestorePoint::Latest).await.unwrap() == log.commits[2].file);
    assert!(matches!(log.restore_frame(1).await, Err(Error::Unreachable(_))));
    check_all(&log).await;
}

/// The same with a shrink in the part that both hold.
#[tokio::test]
async fn a_shrink_in_the_overlap_of_two_compacted_segments_counts() {
    let mut log = new_log().await;
    let mut raw = Vec::new();
    for (page, size, time) in [(9, 10, 1), (1, 5, 2), (2, 10, 3)] {
        log.fill(page, u8::try_from(time).unwrap());
        log.commit(size, time);
        raw.push(log.store().await.unwrap());
    }
    log.compact(1, 2, 1).await;
    log.compact(2, 3, 1).await;
    for key in raw {
        log.delete(key).await;
    }
    check_all(&log).await;
}

/// A page that was something and is zeros now must not be left as it was.
#[tokio::test]
async fn explicit_zero_pages_win_over_older_images() {
    let mut log = new_log().await;
    log.fill(1, 1);
    log.fill(2, 1);
    log.commit(2, 1);
    log.store().await;
    log.fill(2, 0);
    log.commit(2, 2);
    log.store().await;
    log.fill(1, 2);
    log.commit(2, 3);
    log.store().await;
    log.compact(2, 3, 1).await;
    let view = log.view(RestorePoint::Latest).await.unwrap();
    assert_eq!(view.page_hashes().unwrap().get(page_no(2)).0, 0, "zeros and never written are one");
    check_all(&log).await;
}

/// Rule 5: two databases of zeros differ in nothing but their size.
#[tokio::test]
async fn the_state_checksum_depends_on_the_size() {
    let mut log = new_log().await;
    log.fill(1, 0);
    log.commit(4, 1);
    log.fill(1, 0);
    log.commit(5, 2);
    log.store().await;
    let [four, five] = [1, 2].map(|frame| log.view(RestorePoint::Frame(frame_no(frame))));
    let (four, five) = (four.await.unwrap(), five.await.unwrap());
    assert_ne!(four.commit().state, five.commit().state);
    assert!(five.changed_since(&four).unwrap().is_empty(), "a page of zeros is no change of content");
    assert_eq!(restore(&four).await.unwrap().1.state, four.commit().state.unwrap());
    check_all(&log).await;
}

/// Rule 6: a database of more than 1 GiB has a page that SQLite never writes.
#[tokio::test]
async fn the_lock_page_is_zeros_and_the_restore_is_proven() {
    let page_size = PageSize::MAX;
    let lock_page = page_size.lock_page();
    let mut log = History::open(Arc::new(Memory::new()), page_size, 1).await;
    let size = lock_page.get() + 1;
    for page in [lock_page.get() - 1, size] {
        log.fill(page, 7);
    }
    // Not through the model, which would hold the gigabyte.
    let sealed = log.seal_sparse(size, 1);
    log.writer.store(&sealed).await.unwrap();

    let view = log.view(RestorePoint::Latest).await.unwrap();
    assert_eq!(view.size(), PageCount(size));
    assert!(view.page(lock_page).await.unwrap().iter().all(|byte| *byte == 0));
    assert_eq!(view.page_hashes().unwrap().get(lock_page).0, 0);
    let mut target = MemoryTarget::default();
    let plan = walkeep::restore::RestorePlan::new(&view);
    let restored = view.write_to(&plan, &mut target, &walkeep::restore::RestoreOptions::default()).await;
    assert!(restored.unwrap().verified);
    let offsets = [lock_page.get() - 1, size].map(|page| page_no(page).file_offset(page_size));
    assert_eq!(target.written().into_keys().collect::<Vec<_>>(), offsets);
}

/// A page size change begins anew: nothing of the smaller pages may show.
#[tokio::test]
async fn another_page_size_begins_a_new_base() {
    let mut log = new_log().await;
    log.fill(1, 1);
    log.fill(2, 1);
    log.commit(2, 1);
    let old = log.store().await.unwrap();
    log.reopen(PageSize::new(1024).unwrap()).await.unwrap();
    log.fill(1, 2);
    log.commit(3, 2);
    log.store().await;
    check_all(&log).await;
    let views = [2, 3].map(|frame| log.view(RestorePoint::Frame(frame_no(frame))));
    let [old_view, new_view] = futures::future::join_all(views).await.try_into().unwrap();
    let (old_view, new_view) = (old_view.unwrap(), new_view.unwrap());
    assert!(matches!(new_view.changed_since(&old_view), Err(Error::Invalid { .. })));
    // The new base does not need what was before it.
    log.delete(old).await;
    check_all(&log).await;
}

#[tokio::test]
async fn a_page_is_read_the_same_by_itself_as_in_order() {
    // Several requests at once may not change the order.
    let mut log = new_log().await;
    for page in 1..=40 {
        log.fill(page, u8::try_from(page).unwrap());
    }
    log.commit(40, 1);
    log.store().await;
    let view = log.view(RestorePoint::Latest).await.unwrap();
    let pages: Vec<PageNo> = view.pages().map(|page| page.unwrap().0).collect().await;
    assert_eq!(pages, (1..=40).map(page_no).collect::<Vec<_>>());
    check_all(&log).await;
}
