//! Damage of every kind: it is found, named, and never answered with other bytes.
//!
//! The fault model: any object of the store may have any of its bits flipped, be cut off anywhere, be gone, or be
//! replaced by one whose checksums hold but whose content does not fit.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code: a panic is a failed test")]

use std::sync::Arc;

use bytes::Bytes;
use walkeep::backends::Memory;
use walkeep::core::manifest::ManifestVersion;
use walkeep::core::segment::{Compression, HEADER_LEN};
use walkeep::core::{
    Backend, Body, Error, Layout, NativeLayout, ObjectPath, PageSize, SegmentKey, UnixMillis,
};
use walkeep::verify::{Report, verify};
use walkeep::{RestorePoint, Timeline, Writer};
use walkeep_tests::forge::{Forged, Section};
use walkeep_tests::history::{History, restore};
use walkeep_tests::recorded::{frame_no, page_no};

/// Frames 1 to 4 (lz4), 5 and 6 (not compressed; 5 is a commit), 7 (zstd). Every block holds an image that counts,
/// at the newest commit as at frame 5.
struct Store {
    log: History<Memory>,
    segments: [SegmentKey; 3],
}

const MIDDLE: u64 = 5;

async fn store() -> Store {
    let mut log = History::open(Arc::new(Memory::new()), PageSize::MIN, 5).await;
    log.compression = Compression::Lz4;
    for page in 1..=4 {
        log.fill(page, u8::try_from(page).unwrap());
    }
    log.commit(4, 10);
    let first = log.store().await.unwrap();
    log.compression = Compression::None;
    log.fill(2, 12);
    log.commit(4, 20);
    log.fill(3, 13);
    log.commit(4, 30);
    let second = log.store().await.unwrap();
    log.compression = Compression::Zstd(1);
    log.fill(5, 15);
    log.commit(5, 40);
    let third = log.store().await.unwrap();
    Store { log, segments: [first, second, third] }
}

fn manifest_path(log: &History<Memory>, version: u64) -> ObjectPath {
    NativeLayout::new().unwrap().manifest(&log.namespace, ManifestVersion::new(version).unwrap())
}

fn content(log: &History<Memory>, path: &ObjectPath) -> Bytes {
    log.backend.objects()[path].clone()
}

async fn deep(log: &History<Memory>) -> Report {
    verify(&log.bucket, &log.namespace, true).await.unwrap()
}

fn is_corrupt(error: &Error, path: &ObjectPath, len: usize) -> bool {
    matches!(error, Error::Corrupt(damage) if damage.object == path.as_str() && damage.offset <= len as u64)
}

/// What a restore must come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
    Identical,
    Corrupt,
}

/// Damages an object in one way after another; `latest` and `middle` say what must come of each restore.
async fn sweep(
    log: &History<Memory>,
    path: &ObjectPath,
    damage: impl Iterator<Item = (usize, Bytes)>,
    latest: impl Fn(usize) -> Expect,
    middle: impl Fn(usize) -> Expect,
) {
    let whole = content(log, path);
    let files = [log.commits.last().unwrap(), &log.commits[1]].map(|recorded| recorded.file.clone());
    for (offset, damaged) in damage {
        log.backend.replace(path, damaged);
        let points = [RestorePoint::Latest, RestorePoint::Frame(frame_no(MIDDLE))];
        for ((point, file), expected) in points.into_iter().zip(&files).zip([latest(offset), middle(offset)])
        {
            match log.restore(point).await {
                Ok(restored) => {
                    assert!(restored == *file, "{path}, byte {offset}: {point} gave other bytes");
                    assert_eq!(expected, Expect::Identical, "{path}, byte {offset}: {point} noticed nothing");
                }
                Err(error) => {
                    assert_eq!(expected, Expect::Corrupt, "{path}, byte {offset}: {point}: {error}");
                    assert!(is_corrupt(&error, path, whole.len()), "{path}, byte {offset}: {point}: {error}");
                }
            }
        }
        let report = deep(log).await;
        let found = report.problems.iter().any(|problem| is_corrupt(problem, path, whole.len()));
        assert!(found, "{path}, byte {offset}: not found: {:?}", report.problems);
    }
    log.backend.replace(path, whole);
    assert!(deep(log).await.problems.is_empty());
}

/// Every one-bit flip, with the byte it is in.
fn flips(whole: &Bytes) -> impl Iterator<Item = (usize, Bytes)> + use<> {
    let whole = whole.clone();
    (0..whole.len() * 8).map(move |bit| {
        let mut damaged = whole.to_vec();
        damaged[bit / 8] ^= 1 << (bit % 8);
        (bit / 8, damaged.into())
    })
}

/// Every truncation, with its length.
fn truncations(whole: &Bytes) -> impl Iterator<Item = (usize, Bytes)> + use<> {
    let whole = whole.clone();
    (0..whole.len()).map(move |len| (len, whole.slice(..len)))
}

/// The header alone is not read by a restore, since the footer repeats it.
const fn behind_the_header(offset: usize) -> Expect {
    if offset < HEADER_LEN { Expect::Identical } else { Expect::Corrupt }
}

async fn sweep_flips_of(segment: usize) {
    let Store { log, segments } = store().await;
    let path = log.path(&segments[segment]);
    let whole = content(&log, &path);
    let middle = |offset| if segment == 2 { Expect::Identical } else { behind_the_header(offset) };
    sweep(&log, &path, flips(&whole), behind_the_header, middle).await;
}

#[tokio::test]
async fn every_flipped_bit_of_an_lz4_segment_is_found() {
    sweep_flips_of(0).await;
}

#[tokio::test]
async fn every_flipped_bit_of_an_uncompressed_segment_is_found() {
    sweep_flips_of(1).await;
}

#[tokio::test]
async fn every_flipped_bit_of_a_zstd_segment_is_found() {
    sweep_flips_of(2).await;
}

#[tokio::test]
async fn every_truncation_of_a_segment_is_found() {
    let Store { log, segments } = store().await;
    for (at, key) in segments.iter().enumerate() {
        let path = log.path(key);
        let whole = content(&log, &path);
        let middle = |_| if at == 2 { Expect::Identical } else { Expect::Corrupt };
        sweep(&log, &path, truncations(&whole), |_| Expect::Corrupt, middle).await;
    }
}

#[tokio::test]
async fn every_damage_of_a_manifest_is_found_and_the_one_before_is_never_used() {
    let Store { log, .. } = store().await;
    for (version, expected) in [(1, Expect::Identical), (2, Expect::Corrupt)] {
        let path = manifest_path(&log, version);
        let whole = content(&log, &path);
        sweep(&log, &path, flips(&whole).chain(truncations(&whole)), |_| expected, |_| expected).await;
    }
}

#[tokio::test]
async fn with_the_newest_manifest_damaged_nothing_is_served_and_nothing_written() {
    let Store { log, .. } = store().await;
    let (newest, before) = (manifest_path(&log, 2), manifest_path(&log, 1));
    // Also a whole manifest with a checksum that holds, but of another version.
    for bytes in [Bytes::new(), content(&log, &before)] {
        log.backend.replace(&newest, bytes);
        let objects = log.backend.objects();
        let corrupt = |error: Error| assert!(is_corrupt(&error, &newest, usize::MAX), "{error}");
        for point in [
            RestorePoint::Latest,
            RestorePoint::Frame(frame_no(1)),
            RestorePoint::Frame(frame_no(4)),
            RestorePoint::Time(UnixMillis(20)),
        ] {
            corrupt(log.restore(point).await.unwrap_err());
        }
        corrupt(Timeline::load(&log.bucket, &log.namespace).await.unwrap_err());
        let opened = Writer::open(&log.bucket, &log.namespace, PageSize::MIN, &log.handles).await;
        corrupt(opened.unwrap_err());
        assert_eq!(log.backend.objects(), objects);
    }
}

#[tokio::test]
async fn a_missing_segment_makes_later_points_unreachable_and_no_others() {
    let Store { mut log, segments } = store().await;
    log.delete(segments[1]).await;
    let missing = Some(frame_no(5)..=frame_no(6));
    for point in [
        RestorePoint::Latest,
        RestorePoint::Frame(frame_no(7)),
        RestorePoint::Time(UnixMillis(40)),
        RestorePoint::Time(UnixMillis(99)),
    ] {
        match log.restore(point).await.unwrap_err() {
            Error::Unreachable(error) => {
                assert_eq!(error.missing, missing, "{point}: {error}");
                assert_eq!(error.restorable, [frame_no(1)..=frame_no(4)], "{point}");
                assert!(error.to_string().contains("frames 5 to 6"), "{error}");
            }
            other => panic!("{point}: {other}"),
        }
    }
    // The lost commits themselves, and times of which one of them may be the answer.
    for point in [
        RestorePoint::Frame(frame_no(5)),
        RestorePoint::Frame(frame_no(6)),
        RestorePoint::Time(UnixMillis(20)),
        RestorePoint::Time(UnixMillis(39)),
        // Not even here: the lost one may be of this very time.
        RestorePoint::Time(UnixMillis(10)),
    ] {
        let error = log.restore(point).await.unwrap_err();
        assert!(matches!(error, Error::Unreachable(_)), "{point}: {error}");
    }
    assert!(log.restore_frame(4).await.unwrap() == log.commits[0].file);

    let report = deep(&log).await;
    let found = report
        .problems
        .iter()
        .any(|problem| matches!(problem, Error::Unreachable(error) if error.missing == missing));
    assert!(found, "{:?}", report.problems);
}

#[tokio::test]
async fn foreign_objects_are_ignored_and_counted() {
    let Store { mut log, segments } = store().await;
    let layout = NativeLayout::new().unwrap();
    let key = segments[1].to_string();
    let mut foreign = ["0", "zzz", "README.md"].map(str::to_string).to_vec();
    foreign.push(format!("{key}.tmp"));
    foreign.push(format!("{key}/0"));
    foreign.push(format!("0{key}"));
    foreign.push(key[..75].to_string());
    // A first frame of 0, and one behind the last.
    foreign.push(key.replace("-00000000000000000005-", "-00000000000000000000-"));
    foreign.push(key.replace("-00000000000000000005-", "-00000000000000000009-"));
    for name in &foreign {
        let path = layout.segments(&log.namespace).join(name).unwrap();
        log.backend.put_new(None, &path, Body::from(vec![1, 2, 3])).await.unwrap();
    }
    // More than one page of names that sort before the newest manifest.
    let manifests: Vec<String> = (0..20).map(|n| format!("0{n:02}-notes.txt")).collect();
    for name in &manifests {
        let path = layout.manifests(&log.namespace).join(name).unwrap();
        log.backend.put_new(None, &path, Body::from(vec![1])).await.unwrap();
    }

    assert!(log.restore(RestorePoint::Latest).await.unwrap() == log.commits[3].file);
    assert!(log.restore_frame(MIDDLE).await.unwrap() == log.commits[1].file);
    let timeline = Timeline::load(&log.bucket, &log.namespace).await.unwrap();
    assert_eq!(timeline.ignored().foreign, foreign.len());
    assert_eq!(timeline.segments().len(), 3);
    let report = deep(&log).await;
    assert_eq!((report.ignored.foreign, report.foreign_manifests), (foreign.len(), manifests.len()));
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    log.reopen(PageSize::MIN).await.unwrap();
    assert_eq!(log.writer.tip(), Some(&segments[2]));
}

#[tokio::test]
async fn a_segment_under_the_name_of_another_is_corrupt() {
    let Store { log, segments } = store().await;
    let path = log.path(&segments[1]);
    log.backend.replace(&path, content(&log, &log.path(&segments[2])));
    let error = log.restore(RestorePoint::Latest).await.unwrap_err();
    assert!(is_corrupt(&error, &path, usize::MAX), "{error}");
}

#[tokio::test]
async fn a_segment_of_another_log_is_corrupt() {
    let Store { log, segments } = store().await;
    let path = log.path(&segments[1]);
    let forged = Forged::of(&content(&log, &path)).with(16, &[7; 16]).resealed();
    log.backend.replace(&path, forged);
    let error = log.restore(RestorePoint::Latest).await.unwrap_err();
    assert!(is_corrupt(&error, &path, usize::MAX), "{error}");
    assert!(!deep(&log).await.problems.is_empty());
}

/// The uncompressed segment with every checksum recomputed after a change.
async fn forged(change: impl Fn(Forged) -> Forged) -> (Store, ObjectPath) {
    let store = store().await;
    let path = store.log.path(&store.segments[1]);
    let honest = Forged::of(&content(&store.log, &path));
    assert_eq!(honest.clone().resealed(), content(&store.log, &path), "sealing again changes nothing");
    store.log.backend.replace(&path, change(honest).resealed());
    (store, path)
}

#[tokio::test]
async fn swapped_page_images_are_refused_although_all_checksums_hold() {
    let swap = |forged: Forged| forged.swapped(HEADER_LEN, HEADER_LEN + 512, 512);
    let (Store { log, .. }, path) = forged(swap).await;
    for point in [RestorePoint::Latest, RestorePoint::Frame(frame_no(MIDDLE))] {
        let error = log.restore(point).await.unwrap_err();
        assert!(is_corrupt(&error, &path, usize::MAX), "{error}");
        assert!(error.to_string().contains("hash"), "{error}");
    }
    let view = log.view(RestorePoint::Latest).await.unwrap();
    let error = view.page(page_no(2)).await.unwrap_err();
    assert!(is_corrupt(&error, &path, usize::MAX), "{error}");
    assert!(deep(&log).await.problems.iter().any(|problem| is_corrupt(problem, &path, usize::MAX)));
}

/// Whoever can compute page hashes can make the images fit them. What the writer folded tells nevertheless.
#[tokio::test]
async fn swapped_page_images_are_refused_when_their_hashes_are_made_to_fit() {
    let Store { log, segments } = store().await;
    let path = log.path(&segments[1]);
    let forged = Forged::of(&content(&log, &path)).swapped(HEADER_LEN, HEADER_LEN + 512, 512);
    let hashes = forged.section(Section::Columns).start + 2 * 12;
    let [two, three] = [(2, 13), (3, 12)]
        .map(|(page, byte)| log.writer.hash_seed().page(page_no(page), &[byte; 512]).0.to_le_bytes());
    let forged = forged.with(hashes, &two).with(hashes + 8, &three).resealed();
    log.backend.replace(&path, forged);
    for point in [RestorePoint::Latest, RestorePoint::Frame(frame_no(MIDDLE))] {
        let error = log.restore(point).await.unwrap_err();
        assert!(matches!(error, Error::Corrupt(_)), "{error}");
        assert!(error.to_string().contains("state checksum"), "{error}");
    }
    assert!(!deep(&log).await.problems.is_empty());
}

/// A compaction that left an image out, beside its inputs: what it says is not what the log says at its end.
#[tokio::test]
async fn a_compacted_segment_that_left_an_image_out_is_found() {
    let Store { mut log, .. } = store().await;
    let kept = log.frames.clone();
    log.frames.retain(|frame| frame.page != page_no(4));
    log.compact(1, 6, 1).await;
    log.frames = kept;
    for point in [RestorePoint::Latest, RestorePoint::Frame(frame_no(6))] {
        let error = log.restore(point).await.unwrap_err();
        assert!(error.to_string().contains("state checksum"), "{error}");
    }
    // Inside the raw segment it is not used.
    assert!(log.restore_frame(MIDDLE).await.unwrap() == log.commits[1].file);
    let report = deep(&log).await;
    assert!(report.problems.iter().any(|p| p.to_string().contains("state checksum")), "{report:?}");
}

/// The header is not read by a restore, since the footer repeats it; that both agree is for a verification to say.
#[tokio::test]
async fn a_header_that_the_footer_does_not_repeat_is_found() {
    let Store { log, segments } = store().await;
    let path = log.path(&segments[1]);
    let forged = Forged::of(&content(&log, &path)).with(32, &[9; 16]).resealed_with_a_header_apart();
    log.backend.replace(&path, forged);
    assert!(log.restore(RestorePoint::Latest).await.unwrap() == log.commits[3].file);
    assert!(deep(&log).await.problems.iter().any(|problem| is_corrupt(problem, &path, 0)));
}

/// A recorded size that is not the one the state was folded with: only the state checksum can tell.
#[tokio::test]
async fn a_wrong_size_is_refused_although_all_checksums_hold() {
    let grow = |forged: Forged| {
        let (commits, footer) = (forged.section(Section::Commits), forged.footer());
        let grown = 6_u32.to_le_bytes();
        forged
            .with(commits.start + 24, &grown)
            .with(commits.start + 32 + 24, &grown)
            .with(footer + 248, &grown)
            .with(footer + 252, &grown)
    };
    let (Store { log, .. }, _) = forged(grow).await;
    for frame in [5, 6] {
        let error = log.restore_frame(frame).await.unwrap_err();
        assert!(error.to_string().contains("state checksum"), "{error}");
    }
    assert!(!deep(&log).await.problems.is_empty());
}

/// What is refused before anything of that size is asked for: the machine that runs this has not the memory.
#[tokio::test]
async fn absurd_numbers_are_refused_although_all_checksums_hold() {
    type Change = (&'static str, fn(Forged) -> Forged);
    let changes: [Change; 10] = [
        ("page size 0", |f| f.with(12, &0_u32.to_le_bytes())),
        ("page size 1", |f| f.with(12, &1_u32.to_le_bytes())),
        ("page size 2^31", |f| f.with(12, &(1_u32 << 31).to_le_bytes())),
        ("4 billion frames", |f| f.with(72, &u32::MAX.to_le_bytes())),
        ("4 billion frames and columns of them", |f| {
            let at = f.section_len_at(Section::Columns);
            f.with(72, &u32::MAX.to_le_bytes()).with(at, &(u64::from(u32::MAX) * 20).to_le_bytes())
        }),
        ("columns of 2^64 bytes", |f| {
            let at = f.section_len_at(Section::Columns);
            f.with(at, &u64::MAX.to_le_bytes())
        }),
        ("an index of 2^64 bytes", |f| {
            let at = f.section_len_at(Section::Index);
            f.with(at, &u64::MAX.to_le_bytes())
        }),
        ("a block of 4 billion images", |f| {
            let at = f.section(Section::Directory).start + 12;
            f.with(at, &u32::MAX.to_le_bytes())
        }),
        ("a block of 4 billion bytes", |f| {
            let at = f.section(Section::Directory).start + 16;
            f.with(at, &u32::MAX.to_le_bytes())
        }),
        ("a page behind the range of frames", |f| {
            let at = f.section(Section::Columns).start + 2 * 4;
            f.with(at, &u64::MAX.to_le_bytes())
        }),
    ];
    for (what, change) in changes {
        let (Store { log, .. }, path) = forged(change).await;
        for point in [RestorePoint::Latest, RestorePoint::Frame(frame_no(MIDDLE))] {
            let error = log.restore(point).await.unwrap_err();
            assert!(is_corrupt(&error, &path, usize::MAX), "{what}: {error}");
        }
        let report = deep(&log).await;
        assert!(report.problems.iter().any(|p| is_corrupt(p, &path, usize::MAX)), "{what}: {report:?}");
    }
}

/// A size of 2^32 - 1 pages would be a hash table of 32 GiB.
#[tokio::test]
async fn an_absurd_database_size_is_refused_before_memory_is_asked_for() {
    let grow = |forged: Forged| {
        let (commits, footer) = (forged.section(Section::Commits), forged.footer());
        let huge = u32::MAX.to_le_bytes();
        forged
            .with(commits.start + 24, &huge)
            .with(commits.start + 32 + 24, &huge)
            .with(footer + 248, &huge)
            .with(footer + 252, &huge)
    };
    let (Store { log, .. }, _) = forged(grow).await;
    for frame in [5, 6] {
        let error = log.restore_frame(frame).await.unwrap_err();
        assert!(matches!(error, Error::Exhausted { .. }), "{error}");
    }
    let report = deep(&log).await;
    assert!(!report.problems.is_empty());
}

/// Versions of the future are named, not called damage.
#[tokio::test]
async fn a_newer_segment_format_is_refused_as_such() {
    let (Store { log, .. }, _) = forged(|forged| forged.with(8, &2_u16.to_le_bytes())).await;
    let error = log.restore(RestorePoint::Latest).await.unwrap_err();
    assert!(matches!(error, Error::Invalid { .. }), "{error}");
    assert!(error.to_string().contains("format 2") && error.to_string().contains("format 1"), "{error}");
}

/// An object that is replaced between two reads of its ranges, as a store that overwrites may do: the restore gives what
/// it began with, or says that the object is damaged.
#[tokio::test]
async fn an_object_that_is_replaced_while_it_is_read_is_detected() {
    let mut log = History::open(Arc::new(Memory::new()), PageSize::DEFAULT, 31).await;
    log.compression = Compression::None;
    let write = |log: &mut History<Memory>, byte: u8| {
        (1..=64).for_each(|page| log.fill(page, byte.wrapping_add(page as u8)));
        log.commit(64, 2000);
    };
    write(&mut log, 1);
    let key = log.store().await.unwrap();
    let path = log.path(&key);
    let whole = content(&log, &path);
    // Others of the very same name, log and length.
    let other = |log: &mut History<Memory>| {
        log.frames.clear();
        log.commits.clear();
        log.forget_unstored();
        write(log, 99);
        log.seal().unwrap().body
    };
    let kept = (log.frames.clone(), log.commits.clone());
    let Body::Bytes(other) = other(&mut log) else { panic!("a small segment is in memory") };
    (log.frames, log.commits) = kept;
    assert_eq!(other.len(), whole.len());
    assert_ne!(other, whole);

    let replacements = [other.clone(), other.slice(..other.len() / 2), whole.slice(..1), Bytes::new()];
    for replacement in replacements {
        // What was opened has read the end of the object, and reads the rest when it restores.
        let view = log.view(RestorePoint::Latest).await.unwrap();
        log.backend.replace(&path, replacement.clone());
        let error = restore(&view).await.map(drop).unwrap_err();
        assert!(is_corrupt(&error, &path, whole.len()), "{} bytes: {error}", replacement.len());
        log.backend.replace(&path, whole.clone());
        assert!(restore(&view).await.unwrap().0 == log.commits[0].file);
    }
    let view = log.view(RestorePoint::Latest).await.unwrap();
    log.delete(key).await;
    assert!(matches!(restore(&view).await, Err(Error::NotFound { .. })));
}
