//! `walkeep config check`: what would be replicated, or all that is wrong, and the exit code.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code: a panic is a failed test")]

use std::fs;

use serde_json::json;
use walkeep_tests::command::Walkeep;
use walkeep_tests::database::sql;
use walkeep_tests::footprint::lasting_footprint;

#[test]
fn it_shows_what_would_be_replicated_and_changes_nothing() {
    let root = tempfile::tempdir().unwrap();
    let at = |name: &str| root.path().join(name);
    fs::create_dir(at("tenants")).unwrap();
    sql(&at("app.db"), "PRAGMA journal_mode = DELETE; CREATE TABLE t (a)");
    sql(&at("tenants/one.db"), "PRAGMA journal_mode = WAL; CREATE TABLE t (a)");
    fs::write(at("tenants/two.db"), "text").unwrap();
    fs::write(
        at("w.toml"),
        "metrics = '127.0.0.1:9797'\n[defaults]\nstore = 's3://${BUCKET}/x?region=eu-1&endpoint=https://hidden.example.org'\n\
         [[database]]\npath = 'app.db'\nsync_interval = '250ms'\nunfenced = true\n\
         [[directory]]\nglob = 'tenants/*.db'\nnamespace = 'tenant-{stem}'\nstore = 'store'\n",
    )
    .unwrap();
    let before = lasting_footprint(root.path());
    // Relative to the file, wherever the command runs.
    let elsewhere = tempfile::tempdir().unwrap();
    let walkeep = Walkeep::at(elsewhere.path()).with("BUCKET", "logs");
    let file = at("w.toml").display().to_string();

    let document = walkeep.ok(&["config", "check", &file, "--json"]).json();
    assert_eq!((&document["metrics"], &document["log_format"]), (&json!("127.0.0.1:9797"), &json!("text")));
    let databases = document["databases"].as_array().unwrap();
    assert_eq!(databases.len(), 2, "{document}");
    assert_eq!(databases[0]["path"], json!(at("app.db")));
    assert_eq!((&databases[0]["store"], &databases[0]["namespace"]), (&json!("s3://logs/x"), &json!("app")));
    assert_eq!((&databases[0]["unfenced"], &databases[0]["line"]), (&json!(true), &json!(4)));
    assert_eq!(
        databases[0]["settings"],
        json!({"sync_interval_ms": 250, "checkpoint_bytes": 4 << 20, "seal_bytes": 64 << 20,
               "spool_bytes_max": 1 << 30, "busy_timeout_ms": 5000, "poll_interval_ms": 10_000, "quota": {},
               "care": {"compact": true, "gc": false, "retention": null, "restore_drill_ms": null}})
    );
    assert!(databases[0]["warnings"].to_string().contains("rollback mode"), "{document}");
    assert_eq!(databases[1]["path"], json!(at("tenants/one.db")));
    assert_eq!(
        (&databases[1]["store"], &databases[1]["namespace"]),
        (&json!(at("store")), &json!("tenant-one"))
    );
    assert_eq!(databases[1]["warnings"], json!([]));
    let left_out = document["left_out"].as_array().unwrap();
    assert_eq!((left_out.len(), &left_out[0]["path"]), (1, &json!(at("tenants/two.db"))));
    assert!(left_out[0]["why"].as_str().unwrap().contains("not a SQLite database"), "{document}");

    let here = Walkeep::at(root.path()).with("BUCKET", "logs");
    assert_eq!(here.ok(&["config", "check", "w.toml", "--json"]).json(), document);

    let ran = walkeep.ok(&["config", "check", &file]);
    for text in [
        "app.db -> s3://logs/x namespace app",
        "sync 250ms",
        "unfenced",
        "namespace tenant-one",
        "2 databases",
    ] {
        assert!(ran.stdout.contains(text), "{ran:#?}");
    }
    assert!(!format!("{document}{ran:?}").contains("hidden.example.org"));
    ran.says(&["warning: ", "rollback mode", "left out by line 8: 1 file", "tenants/two.db"]);
    assert_eq!(lasting_footprint(root.path()), before);
}

#[test]
fn a_wrong_file_is_refused_with_all_that_is_wrong_and_exit_code_2() {
    let root = tempfile::tempdir().unwrap();
    let text = "[[database]]\npath = 'a.db'\nstore = '${NO_SUCH_VARIABLE}'\nsync_intervall = '1s'\n";
    fs::write(root.path().join("w.toml"), text).unwrap();
    let walkeep = Walkeep::at(root.path());
    walkeep.run(&["config", "check", "w.toml"]).expect(2).says(&[
        "w.toml:3:9: the variable NO_SUCH_VARIABLE is not set",
        "w.toml:4:1: unknown key `sync_intervall` in [[database]]; did you mean `sync_interval`?",
        "hint: ",
    ]);
    let error = walkeep.run(&["config", "check", "w.toml", "--json"]).expect(2).json_error();
    assert_eq!(error["kind"], json!("config"));
    assert_eq!(
        error["problems"][1],
        json!({"file": "w.toml", "line": 4, "column": 1, "message": "unknown key `sync_intervall` in [[database]]",
               "suggestion": "did you mean `sync_interval`?"})
    );
    assert_eq!(error["problems"].as_array().unwrap().len(), 2);
}

#[test]
fn what_shows_only_in_the_file_system_is_refused_too() {
    let root = tempfile::tempdir().unwrap();
    let text = "[defaults]\nstore = 's'\n[[database]]\npath = 'a.db'\n[[database]]\npath = './a.db'\nnamespace = 'b'\n";
    fs::write(root.path().join("w.toml"), text).unwrap();
    let walkeep = Walkeep::at(root.path());
    walkeep.run(&["config", "check", "w.toml"]).expect(2).says(&["w.toml:5:1: ", "twice", "w.toml:3:1"]);
    walkeep
        .run(&["config", "check", "none.toml"])
        .expect(2)
        .says(&["none.toml: cannot be read", "No such file"]);
    fs::write(root.path().join("w.toml"), b"\xff").unwrap();
    walkeep.run(&["config", "check", "w.toml"]).expect(2).says(&["w.toml: cannot be read: it is not UTF-8"]);
}
