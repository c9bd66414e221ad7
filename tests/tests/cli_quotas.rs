//! Quotas and stores in two places, as a daemon tells of them: `walkeep status`, the metrics, and `config check`.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code: a panic is a failed test")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use walkeep_tests::background::Background;
use walkeep_tests::command::Walkeep;
use walkeep_tests::database::sql;
use walkeep_tests::metrics::scrape;

struct Scene {
    root: TempDir,
    walkeep: Walkeep,
}

impl Scene {
    fn new(databases: &[&str]) -> Self {
        let root = tempfile::tempdir().unwrap();
        for name in databases {
            sql(&root.path().join(name), "PRAGMA journal_mode = wal; CREATE TABLE t (a)");
        }
        let walkeep = Walkeep::at(root.path());
        Self { root, walkeep }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// Writes a configuration: what stands before the entries, and a store for all.
    fn configure(&self, before: &str, store: &str, databases: &[&str]) {
        let entry = |name: &&str| {
            format!(
                "[[database]]\npath = '{name}'\nstore = \"{store}\"\nsync_interval = '0s'\ncompact = false\n"
            )
        };
        let entries = databases.iter().map(entry).collect::<String>();
        fs::write(self.path("w.toml"), format!("{before}\n{entries}")).unwrap();
    }

    /// Starts the daemon; with it the address of its metrics.
    fn start(&self) -> (Background, String) {
        let mut daemon =
            self.walkeep.background(&["replicate", "--config", "w.toml", "--metrics", "127.0.0.1:0"]);
        let said = daemon.says("metrics: http://");
        let address = said.split("http://").nth(1).unwrap().trim_end_matches("/metrics").to_string();
        (daemon, address)
    }

    fn insert(&self, name: &str) {
        sql(&self.path(name), "INSERT INTO t VALUES (randomblob(20000))");
    }

    /// The status of a database, when it is as wanted.
    #[track_caller]
    fn status(&self, name: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        until(&format!("the status of {name}"), || {
            let status = self.walkeep.ok(&["status", name, "--json"]).json();
            if wanted(&status) { Ok(status) } else { Err(format!("{status:#}")) }
        })
    }
}

/// Waits for something.
#[track_caller]
fn until<T>(what: &str, look: impl Fn() -> Result<T, String>) -> T {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        match look() {
            Ok(found) => return found,
            Err(seen) => assert!(Instant::now() < end, "it does not come to that: {what}: {seen}"),
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// The value of a metric whose labels have this in them.
fn value(metrics: &str, name: &str, label: &str) -> Option<f64> {
    let line = metrics.lines().find(|line| line.starts_with(&format!("{name}{{")) && line.contains(label))?;
    line.rsplit_once(' ')?.1.parse().ok()
}

#[track_caller]
fn reaches(address: &str, name: &str, label: &str, wanted: impl Fn(f64) -> bool) -> f64 {
    until(&format!("{name} of {label}"), || {
        let metrics = scrape(address);
        value(&metrics, name, label).filter(|value| wanted(*value)).ok_or(metrics)
    })
}

#[test]
fn all_databases_together_are_bounded_and_what_has_no_room_waits_until_there_is_some() {
    let scene = Scene::new(&["a.db", "b.db"]);
    let stored = |root: &Path| {
        let all = ["a", "b"].map(|name| root.join("store/namespaces").join(name).join("segments"));
        let files = all.iter().flat_map(|folder| fs::read_dir(folder).into_iter().flatten());
        files.map(|file| file.unwrap().metadata().unwrap().len()).sum::<u64>()
    };
    scene.configure("quota_total_bytes = '100K'", "store", &["a.db", "b.db"]);
    let (mut daemon, address) = scene.start();
    daemon.says("namespace a, epoch 1");
    daemon.says("namespace b, epoch 1");
    for name in ["a.db", "b.db", "a.db", "b.db", "a.db", "b.db"] {
        scene.insert(name);
        std::thread::sleep(Duration::from_millis(100));
    }
    // Neither has a quota of its own; the two together have no room for all.
    let full = until("a database waits for room", || {
        let both = ["a.db", "b.db"].map(|name| scene.walkeep.ok(&["status", name, "--json"]).json());
        both.iter().find(|status| status["quota"]["over"] == true).cloned().ok_or(format!("{both:#?}"))
    });
    assert!(full["last_error"].as_str().unwrap().contains("all namespaces together"), "{full:#}");
    assert!(full["quota"]["refusals"].as_u64() > Some(0) && full["lag_ms"].as_u64() > Some(0), "{full:#}");
    assert!(stored(scene.root.path()) <= 100 << 10);
    let shown = scene.walkeep.ok(&["status", full["database"].as_str().unwrap()]).stdout;
    assert!(shown.contains("full: the next segment waits for room"), "{shown}");
    // The status of each tells of all; the command, of each store once.
    let all = "of 100.00 KiB used by all databases that the process replicates";
    assert!(shown.contains(all), "{shown}");
    let total = &full["quota"]["total"];
    assert_eq!(total["bytes_max"], 100 << 10, "{full:#}");
    let told = total["bytes"].as_u64().unwrap();
    assert!(told > 0 && told <= 100 << 10, "{full:#}");
    let both = scene.walkeep.ok(&["status", "--config", "w.toml"]).stdout;
    assert_eq!(both.matches(all).count(), 1, "{both}");
    let used = reaches(&address, "walkeep_store_quota_used_bytes", "store", |used| used > 0.0);
    assert!(used <= f64::from(100 << 10));
    assert_eq!(value(&scrape(&address), "walkeep_store_quota_bytes", "store"), Some(f64::from(100 << 10)));

    // Raised while it runs.
    scene.configure("quota_total_bytes = '10M'", "store", &["a.db", "b.db"]);
    daemon.signal("HUP");
    daemon.says("was read again");
    for name in ["a.db", "b.db"] {
        scene.status(name, |status| {
            status["seen"] == status["durable"] && status["quota"]["over"] == false && status["lag_ms"] == 0
        });
    }
    let both = stored(scene.root.path());
    assert!(both > 100 << 10);
    scene.status("a.db", |status| status["quota"]["total"] == json!({"bytes_max": 10 << 20, "bytes": both}));
    assert_eq!(
        value(&scrape(&address), "walkeep_store_quota_bytes", "store"),
        Some(f64::from(10 << 20)),
        "the limit that is in force"
    );
    assert_eq!(daemon.stop(), Some(0), "{:#?}", daemon.stderr);
    scene.walkeep.ok(&["verify", "store", "--deep"]);
}

#[test]
fn a_quota_is_shown_with_what_is_used_of_it_and_measured() {
    let scene = Scene::new(&["a.db", "free.db"]);
    scene.configure("", "store", &["a.db"]);
    let with = fs::read_to_string(scene.path("w.toml")).unwrap() + "quota_segments = 3\nquota_bytes = '1M'\n";
    let free = "[[database]]\npath = 'free.db'\nstore = 'store'\n";
    fs::write(scene.path("w.toml"), format!("{with}{free}")).unwrap();
    let (mut daemon, address) = scene.start();
    daemon.says("namespace a, epoch 1");
    for _ in 0..6 {
        scene.insert("a.db");
        std::thread::sleep(Duration::from_millis(150));
    }
    let status = scene.status("a.db", |status| status["quota"]["over"] == true);
    assert_eq!(status["quota"]["limit"], json!({"bytes": 1 << 20, "segments": 3}));
    assert_eq!(status["quota"]["used"]["segments"], 3);
    let shown = scene.walkeep.ok(&["status", "a.db"]).stdout;
    for text in ["of 1.00 MiB used, 3 of 3 segments", "full: the next segment waits", "refused"] {
        assert!(shown.contains(text), "{text}\n{shown}");
    }
    assert!(scene.walkeep.ok(&["status", "--config", "w.toml"]).stdout.contains("quota: "));
    reaches(&address, "walkeep_quota_full", "\"a\"", |full| full == 1.0);
    let metrics = scrape(&address);
    let used = status["quota"]["used"]["bytes"].as_f64();
    for (name, expected) in [
        ("walkeep_quota_bytes", Some(f64::from(1 << 20))),
        ("walkeep_quota_segments", Some(3.0)),
        ("walkeep_quota_used_bytes", used),
        ("walkeep_quota_used_segments", Some(3.0)),
    ] {
        assert_eq!(value(&metrics, name, "\"a\""), expected, "{name}\n{metrics}");
        assert_eq!(value(&metrics, name, "\"free\""), None, "{name} of one without a quota");
    }
    assert!(value(&metrics, "walkeep_quota_refusals_total", "\"a\"") > Some(0.0), "{metrics}");
    assert_eq!(value(&metrics, "walkeep_quota_full", "\"free\""), Some(0.0));
    assert_eq!(value(&metrics, "walkeep_store_quota_bytes", "store"), None, "there is no limit for all");
    assert!(!scene.walkeep.ok(&["status", "free.db"]).stdout.contains("quota"));
    assert_eq!(scene.walkeep.ok(&["status", "free.db", "--json"]).json()["quota"]["total"], json!(null));
}

#[test]
fn a_mirror_tells_what_waits_and_that_copying_fails() {
    let scene = Scene::new(&["a.db"]);
    let (first, second) = (scene.path("first"), scene.path("second"));
    let mirror = format!("mirror:?first={}&second={}&ack=first", first.display(), second.display());
    scene.configure("", &mirror, &["a.db"]);
    let (mut daemon, address) = scene.start();
    daemon.says("namespace a, epoch 1");
    scene.insert("a.db");
    reaches(&address, "walkeep_copied_objects_total", "mirror", |copied| copied >= 2.0);
    // The manifests of the opening come first, the segment within a sync interval.
    let (segments, aside) = (second.join("namespaces/a/segments"), scene.path("aside"));
    for _ in 0..600 {
        if segments.is_dir() {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    reaches(&address, "walkeep_copy_waiting_objects", "mirror", |waiting| waiting == 0.0);
    assert_eq!(value(&scrape(&address), "walkeep_copy_failures", "mirror"), Some(0.0));

    // The second store takes no more: a file stands where its segments are.
    fs::rename(&segments, &aside).unwrap();
    fs::write(&segments, "in the way").unwrap();
    for _ in 0..3 {
        scene.insert("a.db");
        std::thread::sleep(Duration::from_millis(150));
    }
    reaches(&address, "walkeep_copy_waiting_objects", "mirror", |waiting| waiting > 0.0);
    assert!(value(&scrape(&address), "walkeep_copy_waiting_bytes", "mirror") > Some(0.0));
    reaches(&address, "walkeep_copy_failures", "mirror", |failures| failures > 0.0);

    fs::remove_file(&segments).unwrap();
    fs::rename(&aside, &segments).unwrap();
    reaches(&address, "walkeep_copy_waiting_objects", "mirror", |waiting| waiting == 0.0);
    reaches(&address, "walkeep_copy_failures", "mirror", |failures| failures == 0.0);
    assert_eq!(value(&scrape(&address), "walkeep_copy_conflicts", "mirror"), Some(0.0));
    assert_eq!(daemon.stop(), Some(0), "{:#?}", daemon.stderr);
    scene.walkeep.ok(&["verify", &mirror]);
}

#[test]
fn the_total_is_checked_with_the_rest_of_the_configuration() {
    let scene = Scene::new(&["a.db"]);
    scene.configure("quota_total_bytes = '3G'", "store", &["a.db"]);
    let document = scene.walkeep.ok(&["config", "check", "w.toml", "--json"]).json();
    assert_eq!(document["quota_total_bytes"], json!(3_u64 << 30));
    assert!(scene.walkeep.ok(&["config", "check", "w.toml"]).stdout.contains("at most 3.00 GiB"));
    for (wrong, says) in [
        ("quota_total_bytes = 0", "at least 1"),
        ("quota_total_bytes = '3X'", "K, M, G or T"),
        ("quota_total_bytes = true", "it must be"),
        ("quota_total_byte = 3", "did you mean `quota_total_bytes`?"),
    ] {
        scene.configure(wrong, "store", &["a.db"]);
        scene.walkeep.run(&["config", "check", "w.toml"]).expect(2).says(&["w.toml:1:", says]);
        scene.walkeep.run(&["replicate", "--config", "w.toml"]).expect(2);
    }
    assert!(!scene.path("store").exists());
}
