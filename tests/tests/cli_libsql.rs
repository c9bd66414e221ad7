//! The command on buckets of libsql-wal: read directly, imported, and written.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code: a panic is a failed test")]
#![allow(clippy::disallowed_methods, reason = "tests make and damage files directly")]

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use walkeep_tests::command::Walkeep;
use walkeep_tests::database::assert_same;
use walkeep_tests::footprint::footprint;
use walkeep_tests::libsql_bucket::{FIXTURE_ENDS, fixture_state, libsql_fixture};

const CLUSTERS: &str = "bucket/v2/clusters";

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() { copy(&from, &to) } else { fs::copy(from, to).map(drop).unwrap() }
    }
}

/// A directory with a copy of the fixture in `bucket`.
fn scene() -> (TempDir, Walkeep) {
    let root = tempfile::tempdir().unwrap();
    copy(&libsql_fixture().join("bucket"), &root.path().join("bucket"));
    let walkeep = Walkeep::at(root.path());
    (root, walkeep)
}

/// The one object of a folder whose name begins so.
fn object(root: &Path, folder: &str, start: u64) -> PathBuf {
    let folder = root.join(CLUSTERS).join("cluster0/namespaces/fixture").join(folder);
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let wanted = format!("-{start:020}-");
    paths.into_iter().find(|path| path.to_str().unwrap().contains(&wanted)).unwrap()
}

#[test]
fn every_end_restores_byte_for_byte_directly_and_after_import() {
    let (root, walkeep) = scene();
    let before = footprint(&root.path().join("bucket"));
    for store in ["bucket", "store"] {
        if store == "store" {
            let imported = walkeep.ok(&["import", "libsql", "bucket", "--into", "store", "--json"]).json();
            assert_eq!(
                (imported["commits_stored"].as_u64(), imported["frame_no"].as_u64()),
                (Some(5), Some(172))
            );
        }
        for end in FIXTURE_ENDS {
            let frame = end.to_string();
            let restored = walkeep
                .ok(&[
                    "restore", store, "-n", "fixture", "--frame", &frame, "-o", "out.db", "--force", "--json",
                ])
                .json();
            assert_eq!(restored["verified"].as_bool(), Some(store == "store"), "only the copy is proven");
            assert_same(&fs::read(root.path().join("out.db")).unwrap(), &fixture_state(end), &frame);
        }
        walkeep.ok(&["verify", store, "--deep"]);
    }
    assert_eq!(footprint(&root.path().join("bucket")), before, "the bucket is only read");
    let again = walkeep.ok(&["import", "libsql", "bucket", "-n", "fixture", "--into", "store"]);
    assert!(again.stdout.contains("nothing to import"), "{again:?}");
}

#[test]
fn the_bucket_is_listed_and_says_what_it_cannot_prove() {
    let (_root, walkeep) = scene();
    let listed = walkeep.ok(&["ls", "bucket", "--json"]).json();
    assert_eq!(
        (listed["namespace"].as_str(), listed["durable_frame_no"].as_u64()),
        (Some("fixture"), Some(172))
    );
    let log = walkeep.ok(&["log", "bucket", "--json"]).json_lines();
    let ends = log.iter().rev().map(|row| row["frame_no"].as_u64().unwrap()).collect::<Vec<_>>();
    assert_eq!(ends, FIXTURE_ENDS);
    assert!(log.iter().all(|row| row["state_checksum"].is_null()));
    let segments = walkeep.ok(&["segments", "bucket", "--json"]).json_lines();
    assert_eq!(segments.len(), 6);
    assert_eq!(segments[0]["key"].as_str().unwrap().len(), 62, "names are those of the bucket");
    walkeep.ok(&["verify", "bucket"]).says(&["does not prove that they are of one log"]);
    let restored = walkeep.ok(&["restore", "bucket", "-o", "out.db"]);
    assert!(restored.stdout.contains("records no state checksum"), "{restored:?}");
    // Sealed at 1795246456268: the answer to any time before the next.
    let at =
        walkeep.ok(&["restore", "bucket", "-o", "at.db", "--at", "2026-11-21T07:34:17Z", "--json"]).json();
    assert_eq!(at["frame_no"].as_u64(), Some(81), "{at}");
}

#[test]
fn the_format_can_be_said_and_the_cluster_must_be_where_there_are_several() {
    let (root, walkeep) = scene();
    copy(&root.path().join(CLUSTERS).join("cluster0"), &root.path().join(CLUSTERS).join("other"));
    let several = walkeep.run(&["ls", "bucket"]).expect(2);
    let _ = several.says(&["cluster0", "other", "--cluster"]);
    walkeep.ok(&["restore", "bucket", "--cluster", "other", "-o", "out.db"]);
    let _ = walkeep.run(&["import", "libsql", "bucket", "--into", "store"]).expect(2).says(&["--cluster"]);
    assert!(!root.path().join("store").exists(), "nothing is created for it");
    let native = walkeep.ok(&["ls", "bucket", "--format", "native", "--json"]);
    assert_eq!(native.stdout, "", "{native:?}");
    let _ = walkeep.run(&["ls", "bucket", "--format", "native", "--cluster", "other"]).expect(2);

    // A store of Walkeep's own in the same place comes first.
    walkeep.ok(&["import", "libsql", "bucket", "--cluster", "other", "--into", "bucket", "--as", "mine"]);
    assert_eq!(walkeep.ok(&["ls", "bucket", "--json"]).json()["namespace"].as_str(), Some("mine"));
    let _ =
        walkeep.run(&["log", "bucket", "--format", "libsql", "--cluster", "none", "-n", "fixture"]).expect(3);
    let _ = walkeep.run(&["ls", "bucket", "--cluster", "../x"]).expect(2);
}

#[test]
fn damage_and_holes_have_their_exit_codes() {
    let (root, walkeep) = scene();
    let data = object(root.path(), "segments", 116);
    let whole = fs::read(&data).unwrap();
    fs::write(&data, &whole[..10]).unwrap();
    let _ = walkeep.run(&["restore", "bucket", "-o", "out.db"]).expect(4).says(&["segments/"]);
    let _ = walkeep.run(&["verify", "bucket"]).expect(4);
    let _ = walkeep.run(&["import", "libsql", "bucket", "--into", "half"]).expect(4);
    fs::remove_file(&data).unwrap();
    let _ = walkeep.run(&["restore", "bucket", "-o", "out.db"]).expect(4).says(&["no object"]);
    fs::write(&data, whole).unwrap();
    walkeep.ok(&["import", "libsql", "bucket", "--into", "half"]);

    fs::remove_file(object(root.path(), "indexes", 58)).unwrap();
    let _ =
        walkeep.run(&["restore", "bucket", "-o", "out.db"]).expect(3).says(&["missing are frames 58 to 81"]);
    let error =
        walkeep.run(&["import", "libsql", "bucket", "--into", "store", "--json"]).expect(3).json_error();
    assert!(
        error["message"].as_str().unwrap().contains("2 restore points up to that frame are imported"),
        "{error}"
    );
    assert_same(&walkeep.restored("fixture", 57), &fixture_state(57), "57");
    assert!(!root.path().join("out.db").exists());
}

#[test]
fn local_files_alone_are_imported_and_nothing_beside_them_changes() {
    let (root, walkeep) = scene();
    copy(&libsql_fixture().join("local_segments"), &root.path().join("app.db-wal"));
    let before = footprint(&root.path().join("app.db-wal"));
    let args = ["import", "libsql", "--seg-dir", "app.db-wal", "-n", "app", "--into", "store", "--json"];
    let imported = walkeep.ok(&args).json();
    assert!(imported["commits_stored"].as_u64().unwrap() > 5, "{imported}");
    assert_eq!(footprint(&root.path().join("app.db-wal")), before);
    for end in FIXTURE_ENDS {
        assert_same(&walkeep.restored("app", end), &fixture_state(end), "a local end");
    }
    let _ = walkeep.run(&["import", "libsql", "-n", "app", "--into", "store"]).expect(2).says(&["--seg-dir"]);
    let _ = walkeep
        .run(&["import", "libsql", "--seg-dir", "app.db-wal", "--into", "store"])
        .expect(2)
        .says(&["-n"]);
    let both = ["import", "libsql", "bucket", "--seg-dir", "app.db-wal", "--into", "both"];
    walkeep.ok(&both);
}

#[test]
fn what_is_exported_is_read_again() {
    let (root, walkeep) = scene();
    walkeep.ok(&["import", "libsql", "bucket", "--into", "store"]);
    let args = ["export", "libsql", "store", "-n", "fixture", "--into", "out", "--cluster", "c1", "--json"];
    let exported = walkeep.ok(&args).json();
    assert_eq!(exported["segments_written"].as_u64(), Some(5), "{exported}");
    for end in FIXTURE_ENDS {
        let frame = end.to_string();
        walkeep.ok(&["restore", "out", "--frame", &frame, "-o", "out.db", "--force"]);
        assert_same(&fs::read(root.path().join("out.db")).unwrap(), &fixture_state(end), &frame);
    }
    assert_eq!(walkeep.ok(&args).json()["segments_found"].as_u64(), Some(5));
}
