//! Compaction met by faults, damage, others at work, and the defects of libsql-wal's compactor.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code: a panic is a failed test")]

use std::sync::Arc;

use walkeep::backends::Memory;
use walkeep::backends::faulty::{Faults, Faulty};
use walkeep::compact::{
    Budget, CompactionPlan, Compactor, Identity, LogReduction, Outcome, Planned, Reason, Tiered,
};
use walkeep::core::segment::{Codec, Compression};
use walkeep::core::{Backend, ByteRange, Error, PageSize};
use walkeep::{Bucket, OpenSegment, RestorePoint, Timeline, Writer};
use walkeep_tests::compact_scene::{all_exact, compactor, compactor_in, empty, empty_on, options, store};
use walkeep_tests::flaky::{Fault, Flaky};
use walkeep_tests::forge::{Forged, Section};
use walkeep_tests::handles::handles;
use walkeep_tests::history::History;
use walkeep_tests::libsql_bucket::LibsqlBucket;
use walkeep_tests::recorded::frame_no;
use walkeep_tests::stopping::Stopping;

/// How many creates a claim is.
const CLAIMS: usize = 3;

async fn timeline<B: Backend>(log: &History<B>) -> Timeline {
    Timeline::load(&log.bucket, &log.namespace).await.unwrap()
}

async fn four_segments<B: Backend>(backend: B) -> History<B> {
    let mut log = empty_on(backend).await;
    for time in 1..=4 {
        store(&mut log, &[1, 1 + u32::try_from(time).unwrap(), 9], time).await;
    }
    log
}

/// Its planner panicked.
#[tokio::test]
async fn libsql_defect_a_segment_of_one_frame_is_left_alone_and_is_an_input_like_any_other() {
    let mut log = empty().await;
    store(&mut log, &[1], 1).await;
    for strategy in [&Identity as &dyn walkeep::compact::Strategy, &LogReduction, &Tiered] {
        let planned = compactor(&log, u64::MAX / 2).plan(strategy).await.unwrap();
        assert_eq!(planned.plans, [], "{strategy:?}");
    }
    store(&mut log, &[2], 2).await;
    let compacted = compactor(&log, 3).compact(&Identity, &|_| ()).await.unwrap();
    assert!(matches!(compacted.done[0].1, Outcome::Stored { images: 2, .. }));
    log.relist().await;
    all_exact(&log).await;
}

/// It answered with an empty plan, and success.
#[tokio::test]
async fn libsql_defect_a_gap_is_an_error_that_names_both_sides() {
    let mut log = four_segments(Memory::new()).await;
    let keys = log.stored.clone();
    log.delete(keys[2]).await;
    for strategy in [&Identity as &dyn walkeep::compact::Strategy, &LogReduction, &Tiered] {
        let error = compactor(&log, 5).plan(strategy).await.unwrap_err();
        assert!(matches!(error, Error::Corrupt(_)), "{error}");
        let said = error.to_string();
        for part in [keys[1].to_string(), keys[3].to_string(), "frames 7 to 9".into()] {
            assert!(said.contains(&part), "{part} is missing: {said}");
        }
    }
}

/// It published them as one range.
#[tokio::test]
async fn libsql_defect_inputs_that_do_not_join_are_refused() {
    let log = four_segments(Memory::new()).await;
    let timeline = timeline(&log).await;
    let newest_first = timeline.segments();
    let [d, c, b, a] = [0, 1, 2, 3].map(|at| newest_first[at]);
    for (inputs, named) in
        [(vec![a, c], [a, c]), (vec![b, a], [b, a]), (vec![a, b, b], [b, b]), (vec![a, b, d], [b, d])]
    {
        let error = CompactionPlan::new(&timeline, inputs, Reason::Asked).unwrap_err();
        let said = error.to_string();
        assert!(matches!(error, Error::Invalid { .. }), "{said}");
        assert!(named.iter().all(|input| said.contains(&input.key.to_string())), "{said}");
    }
    assert!(CompactionPlan::new(&timeline, vec![], Reason::Asked).is_err());
    let plan = CompactionPlan::new(&timeline, vec![b, c, d], Reason::Asked).unwrap();
    assert_eq!(
        (plan.output().start(), plan.output().end(), plan.output().level()),
        (frame_no(4), frame_no(12), 1)
    );
    assert_eq!((plan.output().epoch(), plan.output().time()), (d.key.epoch(), d.key.time()));
    assert_eq!(plan.bytes_in(), b.size + c.size + d.size);
    assert_eq!(plan.requests(), 4, "one for each input, and one for the output");
}

/// Its registry knew segments by their range alone.
#[tokio::test]
async fn libsql_defect_the_same_range_in_two_namespaces_is_two_things() {
    let mut first = four_segments(Memory::new()).await;
    let bucket = first.bucket.clone();
    let other = walkeep::core::Namespace::new("other").unwrap();
    let mut writer = Writer::open(&bucket, &other, PageSize::MIN, &handles(1, 7).0).await.unwrap();
    let mut pages = walkeep_tests::page_log::PageLog::new(
        PageSize::MIN,
        writer.hash_seed(),
        writer.next_frame_no().unwrap(),
    );
    for time in 1..=4_u8 {
        let image = |page| (page, vec![time; 512]);
        pages.commit(&[image(1), image(2), image(3)], 3, u64::from(time));
        writer.store(&pages.seal(&writer, u128::from(time), Compression::None)).await.unwrap();
    }
    for namespace in [&first.namespace, &other] {
        let compactor = Compactor::new(&bucket, namespace, options(9)).unwrap();
        assert_eq!(compactor.compact(&Identity, &|_| ()).await.unwrap().done.len(), 1, "{namespace}");
    }
    first.relist().await;
    all_exact(&first).await;
    let view = walkeep::View::open(&bucket, &other, RestorePoint::Latest, 1 << 30).await.unwrap();
    assert_eq!(walkeep_tests::history::restore(&view).await.unwrap().0, pages.file());
}

/// It left out a segment that was too large, and published the range all the same.
#[tokio::test]
async fn libsql_defect_a_segment_larger_than_the_memory_is_merged_like_any_other() {
    let mut log = History::open(Arc::new(Memory::new()), PageSize::MAX, 1).await;
    store(&mut log, &[1, 2], 1).await;
    store(&mut log, &(1..=200).collect::<Vec<_>>(), 2).await;
    store(&mut log, &[3, 150], 3).await;
    let mut options = options(9);
    options.memory_bytes = 8 << 20;
    let large = timeline(&log).await.segments()[1].size;
    assert!(large > options.memory_bytes as u64, "{large}");
    let compactor = Compactor::new(&log.bucket, &log.namespace, options).unwrap();
    let compacted = compactor.compact(&Identity, &|_| ()).await.unwrap();
    assert!(matches!(compacted.done[..], [(_, Outcome::Stored { images: 200, .. })]), "{compacted:?}");
    let after = timeline(&log).await;
    assert_eq!(after.cover(after.newest().unwrap().key.end()).unwrap().len(), 1);
    log.relist().await;
    all_exact(&log).await;
}

/// A create whose reply is lost, in all ways there are.
#[tokio::test(start_paused = true)]
async fn an_output_whose_create_fails_is_stored_once_or_not_at_all() {
    for (fault, stored) in [
        (Fault::Unavailable, true),
        (Fault::ApplyThenUnavailable, true),
        (Fault::ApplyThenExists, true),
        (Fault::ApplyThenUnknown, false),
        (Fault::Refuse, false),
    ] {
        let mut log = four_segments(Flaky::new(Memory::new())).await;
        log.backend.after(0, fault);
        let compacted = compactor(&log, 5).compact(&Identity, &|_| ()).await;
        match compacted {
            Ok(compacted) => {
                assert!(stored, "{fault:?}");
                assert!(
                    matches!(compacted.done[..], [(_, Outcome::Stored { .. })]),
                    "{fault:?}: {compacted:?}"
                );
            }
            Err(Error::Unknown { .. }) => assert_eq!(fault, Fault::ApplyThenUnknown),
            Err(error) => {
                assert!(fault == Fault::Refuse && matches!(error, Error::Exhausted { .. }), "{error}")
            }
        }
        log.relist().await;
        assert_eq!(log.stored.len(), 4 + usize::from(fault != Fault::Refuse), "{fault:?}");
        all_exact(&log).await;
    }
    // A name that is said to be taken, and is not: S3 answers so to creates that race with a delete.
    let log = four_segments(Memory::new()).await;
    let faults = Faults { conflict: 1.0, ..Faults::default() };
    let faulty = Faulty::new(Arc::clone(&log.backend), faults, 1).unwrap();
    let bucket = Bucket::new(Arc::new(faulty), None).unwrap();
    let error = compactor_in(&bucket, &log, 5).compact(&Identity, &|_| ()).await.unwrap_err();
    assert!(matches!(error, Error::Unknown { .. }), "{error}");
    let log = four_segments(Flaky::new(Memory::new())).await;
    log.backend.always(Some(Fault::Unavailable));
    let error = compactor(&log, 5).compact(&Identity, &|_| ()).await.unwrap_err();
    assert!(matches!(error, Error::Unknown { .. }), "{error}");
}

/// Whatever request a compaction is stopped at, the namespace is as before, or has the output besides.
#[tokio::test(start_paused = true)]
async fn a_compaction_that_is_stopped_at_any_request_leaves_the_old_or_the_new() {
    let (mut old, mut new) = (0, 0);
    for done in [false, true] {
        for stop_at in 1.. {
            let mut log = four_segments(Memory::new()).await;
            let stopping = Arc::new(Stopping::at(Arc::clone(&log.backend), stop_at, done));
            let bucket = Bucket::new(Arc::clone(&stopping), None).unwrap();
            let outcome = compactor_in(&bucket, &log, 5).compact(&Identity, &|_| ()).await;
            log.relist().await;
            assert!(matches!(log.stored.len(), 4 | 5));
            (old, new) = (old + usize::from(log.stored.len() == 4), new + usize::from(log.stored.len() == 5));
            all_exact(&log).await;
            // The next one finishes, or finds nothing to do.
            compactor(&log, 6).compact(&Identity, &|_| ()).await.unwrap();
            log.relist().await;
            assert_eq!(log.stored.len(), 5);
            all_exact(&log).await;
            if outcome.is_ok() {
                assert!(stopping.requests() < stop_at);
                break;
            }
        }
    }
    assert!(old > 8 && new > 2, "{old} were as before, {new} had the output");
}

/// Both plan the same; one stores it, the other finds it there.
#[tokio::test(start_paused = true)]
async fn two_compactors_at_once_store_one_output() {
    let mut log = four_segments(Memory::new()).await;
    let compactors = [compactor(&log, 5), compactor(&log, 6)];
    let [first, second] = [0, 1].map(|at| compactors[at].plan(&Identity));
    let [first, second]: [Planned; 2] = [first.await.unwrap(), second.await.unwrap()];
    let outcomes = futures::join!(
        compactors[0].run(&first.timeline, &first.plans[0]),
        compactors[1].run(&second.timeline, &second.plans[0])
    );
    let outcomes = [outcomes.0.unwrap(), outcomes.1.unwrap()];
    let stored = outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Stored { .. })).count();
    assert_eq!((stored, outcomes.contains(&Outcome::Found)), (1, true), "{outcomes:?}");
    log.relist().await;
    assert_eq!(log.stored.len(), 5);
    all_exact(&log).await;
}

/// What stands under the output's name must lead to the same database.
#[tokio::test(start_paused = true)]
async fn an_output_of_another_content_in_its_place_is_reported() {
    let log = four_segments(Memory::new()).await;
    let planned = compactor(&log, 5).plan(&Identity).await.unwrap();
    let plan = &planned.plans[0];
    compactor(&log, 5).run(&planned.timeline, plan).await.unwrap();
    let path = log.path(plan.output());
    let bytes = log.backend.get(None, &path, ByteRange::Full).await.unwrap();
    // Another state, in the footer and in the commit, and another segment.
    let forged = Forged::of(&bytes);
    let (footer, commits) = (forged.footer(), forged.section(Section::Commits).start);
    log.backend.replace(
        &path,
        forged.with(footer + 240, &[7; 8]).with(commits + 16, &[7; 8]).with(32, &[9; 16]).resealed(),
    );
    let error = compactor(&log, 7).run(&planned.timeline, plan).await.unwrap_err();
    assert!(matches!(&error, Error::Corrupt(damage) if damage.object == path.to_string()), "{error}");
}

#[tokio::test(start_paused = true)]
async fn while_a_writer_is_opening_nothing_is_compacted() {
    let log = four_segments(Flaky::new(Memory::new())).await;
    log.backend.after(CLAIMS, Fault::Refuse);
    let opened = Writer::open(&log.bucket, &log.namespace, PageSize::MIN, &handles(2000, 99).0).await;
    assert!(matches!(opened, Err(Error::Exhausted { .. })));
    let error = compactor(&log, 5).plan(&Identity).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error}");
    assert!(error.to_string().contains("a writer is opening namespace shop"), "{error}");
}

/// Segments of a writer that was fenced are no inputs, and the output is of the newest input's epoch.
#[tokio::test]
async fn a_compaction_across_epochs_is_of_the_last_one_and_takes_no_fenced_segment() {
    let mut log = four_segments(Memory::new()).await;
    let fenced = {
        log.fill(1, 7);
        log.commit(log.size(), 5);
        log.seal().unwrap()
    };
    log.frames.truncate(12);
    log.commits.truncate(4);
    log.forget_unstored();
    log.reopen(PageSize::MIN).await.unwrap();
    log.put(&fenced).await;
    log.relist().await;
    assert_eq!(log.stored.len(), 4, "what was stored late does not count");
    store(&mut log, &[1, 2], 6).await;
    let planned = compactor(&log, 9).plan(&Identity).await.unwrap();
    let [plan] = &planned.plans[..] else { panic!("{:?}", planned.plans) };
    assert!(!plan.inputs().iter().any(|input| input.key == fenced.summary.key));
    assert_eq!(plan.output().epoch(), log.writer.epoch());
    compactor(&log, 9).run(&planned.timeline, plan).await.unwrap();
    log.relist().await;
    all_exact(&log).await;
}

/// A page size change begins anew: nothing is merged across it.
#[tokio::test]
async fn segments_of_two_page_sizes_are_compacted_apart() {
    let mut log = four_segments(Memory::new()).await;
    log.reopen(PageSize::new(1024).unwrap()).await.unwrap();
    for time in 5..=7 {
        store(&mut log, &[1, 2], time).await;
    }
    let timeline = timeline(&log).await;
    let across = timeline.segments()[2..4].iter().rev().copied().collect();
    let error = CompactionPlan::new(&timeline, across, Reason::Asked).unwrap_err();
    assert!(error.to_string().contains("page size"), "{error}");
    let compacted = compactor(&log, 9).compact(&Identity, &|_| ()).await.unwrap();
    let ranges = compacted.done.iter().map(|(plan, _)| (plan.output().start(), plan.output().end()));
    assert_eq!(ranges.collect::<Vec<_>>(), [(frame_no(13), frame_no(18)), (frame_no(1), frame_no(12))]);
    log.relist().await;
    all_exact(&log).await;
}

/// A database that was cut to nothing has no image to store: a segment holds at least one.
#[tokio::test]
async fn a_range_of_which_nothing_is_visible_is_skipped() {
    let mut log = empty().await;
    store(&mut log, &[1, 2, 3], 1).await;
    log.fill(1, 0);
    log.commit(0, 2);
    log.store().await;
    let compacted = compactor(&log, 9).compact(&Identity, &|_| ()).await.unwrap();
    assert!(matches!(compacted.done[..], [(_, Outcome::NothingVisible)]), "{compacted:?}");
    log.relist().await;
    assert_eq!(log.stored.len(), 2);
    all_exact(&log).await;
}

/// Raw segments can be thinned alone; compacted ones have nothing to thin.
#[tokio::test]
async fn one_raw_segment_can_be_thinned_and_a_compacted_one_cannot() {
    let mut log = empty().await;
    for time in 1..=3 {
        log.fill(1, u8::try_from(time).unwrap());
        log.commit(1, time);
    }
    let raw = log.store().await.unwrap();
    let before = timeline(&log).await;
    let plan = CompactionPlan::new(&before, before.segments().to_vec(), Reason::Asked).unwrap();
    assert_eq!(plan.output().level(), 1);
    let outcome = compactor(&log, 9).run(&before, &plan).await.unwrap();
    assert!(matches!(outcome, Outcome::Stored { images: 1, .. }), "{outcome:?}");
    log.relist().await;
    all_exact(&log).await;
    let after = timeline(&log).await;
    let thinned = after.segments().iter().find(|segment| segment.key != raw).unwrap();
    assert!(CompactionPlan::new(&after, vec![*thinned], Reason::Asked).is_err());
    log.delete(raw).await;
    assert!(log.restore_frame(3).await.unwrap() == log.commits[2].file);
    assert!(matches!(log.restore_frame(2).await, Err(Error::Unreachable(_))));
}

#[tokio::test]
async fn a_bucket_of_libsql_wal_is_only_read() {
    let bucket = LibsqlBucket::fixture();
    let error = Compactor::new(&bucket.open(), &bucket.namespace, options(1)).unwrap_err();
    assert!(matches!(&error, Error::Invalid { .. }), "{error}");
    assert!(error.to_string().contains("walkeep import libsql"), "{error}");
}

/// A large old image and a small new segment, without compression: blocks can be told by their bytes.
async fn image_and_change() -> History<Memory> {
    let mut log = empty().await;
    log.compression = Compression::None;
    store(&mut log, &(1..=20_000).collect::<Vec<_>>(), 1).await;
    store(&mut log, &[3, 15_000], 2).await;
    log
}

async fn newest_index<B: Backend>(log: &History<B>) -> OpenSegment {
    let timeline = timeline(log).await;
    timeline.open(&log.bucket, *timeline.newest().unwrap()).await.unwrap()
}

/// The writer used another codec than the compactor: so what is copied can be told from what is written anew.
#[tokio::test]
async fn a_block_whose_pages_all_count_is_copied_as_it_is_stored() {
    let mut log = empty().await;
    log.compression = Compression::Lz4;
    for page in 1..=20_000_u32 {
        log.write(page, page.to_le_bytes().repeat(128));
    }
    log.commit(20_000, 1);
    log.store().await;
    store(&mut log, &[3, 15_000], 2).await;
    let timeline = timeline(&log).await;
    let image = timeline.open(&log.bucket, timeline.segments()[1]).await.unwrap();
    compactor(&log, 9).compact(&Identity, &|_| ()).await.unwrap();
    let output = newest_index(&log).await;
    let blocks = |segment: &OpenSegment, codec: Codec| {
        let blocks = segment.index().blocks().iter().filter(move |block| block.codec == codec);
        blocks.map(|block| block.crc).collect::<Vec<_>>()
    };
    let (old, copied) = (blocks(&image, Codec::Lz4), blocks(&output, Codec::Lz4));
    assert_eq!(
        (old.len(), copied.len()),
        (40, 37),
        "all but two that were written to, and a small one at the end"
    );
    assert!(copied.iter().all(|crc| old.contains(crc)));
    assert!(log.restore(RestorePoint::Latest).await.unwrap() == log.commits[1].file);
}

/// Blocks of 256 KiB would make each page of a small segment cost as much to read.
#[tokio::test]
async fn blocks_that_are_large_for_the_output_are_cut() {
    let mut log = empty().await;
    log.compression = Compression::None;
    store(&mut log, &(1..=4_000).collect::<Vec<_>>(), 1).await;
    store(&mut log, &[3], 2).await;
    compactor(&log, 9).compact(&Identity, &|_| ()).await.unwrap();
    let output = newest_index(&log).await;
    let largest = output.index().blocks().iter().map(|block| block.count).max().unwrap();
    assert_eq!((output.key().level(), largest), (1, 32), "16 KiB");
    assert!(log.restore(RestorePoint::Latest).await.unwrap() == log.commits[1].file);
}

/// 24 inputs with blocks of 256 KiB do not fit into 8 MiB: that is said before anything is read.
#[tokio::test]
async fn inputs_that_do_not_fit_into_the_memory_are_refused() {
    let mut log = History::open(Arc::new(Memory::new()), PageSize::MAX, 1).await;
    for time in 1..=24 {
        store(&mut log, &[1, 2, 3, 4], time).await;
    }
    let before = timeline(&log).await;
    let inputs = before.segments().iter().rev().copied().collect();
    let plan = CompactionPlan::new(&before, inputs, Reason::Asked).unwrap();
    let mut options = options(9);
    options.memory_bytes = 8 << 20;
    let compactor = Compactor::new(&log.bucket, &log.namespace, options).unwrap();
    let error = compactor.run(&before, &plan).await.unwrap_err();
    assert!(matches!(error, Error::Exhausted { .. }) && error.to_string().contains("--memory"), "{error}");
    // What is planned fits.
    compactor.compact(&Identity, &|_| ()).await.unwrap();
    log.relist().await;
    all_exact(&log).await;
}

/// Damage in any input, in blocks that are copied and in blocks that are not: nothing is stored.
#[tokio::test]
async fn damaged_inputs_are_refused_by_name_and_nothing_is_stored() {
    let log = image_and_change().await;
    let timeline = timeline(&log).await;
    for (segment, block) in [(1, 20), (1, 0), (1, 39), (0, 0)] {
        let input = timeline.segments()[segment];
        let path = log.path(&input.key);
        let whole = log.backend.get(None, &path, ByteRange::Full).await.unwrap();
        let index = timeline.open(&log.bucket, input).await.unwrap().into_index();
        let entry = index.blocks()[block];
        let at = usize::try_from(entry.offset).unwrap() + 700;
        let flipped = Forged::of(&whole).with(at, &[!whole[at]]);
        // The second: every checksum holds, and the image is not the one that was written.
        for bytes in [flipped.clone().unsealed(), flipped.resealed()] {
            log.backend.replace(&path, bytes);
            let error = compactor(&log, 9).compact(&Identity, &|_| ()).await.unwrap_err();
            let named = matches!(&error, Error::Corrupt(damage)
                if damage.object == path.to_string() && damage.offset == entry.offset);
            assert!(named, "segment {segment}, block {block}: {error}");
            assert_eq!(self::timeline(&log).await.segments().len(), 2);
        }
        log.backend.replace(&path, whole);
    }
    // A hash that is another, and a state that does not follow from the hashes.
    let input = timeline.segments()[0];
    let (path, whole) =
        (log.path(&input.key), log.backend.get(None, &log.path(&input.key), ByteRange::Full).await.unwrap());
    let forged = Forged::of(&whole);
    let (commits, footer) = (forged.section(Section::Commits).start, forged.footer());
    log.backend.replace(&path, forged.with(commits + 16, &[7; 8]).with(footer + 240, &[7; 8]).resealed());
    let error = compactor(&log, 9).compact(&Identity, &|_| ()).await.unwrap_err();
    assert!(error.to_string().contains("state checksum"), "{error}");
    assert_eq!(self::timeline(&log).await.segments().len(), 2);
    log.backend.replace(&path, whole);
    compactor(&log, 9).compact(&Identity, &|_| ()).await.unwrap();
}

/// An input that another collector took away in between is looked for again, not an error.
#[tokio::test]
async fn an_input_that_is_gone_ends_the_plan_without_damage() {
    let mut log = four_segments(Memory::new()).await;
    let planned = compactor(&log, 5).plan(&Identity).await.unwrap();
    compactor(&log, 5).compact(&Identity, &|_| ()).await.unwrap();
    let first = log.stored[0];
    log.delete(first).await;
    let error = compactor(&log, 5).run(&planned.timeline, &planned.plans[0]).await.unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "{error}");
    let error = Compactor::new(&log.bucket, &"none".parse().unwrap(), options(1)).unwrap();
    assert!(matches!(error.plan(&Identity).await, Err(Error::NotFound { .. })));
}

#[tokio::test]
async fn a_budget_of_requests_and_bytes_is_kept() {
    let log = image_and_change().await;
    let time = async |budget| {
        let mut options = options(9);
        options.budget = budget;
        let compactor = Compactor::new(&log.bucket, &log.namespace, options).unwrap();
        let planned = compactor.plan(&Identity).await.unwrap();
        let began = tokio::time::Instant::now();
        compactor.run(&planned.timeline, &planned.plans[0]).await.unwrap();
        log.backend.delete(None, &[log.path(planned.plans[0].output())]).await.unwrap();
        (began.elapsed().as_secs_f64(), planned.plans[0].bytes_in() as f64)
    };
    // What was read is waited for before the output is sent.
    let rate = 20 << 20;
    let (slow, bytes) = time(Budget { bytes_per_second: Some(rate), ..Budget::default() }).await;
    let read = bytes / rate as f64;
    assert!(slow > 0.9 * read, "{slow} s where reading takes {read} s");
    // Two ends, three runs of blocks or more, and the output: the first is free.
    let (few, _) = time(Budget { requests_per_second: Some(10), ..Budget::default() }).await;
    assert!(few >= 0.45, "{few} s");
    let (little, _) = time(Budget { cpu_percent: Some(1), ..Budget::default() }).await;
    let (free, _) = time(Budget::default()).await;
    assert!(little > 5.0 * free, "{little} s with a hundredth of a core, and {free} s with all there is");
}
