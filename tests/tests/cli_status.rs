//! `walkeep status` and the metrics of a daemon: where replication stands, and the alarms.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code: a panic is a failed test")]

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use walkeep_tests::command::Walkeep;
use walkeep_tests::database::sql;
use walkeep_tests::metrics::scrape;

/// A folder with databases.
struct Scene {
    root: TempDir,
    walkeep: Walkeep,
}

impl Scene {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        Self { walkeep: Walkeep::at(root.path()), root }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn database(&self, name: &str, mode: &str) {
        sql(&self.path(name), &format!("PRAGMA journal_mode = {mode}; CREATE TABLE t (a)"));
    }

    /// The status of a database, when it is as wanted.
    #[track_caller]
    fn status(&self, args: &[&str], wanted: impl Fn(&Value) -> bool) -> Value {
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            let args = [&["status", "--json"], args].concat();
            let status = self.walkeep.ok(&args).json_lines().pop().unwrap();
            if wanted(&status) {
                return status;
            }
            assert!(Instant::now() < until, "{status:#}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

fn is_stored(status: &Value) -> bool {
    status["state"] == "capturing" && !status["seen"].is_null() && status["seen"] == status["durable"]
}

#[test]
fn what_is_captured_and_stored_is_shown_and_measured_until_the_daemon_is_gone() {
    let scene = Scene::new();
    scene.database("app.db", "wal");
    let args = ["replicate", "app.db", "store", "--sync-interval", "0", "--metrics", "127.0.0.1:0"];
    let mut daemon = scene.walkeep.background(&args);
    let address = daemon.says("metrics: http://");
    let address = address.split("http://").nth(1).unwrap().trim_end_matches("/metrics").to_string();
    daemon.says("replicating app.db");
    sql(&scene.path("app.db"), "INSERT INTO t VALUES (randomblob(9000))");
    scene.status(&["app.db"], |status| is_stored(status) && status["transactions"] != 0);
    let status = scene.walkeep.ok(&["status", "app.db", "--max-lag", "60", "--json"]).json();
    assert_eq!((&status["database"], &status["namespace"]), (&json!("app.db"), &json!("app")));
    assert_eq!((&status["running"], &status["lag_ms"]), (&json!(true), &json!(0)));
    assert_eq!((&status["over_max_lag"], &status["epoch"]), (&json!(false), &json!(1)));
    let frame = status["durable"]["frame_no"].as_u64().unwrap();

    let shown = scene.walkeep.ok(&["status", "app.db", "--store", "store"]).stdout;
    for text in [
        "app.db -> store namespace app".to_string(),
        "state        capturing, epoch 1".to_string(),
        "lag          none: everything is stored".to_string(),
        format!("captured     frame {frame} of "),
        format!("durable      frame {frame} of "),
        format!("in the store frame {frame} of "),
        "waiting      nothing on local disk".to_string(),
    ] {
        assert!(shown.contains(&text), "{text}\n{shown}");
    }
    let stored = scene.status(&["app.db", "--store", "store"], is_stored);
    assert_eq!(stored["stored"]["durable_frame_no"], json!(frame));

    let text = scrape(&address);
    assert!(
        text.contains(&format!(
            "walkeep_durable_frame{{database=\"app.db\",namespace=\"app\",store=\"store\"}} {frame}.0"
        )),
        "{text}"
    );
    let puts = text
        .lines()
        .find_map(|line| line.strip_prefix("walkeep_store_requests_total{store=\"store\",kind=\"put\"} "));
    assert!(puts.unwrap().parse::<u64>().unwrap() >= 3, "{text}");

    daemon.signal("KILL");
    daemon.ended();
    let status = scene.status(&["app.db"], |_| true);
    assert_eq!((&status["state"], &status["lag_ms"]), (&json!("not running"), &Value::Null));
    let ran = scene.walkeep.run(&["status", "app.db", "--max-lag", "3600", "--json"]).expect(9);
    assert_eq!(ran.json()["over_max_lag"], json!(true));
    ran.says(&["1 database over --max-lag"]);
}

#[test]
fn a_daemon_that_hangs_is_told_from_one_that_is_idle() {
    let scene = Scene::new();
    scene.database("app.db", "wal");
    let args = ["replicate", "app.db", "store", "--sync-interval", "0", "--poll-interval", "200ms"];
    let mut daemon = scene.walkeep.background(&args);
    daemon.says("replicating app.db");
    scene.status(&["app.db"], is_stored);
    std::thread::sleep(Duration::from_secs(6));
    let idle = scene.walkeep.ok(&["status", "app.db", "--max-lag", "1", "--json"]).json();
    assert_eq!(
        (&idle["state"], &idle["lag_ms"], &idle["silent_ms"]),
        (&json!("capturing"), &json!(0), &Value::Null)
    );

    daemon.signal("STOP");
    let hangs = scene.status(&["app.db"], |status| !status["silent_ms"].is_null());
    assert_eq!((&hangs["state"], &hangs["running"]), (&json!("no sign of life"), &json!(true)));
    let ran = scene.walkeep.run(&["status", "app.db", "--max-lag", "1"]).expect(9);
    assert!(ran.stdout.contains("the daemon has not looked"), "{ran:#?}");
    daemon.signal("CONT");
    scene.status(&["app.db"], is_stored);
}

#[test]
fn a_daemon_that_was_stopped_says_so() {
    let scene = Scene::new();
    scene.database("app.db", "wal");
    let mut daemon = scene.walkeep.background(&["replicate", "app.db", "store"]);
    daemon.says("replicating app.db");
    assert_eq!(daemon.stop(), Some(0), "{:#?}", daemon.stderr);
    let status = scene.status(&["app.db"], |_| true);
    assert_eq!((&status["state"], &status["running"]), (&json!("stopped"), &json!(false)));
    scene.walkeep.run(&["status", "app.db", "--max-lag", "1h"]).expect(9);
}

#[test]
fn a_commit_that_cannot_be_stored_is_a_lag() {
    let scene = Scene::new();
    scene.database("app.db", "wal");
    let mut daemon = scene.walkeep.background(&["replicate", "app.db", "store", "--sync-interval", "0"]);
    daemon.says("replicating app.db");
    scene.status(&["app.db"], is_stored);
    let namespaces = scene.path("store/namespaces");
    fs::rename(&namespaces, scene.path("away")).unwrap();
    fs::write(&namespaces, "in its place").unwrap();
    sql(&scene.path("app.db"), "INSERT INTO t VALUES (1)");
    let status =
        scene.status(&["app.db"], |s| s["lag_ms"].as_u64() > Some(300) && !s["last_error"].is_null());
    assert_eq!(status["state"], json!("capturing"));
    let ran = scene.walkeep.run(&["status", "app.db", "--max-lag", "200ms"]).expect(9);
    assert!(ran.stdout.contains("last error"), "{ran:#?}");
    scene.walkeep.ok(&["status", "app.db", "--max-lag", "1h"]);
}

#[test]
fn many_databases_are_a_line_each_and_one_that_fails_does_not_hide() {
    let scene = Scene::new();
    scene.database("a.db", "wal");
    scene.database("b.db", "delete");
    let config = "log_format = 'json'\n[[directory]]\nglob = '*.db'\nstore = 'store'\n";
    fs::write(scene.path("w.toml"), config).unwrap();
    let mut daemon = scene.walkeep.background(&["replicate", "--config", "w.toml"]);
    daemon.says("replicating ");
    daemon.says("b.db: no longer replicated");
    let until = Instant::now() + Duration::from_secs(60);
    let rows = loop {
        let rows = scene.walkeep.ok(&["status", "--config", "w.toml", "--json"]).json_lines();
        if is_stored(&rows[0]) {
            break rows;
        }
        assert!(Instant::now() < until, "{rows:#?}");
    };
    assert_eq!((rows.len(), &rows[1]["state"]), (2, &json!("failed")), "{rows:#?}");
    assert!(rows[1]["last_error"].as_str().unwrap().contains("WAL mode"), "{rows:#?}");
    let shown = scene.walkeep.run(&["status", "--config", "w.toml", "--max-lag", "1m"]).expect(9).stdout;
    let lines = shown.lines().collect::<Vec<_>>();
    assert!(lines[0].starts_with("DATABASE") && lines[1].contains("capturing"), "{shown}");
    assert!(lines[2].contains("failed") && lines[3].starts_with("  last error: "), "{shown}");
    assert_eq!(daemon.stop(), Some(6), "one had failed");
    for line in &daemon.stderr {
        assert!(serde_json::from_str::<Value>(line).is_ok(), "stderr is JSON, all of it: {line}");
    }
}

#[test]
fn log_lines_are_json_if_asked_for() {
    let scene = Scene::new();
    scene.database("app.db", "wal");
    let walkeep = scene.walkeep.clone().with("RUST_LOG", "info");
    let mut daemon = walkeep.background(&["replicate", "app.db", "store", "--log-format", "json"]);
    daemon.says("replicating app.db");
    daemon.stop();
    let lines =
        daemon.stderr.iter().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect::<Vec<_>>();
    assert!(lines.iter().any(|line| line["level"] == "INFO" && line["timestamp"].is_string()), "{lines:#?}");
}

#[test]
fn a_store_is_looked_into_from_anywhere() {
    let scene = Scene::new();
    scene.database("app.db", "wal");
    let frame = scene.walkeep.replicate("app.db");
    let rows = scene.walkeep.ok(&["status", "--store", "store", "--json"]).json_lines();
    assert_eq!((rows.len(), &rows[0]["namespace"]), (1, &json!("app")));
    assert_eq!((&rows[0]["durable_frame_no"], &rows[0]["epoch"]), (&json!(frame), &json!(1)));
    let shown = scene.walkeep.ok(&["status", "--store", "store", "-n", "app"]).stdout;
    assert!(shown.lines().nth(1).unwrap().starts_with("app "), "{shown}");
    scene.walkeep.run(&["status", "--store", "store", "-n", "none"]).expect(3).says(&["namespace none"]);
    // Captures leave no daemon's status.
    let status = scene.status(&["app.db", "--store", "store"], |_| true);
    assert_eq!(
        (&status["state"], &status["stored"]["durable_frame_no"]),
        (&json!("never replicated"), &json!(frame))
    );
}

#[test]
fn what_nobody_replicates_rings_the_alarm_and_a_slip_is_an_error() {
    let scene = Scene::new();
    scene.database("app.db", "wal");
    assert!(scene.walkeep.ok(&["status", "app.db"]).stdout.contains("never replicated"));
    scene.walkeep.run(&["status", "app.db", "--max-lag", "1h"]).expect(9);
    scene.walkeep.run(&["status", "ap.db"]).expect(1).says(&["ap.db", "no such file"]);
    scene.walkeep.run(&["status"]).expect(2).says(&["required"]);
    scene
        .walkeep
        .run(&["status", "--store", "store", "--max-lag", "1m"])
        .expect(2)
        .says(&["--max-lag is about"]);
    scene.walkeep.run(&["status", "--config", "none.toml"]).expect(2).says(&["none.toml: cannot be read"]);
}

#[test]
fn metrics_that_cannot_be_served_stop_the_start() {
    let scene = Scene::new();
    scene.database("app.db", "wal");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ran = scene.walkeep.run(&["replicate", "app.db", "store", "--metrics", &address]).expect(1);
    ran.says(&[&format!("serve metrics at {address}")]);
    assert!(!scene.path("store").exists() && !scene.path(".app.db-walkeep").exists());
}
