//! Importing from libsql-wal: every restore point is there afterwards and proven, and nothing outside is changed.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code: a panic is a failed test")]

use std::path::Path;
use std::sync::Arc;

use futures::TryStreamExt;
use walkeep::backends::Memory;
use walkeep::backends::os::OsDirectory;
use walkeep::core::libsql::{CheckpointFooter, LocalSegment, LocalWriter, ObjectKind};
use walkeep::core::segment::Compression;
use walkeep::core::{CommitKind, Directory, Error, FrameNo, LogId, Namespace, PageCount, UnixMillis};
use walkeep::libsql::{ImportOptions, ImportSource, Imported, LocalLog, import};
use walkeep::verify::verify;
use walkeep::{Bucket, RestorePoint, Timeline, history};
use walkeep_tests::database::assert_same;
use walkeep_tests::footprint::footprint;
use walkeep_tests::handles::handles;
use walkeep_tests::libsql_bucket::{FIXTURE_ENDS, LibsqlBucket, fixture_state, libsql_fixture, restore};
use walkeep_tests::recorded::{frame_no, page_no};

/// When imports are made.
const NOW: u64 = 9_000_000_000_000;

/// A store to import into.
struct Target {
    memory: Arc<Memory>,
    bucket: Bucket,
    namespace: Namespace,
    directory: tempfile::TempDir,
}

impl Target {
    fn new() -> Self {
        let memory = Arc::new(Memory::new());
        let bucket = Bucket::new(Arc::clone(&memory), None).unwrap();
        Self { memory, bucket, namespace: "shop".parse().unwrap(), directory: tempfile::tempdir().unwrap() }
    }

    async fn import_both(
        &self,
        from: Option<&LibsqlBucket>,
        local: Option<LocalLog>,
    ) -> walkeep::Result<Imported> {
        let options = ImportOptions {
            spool: Arc::new(OsDirectory::open(self.directory.path()).unwrap()),
            handles: handles(NOW, 7).0,
            compression: Compression::default(),
        };
        let opened = from.map(LibsqlBucket::open);
        let bucket = opened.as_ref().zip(from.map(|from| &from.namespace));
        import(ImportSource { bucket, local }, &self.bucket, &self.namespace, &options).await
    }

    async fn import(&self, from: &LibsqlBucket) -> walkeep::Result<Imported> {
        self.import_both(Some(from), None).await
    }

    async fn import_local(&self, local: LocalLog) -> walkeep::Result<Imported> {
        self.import_both(None, Some(local)).await
    }

    /// The database at a frame, proven.
    async fn at(&self, frame: u64) -> Vec<u8> {
        let point = RestorePoint::Frame(frame_no(frame));
        let (restored, file) = restore(&self.bucket, &self.namespace, point).await.unwrap();
        assert!(restored.verified, "an imported commit has a state checksum");
        file
    }

    /// Frame, time and kind of all commits, oldest first.
    async fn commits(&self) -> Vec<(u64, u64, CommitKind)> {
        let timeline = Timeline::load(&self.bucket, &self.namespace).await.unwrap();
        let logged: Vec<_> = history(&self.bucket, &timeline).try_collect().await.unwrap();
        let commits = logged.iter().rev().map(|logged| logged.commit);
        commits.map(|commit| (commit.frame_no.get(), commit.time.get(), commit.kind)).collect()
    }

    async fn is_whole(&self) {
        let report = verify(&self.bucket, &self.namespace, true).await.unwrap();
        assert!(report.problems.is_empty(), "{:?}", report.problems);
        assert_eq!(report.states_proven, self.commits().await.len() as u64);
    }
}

/// The fixture's sealed files up to and including the one that ends with `until`, and `more` files.
fn segment_files(until: u64, more: &[(&str, Vec<u8>)]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let starts = [1].into_iter().chain(FIXTURE_ENDS.map(|end| end + 1));
    for (start, _) in starts.zip(FIXTURE_ENDS).filter(|(_, end)| *end <= until) {
        let name = format!("{start:020}.seg");
        let source = libsql_fixture().join(format!("local_segments/sealed-{name}"));
        std::fs::copy(source, directory.path().join(name)).unwrap();
    }
    for (name, bytes) in more {
        std::fs::write(directory.path().join(name), bytes).unwrap();
    }
    directory
}

fn open(directory: &Path) -> Arc<dyn Directory> {
    Arc::new(OsDirectory::open(directory).unwrap())
}

fn local(directory: &Path) -> LocalLog {
    LocalLog::open(open(directory)).unwrap()
}

#[tokio::test]
async fn every_end_is_a_proven_commit_with_its_frame_and_time() {
    let (from, target) = (LibsqlBucket::fixture(), Target::new());
    let imported = target.import(&from).await.unwrap();
    assert_eq!(
        (imported.commits_stored, imported.commits_found, imported.frame_no),
        (5, 0, Some(frame_no(172)))
    );
    for end in FIXTURE_ENDS {
        assert_same(&target.at(end).await, &fixture_state(end), &format!("frame {end}"));
        let (_, direct) = from.restore(RestorePoint::Frame(frame_no(end))).await.unwrap();
        assert_same(&direct, &fixture_state(end), &format!("frame {end}, directly"));
    }
    let times = FIXTURE_ENDS.map(|end| {
        let starts = [1, 24, 58, 82, 116];
        let start = starts[FIXTURE_ENDS.iter().position(|other| *other == end).unwrap()];
        (end, from.key(start, end).time().get(), CommitKind::Snapshot)
    });
    assert_eq!(target.commits().await, times);
    target.is_whole().await;
}

#[tokio::test]
async fn importing_again_adds_what_is_new_and_nothing_else() {
    let (whole, target) = (LibsqlBucket::fixture(), Target::new());
    let part = LibsqlBucket::fixture();
    for start in [82, 116] {
        let key = part.key(start, if start == 82 { 115 } else { 172 });
        part.remove(ObjectKind::Index, &key).await;
        part.remove(ObjectKind::Segment, &key).await;
    }
    assert_eq!(target.import(&part).await.unwrap().commits_stored, 3);
    let before = target.memory.objects();
    let again = target.import(&part).await.unwrap();
    assert_eq!((again.commits_stored, again.commits_found), (0, 3));
    assert_eq!(target.memory.objects(), before, "not even a manifest");
    let rest = target.import(&whole).await.unwrap();
    assert_eq!((rest.commits_stored, rest.commits_found), (2, 3));
    for end in FIXTURE_ENDS {
        assert_same(&target.at(end).await, &fixture_state(end), &format!("frame {end}"));
    }
    target.is_whole().await;
}

#[tokio::test]
async fn where_only_the_compacted_segment_is_left_its_end_is_imported() {
    let (from, target) = (LibsqlBucket::fixture(), Target::new());
    for key in [from.key(1, 23), from.key(24, 57)] {
        from.remove(ObjectKind::Index, &key).await;
    }
    assert_eq!(target.import(&from).await.unwrap().commits_stored, 4);
    assert_same(&target.at(57).await, &fixture_state(57), "frame 57");

    // Of an end that only the compacted one has, the frames behind the one before are taken from it.
    let (from, target) = (LibsqlBucket::fixture(), Target::new());
    from.remove(ObjectKind::Index, &from.key(24, 57)).await;
    assert_eq!(target.import(&from).await.unwrap().commits_stored, 5);
    for end in FIXTURE_ENDS {
        assert_same(&target.at(end).await, &fixture_state(end), &format!("frame {end}"));
    }
    target.is_whole().await;
}

/// Where only a compacted segment has an end, the frames behind the end before are taken from it, be it none.
#[tokio::test]
async fn of_a_wider_segment_only_what_is_new_is_imported() {
    let (from, target) = (LibsqlBucket::empty(), Target::new());
    from.add(1, 3, 1000, 3, &[(1, 1), (2, 2), (3, 3)]);
    from.add_frames(1, 6, 2000, 3, &[(1, 4, 41), (2, 2, 2), (3, 3, 3)]);
    from.add_frames(1, 8, 3000, 2, &[(1, 4, 41), (2, 2, 2), (3, 3, 3)]);
    assert_eq!(target.import(&from).await.unwrap().commits_stored, 3);
    for (end, expected) in [(3, vec![1, 2, 3]), (6, vec![41, 2, 3]), (8, vec![41, 2])] {
        let file = target.at(end).await;
        assert_eq!(file.chunks(4096).map(|page| page[0]).collect::<Vec<_>>(), expected, "frame {end}");
    }
    let timeline = Timeline::load(&target.bucket, &target.namespace).await.unwrap();
    let ranges =
        timeline.segments().iter().map(|segment| (segment.key.start().get(), segment.key.end().get()));
    assert_eq!(ranges.collect::<Vec<_>>(), [(7, 8), (4, 6), (1, 3)]);
    target.is_whole().await;
}

#[tokio::test]
async fn shrinks_and_growth_behind_them_stay_exact() {
    let (from, target) = (LibsqlBucket::empty(), Target::new());
    from.add(1, 3, 1000, 3, &[(1, 1), (2, 2), (3, 3)]);
    from.add(4, 6, 0, 1, &[(1, 4), (3, 9)]);
    from.add(7, 9, 3000, 4, &[(1, 7), (4, 8)]);
    let imported = target.import(&from).await.unwrap();
    assert_eq!(imported.times_raised, 1);
    for end in [3, 6, 9] {
        let (_, direct) = from.restore(RestorePoint::Frame(frame_no(end))).await.unwrap();
        assert_eq!(target.at(end).await, direct, "frame {end}");
    }
    let times = target.commits().await.iter().map(|(_, time, _)| *time).collect::<Vec<_>>();
    assert_eq!(times, [1000, 1000, 3000]);
    target.is_whole().await;
}

#[tokio::test]
async fn behind_a_hole_nothing_is_imported_and_the_hole_is_named() {
    let (from, target) = (LibsqlBucket::fixture(), Target::new());
    from.remove(ObjectKind::Index, &from.key(58, 81)).await;
    let imported = target.import(&from).await.unwrap();
    assert_eq!(imported.missing, [frame_no(58)..=frame_no(81)]);
    assert_eq!(imported.frame_no, Some(frame_no(57)));
    assert_same(&target.at(57).await, &fixture_state(57), "frame 57");

    let (from, target) = (LibsqlBucket::empty(), Target::new());
    from.add(5, 9, 1000, 1, &[(1, 1)]);
    let error = target.import(&from).await.unwrap_err();
    assert!(error.to_string().contains("missing are frames 1 to 4"), "{error}");
    assert!(target.memory.objects().is_empty(), "nothing is created for it");
}

#[tokio::test]
async fn a_target_that_holds_something_else_is_refused() {
    let (from, target) = (LibsqlBucket::empty(), Target::new());
    from.add(1, 3, 1000, 1, &[(1, 1)]);
    target.import(&from).await.unwrap();
    let before = target.memory.objects();
    // Another content at the same frame; and an end where the source has none.
    for (end, byte) in [(3, 2), (4, 1)] {
        let other = LibsqlBucket::empty();
        other.add(1, end, 1000, 1, &[(1, byte)]);
        let error = target.import(&other).await.unwrap_err();
        assert!(matches!(error, Error::Invalid { .. }) && error.to_string().contains("--as"), "{error}");
        assert_eq!(target.memory.objects(), before);
    }
}

/// Two logs in one bucket: whichever of the two an end belongs to, it is never imported on top of the other.
#[tokio::test]
async fn segments_of_two_logs_are_not_imported_as_one() {
    let (from, target) = (LibsqlBucket::empty(), Target::new());
    from.add(1, 4, 1000, 2, &[(1, 1), (2, 1)]);
    from.add(5, 8, 2000, 2, &[(2, 2)]);
    from.add(1, 6, 3000, 2, &[(1, 11), (2, 11)]);
    let error = target.import(&from).await.unwrap_err();
    assert!(matches!(error, Error::Corrupt(_)), "{error}");
    assert!(error.to_string().contains("as the segments that it overlaps say"), "{error}");
}

#[tokio::test]
async fn local_files_give_every_transaction() {
    let (files, target) = (segment_files(172, &[]), Target::new());
    let before = footprint(files.path());
    let imported = target.import_local(local(files.path())).await.unwrap();
    assert_eq!(footprint(files.path()), before, "they are only read");
    let commits = target.commits().await;
    assert_eq!(imported.commits_stored, commits.len() as u64);
    assert!(commits.len() > FIXTURE_ENDS.len(), "transactions, not segments: {commits:?}");
    assert!(commits.iter().all(|(_, _, kind)| *kind == CommitKind::Transaction));
    for end in FIXTURE_ENDS {
        assert_same(&target.at(end).await, &fixture_state(end), &format!("frame {end}"));
    }
    target.is_whole().await;
    let again = target.import_local(local(files.path())).await.unwrap();
    assert_eq!((again.commits_stored, again.commits_found), (0, commits.len() as u64));
}

#[tokio::test]
async fn local_files_go_on_where_the_bucket_ends() {
    let (from, target) = (LibsqlBucket::fixture(), Target::new());
    for (start, end) in [(82, 115), (116, 172)] {
        let key = from.key(start, end);
        from.remove(ObjectKind::Index, &key).await;
        from.remove(ObjectKind::Segment, &key).await;
    }
    let files = segment_files(172, &[]);
    let imported = target.import_both(Some(&from), Some(local(files.path()))).await.unwrap();
    assert_eq!(imported.frame_no, Some(frame_no(172)));
    for end in FIXTURE_ENDS {
        assert_same(&target.at(end).await, &fixture_state(end), &format!("frame {end}"));
    }
    target.is_whole().await;
}

/// An unsealed file is as good as its chain of checksums: a crash may have torn its end.
#[tokio::test]
async fn a_torn_unsealed_file_is_taken_up_to_its_last_whole_transaction() {
    let name = "unsealed-00000000000000000001.seg";
    let whole = std::fs::read(libsql_fixture().join("local_segments").join(name)).unwrap();
    let commits = LocalSegment::recover(name, &whole).unwrap().segment.commits().to_vec();
    let kept = commits[commits.len() - 2];
    let mut torn = whole.clone();
    torn.truncate(92 + 4116 * (kept.frame_count + 1) - 10);
    let (files, target) = (segment_files(0, &[(name, torn)]), Target::new());
    let imported = target.import_local(local(files.path())).await.unwrap();
    assert_eq!(imported.frame_no, Some(kept.frame_no));
    assert!(
        imported.notes.iter().any(|note| note.contains("committed frames are lost")),
        "{:?}",
        imported.notes
    );
    assert!(imported.notes.iter().any(|note| note.contains("time of this import")), "{:?}", imported.notes);
    assert!(target.commits().await.iter().all(|(_, time, _)| *time == NOW));
    target.is_whole().await;
    // The file in full goes on where this ended.
    let files = segment_files(0, &[(name, whole)]);
    let rest = target.import_local(local(files.path())).await.unwrap();
    assert_eq!(rest.frame_no, Some(commits.last().unwrap().frame_no));
    assert_eq!(rest.commits_stored, 1);
    target.is_whole().await;
}

#[tokio::test]
async fn a_sealed_file_that_is_damaged_is_taken_up_to_the_damage_and_what_follows_does_not_join() {
    let files = segment_files(57, &[]);
    let path = files.path().join(format!("{:020}.seg", 1));
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let target = Target::new();
    let error = target.import_local(local(files.path())).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable(_)) && error.to_string().contains("to 23"), "{error}");
    assert!(!target.commits().await.is_empty());
    target.is_whole().await;
}

fn write_local(start: u64, log_id: u128, transactions: &[&[(u32, u8)]], size: u32) -> Vec<u8> {
    let mut writer = LocalWriter::new(frame_no(start), PageCount(size), LogId(log_id), 7);
    for pages in transactions {
        for (at, (page, byte)) in pages.iter().enumerate() {
            let size = if at + 1 == pages.len() { PageCount(size) } else { PageCount(0) };
            writer.push(page_no(*page), &[*byte; 4096], size).unwrap();
        }
    }
    writer.seal(UnixMillis(5000)).unwrap()
}

fn checkpointed(log_id: u128, frame: u64, pages: &[u8]) -> Vec<u8> {
    let mut bytes: Vec<u8> = pages.iter().flat_map(|byte| vec![*byte; 4096]).collect();
    bytes.extend(CheckpointFooter { frame_no: FrameNo::new(frame), log_id: LogId(log_id) }.encode());
    bytes
}

#[tokio::test]
async fn files_that_do_not_begin_at_1_need_the_database_that_was_checkpointed() {
    let log = write_local(11, 5, &[&[(2, 22)], &[(1, 31), (3, 33)]], 3);
    let files = segment_files(0, &[("a.seg", log), ("app.db", checkpointed(5, 10, &[1, 2, 0]))]);
    let target = Target::new();
    let error = target.import_local(local(files.path())).await.unwrap_err();
    assert!(error.to_string().contains("missing are frames 1 to 10"), "{error}");
    assert!(target.memory.objects().is_empty());

    let before = footprint(files.path());
    for stored in [3, 0] {
        let based = local(files.path()).with_database(&*open(files.path()), Path::new("app.db")).unwrap();
        assert_eq!(target.import_local(based).await.unwrap().commits_stored, stored);
    }
    assert_eq!(footprint(files.path()), before, "they are only read");
    for (frame, expected) in [(10, [1, 2, 0]), (11, [1, 22, 0]), (13, [31, 22, 33])] {
        let file = target.at(frame).await;
        assert_eq!(file.chunks(4096).map(|page| page[0]).collect::<Vec<_>>(), expected, "frame {frame}");
    }
    target.is_whole().await;
}

#[tokio::test]
async fn the_database_that_libsql_wal_checkpointed_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let source = libsql_fixture().join("checkpointed_with_footer.db");
    let bytes = std::fs::read(&source).unwrap();
    let (pages, footer) = CheckpointFooter::split("db", &bytes).unwrap();
    let (log_id, last) = (footer.unwrap().log_id, footer.unwrap().frame_no.unwrap());
    let next =
        write_local(last.get() + 1, log_id.0, &[&[(1, 1)]], u32::try_from(pages.len() / 4096).unwrap());
    std::fs::write(directory.path().join("next.seg"), next).unwrap();
    let target = Target::new();
    let log = local(directory.path())
        .with_database(&*open(&libsql_fixture()), Path::new("checkpointed_with_footer.db"));
    target.import_local(log.unwrap()).await.unwrap();
    assert_same(&target.at(last.get()).await, pages, "the checkpointed database");
    assert_eq!(std::fs::read(source).unwrap(), bytes);
}

#[tokio::test]
async fn files_and_databases_of_other_logs_are_refused_with_both_ids() {
    let log = write_local(11, 5, &[&[(2, 22)]], 3);
    let files = segment_files(0, &[("a.seg", log), ("app.db", checkpointed(6, 10, &[1, 2, 0]))]);
    let error = local(files.path()).with_database(&*open(files.path()), Path::new("app.db")).unwrap_err();
    let (five, six) = (LogId(5).to_string(), LogId(6).to_string());
    assert!(error.to_string().contains(&five) && error.to_string().contains(&six), "{error}");

    let files = segment_files(
        0,
        &[("a.seg", write_local(1, 5, &[&[(1, 1)]], 1)), ("b.seg", write_local(2, 6, &[&[(1, 2)]], 1))],
    );
    let error = LocalLog::open(open(files.path())).unwrap_err();
    assert!(error.to_string().contains(&five) && error.to_string().contains(&six), "{error}");
}

/// What a local file repeats of the bucket must be the same, or the two are not of one log.
#[tokio::test]
async fn a_local_file_that_contradicts_the_bucket_is_refused() {
    let (from, target) = (LibsqlBucket::empty(), Target::new());
    from.add(1, 2, 1000, 2, &[(1, 1), (2, 2)]);
    let files = segment_files(0, &[("a.seg", write_local(1, 5, &[&[(1, 1), (2, 9)], &[(1, 3)]], 2))]);
    let error = target.import_both(Some(&from), Some(local(files.path()))).await.unwrap_err();
    assert!(matches!(error, Error::Corrupt(_)), "{error}");
    let files = segment_files(0, &[("a.seg", write_local(1, 5, &[&[(1, 1), (2, 2)], &[(1, 3)]], 2))]);
    target.import_both(Some(&from), Some(local(files.path()))).await.unwrap();
    assert_eq!(target.at(3).await[0], 3);
}
