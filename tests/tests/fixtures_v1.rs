//! What version 1 wrote is read for ever, and written the same.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::TryStreamExt;
use tempfile::TempDir;
use walkeep::backends::fs::{Fs, FsConfig};
use walkeep::backends::os::OsDirectory;
use walkeep::backends::redb::{Redb, RedbConfig, ShardsOptions};
use walkeep::core::manifest::{ManifestVersion, codec};
use walkeep::core::segment::{BlockDecoder, Codec, Compression, Footer, SegmentIndex, SegmentWriter};
use walkeep::core::shards::ShardPurpose;
use walkeep::core::{
    Backend, ByteRange, Directory, Epoch, FrameNo, HashSeed, LogId, ObjectPath, PageCount, PageSize,
    ReplicaState, ReplicaVersion, StateChecksum, UnixMillis,
};
use walkeep::log::LogOptions;
use walkeep::restore::{RestoreOptions, RestorePlan};
use walkeep::verify::verify;
use walkeep::{Bucket, DATABASE_BYTES_MAX, RestorePoint, View};
use walkeep_tests::handles::handles;
use walkeep_tests::history::History;
use walkeep_tests::log_scene::{PAGE, fixture_head, open_log, read_all};
use walkeep_tests::memory_target::MemoryTarget;
use walkeep_tests::redb_fixture::{LARGE, large};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/v1")
}

fn bucket() -> Bucket {
    let config = FsConfig::open(&fixtures().join("store")).unwrap();
    Bucket::new(Arc::new(Fs::new(config)), None).unwrap()
}

fn files(folder: &str) -> Vec<(String, Vec<u8>)> {
    let folder = fixtures().join(folder);
    let mut files = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap()))
        .collect::<Vec<_>>();
    files.sort();
    files
}

#[tokio::test]
async fn every_commit_restores_to_its_state() {
    let states = files("states");
    assert_eq!(states.len(), 7);
    for (name, expected) in states {
        let frame = FrameNo::new(name.trim_end_matches(".db").parse().unwrap()).unwrap();
        let (bucket, namespace) = (bucket(), "fixture".parse().unwrap());
        let point = RestorePoint::Frame(frame);
        let view = View::open(&bucket, &namespace, point, DATABASE_BYTES_MAX).await.unwrap();
        let mut target = MemoryTarget::default();
        let plan = RestorePlan::new(&view);
        let restored = view.write_to(&plan, &mut target, &RestoreOptions::default()).await.unwrap();
        assert!(restored.verified);
        assert!(target.file() == expected, "frame {frame} differs");
    }
}

#[tokio::test]
async fn the_whole_store_verifies() {
    let report = verify(&bucket(), &"fixture".parse().unwrap(), true).await.unwrap();
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    assert_eq!((report.segments, report.states_proven, report.manifests), (4, 7, 6));
}

#[test]
fn manifests_write_back_the_same() {
    let manifests = files("store/namespaces/fixture/manifest");
    assert_eq!(manifests.len(), 6);
    for (name, bytes) in manifests {
        let reversed: u64 = name.trim_end_matches(".json").parse().unwrap();
        let version = ManifestVersion::new(u64::MAX - reversed).unwrap();
        let manifest = codec::decode(&name, version, &bytes).unwrap();
        assert_eq!(codec::encode(&manifest).unwrap(), bytes, "{name}");
    }
}

/// Writes a segment anew from what was read of it.
fn rewrite(name: &str, bytes: &[u8], seed: HashSeed, compression: Compression) -> Vec<u8> {
    let footer = Footer::parse(name, bytes, bytes.len() as u64).unwrap();
    let at = |offset: u64| usize::try_from(offset).unwrap();
    let sections = footer.sections();
    let index =
        SegmentIndex::parse(name, footer.clone(), &bytes[at(sections.start)..at(sections.end)]).unwrap();
    index.check_map(name).unwrap();
    let page_size = footer.header.page_size;
    let mut writer = SegmentWriter::new(Vec::new(), footer.header, seed, compression, false).unwrap();
    let mut decoder = BlockDecoder::new().unwrap();
    for block in index.blocks() {
        let stored = &bytes[at(block.offset)..at(block.end())];
        let raw = decoder.decode(name, block, page_size, stored).unwrap();
        for (position, image) in (block.first as usize..).zip(raw.chunks_exact(page_size.bytes())) {
            writer.push(index.pages()[position], index.frames()[position], image).unwrap();
        }
    }
    writer.finish(index.commits(), footer.min_size_after).unwrap().0
}

/// Compressed bytes may differ between versions of a compressor, so only the uncompressed segment must come out the
/// same; the others must come out the same where they are not compressed, which the footer's lengths and the columns
/// cover.
#[test]
fn segments_write_back_the_same() {
    let (name, manifest) = files("store/namespaces/fixture/manifest").swap_remove(0);
    let reversed: u64 = name.trim_end_matches(".json").parse().unwrap();
    let version = ManifestVersion::new(u64::MAX - reversed).unwrap();
    let seed = codec::decode(&name, version, &manifest).unwrap().hash_seed();
    let mut codecs = Vec::new();
    for (name, bytes) in files("store/namespaces/fixture/segments") {
        let footer = Footer::parse(&name, &bytes, bytes.len() as u64).unwrap();
        assert_eq!(footer.key().unwrap().to_string(), name);
        let plain = rewrite(&name, &bytes, seed, Compression::None);
        // Half of each page is noise, so that the first block tells what the segment was made with.
        let directory = footer.sections();
        let index = SegmentIndex::parse(
            &name,
            footer.clone(),
            &bytes[usize::try_from(directory.start).unwrap()..usize::try_from(directory.end).unwrap()],
        );
        let codec = index.unwrap().blocks()[0].codec;
        codecs.push(codec);
        if codec == Codec::None {
            assert!(plain == bytes, "{name} comes out differently");
        }
        let again = rewrite(&name, &plain, seed, Compression::None);
        assert!(again == plain, "{name} is not stable");
    }
    codecs.sort_by_key(|codec| *codec as u8);
    assert_eq!(codecs, [Codec::None, Codec::Zstd, Codec::Zstd, Codec::Lz4]);
}

/// A log that version 1 left on local disk: one sealed file and a current one.
#[test]
fn a_log_on_disk_is_read_as_it_was() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/log-v1");
    let root = tempfile::tempdir().unwrap();
    let (mut sealed, mut names) = (0, 0);
    for entry in std::fs::read_dir(fixture.join("log")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        (sealed, names) = (sealed + usize::from(name.contains("sealed")), names + 1);
        std::fs::copy(&path, root.path().join(name)).unwrap();
    }
    assert_eq!((sealed, names), (1, 2), "a sealed file and a current one");
    let directory: Arc<dyn Directory> = Arc::new(OsDirectory::open(root.path()).unwrap());
    let (log, _) = open_log(&directory, &fixture_head(), &LogOptions::default(), &handles(1, 1).0).unwrap();
    let expected = std::fs::read(fixture.join("state.db")).unwrap();
    assert_eq!(expected.len(), 7 * PAGE);
    assert!(read_all(&log, &*directory).unwrap() == expected);
    assert_eq!(log.sealed().iter().map(|segment| segment.summary.footer.header.frame_count).sum::<u32>(), 13);
}

#[test]
fn the_states_of_replicas_are_read_and_written_the_same() {
    let newest = ReplicaVersion {
        log_id: LogId(0xaaaa_bbbb_cccc_dddd_1111_2222_3333_4444),
        hash_seed: HashSeed(0x0123_4567_89ab_cdef),
        page_size: PageSize::DEFAULT,
        epoch: Epoch(3),
        frame_no: FrameNo::new(42).unwrap(),
        time: UnixMillis(1_795_250_000_042),
        size: PageCount(9),
        state: StateChecksum(0xfeed_face_cafe_beef),
    };
    let before = ReplicaVersion {
        frame_no: FrameNo::new(40).unwrap(),
        time: UnixMillis(1_795_250_000_000),
        size: PageCount(8),
        state: StateChecksum(0x1122_3344_5566_7788),
        ..newest
    };
    for (name, before) in [("shop.db.walkeep", Some(before)), ("new.db.walkeep", None)] {
        let bytes = std::fs::read(fixtures().join("../replica-v1").join(name)).unwrap();
        let expected = ReplicaState { namespace: "shop".parse().unwrap(), newest, before };
        assert_eq!(ReplicaState::decode(name, &bytes).unwrap(), expected);
        assert_eq!(&expected.encode()[..], &bytes[..]);
    }
}

/// The set of shards of a version, in a directory where it can be written to.
fn redb_fixture(version: u32) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for (name, bytes) in files(&format!("../redb-v{version}")) {
        std::fs::write(root.path().join(name), bytes).unwrap();
    }
    root
}

fn open_redb(root: &Path, version: u32) -> Redb {
    let options = ShardsOptions { create: false, check: true, ..ShardsOptions::new(ShardPurpose::Segments) };
    let redb = Redb::new(RedbConfig::open(root, &options).unwrap());
    assert_eq!(redb.default_config().shards().layout().version, version);
    assert_eq!(redb.default_config().misplaced().count(), 0);
    redb
}

/// All objects, in order of their paths.
async fn objects(redb: &Redb) -> Vec<(String, Vec<u8>)> {
    let all = ObjectPath::new("namespaces").unwrap();
    let listed = redb.list(None, &all, None, usize::MAX).try_collect::<Vec<_>>().await.unwrap();
    let mut objects = Vec::new();
    for object in listed {
        let content = redb.get(None, &object.path, ByteRange::Full).await.unwrap();
        assert_eq!(content.len() as u64, object.size);
        objects.push((object.path.to_string(), content.to_vec()));
    }
    objects
}

/// What was put into these sets.
fn redb_content() -> Vec<(String, Vec<u8>)> {
    let folders = ["manifest", "segments"].map(|folder| format!("namespaces/fixture/{folder}"));
    let of = |folder: &String| {
        let file = move |(name, bytes)| (format!("{folder}/{name}"), bytes);
        files(&format!("store/{folder}")).into_iter().map(file).collect::<Vec<_>>()
    };
    folders.iter().flat_map(of).chain([(LARGE.to_string(), large())]).collect()
}

#[tokio::test]
async fn sets_of_shards_give_what_was_put_into_them_and_go_on() {
    for version in [1, 2] {
        a_set_gives_what_was_put_into_it_and_goes_on(version).await;
    }
}

async fn a_set_gives_what_was_put_into_it_and_goes_on(version: u32) {
    let root = redb_fixture(version);
    let redb = open_redb(root.path(), version);
    let mut expected = redb_content();
    assert_eq!(expected.len(), 11);
    assert!(objects(&redb).await == expected);
    let (path, content) = (ObjectPath::new(LARGE).unwrap(), large());
    for range in [0..1, 4_000..9_000, 16_999..17_000] {
        let got = redb.get(None, &path, ByteRange::Bounded(range.clone())).await.unwrap();
        assert!(got == content[range.start as usize..range.end as usize], "{range:?}");
    }

    // A database is read from it, and another one is written to it.
    let namespace = "fixture".parse().unwrap();
    let bucket = Bucket::new(Arc::new(redb.clone()), None).unwrap();
    let report = verify(&bucket, &namespace, true).await.unwrap();
    assert!(report.problems.is_empty() && report.states_proven == 7, "{report:?}");
    let mut log = History::open(Arc::new(redb.clone()), PageSize::MIN, 1).await;
    for byte in 1..=3 {
        log.fill(1, byte);
        log.commit(1, u64::from(byte));
        log.store().await.unwrap();
    }
    redb.delete(None, std::slice::from_ref(&path)).await.unwrap();
    expected.retain(|(path, _)| path != LARGE);
    drop((bucket, redb));
    let (commits, frames) = (log.commits.clone(), log.frames.len() as u64);
    drop(log);

    let redb = open_redb(root.path(), version);
    let bucket = Bucket::new(Arc::new(redb.clone()), None).unwrap();
    for recorded in &commits {
        let point = RestorePoint::Frame(recorded.commit.frame_no);
        let view = View::open(&bucket, &"shop".parse().unwrap(), point, DATABASE_BYTES_MAX).await.unwrap();
        let mut target = MemoryTarget::default();
        let restored = view.write_to(&RestorePlan::new(&view), &mut target, &RestoreOptions::default()).await;
        assert!(restored.unwrap().verified && target.file() == recorded.file);
    }
    let mut found = objects(&redb).await;
    let (shop, rest): (Vec<_>, Vec<_>) =
        std::mem::take(&mut found).into_iter().partition(|(path, _)| path.starts_with("namespaces/shop/"));
    assert!(rest == expected && shop.len() as u64 >= frames);
    redb.compact().await.unwrap();
    assert!(
        objects(&redb).await.iter().filter(|(path, _)| !path.starts_with("namespaces/shop/")).eq(&expected)
    );
}
