//! Reading a bucket of libsql-wal in place: every end of a segment restores byte for byte, and what libsql-wal answered
//! wrongly or never is an error that names what is missing or damaged.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code: a panic is a failed test")]

use std::sync::Arc;

use futures::TryStreamExt;
use walkeep::core::libsql::{ObjectKey, ObjectKind};
use walkeep::core::{Error, UnixMillis, Unreachable};
use walkeep::verify::verify;
use walkeep::{Bucket, RestorePoint, Timeline, history};
use walkeep_tests::database::assert_same;
use walkeep_tests::libsql_bucket::{FIXTURE_ENDS, LibsqlBucket, fixture_state};
use walkeep_tests::recorded::{frame_no, page_no};

#[tokio::test]
async fn every_end_restores_byte_for_byte() {
    let bucket = LibsqlBucket::fixture();
    for end in FIXTURE_ENDS {
        let (restored, file) = bucket.restore(RestorePoint::Frame(frame_no(end))).await.unwrap();
        assert_same(&file, &fixture_state(end), &format!("frame {end}"));
        assert!(!restored.verified, "nothing recorded proves it");
    }
    let (_, newest) = bucket.restore(RestorePoint::Latest).await.unwrap();
    assert_same(&newest, &fixture_state(172), "the newest");
}

fn frame(number: u64) -> RestorePoint {
    RestorePoint::Frame(frame_no(number))
}

fn unreachable(error: Error) -> Unreachable {
    match error {
        Error::Unreachable(unreachable) => *unreachable,
        other => panic!("unreachable was expected, not {other}"),
    }
}

fn corrupt_object(error: &Error) -> &str {
    match error {
        Error::Corrupt(damage) => &damage.object,
        other => panic!("corrupt was expected, not {other}"),
    }
}

/// Every problem that a verification finds, as text.
async fn problems(bucket: &LibsqlBucket, deep: bool) -> Vec<String> {
    let report = verify(&bucket.open(), &bucket.namespace, deep).await.unwrap();
    report.problems.iter().map(ToString::to_string).collect()
}

/// Segments 1-3, 4-6 and 7-9 of a database that grows, shrinks and grows again.
fn shrinking() -> LibsqlBucket {
    let bucket = LibsqlBucket::empty();
    bucket.add(1, 3, 1000, 3, &[(1, 1), (2, 2), (3, 3)]);
    bucket.add(4, 6, 2000, 1, &[(1, 4)]);
    bucket.add(7, 9, 3000, 4, &[(1, 7), (4, 8)]);
    bucket
}

fn pages(bytes: &[u8]) -> Vec<u8> {
    let firsts = bytes.chunks(4096).map(|page| page[0]).collect::<Vec<_>>();
    assert!(bytes.chunks(4096).zip(&firsts).all(|(page, first)| page.iter().all(|byte| byte == first)));
    firsts
}

#[tokio::test]
async fn the_raw_segments_alone_and_the_compacted_one_restore_the_same() {
    let bucket = LibsqlBucket::fixture();
    let compacted = bucket.key(1, 57);
    for kind in [ObjectKind::Segment, ObjectKind::Index] {
        bucket.remove(kind, &compacted).await;
    }
    for end in FIXTURE_ENDS {
        assert_same(&bucket.restore(frame(end)).await.unwrap().1, &fixture_state(end), "raw");
    }
    let bucket = LibsqlBucket::fixture();
    for key in [bucket.key(1, 23), bucket.key(24, 57)] {
        bucket.remove(ObjectKind::Index, &key).await;
        bucket.remove(ObjectKind::Segment, &key).await;
    }
    for end in &FIXTURE_ENDS[1..] {
        assert_same(&bucket.restore(frame(*end)).await.unwrap().1, &fixture_state(*end), "compacted");
    }
}

/// libsql-wal's restore stopped when it had seen as many pages as the database has, so that a shrink gave a database
/// with pages missing, or a panic.
#[tokio::test]
async fn a_shrink_and_what_grows_behind_it_are_exact() {
    let bucket = shrinking();
    for (end, expected) in [(3, vec![1, 2, 3]), (6, vec![4]), (9, vec![7, 0, 0, 8])] {
        assert_eq!(pages(&bucket.restore(frame(end)).await.unwrap().1), expected, "frame {end}");
    }
}

/// It wrote pages of compacted objects that lie behind the end of the database, and did not cut the file.
#[tokio::test]
async fn pages_behind_the_end_of_the_database_are_not_written() {
    let bucket = LibsqlBucket::empty();
    bucket.add(1, 9, 1000, 2, &[(1, 1), (2, 2), (5, 5)]);
    assert_eq!(pages(&bucket.restore(RestorePoint::Latest).await.unwrap().1), [1, 2]);
    bucket.add(10, 12, 2000, 5, &[(1, 9)]);
    assert_eq!(pages(&bucket.restore(RestorePoint::Latest).await.unwrap().1), [9, 2, 0, 0, 0]);
}

/// With a segment missing it returned success with wrong pages.
#[tokio::test]
async fn a_missing_segment_is_an_error_that_names_the_frames() {
    let bucket = LibsqlBucket::fixture();
    let key = bucket.key(58, 81);
    bucket.remove(ObjectKind::Index, &key).await;
    bucket.remove(ObjectKind::Segment, &key).await;
    let lost = unreachable(bucket.restore(RestorePoint::Latest).await.unwrap_err());
    assert_eq!(lost.missing, Some(frame_no(58)..=frame_no(81)), "{lost}");
    assert_eq!(lost.restorable, [frame_no(1)..=frame_no(57)]);
    assert_same(&bucket.restore(frame(57)).await.unwrap().1, &fixture_state(57), "below the hole");
    assert!(problems(&bucket, false).await[0].contains("missing are frames 58 to 81"));
}

/// The index is written second: a segment without one was never stored whole.
#[tokio::test]
async fn a_segment_without_an_index_does_not_count() {
    let bucket = LibsqlBucket::fixture();
    bucket.remove(ObjectKind::Index, &bucket.key(116, 172)).await;
    let timeline = Timeline::load(&bucket.open(), &bucket.namespace).await.unwrap();
    assert_eq!((timeline.ignored().incomplete, timeline.ignored().foreign), (1, 0));
    assert_same(
        &bucket.restore(RestorePoint::Latest).await.unwrap().1,
        &fixture_state(115),
        "the one before",
    );
}

#[tokio::test]
async fn an_index_without_its_data_object_is_damage_that_names_the_data_object() {
    let bucket = LibsqlBucket::fixture();
    let key = bucket.key(116, 172);
    bucket.remove(ObjectKind::Segment, &key).await;
    let error = bucket.restore(RestorePoint::Latest).await.unwrap_err();
    assert_eq!(corrupt_object(&error), bucket.path(ObjectKind::Segment, &key).as_str());
    assert!(problems(&bucket, false).await[0].contains("no object"));
    assert_same(&bucket.restore(frame(115)).await.unwrap().1, &fixture_state(115), "the one before");
}

/// The checksum of data objects was never looked at.
#[tokio::test]
async fn a_flipped_bit_anywhere_in_a_data_object_is_an_error_that_names_it() {
    let bucket = LibsqlBucket::fixture();
    let key = bucket.key(24, 57);
    let (path, whole) = (bucket.path(ObjectKind::Segment, &key), bucket.object(ObjectKind::Segment, &key));
    // The compacted one would be read in its place.
    bucket.remove(ObjectKind::Index, &bucket.key(1, 57)).await;
    for at in (0..60).chain([60, 64, 68, 76, 5000, whole.len() - 4, whole.len() - 1]) {
        let mut bytes = whole.to_vec();
        bytes[at] ^= 1;
        bucket.put(ObjectKind::Segment, &key, bytes);
        match bucket.restore(frame(57)).await.unwrap_err() {
            Error::Corrupt(damage) => assert_eq!(damage.object, path.as_str(), "byte {at}"),
            // Version and page size say that the object is not one this code knows.
            Error::Invalid { what, .. } => {
                assert!(what.contains(path.as_str()) && (8..52).contains(&at), "{what}")
            }
            other => panic!("byte {at}: {other}"),
        }
    }
}

/// An object under 60 bytes made it loop for ever.
#[tokio::test]
async fn short_objects_are_damage() {
    let bucket = LibsqlBucket::fixture();
    let key = bucket.key(116, 172);
    let (path, whole) = (bucket.path(ObjectKind::Segment, &key), bucket.object(ObjectKind::Segment, &key));
    for len in [0, 10, 59, 60, 63, 64, whole.len() - 1] {
        bucket.put(ObjectKind::Segment, &key, whole.slice(..len));
        let error = bucket.restore(RestorePoint::Latest).await.unwrap_err();
        assert_eq!(corrupt_object(&error), path.as_str(), "{len} bytes");
        assert_eq!(problems(&bucket, true).await.len(), 1, "{len} bytes");
    }
}

/// A length from the wire was allocated unchecked.
#[tokio::test]
async fn absurd_lengths_and_counts_are_damage_and_allocate_nothing() {
    let bucket = LibsqlBucket::fixture();
    let key = bucket.key(116, 172);
    let index = bucket.object(ObjectKind::Index, &key);
    let mut absurd = index.to_vec();
    absurd[10..18].copy_from_slice(&(1_u64 << 60).to_le_bytes());
    bucket.put(ObjectKind::Index, &key, absurd);
    let found = problems(&bucket, false).await;
    assert!(found.len() == 1 && found[0].contains("an index of 1152921504606846976 bytes"), "{found:?}");
    bucket.put(ObjectKind::Index, &key, index.slice(..10));
    assert!(problems(&bucket, false).await[0].contains("indexes"));
    bucket.put(ObjectKind::Index, &key, index);

    let mut many = bucket.object(ObjectKind::Segment, &key).to_vec();
    many[10..14].copy_from_slice(&u32::MAX.to_le_bytes());
    bucket.put(ObjectKind::Segment, &key, many);
    let error = bucket.restore(RestorePoint::Latest).await.unwrap_err();
    assert_eq!(corrupt_object(&error), bucket.path(ObjectKind::Segment, &key).as_str());
}

#[tokio::test]
async fn a_database_of_an_absurd_size_is_refused_before_it_is_allocated() {
    let bucket = LibsqlBucket::empty();
    bucket.add(1, 1, 1000, u32::MAX, &[(1, 1)]);
    let error = bucket.restore(RestorePoint::Latest).await.unwrap_err();
    assert!(matches!(error, Error::Exhausted { .. }), "{error}");
    assert!(problems(&bucket, true).await[0].contains("more than the limit"));
}

/// A foreign object in the listing looked like an empty database, and a short key was a panic.
#[tokio::test]
async fn foreign_objects_are_counted_and_ignored() {
    let bucket = LibsqlBucket::fixture();
    for kind in [ObjectKind::Segment, ObjectKind::Index] {
        for name in ["0", "README.md", "zz/00", "00000000000000000000-1-1"] {
            let path = bucket.cluster.objects(&bucket.namespace, kind).join(name).unwrap();
            bucket.memory.replace(&path, "foreign".into());
        }
    }
    for end in FIXTURE_ENDS {
        assert_same(
            &bucket.restore(frame(end)).await.unwrap().1,
            &fixture_state(end),
            "beside foreign objects",
        );
    }
    let timeline = Timeline::load(&bucket.open(), &bucket.namespace).await.unwrap();
    assert_eq!((timeline.ignored().foreign, timeline.ignored().incomplete), (8, 0));
    assert!(problems(&bucket, true).await.is_empty());
}

/// Restoring by time was not written, and looking a time up took the nearest, so often a later one.
#[tokio::test]
async fn a_time_is_answered_with_the_last_end_sealed_by_then_and_never_a_later_one() {
    let bucket = shrinking();
    for (time, expected) in [(1000, 3), (1001, 3), (1999, 3), (2000, 6), (2999, 6), (3000, 9), (9999, 9)] {
        let (restored, _) = bucket.restore(RestorePoint::Time(UnixMillis(time))).await.unwrap();
        assert_eq!(restored.commit.frame_no.get(), expected, "time {time}");
    }
    let early = unreachable(bucket.restore(RestorePoint::Time(UnixMillis(999))).await.unwrap_err());
    assert_eq!(early.after.unwrap().frame_no.get(), 3, "{early}");
}

/// libsql-wal seals with time 0 after a crash: such an end is not older than those before it.
#[tokio::test]
async fn an_end_sealed_at_no_known_time_is_as_late_as_those_before_it() {
    let bucket = LibsqlBucket::empty();
    bucket.add(1, 1, 1000, 1, &[(1, 1)]);
    bucket.add(2, 2, 0, 1, &[(1, 2)]);
    bucket.add(3, 3, 3000, 1, &[(1, 3)]);
    unreachable(bucket.restore(RestorePoint::Time(UnixMillis(500))).await.unwrap_err());
    let (restored, _) = bucket.restore(RestorePoint::Time(UnixMillis(2000))).await.unwrap();
    assert_eq!(restored.commit.frame_no.get(), 2);
}

/// The look-up stopped after 1,000 keys.
#[tokio::test]
async fn more_segments_than_a_listing_holds_are_all_found() {
    let bucket = LibsqlBucket::empty();
    for end in 1..=1300_u64 {
        bucket.add(end, end, end * 10, 1, &[(1, (end % 251) as u8)]);
    }
    for end in [1, 299, 300, 301, 1000, 1300_u64] {
        let (by_frame, file) = bucket.restore(frame(end)).await.unwrap();
        assert_eq!((by_frame.commit.frame_no.get(), file[0]), (end, (end % 251) as u8));
        let (by_time, _) = bucket.restore(RestorePoint::Time(UnixMillis(end * 10 + 9))).await.unwrap();
        assert_eq!(by_time.commit.frame_no.get(), end);
    }
}

#[tokio::test]
async fn a_frame_inside_a_segment_is_unreachable_and_its_neighbours_are_named() {
    let bucket = LibsqlBucket::fixture();
    for (wanted, before, after) in [(30, 23, 57), (60, 57, 81), (173, 172, 0)] {
        let lost = unreachable(bucket.restore(frame(wanted)).await.unwrap_err());
        let number = |near: Option<walkeep::core::Neighbour>| near.map_or(0, |near| near.frame_no.get());
        assert_eq!((number(lost.before), number(lost.after)), (before, after), "{lost}");
        assert!(lost.why.contains("no segment ends there") || wanted == 173, "{lost}");
    }
}

/// Nothing says that segments are of one log. A re-created database mixes with the old one in the same bucket.
#[tokio::test]
async fn segments_of_two_logs_are_never_mixed() {
    let bucket = LibsqlBucket::empty();
    // One log, and another that began anew at frame 1.
    bucket.add(1, 4, 1000, 2, &[(1, 1), (2, 1)]);
    bucket.add(5, 8, 2000, 2, &[(2, 2)]);
    bucket.add(1, 6, 3000, 2, &[(1, 11), (2, 11)]);
    bucket.add(7, 9, 4000, 2, &[(1, 12)]);
    for (end, expected) in [(4, [1, 1]), (8, [1, 2]), (6, [11, 11]), (9, [12, 11])] {
        assert_eq!(pages(&bucket.restore(frame(end)).await.unwrap().1), expected, "frame {end}");
    }
    let found = problems(&bucket, true).await;
    assert!(found.iter().any(|problem| problem.contains("hold the same frames")), "{found:?}");

    // The same frames twice: which of them the next segment follows cannot be told.
    bucket.add(1, 4, 5000, 2, &[(1, 21), (2, 21)]);
    let error = bucket.restore(frame(8)).await.unwrap_err();
    assert!(error.to_string().contains("one log: beside frames 1 to 4 sealed at"), "{error}");
    assert!(problems(&bucket, false).await.iter().any(|problem| problem.contains("one log")));
    assert_eq!(pages(&bucket.restore(frame(6)).await.unwrap().1), [11, 11]);
}

/// Of segments that end alike the widest is read, unless nothing ends just before it.
#[tokio::test]
async fn a_segment_that_joins_nothing_exactly_is_not_used() {
    let bucket = LibsqlBucket::empty();
    bucket.add(1, 4, 1000, 2, &[(1, 1), (2, 2)]);
    bucket.add(3, 8, 2000, 2, &[(1, 33)]);
    let lost = unreachable(bucket.restore(frame(8)).await.unwrap_err());
    assert_eq!(lost.restorable, [frame_no(1)..=frame_no(4)], "{lost}");
    assert_eq!(lost.missing, Some(frame_no(1)..=frame_no(2)), "{lost}");
    let found = problems(&bucket, false).await;
    assert!(found.iter().any(|problem| problem.contains("missing are frames 1 to 2")), "{found:?}");
    bucket.add(5, 8, 2000, 2, &[(2, 5)]);
    assert_eq!(pages(&bucket.restore(frame(8)).await.unwrap().1), [1, 5]);
}

#[tokio::test]
async fn an_index_of_other_pages_is_damage() {
    let bucket = shrinking();
    let key = bucket.key(7, 9);
    let other = [1, 3].map(page_no);
    bucket.put(ObjectKind::Index, &key, walkeep::core::libsql::PageIndex::encode(other).unwrap());
    let found = problems(&bucket, false).await;
    let path = bucket.path(ObjectKind::Index, &key);
    assert!(found.len() == 1 && found[0].contains(path.as_str()), "{found:?}");
}

/// The twin of the last segment of a page of a listing stands on the next page.
#[tokio::test]
async fn a_contradiction_is_found_across_pages_of_a_listing() {
    let bucket = LibsqlBucket::empty();
    for end in 1..=1000 {
        bucket.add(end, end, 1000 + end, 1, &[(1, 1)]);
    }
    assert!(bucket.restore(RestorePoint::Latest).await.is_ok());
    bucket.add(1, 1, 2000, 1, &[(1, 2)]);
    let error = bucket.restore(RestorePoint::Latest).await.unwrap_err();
    assert!(error.to_string().contains("one log"), "{error}");
}

/// Its compactor published inputs that do not join as one range. Where the inputs are still there, that shows.
#[tokio::test]
async fn a_compacted_segment_that_says_other_things_than_its_inputs_is_found() {
    let bucket = shrinking();
    bucket.add(1, 6, 2000, 1, &[(1, 4), (2, 2), (3, 3)]);
    // Frames are numbered from the start on; libsql-wal keeps the original numbers, so this one does not agree.
    let found = problems(&bucket, true).await;
    assert!(found.len() == 1 && found[0].contains("as the segments that it overlaps say"), "{found:?}");
    assert!(problems(&LibsqlBucket::fixture(), true).await.is_empty(), "the fixture's agrees");
}

#[tokio::test]
async fn the_log_lists_each_end_once_and_names_are_those_of_the_bucket() {
    let bucket = LibsqlBucket::fixture();
    let opened = bucket.open();
    let timeline = Timeline::load(&opened, &bucket.namespace).await.unwrap();
    let logged: Vec<_> = history(&opened, &timeline).try_collect().await.unwrap();
    let ends = logged.iter().rev().map(|logged| logged.commit.frame_no.get()).collect::<Vec<_>>();
    assert_eq!(ends, FIXTURE_ENDS);
    assert!(logged.iter().all(|logged| logged.commit.state.is_none()));
    let levels = timeline.segments().iter().map(|s| (s.key.start().get(), s.key.end().get(), s.key.level()));
    let levels = levels.collect::<Vec<_>>();
    assert_eq!(levels, [(116, 172, 0), (82, 115, 0), (58, 81, 0), (1, 57, 1), (24, 57, 0), (1, 23, 0)]);
    for segment in timeline.segments() {
        let name = opened.segment_name(&bucket.namespace, &segment.key);
        let key: ObjectKey = name.parse().unwrap();
        assert_eq!(segment.size, bucket.object(ObjectKind::Segment, &key).len() as u64);
    }
    assert_eq!(opened.namespaces().await.unwrap().0, std::slice::from_ref(&bucket.namespace));
    let plain = Bucket::new(Arc::clone(&bucket.memory), None).unwrap();
    assert_eq!(plain.libsql_clusters().await.unwrap(), std::slice::from_ref(&bucket.cluster));
}

#[tokio::test]
async fn nothing_is_ever_written_to_it() {
    let bucket = LibsqlBucket::fixture();
    let before = bucket.memory.objects();
    let (handles, _) = walkeep_tests::handles::handles(1, 1);
    let size = walkeep::core::PageSize::DEFAULT;
    let error = walkeep::Writer::open(&bucket.open(), &bucket.namespace, size, &handles).await.unwrap_err();
    assert!(matches!(error, Error::Invalid { .. }) && error.to_string().contains("import"), "{error}");
    assert_eq!(bucket.memory.objects(), before);
}

#[tokio::test]
async fn an_unknown_namespace_does_not_exist() {
    let bucket = LibsqlBucket::fixture();
    let error = Timeline::load(&bucket.open(), &"other".parse().unwrap()).await.unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "{error}");
}

/// An object of many chunks is not kept in memory: its images are fetched again, and checked again.
#[tokio::test]
async fn large_objects_are_read_in_chunks() {
    let bucket = LibsqlBucket::empty();
    let images = (1..=3000_u32).map(|page| (page, (page % 255) as u8 + 1)).collect::<Vec<_>>();
    let key = bucket.add(1, 3000, 1000, 3000, &images);
    let file = bucket.restore(RestorePoint::Latest).await.unwrap().1;
    assert_eq!(pages(&file), images.iter().map(|(_, byte)| *byte).collect::<Vec<_>>());
    let mut bytes = bucket.object(ObjectKind::Segment, &key).to_vec();
    let last = bytes.len() - 100;
    bytes[last] ^= 1;
    bucket.put(ObjectKind::Segment, &key, bytes);
    corrupt_object(&bucket.restore(RestorePoint::Latest).await.unwrap_err());
}
