//! The command on servers that speak S3: one that honours create-only requests, and one that does not.
//!
//! Which ones, the environment says (see [`walkeep_tests::s3`]); without them these tests fail.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code: a panic is a failed test")]
#![allow(clippy::disallowed_methods, reason = "tests make files directly")]

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;
use walkeep::core::UnixMillis;
use walkeep_tests::command::Walkeep;
use walkeep_tests::database::{assert_same, expected_bytes, sql};
use walkeep_tests::s3::S3;

/// A folder with `app.db`, and a store on a server.
struct Shop {
    root: TempDir,
    walkeep: Walkeep,
    store: String,
    /// What each capture is made with.
    flags: Vec<&'static str>,
    /// Durable frame, time in milliseconds and bytes of every capture.
    captured: Vec<(u64, u64, Vec<u8>)>,
}

impl Shop {
    fn new(s3: &S3, flags: &[&'static str]) -> Self {
        let root = tempfile::tempdir().unwrap();
        let (walkeep, store, flags) = (s3.walkeep(root.path()), s3.url("store"), flags.to_vec());
        let shop = Self { walkeep, root, store, flags, captured: Vec::new() };
        sql(&shop.path("app.db"), "PRAGMA journal_mode = wal; CREATE TABLE t (a)");
        shop
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn capture(&mut self) {
        sql(&self.path("app.db"), "INSERT INTO t VALUES (randomblob(6000))");
        std::thread::sleep(Duration::from_millis(5));
        let bytes = expected_bytes(&self.path("app.db"));
        let args = [&["replicate", "app.db", &self.store, "--once", "--json"][..], &self.flags].concat();
        let json = self.walkeep.ok(&args).json();
        let number = |field: &str| json[field].as_u64().unwrap();
        self.captured.push((number("durable_frame_no"), number("time_ms"), bytes));
    }

    /// Everything that can be asked about the captures is answered as it should be.
    fn check(&self) {
        let (walkeep, store) = (&self.walkeep, self.store.as_str());
        let rows = walkeep.ok(&["log", store, "-n", "app", "--json"]).json_lines();
        let frames = rows.iter().map(|row| row["frame_no"].as_u64().unwrap()).collect::<Vec<_>>();
        assert_eq!(frames, self.captured.iter().rev().map(|capture| capture.0).collect::<Vec<_>>());

        let rows = walkeep.ok(&["ls", store, "--json"]).json_lines();
        assert_eq!((rows.len(), &rows[0]["namespace"]), (1, &"app".into()));
        assert_eq!(rows[0]["durable_frame_no"], frames[0]);
        assert_eq!((&rows[0]["segments"], &rows[0]["whole"]), (&frames.len().into(), &true.into()));

        let rows = walkeep.ok(&["segments", store, "--json"]).json_lines();
        assert_eq!(rows.len(), frames.len());
        let key = rows[0]["key"].as_str().unwrap();
        let inspected = walkeep.ok(&["inspect", store, key, "--json"]).json();
        assert_eq!((&inspected["key"], &inspected["bytes"]), (&rows[0]["key"], &rows[0]["bytes"]));

        for (frame, time, bytes) in &self.captured {
            let (frame, at) = (frame.to_string(), UnixMillis(*time).to_string());
            for point in [["--frame", &frame], ["--at", &at]] {
                let args = [&["restore", store, "-o", "out.db", "--force"][..], &point].concat();
                walkeep.ok(&args);
                assert_same(&fs::read(self.path("out.db")).unwrap(), bytes, &args.join(" "));
            }
        }
        let plan = walkeep.ok(&["restore", store, "--dry-run", "--json"]).json();
        let restored = walkeep.ok(&["restore", store, "-o", "out.db", "--force", "--json"]).json();
        assert_eq!((&restored["verified"], &restored["requests"]), (&true.into(), &plan["requests"]));
        assert_same(&fs::read(self.path("out.db")).unwrap(), &self.captured.last().unwrap().2, "latest");

        let rows = walkeep.ok(&["verify", store, "--deep", "--json"]).json_lines();
        assert_eq!((&rows[0]["ok"], &rows[0]["states_proven"]), (&true.into(), &frames.len().into()));
    }
}

#[test]
fn every_capture_on_s3_is_listed_inspected_proven_and_restored() {
    let mut shop = Shop::new(&S3::fenced(), &[]);
    (0..3).for_each(|_| shop.capture());
    shop.check();
    let args = ["replicate", "app.db", &shop.store, "--once", "--json"];
    let again = shop.walkeep.ok(&args).json();
    assert_eq!((&again["changed"], &again["durable_frame_no"]), (&false.into(), &shop.captured[2].0.into()));
}

#[test]
fn a_store_on_s3_without_namespaces_or_without_the_one_asked_for_is_said_to_be_so() {
    let mut shop = Shop::new(&S3::fenced(), &[]);
    let store = shop.store.clone();
    shop.walkeep.run(&["log", &store]).expect(3).says(&["it is empty"]);
    shop.walkeep.run(&["verify", &store]).expect(3).says(&["no namespaces"]);
    assert!(shop.walkeep.ok(&["ls", &store, "--json"]).stdout.is_empty());
    shop.capture();
    shop.walkeep
        .run(&["restore", &store, "-n", "other", "--dry-run"])
        .expect(3)
        .says(&["\"other\" does not exist"]);
    shop.walkeep.run(&["inspect", &store]).expect(2).says(&["name a KEY"]);
}

#[test]
fn a_store_whose_creates_overwrite_is_refused_and_used_when_told_to() {
    let s3 = S3::unfenced();
    let mut shop = Shop::new(&s3, &["--unfenced"]);
    let store = shop.store.clone();
    let refused = |shop: &Shop| {
        let args = ["replicate", "app.db", &store, "--once"];
        let texts = [&s3.shown("store"), "succeeded, where one may", "create-only", "--unfenced"];
        shop.walkeep.run(&args).expect(1).says(&texts);
        let error = shop.walkeep.run(&[&args[..], &["--json"]].concat()).expect(1).json_error();
        assert_eq!(error["kind"], "invalid");
    };
    refused(&shop);
    shop.capture();
    shop.capture();
    sql(&shop.path("app.db"), "INSERT INTO t VALUES (1)");
    refused(&shop);
    shop.check();
    shop.capture();
    shop.check();
    let ran = shop.walkeep.ok(&["replicate", "app.db", &store, "--once", "--unfenced"]);
    ran.says(&["--unfenced", "both told that their commits are stored", "those of one are lost"]);
}

#[test]
fn wrong_credentials_and_a_bucket_that_is_not_there_are_told_apart() {
    const CANARY: &str = "canary-2b7e-secret";
    let s3 = S3::fenced();
    let root = tempfile::tempdir().unwrap();
    sql(&root.path().join("app.db"), "CREATE TABLE t (a)");
    let wrong = s3.clone().with_secret_key(CANARY);
    let missing = s3.with_bucket("walkeep-no-such-bucket");
    for (s3, why) in [(&wrong, "the credentials were refused"), (&missing, "there is no such bucket")] {
        let (walkeep, store) = (s3.walkeep(root.path()).with("RUST_LOG", "trace"), s3.url("x"));
        for args in [
            &["replicate", "app.db", &store, "--once"][..],
            &["ls", &store],
            &["log", &store, "-n", "app"],
            &["segments", &store, "-n", "app"],
            &[
                "inspect",
                &store,
                "4294967294-18446744073709551614-00000000000000000001-00000000000000000000-00",
            ],
            &["verify", &store],
            &["restore", &store, "-n", "app", "-o", "out.db"],
        ] {
            let ran = walkeep.run(args).expect(6).says(&[why]);
            assert!(!format!("{ran:?}").contains(CANARY), "{ran:#?}");
        }
    }
}
