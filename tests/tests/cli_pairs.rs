//! Stores in two places on the command line: either one is lost, and the database comes back.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code: a panic is a failed test")]

use std::fs;
use std::path::{Path, PathBuf};

use walkeep_tests::command::{Ran, Walkeep};
use walkeep_tests::database::sql;

const MIRROR: &str = "mirror:?first=a&second=b";
const LAGGING: &str = "mirror:?first=a&second=b&ack=first";
const TIERED: &str = "tiered:?local=near&remote=far";
const LOCAL: &str = "tiered:?local=near&remote=far&ack=local";

fn scene() -> (tempfile::TempDir, Walkeep) {
    let root = tempfile::tempdir().unwrap();
    let walkeep = Walkeep::at(root.path());
    sql(&root.path().join("app.db"), "CREATE TABLE t (a); INSERT INTO t VALUES (1)");
    (root, walkeep)
}

fn change(root: &Path, row: u32) {
    sql(&root.join("app.db"), &format!("INSERT INTO t VALUES ({row})"));
}

/// The stored segments below a directory.
fn segments(root: &Path) -> Vec<PathBuf> {
    let folder = root.join("namespaces/app/segments");
    let Ok(files) = fs::read_dir(folder) else { return Vec::new() };
    files.map(|file| file.unwrap().path()).collect()
}

#[track_caller]
fn shows(ran: &Ran, text: &str) {
    assert!(ran.stdout.contains(text), "{ran:#?}");
}

fn restores(walkeep: &Walkeep, root: &Path, store: &str) {
    walkeep.ok(&["restore", store, "-o", "out.db", "--force"]);
    assert!(fs::read(root.join("out.db")).unwrap() == fs::read(root.join("app.db")).unwrap());
}

#[test]
fn a_mirror_gives_the_database_back_without_either_store() {
    let (root, walkeep) = scene();
    for row in 0..3 {
        change(root.path(), row);
        walkeep.ok(&["replicate", "app.db", MIRROR, "--once"]);
    }
    let verified = walkeep.ok(&["--json", "verify", MIRROR, "--deep"]).json();
    assert_eq!((&verified["ok"], &verified["copies"]["differing"]), (&true.into(), &0.into()));
    assert!(verified["copies"]["alike"].as_u64().unwrap() >= 6, "{verified}");
    for lost in ["a", "b"] {
        let aside = root.path().join("aside");
        fs::rename(root.path().join(lost), &aside).unwrap();
        restores(&walkeep, root.path(), MIRROR);
        fs::rename(&aside, root.path().join(lost)).unwrap();
    }
    // The first one is lost for good: the one that is left is named first, and a new one follows.
    fs::remove_dir_all(root.path().join("a")).unwrap();
    let new = "mirror:?first=b&second=c";
    shows(&walkeep.ok(&["sync", new]), "both stores have everything");
    change(root.path(), 9);
    walkeep.ok(&["replicate", "app.db", new, "--once"]);
    fs::remove_dir_all(root.path().join("b")).unwrap();
    restores(&walkeep, root.path(), "c");
}

#[test]
fn what_lags_is_no_damage_and_is_copied_by_sync() {
    let (root, walkeep) = scene();
    walkeep.ok(&["replicate", "app.db", "a", "--once"]);
    fs::create_dir(root.path().join("b")).unwrap();
    let verified = walkeep.ok(&["--json", "verify", LAGGING]).json();
    assert!(verified["copies"]["only_in_first"].as_u64().unwrap() >= 3, "{verified}");
    let copied = walkeep.ok(&["--json", "sync", LAGGING]).json();
    assert!(copied["copied"].as_u64().unwrap() >= 3, "{copied}");
    assert_eq!(walkeep.ok(&["--json", "sync", LAGGING]).json()["copied"], 0);
    restores(&walkeep, root.path(), "b");
    walkeep.run(&["sync", "a"]).expect(2).says(&["one place"]);
}

#[test]
fn an_object_that_differs_is_corruption_and_stays() {
    let (root, walkeep) = scene();
    walkeep.ok(&["replicate", "app.db", MIRROR, "--once"]);
    let victim = segments(&root.path().join("b")).pop().unwrap();
    let mut bytes = fs::read(&victim).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::remove_file(&victim).unwrap();
    fs::write(&victim, &bytes).unwrap();
    walkeep.ok(&["verify", MIRROR]);
    shows(&walkeep.run(&["verify", MIRROR, "--deep"]).expect(4), "differs: other bytes");
    // Cut short, a comparison of names and sizes tells, and copying tells.
    fs::write(&victim, &bytes[..middle]).unwrap();
    shows(&walkeep.run(&["verify", MIRROR]).expect(4), "differs");
    shows(&walkeep.run(&["sync", MIRROR]).expect(4), "1 object that differs was not copied");
    assert_eq!(fs::read(&victim).unwrap().len(), middle);
    restores(&walkeep, root.path(), MIRROR);
    // What the first store has lost is said, and read from the second one.
    fs::write(&victim, fs::read(segments(&root.path().join("a")).pop().unwrap()).unwrap()).unwrap();
    fs::remove_file(segments(&root.path().join("a")).pop().unwrap()).unwrap();
    shows(&walkeep.run(&["verify", MIRROR]).expect(4), "in the second store alone");
    restores(&walkeep, root.path(), MIRROR);
}

#[test]
fn a_tiered_store_ships_and_its_remote_store_stands_alone() {
    let (root, walkeep) = scene();
    walkeep.ok(&["replicate", "app.db", TIERED, "--once"]);
    assert_eq!(segments(&root.path().join("near")).len(), 1);
    assert!(!root.path().join("near/namespaces/app/manifest").exists());
    restores(&walkeep, root.path(), "far");
    for row in 0..3 {
        change(root.path(), row);
        walkeep.ok(&["replicate", "app.db", LOCAL, "--once"]);
        restores(&walkeep, root.path(), LOCAL);
    }
    walkeep.ok(&["sync", LOCAL]);
    let verified = walkeep.ok(&["--json", "verify", LOCAL, "--deep"]).json();
    let copies = &verified["copies"];
    assert_eq!((&copies["only_in_first"], &copies["alike"]), (&0.into(), &4.into()), "{verified}");
    // Without the local directory everything is read from the remote one, and its indexes are kept in the cache.
    fs::remove_dir_all(root.path().join("near")).unwrap();
    for _ in 0..3 {
        restores(&walkeep, root.path(), TIERED);
        walkeep.ok(&["verify", TIERED]);
    }
    assert!(fs::read_dir(root.path().join("near/.cache")).unwrap().count() > 0);
    restores(&walkeep, root.path(), "far");
}

#[test]
fn addresses_in_a_configuration_are_relative_to_it_and_name_one_place() {
    let (root, walkeep) = scene();
    sql(&root.path().join("other.db"), "CREATE TABLE t (a)");
    let entry = |path: &str, store: &str| format!("[[database]]\npath = \"{path}\"\nstore = \"{store}\"\n");
    fs::create_dir(root.path().join("etc")).unwrap();
    let text = entry("../app.db", "mirror:?first=../a&second=../b");
    fs::write(root.path().join("etc/w.toml"), &text).unwrap();
    let shown = walkeep.ok(&["config", "check", "etc/w.toml"]);
    assert!(shown.stdout.contains("mirror:?first=") && shown.stdout.contains("&second="), "{}", shown.stdout);
    // One namespace of one first store twice is a conflict, whatever follows it.
    let twice = text + &entry("../other.db", "../a") + "namespace = \"app\"\n";
    fs::write(root.path().join("etc/w.toml"), twice).unwrap();
    walkeep.run(&["config", "check", "etc/w.toml"]).expect(2);
}
