//! What `docs/operations.md` tells people to do when something goes wrong, done as it says.
#![allow(clippy::unwrap_used, reason = "test code: a panic is a failed test")]

use std::fs;
use std::path::Path;

use walkeep_tests::command::{Running, Walkeep};
use walkeep_tests::database::{assert_same, expected_bytes, sql};

fn replicating(walkeep: &Walkeep, flags: &[&str]) -> Running {
    let args = [&["replicate", "app.db", "store", "--sync-interval", "0"], flags].concat();
    let mut daemon = walkeep.start(&args);
    daemon.wait_until("it replicates", |daemon| daemon.stderr().contains("replicating app.db"));
    daemon
}

/// Stops a daemon, which stores everything first; the newest frame.
fn stop(walkeep: &Walkeep, daemon: Running) -> u64 {
    daemon.signal("TERM");
    daemon.end().expect(0);
    walkeep.ok(&["status", "--store", "store", "--json"]).json()["durable_frame_no"].as_u64().unwrap()
}

fn remove_database(root: &Path) {
    for name in ["app.db", "app.db-wal", "app.db-shm"] {
        // SQLite may have removed the side files.
        let _ = fs::remove_file(root.join(name));
    }
    fs::remove_dir_all(root.join(".app.db-walkeep")).unwrap();
}

#[test]
fn after_the_loss_of_the_disk_a_restored_database_is_replicated_on_without_a_word() {
    let root = tempfile::tempdir().unwrap();
    let (walkeep, database) = (Walkeep::at(root.path()), root.path().join("app.db"));
    sql(&database, "PRAGMA journal_mode = wal; CREATE TABLE t (a); INSERT INTO t VALUES (1)");
    let daemon = replicating(&walkeep, &[]);
    sql(&database, "INSERT INTO t VALUES (2)");
    let before = stop(&walkeep, daemon);
    let bytes = expected_bytes(&database);
    remove_database(root.path());

    walkeep.ok(&["restore", "store", "-n", "app", "-o", "app.db"]);
    assert_same(&fs::read(&database).unwrap(), &bytes, "as it was before");
    let daemon = replicating(&walkeep, &[]);
    sql(&database, "INSERT INTO t VALUES (3)");
    let after = stop(&walkeep, daemon);
    assert!(after > before, "{after} {before}");
    assert_same(&walkeep.restored("app", after), &expected_bytes(&database), "the newest state");
    assert_same(&walkeep.restored("app", before), &bytes, "as it was before");
}

#[test]
fn a_database_put_back_to_an_older_point_is_replicated_on_only_with_rewind() {
    let root = tempfile::tempdir().unwrap();
    let (walkeep, database) = (Walkeep::at(root.path()), root.path().join("app.db"));
    sql(
        &database,
        "PRAGMA journal_mode = wal; CREATE TABLE orders (id INTEGER PRIMARY KEY); INSERT INTO orders VALUES (1), (2)",
    );
    let daemon = replicating(&walkeep, &[]);
    let good = stop(&walkeep, daemon);
    let daemon = replicating(&walkeep, &[]);
    sql(&database, "DELETE FROM orders; INSERT INTO orders VALUES (3)");
    let wrong = stop(&walkeep, daemon);
    let spoilt = expected_bytes(&database);

    // Copying what is missing loses nothing that was written since.
    walkeep.ok(&["restore", "store", "-n", "app", "-o", "old.db", "--frame", &good.to_string()]);
    fs::write(root.path().join("mended.db"), &spoilt).unwrap();
    let copy = "ATTACH 'old.db' AS old; INSERT OR IGNORE INTO orders SELECT * FROM old.orders";
    let old = root.path().join("old.db").display().to_string();
    sql(&root.path().join("mended.db"), &copy.replace("old.db", &old));
    let mended = rusqlite::Connection::open(root.path().join("mended.db")).unwrap();
    let count = mended.query_row("SELECT count(*) FROM orders", [], |row| row.get::<_, u32>(0)).unwrap();
    assert_eq!(count, 3);

    // Or all of the old state, in the place of the live one.
    walkeep.ok(&["restore", "store", "-n", "app", "-o", "app.db", "--force", "--frame", &good.to_string()]);
    let refused = walkeep.run(&["replicate", "app.db", "store"]).expect(1);
    refused.says(&["does not continue the newest state", "--rewind"]);
    let daemon = replicating(&walkeep, &["--rewind"]);
    let rewound = stop(&walkeep, daemon);
    assert!(rewound > wrong, "{rewound} {wrong}");
    assert_same(&walkeep.restored("app", rewound), &expected_bytes(&database), "the newest state");
    assert_same(&walkeep.restored("app", wrong), &spoilt, "the abandoned point");
    // From then on without it.
    let daemon = replicating(&walkeep, &[]);
    stop(&walkeep, daemon);
}
