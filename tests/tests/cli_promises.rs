//! Keeping less, from the command line: retention, pins, and deleting what nothing needs.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code: a panic is a failed test")]

use std::fs;

use walkeep_tests::command::{Ran, Walkeep};
use walkeep_tests::database::sql;

/// Three commits, each stored by itself; the frames that they end with.
fn shop(root: &std::path::Path) -> (Walkeep, [u64; 3]) {
    let walkeep = Walkeep::at(root);
    let mut ends = [0; 3];
    for (at, end) in ends.iter_mut().enumerate() {
        let create = "PRAGMA journal_mode = wal; CREATE TABLE IF NOT EXISTS t (a);";
        sql(&root.join("shop.db"), &format!("{create} INSERT INTO t VALUES ({at})"));
        *end = walkeep.replicate("shop.db");
    }
    (walkeep, ends)
}

/// Fails unless stdout says all of these.
#[track_caller]
fn shows(ran: Ran, texts: &[&str]) {
    for text in texts {
        assert!(ran.stdout.contains(text), "stdout does not say {text:?}: {ran:#?}");
    }
}

#[test]
fn a_pin_is_a_restore_point_with_a_name() {
    let root = tempfile::tempdir().unwrap();
    let (walkeep, ends) = shop(root.path());
    let first = ends[0].to_string();
    shows(walkeep.ok(&["pin", "store", "before-release", "--frame", &first]), &["before-release", &first]);
    shows(walkeep.ok(&["pin", "store", "soon-over", "--expires", "30d"]), &["until 2"]);
    let pins = walkeep.ok(&["pins", "store", "--json"]).json_lines();
    assert_eq!(pins.len(), 2);
    assert_eq!(
        (pins[0]["name"].as_str(), pins[0]["frame_no"].as_u64()),
        (Some("before-release"), Some(ends[0]))
    );
    assert!(pins[0]["expires"].is_null() && pins[1]["expires_ms"].is_u64());

    walkeep.ok(&["restore", "store", "--pin", "before-release", "-o", "by-pin.db"]);
    walkeep.ok(&["restore", "store", "--frame", &first, "-o", "by-frame.db"]);
    let read = |name: &str| fs::read(root.path().join(name)).unwrap();
    assert_eq!(read("by-pin.db"), read("by-frame.db"));
    shows(walkeep.ok(&["log", "store", "--points"]), &["kept: every commit, pin before-release"]);
    walkeep.ok(&["fork", "store", "trial", "--pin", "before-release"]);

    walkeep.run(&["pin", "store", "before-release", "-n", "shop"]).expect(7).says(&["already exists"]);
    shows(walkeep.ok(&["unpin", "store", "-n", "shop", "before-release"]), &["no longer pinned"]);
    walkeep.run(&["unpin", "store", "-n", "shop", "before-release"]).expect(3);
    walkeep.run(&["restore", "store", "-n", "shop", "--pin", "before-release", "-o", "x.db"]).expect(3);
    walkeep.run(&["pin", "store", "-n", "shop", "a/b"]).expect(2);
    walkeep
        .run(&["pin", "store", "-n", "shop", "late", "--expires", "2020-01-01T00:00:00Z"])
        .expect(1)
        .says(&["over"]);
    walkeep.run(&["pin", "store", "-n", "shop", "far", "--frame", "99999"]).expect(3);
}

#[test]
fn retention_is_shown_set_and_refused() {
    let root = tempfile::tempdir().unwrap();
    let (walkeep, _) = shop(root.path());
    shows(walkeep.ok(&["retain", "store"]), &["shop keeps every commit, for ever"]);
    shows(
        walkeep.ok(&["retain", "store", "--keep-all", "24h", "--keep-hourly", "7d", "--keep-daily", "30d"]),
        &["every commit for 1d, one each hour for 7d, one each day for 30d"],
    );
    let shown = walkeep.ok(&["retain", "store", "--json"]).json();
    assert_eq!(shown["retention"]["keep_all_ms"], 86_400_000);
    assert_eq!(shown["frontier"], 1);
    for wrong in [
        &["--keep-all", "0h"][..],
        &["--keep-all", "-1h"],
        &["--keep-all", "soon"],
        &["--keep-daily", "30d"],
        &["--keep-all", "24h", "--keep-daily", "12h"],
        &["--keep-all", "24h", "--keep-hourly", "30d", "--keep-daily", "7d"],
        &["--keep-all", "24h", "--keep-everything"],
    ] {
        walkeep.run(&[&["retain", "store"], wrong].concat()).expect(2);
    }
    assert_eq!(walkeep.ok(&["retain", "store", "--json"]).json(), shown, "what is refused changes nothing");
    shows(walkeep.ok(&["retain", "store", "--keep-everything"]), &["for ever"]);
}

#[test]
fn what_nothing_needs_is_said_and_goes() {
    let root = tempfile::tempdir().unwrap();
    let (walkeep, ends) = shop(root.path());
    let plan = walkeep.ok(&["gc", "store", "--dry-run", "--grace", "0", "--json"]).json();
    let verdicts = plan["verdicts"].as_array().unwrap();
    let named = |text: &str| verdicts.iter().filter(|v| v["path"].as_str().unwrap().contains(text)).count();
    let stored =
        |folder: &str| fs::read_dir(root.path().join("store/namespaces/shop").join(folder)).unwrap().count();
    assert_eq!((named("/segments/"), named("/manifest/")), (3, stored("manifest")), "{plan}");
    assert!(verdicts.iter().all(|verdict| verdict["goes"] == false && !verdict["why"].is_null()), "{plan}");
    shows(walkeep.ok(&["gc", "store", "--grace", "0"]), &["0 objects deleted"]);

    // One segment of all, and nothing of what is older: only the newest commit stays.
    walkeep.ok(&["compact", "store", "--strategy", "identity"]);
    walkeep.ok(&["retain", "store", "--keep-all", "1m"]);
    let objects = |walkeep: &Walkeep| walkeep.ok(&["segments", "store", "--json"]).json_lines().len();
    assert_eq!(objects(&walkeep), 4);
    shows(walkeep.ok(&["gc", "store", "--grace", "0", "--dry-run"]), &["stay"]);
    assert_eq!(objects(&walkeep), 4, "a dry run deletes nothing");
    for end in ends {
        walkeep.ok(&["restore", "store", "--frame", &end.to_string(), "-o", "x.db", "--force"]);
    }
    walkeep.run(&["gc", "nowhere"]).expect(6);
}
