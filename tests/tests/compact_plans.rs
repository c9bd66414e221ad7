//! What strategies plan.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code: a panic is a failed test")]

use walkeep::backends::Memory;
use walkeep::compact::{CompactionPlan, LogReduction, Reason, Tiered};
use walkeep::core::manifest::{Manifest, Pin, codec};
use walkeep::core::{Backend, ByteRange, FrameNo, Layout, NativeLayout, UnixMillis};
use walkeep::{RestorePoint, Timeline};
use walkeep_tests::compact_scene::{DAY, HOUR, MINUTE, all_exact, compactor, empty, store};
use walkeep_tests::history::History;
use walkeep_tests::recorded::frame_no;

/// A noon.
const NOON: u64 = 20_000 * DAY + 12 * HOUR;

async fn plans(log: &History<Memory>, now: u64) -> Vec<CompactionPlan> {
    compactor(log, now).plan(&Tiered).await.unwrap().plans
}

/// Range and reason of each.
fn said(plans: &[CompactionPlan]) -> Vec<(u64, u64, Reason)> {
    let range = |plan: &CompactionPlan| (plan.output().start().get(), plan.output().end().get(), plan.why());
    plans.iter().map(range).collect()
}

/// A segment of one frame at each of these times; the first, as the oldest, is the image that others stand on.
async fn at(times: &[u64]) -> History<Memory> {
    let mut log = empty().await;
    for time in times {
        store(&mut log, &[1], *time).await;
    }
    log
}

#[tokio::test]
async fn nothing_and_little_need_no_compaction() {
    let log = empty().await;
    assert_eq!(plans(&log, NOON).await, []);
    let log = at(&[NOON, NOON + 1]).await;
    assert_eq!(plans(&log, NOON + DAY * 2).await, [], "the oldest is the base, and one is alone");
}

#[tokio::test]
async fn minutes_hours_and_days_that_are_over_become_one_segment_each() {
    let times = [
        NOON - 3 * DAY,
        NOON - DAY,
        NOON - DAY + 7 * HOUR,
        NOON - 2 * HOUR,
        NOON - 2 * HOUR + 30 * MINUTE,
        NOON - HOUR,
        NOON,
        NOON + 59_999,
        NOON + MINUTE,
        NOON + MINUTE + 1,
    ];
    let log = at(&times).await;
    let now = NOON + MINUTE + 2;
    let expected = [(2, 3, Reason::Day), (4, 5, Reason::Hour), (7, 8, Reason::Minute)];
    assert_eq!(said(&plans(&log, now).await), expected);
    let later = [(2, 3, Reason::Day), (4, 5, Reason::Hour), (7, 10, Reason::Hour)];
    assert_eq!(said(&plans(&log, NOON + HOUR).await), later);
    // A clock that is behind the commits waits.
    assert_eq!(said(&plans(&log, NOON - DAY).await), []);
}

#[tokio::test]
async fn what_is_merged_is_merged_again_by_the_coarser_span_and_then_no_more() {
    let mut log = at(&[NOON, NOON + 1, NOON + 2, NOON + 2 * MINUTE, NOON + 2 * MINUTE + 1]).await;
    let done = compactor(&log, NOON + 4 * MINUTE).compact(&Tiered, &|_| ()).await.unwrap().done;
    let done: Vec<_> = done.into_iter().map(|(plan, _)| plan).collect();
    assert_eq!(said(&done), [(2, 3, Reason::Minute), (4, 5, Reason::Minute)]);
    assert_eq!(plans(&log, NOON + 4 * MINUTE).await, []);
    let hour = plans(&log, NOON + HOUR).await;
    assert_eq!(said(&hour), [(2, 5, Reason::Hour)]);
    assert_eq!(hour[0].inputs().len(), 2, "the merged ones, not the raw ones");
    assert_eq!(hour[0].output().level(), 2);
    compactor(&log, NOON + HOUR).compact(&Tiered, &|_| ()).await.unwrap();
    log.relist().await;
    all_exact(&log).await;
}

#[tokio::test]
async fn many_segments_of_one_minute_are_merged_before_it_is_over() {
    let log = at(&(0..32).map(|ms| NOON + ms).collect::<Vec<_>>()).await;
    assert_eq!(plans(&log, NOON + 50).await, [], "31 above the base");
    let log = at(&(0..33).map(|ms| NOON + ms).collect::<Vec<_>>()).await;
    assert_eq!(said(&plans(&log, NOON + 50).await), [(2, 33, Reason::Many)]);
}

/// More than fit into one compaction become several, and those one.
#[tokio::test]
async fn a_great_number_is_merged_in_steps() {
    let mut log = at(&(0..400).map(|ms| NOON + ms).collect::<Vec<_>>()).await;
    let first = plans(&log, NOON + DAY).await;
    assert!(first.len() > 1 && first.iter().all(|plan| plan.inputs().len() <= 128), "{:?}", said(&first));
    let ends = first.iter().map(|plan| plan.output().end());
    let starts = first.iter().map(|plan| plan.output().start());
    assert!(ends.zip(starts.skip(1)).all(|(end, start)| end.next() == Some(start)), "{:?}", said(&first));
    compactor(&log, NOON + DAY).compact(&Tiered, &|_| ()).await.unwrap();
    let timeline = Timeline::load(&log.bucket, &log.namespace).await.unwrap();
    assert_eq!(timeline.cover(frame_no(400)).unwrap().len(), 2, "the base, and the rest");
    log.relist().await;
    all_exact(&log).await;
}

/// Pages above an image count four times: they are scattered, and what they replace is read as well.
#[tokio::test]
async fn an_image_is_made_when_the_chain_above_the_last_one_costs_as_much() {
    let mut log = History::open(std::sync::Arc::new(Memory::new()), walkeep::core::PageSize::MAX, 1).await;
    store(&mut log, &(1..=240).collect::<Vec<_>>(), NOON).await;
    store(&mut log, &(1..=40).collect::<Vec<_>>(), NOON + 1).await;
    assert_eq!(plans(&log, NOON + 3).await, [], "a sixth of it");
    store(&mut log, &(70..=95).collect::<Vec<_>>(), NOON + 2).await;
    assert_eq!(said(&plans(&log, NOON + 3).await), [(1, 306, Reason::Image)], "more than a quarter");
    compactor(&log, NOON + 3).compact(&Tiered, &|_| ()).await.unwrap();
    assert_eq!(plans(&log, NOON + 3).await, []);
    log.relist().await;
    all_exact(&log).await;
}

/// However small the base: what costs a restore little is not worth an image.
#[tokio::test]
async fn a_small_chain_is_not_worth_an_image() {
    let log = at(&[NOON, NOON + 1, NOON + 2]).await;
    assert_eq!(plans(&log, NOON + 3).await, []);
    let log = at(&(0..70).map(|minute| NOON + minute * MINUTE).collect::<Vec<_>>()).await;
    assert_eq!(plans(&log, NOON + 70 * MINUTE).await.last().unwrap().why(), Reason::Image, "69 requests");
}

/// A manifest whose frontier stands at `frontier`, with the points before it that are kept.
async fn promise(log: &History<Memory>, frontier: u64, kept: &[u64], pinned: Option<u64>) {
    let timeline = Timeline::load(&log.bucket, &log.namespace).await.unwrap();
    let mut manifest = timeline.manifest().clone();
    let time = |frame: FrameNo| log.commits.iter().find(|c| c.commit.frame_no == frame).unwrap().commit.time;
    if let Some(frame) = pinned.map(frame_no) {
        let pin = Pin { frame, time: time(frame), created: UnixMillis(0), expires: None };
        manifest = manifest.with_pin("release".parse().unwrap(), pin).unwrap();
        put(log, &manifest).await;
    }
    let kept = kept.iter().map(|frame| {
        let frame = frame_no(*frame);
        walkeep::core::manifest::KeptPoint { frame, time: time(frame), until: time(frame) }
    });
    let manifest =
        manifest.collect(frame_no(frontier), kept.collect(), &Default::default(), UnixMillis(0)).unwrap();
    put(log, &manifest).await;
}

async fn put(log: &History<Memory>, manifest: &Manifest) {
    let path = NativeLayout::new().unwrap().manifest(&log.namespace, manifest.version());
    let bytes = codec::encode(manifest).unwrap();
    log.backend.put_new(None, &path, bytes.into()).await.unwrap();
    assert!(!log.backend.get(None, &path, ByteRange::Full).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_point_that_is_kept_ends_a_segment_and_is_not_swallowed() {
    let log = at(&(0..10).map(|minute| NOON + minute * MINUTE).collect::<Vec<_>>()).await;
    assert_eq!(said(&plans(&log, NOON + HOUR).await), [(2, 10, Reason::Hour)]);
    promise(&log, 9, &[3], Some(6)).await;
    let expected = [(2, 3, Reason::Hour), (4, 6, Reason::Hour), (7, 10, Reason::Hour)];
    assert_eq!(said(&plans(&log, NOON + HOUR).await), expected);
}

/// A kept point inside a raw segment: the segment stays, so the cut is before it.
#[tokio::test]
async fn a_point_inside_a_raw_segment_begins_another() {
    let mut log = empty().await;
    for minute in 0..6 {
        for second in 0..2 {
            log.fill(1, u8::try_from(minute * 2 + second).unwrap());
            log.commit(1, NOON + minute * MINUTE + second);
        }
        log.store().await;
    }
    promise(&log, 11, &[7], None).await;
    assert_eq!(said(&plans(&log, NOON + HOUR).await), [(3, 6, Reason::Hour), (7, 12, Reason::Hour)]);
}

/// What an image hides is compacted too once it is thinned: else the points that are kept there would keep all of it.
#[tokio::test]
async fn below_an_image_the_thinned_part_is_compacted() {
    let mut log = at(&(0..9).map(|minute| NOON + minute * MINUTE).collect::<Vec<_>>()).await;
    log.compact(1, 9, 1).await;
    assert_eq!(plans(&log, NOON + HOUR).await, [], "every commit is promised");
    promise(&log, 7, &[4], None).await;
    assert_eq!(said(&plans(&log, NOON + HOUR).await), [(2, 4, Reason::Hour), (5, 6, Reason::Hour)]);
    compactor(&log, NOON + HOUR).compact(&Tiered, &|_| ()).await.unwrap();
    assert_eq!(plans(&log, NOON + HOUR).await, []);
    log.relist().await;
    all_exact(&log).await;
}

#[tokio::test]
async fn sizes_that_double_need_few_segments_and_stay() {
    let mut log = empty().await;
    for time in 0..200 {
        store(&mut log, &[1 + (time as u32 * 7) % 100], NOON + time).await;
        if time % 10 == 9 {
            compactor(&log, NOON).compact(&LogReduction, &|_| ()).await.unwrap();
            let timeline = Timeline::load(&log.bucket, &log.namespace).await.unwrap();
            let chain = timeline.cover(frame_no(time + 1)).unwrap();
            assert!(chain.len() <= 8, "{} segments after {time}", chain.len());
            let doubles = chain.iter().zip(&chain[1..]).all(|(newer, older)| newer.size * 2 <= older.size);
            assert!(doubles, "{:?}", chain.iter().map(|segment| segment.size).collect::<Vec<_>>());
        }
    }
    assert!(log.restore(RestorePoint::Latest).await.unwrap() == log.commits[199].file);
}
