//! Bad input to the command: each is answered with its exit code and in words that help, and changes nothing.
//!
//! Every refusal is asked for twice, plain and with `--json`, and the whole folder (target, store, database) must
//! look the same afterwards, temporary files included.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code: a panic is a failed test")]
#![allow(clippy::disallowed_methods, reason = "tests make and damage files directly")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use walkeep::backends::fs::{Fs, FsConfig};
use walkeep::core::segment::{Compression, SegmentHeader, SegmentWriter};
use walkeep::core::{
    Body, Commit, CommitKind, FrameNo, Namespace, PageCount, PageNo, PageSize, SegmentId, StateChecksum,
    UnixMillis,
};
use walkeep::restore::{FileTarget, RestoreOptions, RestorePlan};
use walkeep::{Bucket, DATABASE_BYTES_MAX, Error, RestorePoint, SealedSegment, View, Writer};
use walkeep_tests::app::App;
use walkeep_tests::command::Walkeep;
use walkeep_tests::database::{assert_same, expected_bytes, sql};
use walkeep_tests::footprint::{files, lasting_footprint};
use walkeep_tests::full_disk::{Full, FullDisk};
use walkeep_tests::handles::handles;

/// A folder with `app.db`, captured into `./store` several times, and nothing else.
struct Shop {
    root: TempDir,
    walkeep: Walkeep,
    /// Durable frame, time in milliseconds and bytes of every capture.
    captured: Vec<(u64, u64, Vec<u8>)>,
}

impl Shop {
    fn new(captures: usize) -> Self {
        let root = tempfile::tempdir().unwrap();
        let mut shop = Self { walkeep: Walkeep::at(root.path()), root, captured: Vec::new() };
        sql(&shop.path("app.db"), "CREATE TABLE t (a)");
        for _ in 0..captures {
            sql(&shop.path("app.db"), "INSERT INTO t VALUES (randomblob(9000))");
            std::thread::sleep(Duration::from_millis(5));
            let bytes = expected_bytes(&shop.path("app.db"));
            let json = shop.walkeep.ok(&["replicate", "app.db", "store", "--once", "--json"]).json();
            let number = |field: &str| json[field].as_u64().unwrap();
            shop.captured.push((number("durable_frame_no"), number("time_ms"), bytes));
        }
        shop
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// The files of the stored segments, newest first.
    fn segments(&self) -> Vec<PathBuf> {
        self.objects("namespaces/app/segments/")
    }

    /// The files of the manifests, newest first.
    fn manifests(&self) -> Vec<PathBuf> {
        self.objects("namespaces/app/manifest/")
    }

    fn objects(&self, folder: &str) -> Vec<PathBuf> {
        let store = self.path("store");
        files(&store)
            .into_iter()
            .filter(|name| name.starts_with(folder))
            .map(|name| store.join(name))
            .collect()
    }

    /// Asks for something that is refused.
    #[track_caller]
    fn refused(&self, args: &[&str], code: i32, texts: &[&str]) {
        refused(&self.walkeep, self.root.path(), args, code, texts);
    }
}

/// Runs a command that is refused, plain and with `--json`; nothing in the folder may change.
#[track_caller]
fn refused(walkeep: &Walkeep, root: &Path, args: &[&str], code: i32, texts: &[&str]) {
    let before = lasting_footprint(root);
    let ran = walkeep.run(args).expect(code).says(texts);
    assert!(ran.stderr.contains("error: "), "{ran:#?}");
    assert_eq!(before, lasting_footprint(root), "{ran:#?}");
    let ran = walkeep.run(&[args, &["--json"]].concat()).expect(code);
    let error = ran.json_error();
    let all = format!("{} {}", error["message"], error["hint"]).replace("\\\"", "\"");
    for text in texts {
        assert!(all.contains(text), "{text:?} is not in {all}");
    }
    assert_eq!(before, lasting_footprint(root), "{ran:#?}");
}

/// A time of a capture as a user would write it.
fn rfc3339(millis: u64) -> String {
    UnixMillis(millis).to_string()
}

// Restore points.

#[test]
fn a_time_before_the_first_commit_is_unreachable_and_names_the_first() {
    let shop = Shop::new(2);
    let (frame, time, _) = &shop.captured[0];
    let first = format!("the commit after is frame {frame} of {}", rfc3339(*time));
    let ranges = format!("restorable are frames 1 to {}", shop.captured[1].0);
    for at in ["2001-01-01T00:00:00.000Z", &rfc3339(time - 1)] {
        shop.refused(&["restore", "store", "-o", "out.db", "--at", at], 3, &[at, &first, &ranges]);
        shop.refused(&["restore", "store", "--dry-run", "--at", at], 3, &[&first]);
    }
    // How a time was read is said when it does not lead anywhere, too.
    let ran = shop.walkeep.run(&["restore", "store", "--dry-run", "--at", "2001-02-03 04:05:06"]).expect(3);
    ran.says(&["local time", "2001-02-03T04:05:06+00:00"]);
    shop.refused(&["restore", "store", "--dry-run", "--at", "-2h"], 3, &[&first]);
}

#[test]
fn a_frame_past_the_last_is_unreachable_and_names_the_last() {
    let shop = Shop::new(2);
    let (last, time, _) = &shop.captured[1];
    for wanted in [last + 1, u64::MAX] {
        let wanted = wanted.to_string();
        shop.refused(
            &["restore", "store", "-o", "out.db", "--frame", &wanted],
            3,
            &[
                &format!("frame {wanted} cannot be reached"),
                &format!("the commit before is frame {last} of {}", rfc3339(*time)),
                &format!("restorable are frames 1 to {last}"),
            ],
        );
    }
}

#[test]
fn a_frame_inside_a_transaction_is_unreachable_and_names_the_commits_around_it() {
    let shop = Shop::new(3);
    let (before, after) = (shop.captured[0].0, shop.captured[1].0);
    assert!(after > before + 1, "the test needs a commit of several frames");
    for inside in [before + 1, after - 1] {
        shop.refused(
            &["restore", "store", "-o", "out.db", "--frame", &inside.to_string()],
            3,
            &[
                &format!("frame {inside} cannot be reached"),
                "transaction",
                &format!("the commit before is frame {before}"),
                &format!("the commit after is frame {after}"),
                &format!("restorable are frames 1 to {}", shop.captured[2].0),
            ],
        );
    }
}

#[test]
fn an_unknown_namespace_is_unreachable_for_every_command() {
    let shop = Shop::new(1);
    let key = shop.segments()[0].file_name().unwrap().to_str().unwrap().to_string();
    for args in [
        &["restore", "store", "-n", "nobody", "-o", "out.db"][..],
        &["log", "store", "-n", "nobody"],
        &["segments", "store", "-n", "nobody"],
        &["verify", "store", "-n", "nobody"],
        &["inspect", "store", &key, "-n", "nobody"],
    ] {
        shop.refused(args, 3, &["nobody", "does not exist", "walkeep ls"]);
    }
}

#[test]
fn a_store_without_namespaces_is_not_taken_for_a_success() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("store")).unwrap();
    let walkeep = Walkeep::at(root.path());
    for args in [&["restore", "store", "-o", "out.db"][..], &["log", "store"], &["verify", "store"]] {
        walkeep.run(args).expect(3);
    }
    refused(
        &walkeep,
        root.path(),
        &["restore", "nowhere", "-o", "out.db"],
        6,
        &["nowhere", "does not exist"],
    );
    refused(&walkeep, root.path(), &["ls", "nowhere"], 6, &["nowhere", "does not exist"]);
}

#[test]
fn a_missing_segment_is_named_by_its_frames() {
    let shop = Shop::new(4);
    let lost = shop.segments()[2].clone();
    let kept = fs::read(&lost).unwrap();
    fs::remove_file(&lost).unwrap();
    let (first, last) = (shop.captured[0].0 + 1, shop.captured[1].0);
    let missing = format!("missing are frames {first} to {last}");
    let ranges = format!("restorable are frames 1 to {}", shop.captured[0].0);
    let before = format!("the commit before is frame {}", shop.captured[0].0);
    // Latest, behind the hole, in the hole.
    shop.refused(&["restore", "store", "-o", "out.db"], 3, &[&missing, &ranges]);
    for frame in [shop.captured[2].0, last, first] {
        let frame = frame.to_string();
        let args = ["restore", "store", "-o", "out.db", "--frame", &frame];
        shop.refused(&args, 3, &[&format!("frame {frame}"), "missing are frames", &before, &ranges]);
    }
    let at = rfc3339(shop.captured[1].1);
    shop.refused(&["restore", "store", "-o", "out.db", "--at", &at], 3, &[&ranges]);
    // What is before the hole can be had.
    let (frame, _, bytes) = &shop.captured[0];
    assert_same(&shop.walkeep.restored("app", *frame), bytes, "before the hole");

    for args in [&["verify", "store"][..], &["verify", "store", "--deep"]] {
        let ran = shop.walkeep.run(args);
        assert!(matches!(ran.code, Some(3 | 4)), "{ran:#?}");
        assert!(ran.stdout.contains(&missing), "{ran:#?}");
    }
    shop.walkeep.ok(&["ls", "store"]).says(&["segments are missing", "walkeep verify"]);
    // Nothing is written on top of a hole.
    sql(&shop.path("app.db"), "INSERT INTO t VALUES (2)");
    let ran = shop.walkeep.run(&["replicate", "app.db", "store", "--once"]);
    assert!(matches!(ran.code, Some(3 | 4)), "{ran:#?}");
    fs::write(&lost, kept).unwrap();
    shop.walkeep.ok(&["verify", "store", "--deep"]);
}

// Damage.

/// Restores over a file that must survive; whatever is damaged, the answer is an error that names the object and
/// the offset, or the very same bytes. Whether it was an error.
#[track_caller]
fn damaged_is_found(shop: &Shop, object: &Path, what: &str) -> bool {
    let before = lasting_footprint(shop.root.path());
    let ran = shop.walkeep.run(&["restore", "store", "-o", "out.db", "--force", "--integrity-check", "none"]);
    if ran.code == Some(0) {
        let found = fs::read(shop.path("out.db")).unwrap();
        assert_same(&found, &shop.captured.last().unwrap().2, what);
        fs::write(shop.path("out.db"), "precious").unwrap();
        fs::write(shop.path("out.db-wal"), "also").unwrap();
        return false;
    }
    let name = object.file_name().unwrap().to_str().unwrap();
    ran.expect(4).says(&[name, "offset", "walkeep verify --deep"]);
    assert_eq!(before, lasting_footprint(shop.root.path()), "{what}: something was changed");
    true
}

/// A shop with two commits and an occupied target.
fn shop_with_target() -> Shop {
    let shop = Shop::new(2);
    fs::write(shop.path("out.db"), "precious").unwrap();
    fs::write(shop.path("out.db-wal"), "also").unwrap();
    shop
}

#[test]
fn a_flipped_bit_in_a_segment_is_found_and_the_target_stays() {
    let shop = shop_with_target();
    for object in shop.segments() {
        let whole = fs::read(&object).unwrap();
        for at in (0..24).map(|part| part * (whole.len() - 1) / 23) {
            let mut damaged = whole.clone();
            damaged[at] ^= 1 << (at % 8);
            fs::write(&object, damaged).unwrap();
            let what = format!("byte {at} of {} in {}", whole.len(), object.display());
            if !damaged_is_found(&shop, &object, &what) {
                // Not needed for this restore; a deep verification reads everything.
                let ran = shop.walkeep.run(&["verify", "store", "--deep", "--json"]).expect(4);
                assert_eq!(ran.json_lines()[0]["ok"], false, "{what}");
            }
        }
        fs::write(&object, whole).unwrap();
    }
    shop.walkeep.ok(&["verify", "store", "--deep"]);
}

#[test]
fn a_flipped_bit_in_the_newest_manifest_is_found_and_the_one_before_is_never_used() {
    let shop = shop_with_target();
    let newest = &shop.manifests()[0];
    let whole = fs::read(newest).unwrap();
    for at in (0..24).map(|part| part * (whole.len() - 1) / 23) {
        let mut damaged = whole.clone();
        damaged[at] ^= 1 << (at % 7);
        fs::write(newest, damaged).unwrap();
        assert!(damaged_is_found(&shop, newest, &format!("byte {at}")), "byte {at} was not noticed");
    }
    for args in [&["log", "store"][..], &["ls", "store"], &["verify", "store"]] {
        let ran = shop.walkeep.run(args).expect(4);
        let name = newest.file_name().unwrap().to_str().unwrap();
        assert!(format!("{}{}", ran.stdout, ran.stderr).contains(name), "{ran:#?}");
    }
}

#[test]
fn truncated_objects_are_found_and_the_target_stays() {
    let shop = shop_with_target();
    for object in [&shop.segments()[..], &shop.manifests()[..1]].concat() {
        let whole = fs::read(&object).unwrap();
        for len in [0, 1, whole.len() / 2, whole.len() - 289.min(whole.len() - 1), whole.len() - 1] {
            fs::write(&object, &whole[..len]).unwrap();
            let what = format!("{len} bytes of {}", object.display());
            assert!(damaged_is_found(&shop, &object, &what), "{what}: not noticed");
        }
        fs::write(&object, whole).unwrap();
    }
}

#[test]
fn damage_in_an_older_manifest_is_found_by_verify() {
    let shop = Shop::new(2);
    let oldest = shop.manifests().pop().unwrap();
    fs::write(&oldest, "{}").unwrap();
    shop.walkeep.ok(&["restore", "store", "-o", "out.db"]);
    let ran = shop.walkeep.run(&["verify", "store"]).expect(4);
    assert!(ran.stdout.contains(oldest.file_name().unwrap().to_str().unwrap()), "{ran:#?}");
}

/// The CRC-32 of Ethernet and zip, a bit at a time.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    !crc
}

/// Changes fields of a segment's header and footer, with checksums that fit: damage that only sense can find.
/// Offsets are those of `docs/format.md`.
fn forge(object: &Path, in_header: &[(usize, &[u8])], in_footer: &[(usize, &[u8])]) {
    const FOOTER: usize = 288;
    let mut bytes = fs::read(object).unwrap();
    let footer = bytes.len() - FOOTER;
    for start in [0, footer] {
        for (at, field) in in_header {
            bytes[start + at..start + at + field.len()].copy_from_slice(field);
        }
        let crc = crc32(&bytes[start..start + 124]);
        bytes[start + 124..start + 128].copy_from_slice(&crc.to_le_bytes());
    }
    for (at, field) in in_footer {
        bytes[footer + at..footer + at + field.len()].copy_from_slice(field);
    }
    let crc = crc32(&bytes[footer..footer + 276]);
    bytes[footer + 276..footer + 280].copy_from_slice(&crc.to_le_bytes());
    fs::write(object, bytes).unwrap();
}

/// A command that may not take more address space than this, in KiB: an allocation of a declared size would fail.
const MEMORY: &str = "ulimit -v 2000000";

#[test]
fn declared_sizes_that_cannot_be_are_refused_before_anything_is_allocated() {
    let shop = Shop::new(1);
    let object = shop.segments()[0].clone();
    let whole = fs::read(&object).unwrap();
    let key = object.file_name().unwrap().to_str().unwrap().to_string();
    let (page_size, frame_count) = (12, 72);
    let (columns_len, commits_len, directory_len, index_len) = (136, 160, 184, 208);
    assert_eq!(whole[page_size..page_size + 4], 4096_u32.to_le_bytes(), "the offsets are out of date");
    let many = u32::MAX.to_le_bytes();
    let many_columns = (u64::from(u32::MAX) * 20).to_le_bytes();
    let huge = (1_u64 << 60).to_le_bytes();
    let most = u64::MAX.to_le_bytes();
    type Fields<'a> = &'a [(usize, &'a [u8])];
    let forged: [(Fields<'_>, Fields<'_>); 9] = [
        (&[(page_size, &[0; 4])], &[]),
        (&[(page_size, &[1, 0, 0, 0])], &[]),
        (&[(page_size, &many)], &[]),
        (&[(frame_count, &many)], &[(columns_len, &many_columns)]),
        (&[], &[(columns_len, &huge)]),
        (&[], &[(commits_len, &huge)]),
        (&[], &[(directory_len, &huge)]),
        (&[], &[(index_len, &huge)]),
        (&[], &[(index_len, &most)]),
    ];
    let bounded = shop.walkeep.clone().after(MEMORY);
    for (in_header, in_footer) in forged {
        forge(&object, in_header, in_footer);
        refused(&bounded, shop.root.path(), &["restore", "store", "-o", "out.db"], 4, &[&key, "offset"]);
        refused(&bounded, shop.root.path(), &["inspect", "store", &key], 4, &[&key, "offset"]);
        fs::write(&object, &whole).unwrap();
    }
    // Forging nothing gives a segment that is accepted: the checksums above were right.
    forge(&object, &[], &[]);
    bounded.ok(&["restore", "store", "-o", "out.db"]);
}

/// Stores a segment of one frame whose commit says that the database has this many pages.
async fn store_large(store: &Path, page_size: u32, pages: u32) {
    let bucket = Bucket::new(Arc::new(Fs::new(FsConfig::create(store).unwrap())), None).unwrap();
    let (handles, _clock) = handles(1_000_000, 7);
    let page_size = PageSize::new(page_size).unwrap();
    let namespace = Namespace::new("app").unwrap();
    let mut writer = Writer::open(&bucket, &namespace, page_size, &handles).await.unwrap();
    let header = SegmentHeader {
        page_size,
        log_id: writer.log_id(),
        segment_id: SegmentId::random(&*handles.random).unwrap(),
        epoch: writer.epoch(),
        level: 0,
        start: FrameNo::FIRST,
        end: FrameNo::FIRST,
        frame_count: 1,
    };
    let seed = writer.hash_seed();
    let mut segment = SegmentWriter::new(Vec::new(), header, seed, Compression::default(), true).unwrap();
    segment.push(PageNo::FIRST, FrameNo::FIRST, &vec![1; page_size.bytes()]).unwrap();
    let commit = Commit {
        frame_no: FrameNo::FIRST,
        size_after: PageCount(pages),
        time: UnixMillis(1_000_000),
        state: Some(StateChecksum(1)),
        kind: CommitKind::Snapshot,
    };
    let (bytes, summary) = segment.finish(&[commit], PageCount(pages)).unwrap();
    writer.store(&SealedSegment { summary, body: Body::from(bytes) }).await.unwrap();
}

#[tokio::test]
async fn a_database_of_a_thousand_million_pages_is_refused_before_anything_is_allocated() {
    for page_size in [512, 4096, 65_536] {
        let root = tempfile::tempdir().unwrap();
        store_large(&root.path().join("store"), page_size, 1_000_000_000).await;
        sql(&root.path().join("app.db"), &format!("PRAGMA page_size = {page_size}; CREATE TABLE t (a)"));
        let walkeep = Walkeep::at(root.path()).after(MEMORY);
        let texts = &["1000000000 pages", "limit"][..];
        refused(&walkeep, root.path(), &["restore", "store", "-o", "out.db"], 1, texts);
        refused(&walkeep, root.path(), &["restore", "store", "--dry-run"], 1, texts);
        refused(&walkeep, root.path(), &["replicate", "app.db", "store", "--once"], 1, texts);
        // A verification goes on past what it cannot prove, and says so.
        let ran = walkeep.run(&["verify", "store", "--deep"]);
        assert_eq!(ran.code, Some(4), "{ran:#?}");
        assert!(texts.iter().all(|text| ran.stdout.contains(text)), "{ran:#?}");
        walkeep.ok(&["log", "store"]);
    }
}

#[test]
fn a_database_over_the_limit_that_was_given_is_refused() {
    let shop = Shop::new(1);
    let bytes = shop.captured[0].2.len().to_string();
    let args = ["restore", "store", "-o", "out.db", "--max-db-size", "4K"];
    shop.refused(&args, 1, &[&bytes, "4096 bytes", "--max-db-size"]);
    shop.walkeep.ok(&["restore", "store", "-o", "out.db", "--max-db-size", &bytes]);
}

// Names.

#[test]
fn foreign_objects_are_ignored_and_counted_in_a_warning() {
    let shop = Shop::new(2);
    let segments = shop.path("store/namespaces/app/segments");
    let manifests = shop.path("store/namespaces/app/manifest");
    let key = shop.segments()[0].file_name().unwrap().to_str().unwrap().to_string();
    let backwards = format!("4294967294-{:020}-{:020}-{:020}-00", u64::MAX - 3, 9, 0);
    let names = ["README", "!first", "~last", "0", "ü", &backwards, &format!("{key}.bak"), &key[1..]];
    for name in names {
        fs::write(segments.join(name), "x").unwrap();
    }
    for name in ["!first", "README", "18446744073709551615.json", "1.json", "~"] {
        fs::write(manifests.join(name), "x").unwrap();
    }
    fs::create_dir(shop.path("store/namespaces/stray")).unwrap();
    fs::write(shop.path("store/namespaces/stray/file"), "x").unwrap();
    fs::create_dir(shop.path("store/namespaces/not a name")).unwrap();
    fs::write(shop.path("store/namespaces/not a name/file"), "x").unwrap();
    fs::write(shop.path("store/README"), "x").unwrap();

    let counted = format!("ignored {} objects with foreign names", names.len());
    assert_eq!(
        shop.walkeep.ok(&["log", "store", "-n", "app", "--json"]).says(&[&counted]).json_lines().len(),
        2
    );
    let rows = shop.walkeep.ok(&["segments", "store", "-n", "app", "--json"]).says(&[&counted]).json_lines();
    assert_eq!(rows.len(), 2);
    let folders = "ignored 2 folders that are no namespaces";
    let rows = shop.walkeep.ok(&["ls", "store", "--json"]).says(&[&counted, folders]).json_lines();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0]["segments"], 2);
    let rows =
        shop.walkeep.ok(&["verify", "store", "--deep", "--json"]).says(&[&counted, folders]).json_lines();
    assert_eq!(rows[0]["foreign"], names.len() + 5);
    for (frame, _, bytes) in &shop.captured {
        assert_same(&shop.walkeep.restored("app", *frame), bytes, &format!("frame {frame}"));
    }
    sql(&shop.path("app.db"), "INSERT INTO t VALUES (3)");
    assert!(shop.walkeep.replicate("app.db") > shop.captured[1].0);
}

#[test]
fn a_name_that_is_no_namespace_is_wrong_usage_and_the_rule_is_said() {
    let shop = Shop::new(1);
    let long = "a".repeat(129);
    let rule = "a name has 1 to 128 ASCII letters";
    for name in
        ["", "a/b", "/etc", "..", "../app", "a..b", ".hidden", "a\nb", "a\tb", "a b", "ä", "__system", &long]
    {
        shop.refused(&["replicate", "app.db", "store", "--once", "-n", name], 2, &[rule]);
        shop.refused(&["restore", "store", "-o", "out.db", "-n", name], 2, &[rule]);
    }
    for command in ["log", "segments", "verify"] {
        shop.refused(&[command, "store", "-n", "../app"], 2, &[rule, "--namespace"]);
    }
    let variable = shop.walkeep.clone().with("WALKEEP_NAMESPACE", "../app");
    refused(&variable, shop.root.path(), &["log", "store"], 2, &[rule]);
    // A name that is made from the file's.
    for file in ["my shop.db", "__shop.db"] {
        fs::copy(shop.path("app.db"), shop.path(file)).unwrap();
        shop.refused(&["replicate", file, "store", "--once"], 2, &[rule, "-n"]);
        shop.refused(&["replicate", file, "new-store", "--once"], 2, &[rule]);
    }
}

#[test]
fn a_segment_name_that_is_none_is_wrong_usage() {
    let shop = Shop::new(1);
    for key in ["x", "../../../app.db", ""] {
        shop.refused(&["inspect", "store", key], 2, &["segment name"]);
    }
    let other = format!("4294967294-{:020}-{:020}-{:020}-00", u64::MAX - 900, 900, 0);
    shop.refused(&["inspect", "store", &other], 3, &["does not exist"]);
}

#[test]
fn unknown_schemes_are_wrong_usage_and_the_known_ones_are_listed() {
    let shop = Shop::new(1);
    for store in
        ["memory://", "memory://x", "s4://bucket/prefix", "http://example.org", "file://relative", ""]
    {
        shop.refused(&["replicate", "app.db", store, "--once"], 2, &["file:///path"]);
        shop.refused(&["ls", store], 2, &["file:///path"]);
        shop.refused(&["restore", store, "-o", "out.db"], 2, &["file:///path"]);
    }
    let variable = shop.walkeep.clone().with("WALKEEP_STORE", "memory://");
    refused(&variable, shop.root.path(), &["log"], 2, &["memory", "file:///path"]);
}

#[test]
fn wrong_usage_says_what_is_wrong() {
    let shop = Shop::new(1);
    for (args, text) in [
        (&["restore", "store"][..], "--output"),
        (&["replicate", "app.db"], "STORE"),
        (&["restore", "store", "-o", "out.db", "--frame", "0"], "at least 1"),
        (&["restore", "store", "-o", "out.db", "--frame", "x"], "frame number"),
        (&["restore", "store", "-o", "out.db", "--at", "yesterday"], "RFC 3339"),
        (&["restore", "store", "-o", "out.db", "--at", "now", "--frame", "1"], "--frame"),
        (&["restore", "store", "-o", "out.db", "--max-db-size", "1X"], "K, M, G or T"),
        (&["restore", "store", "-o", "."], "not the name of a file"),
        (&["frobnicate"], "frobnicate"),
        (&["inspect", "store"], "walkeep segments"),
        (&["log", "store", "--limit", "-1"], "-1"),
    ] {
        shop.refused(args, 2, &[text]);
    }
    shop.walkeep.run(&[]).expect(2);
}

// Targets.

#[test]
fn an_occupied_target_is_refused_with_what_is_in_the_way() {
    let shop = Shop::new(1);
    for name in ["out.db", "out.db-wal", "out.db-shm", "out.db-journal"] {
        fs::write(shop.path(name), "precious").unwrap();
        shop.refused(&["restore", "store", "-o", "out.db"], 7, &[name, "--force"]);
        shop.refused(&["restore", "store", "-o", "out.db", "--dry-run"], 7, &[name]);
        fs::remove_file(shop.path(name)).unwrap();
    }
    // A link is in the way as well, wherever it leads.
    std::os::unix::fs::symlink("nowhere", shop.path("out.db")).unwrap();
    shop.refused(&["restore", "store", "-o", "out.db"], 7, &["out.db"]);
}

#[test]
fn a_target_in_a_folder_that_is_not_there_is_refused() {
    let shop = Shop::new(1);
    shop.refused(&["restore", "store", "-o", "none/out.db"], 1, &["none/out.db"]);
}

#[test]
fn a_full_disk_leaves_the_target_alone_and_says_how_much_is_needed() {
    let shop = Shop::new(3);
    let needed = format!("needs {} bytes", shop.captured[2].2.len());
    fs::write(shop.path("out.db"), "precious").unwrap();
    fs::write(shop.path("out.db-wal"), "also").unwrap();
    // Files of at most a few KiB: for a process it looks like a disk that is full.
    let limited = shop.walkeep.clone().after("trap '' XFSZ && ulimit -f 8");
    refused(&limited, shop.root.path(), &["restore", "store", "-o", "out.db", "--force"], 1, &[&needed]);
    refused(&limited, shop.root.path(), &["restore", "store", "-o", "other.db"], 1, &[&needed]);
    shop.walkeep.ok(&["restore", "store", "-o", "out.db", "--force"]);
}

#[tokio::test]
async fn a_disk_that_becomes_full_at_any_step_leaves_the_target_alone() {
    let shop = Shop::new(3);
    let needed = format!("needs {} bytes", shop.captured[2].2.len());
    let config = FsConfig::open(&shop.path("store")).unwrap();
    let bucket = Bucket::new(Arc::new(Fs::new(config)), None).unwrap();
    let namespace = Namespace::new("app").unwrap();
    let view = View::open(&bucket, &namespace, RestorePoint::Latest, DATABASE_BYTES_MAX).await.unwrap();
    let plan = RestorePlan::new(&view);
    let (handles, _clock) = handles(0, 1);
    fs::write(shop.path("out.db"), "precious").unwrap();
    fs::write(shop.path("out.db-wal"), "also").unwrap();
    let before = lasting_footprint(shop.root.path());
    let enough = Full::FreeBytes(u64::MAX);
    for full in [
        Full::FreeBytes(5000),
        Full::Allocate,
        Full::WriteAfter(0),
        Full::WriteAfter(9000),
        Full::Sync,
        enough,
    ] {
        let disk = FullDisk::at(shop.root.path(), full);
        let mut target = FileTarget::new(disk, "out.db", true, &*handles.random).unwrap();
        let restored = view.write_to(&plan, &mut target, &RestoreOptions::default()).await;
        drop(target);
        assert_eq!(restored.is_ok(), full == enough, "{full:?}");
        if let Err(error) = restored {
            assert!(matches!(error, Error::Exhausted { .. }), "{full:?}: {error}");
            assert!(error.to_string().contains(&needed), "{full:?}: {error}");
        }
        assert_eq!(before, lasting_footprint(shop.root.path()), "{full:?}");
    }
}

// Sources.

#[test]
fn what_is_no_sqlite_database_is_refused_and_nothing_is_stored() {
    let shop = Shop::new(1);
    fs::write(shop.path("garbage.db"), "this is not a database, however long it goes on ".repeat(100))
        .unwrap();
    fs::write(shop.path("short.db"), "x").unwrap();
    // An encrypted database looks like noise from its first byte on.
    let noise = (0..8192_u32).map(|i| i.wrapping_mul(2_654_435_761).to_be_bytes()[1]).collect::<Vec<_>>();
    fs::write(shop.path("encrypted.db"), noise).unwrap();
    fs::write(shop.path("zeros.db"), [0; 4096]).unwrap();
    let mut newer = fs::read(shop.path("app.db")).unwrap();
    newer[18] = 9;
    newer[19] = 9;
    fs::write(shop.path("newer.db"), newer).unwrap();
    let mut odd = fs::read(shop.path("app.db")).unwrap();
    odd[16..18].copy_from_slice(&[0x03, 0x00]);
    fs::write(shop.path("odd.db"), odd).unwrap();
    fs::create_dir(shop.path("folder.db")).unwrap();
    for name in ["garbage.db", "short.db", "encrypted.db", "zeros.db", "newer.db", "odd.db", "folder.db"] {
        for store in ["store", "new-store"] {
            let args = ["replicate", name, store, "--once"];
            shop.refused(&args, 1, &[name, "SQLite database"]);
        }
    }
    shop.refused(&["replicate", "encrypted.db", "store", "--once"], 1, &["encrypted"]);
    shop.refused(&["replicate", "none.db", "new-store", "--once"], 1, &["none.db", "no such file"]);
    shop.refused(&["replicate", "none/none.db", "new-store", "--once"], 1, &["none.db"]);
}

#[test]
fn a_database_that_stays_locked_is_refused_after_the_busy_timeout() {
    let shop = Shop::new(1);
    let mut app = App::start(&shop.path("app.db"));
    app.run("BEGIN EXCLUSIVE");
    for store in ["store", "new-store"] {
        let args = ["replicate", "app.db", store, "--once", "--busy-timeout", "0.3"];
        let begun = Instant::now();
        shop.refused(&args, 1, &["app.db", "locked", "--busy-timeout"]);
        let waited = begun.elapsed();
        assert!(waited >= Duration::from_millis(600), "two attempts of 0.3 s each: {waited:?}");
        assert!(waited < Duration::from_secs(5), "{waited:?}");
    }
    app.run("ROLLBACK");
    shop.walkeep.ok(&["replicate", "app.db", "store", "--once"]);
}

#[test]
fn a_store_that_cannot_be_made_is_unavailable() {
    let shop = Shop::new(1);
    fs::write(shop.path("file"), "x").unwrap();
    shop.refused(&["replicate", "app.db", "file", "--once"], 6, &["file"]);
    shop.refused(&["replicate", "app.db", "file/store", "--once"], 6, &["file/store"]);
    shop.refused(&["ls", "file"], 6, &["file"]);
}
