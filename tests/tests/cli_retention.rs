//! Retention, collecting and pins, as a user meets them: what is kept, what goes, and what is refused.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code: a panic is a failed test")]
#![allow(clippy::disallowed_methods, reason = "tests make and change files directly")]

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;
use tempfile::TempDir;
use walkeep::Bucket;
use walkeep::backends::fs::{Fs, FsConfig};
use walkeep::backends::os::OsDirectory;
use walkeep::core::{Namespace, UnixMillis};
use walkeep_sqlite::{CaptureOptions, capture};
use walkeep_tests::command::{Ran, Walkeep};
use walkeep_tests::database::{assert_same, expected_bytes, sql};
use walkeep_tests::footprint::{files, lasting_footprint};
use walkeep_tests::handles::handles;

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

fn now() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// An hour (UTC) of a day that is over.
fn day(ago: u64, hour: u64) -> u64 {
    now() / DAY * DAY - ago * DAY + hour * HOUR
}

/// A commit of the database: its last frame, its time, and the file after it.
struct Stored {
    frame: u64,
    time: u64,
    bytes: Vec<u8>,
}

/// A folder with `app.db`, captured into `./store` at times that are over.
struct Shop {
    root: TempDir,
    walkeep: Walkeep,
    commits: Vec<Stored>,
}

impl Shop {
    fn at(times: &[u64]) -> Self {
        let root = tempfile::tempdir().unwrap();
        let mut shop = Self { walkeep: Walkeep::at(root.path()), root, commits: Vec::new() };
        sql(&shop.path("app.db"), "CREATE TABLE t (a)");
        let runtime = tokio::runtime::Runtime::new().unwrap();
        for time in times {
            sql(&shop.path("app.db"), "INSERT INTO t VALUES (randomblob(6000))");
            runtime.block_on(shop.capture_at(*time));
        }
        shop.age_by(2 * HOUR);
        shop
    }

    /// Two commits on one day, one on each of the next two, and two of the last minutes.
    fn of_six() -> Self {
        Self::at(&[day(5, 1), day(5, 2), day(4, 1), day(3, 1), now() - 2 * MINUTE, now() - MINUTE])
    }

    /// The same after `retain` and a collection: the first is dropped, two are kept before the frontier.
    fn thinned() -> Self {
        let shop = Self::of_six();
        shop.walkeep.ok(&["retain", "store", "--keep-all", "24h", "--keep-daily", "30d"]);
        shop.walkeep.ok(&["gc", "store"]);
        shop
    }

    async fn capture_at(&mut self, time: u64) {
        let bytes = expected_bytes(&self.path("app.db"));
        let config = FsConfig::create(&self.path("store")).unwrap();
        let bucket = Bucket::new(Arc::new(Fs::new(config)), None).unwrap();
        let (handles, _) = handles(time, time);
        let options = CaptureOptions::new(Arc::new(OsDirectory::open(self.root.path()).unwrap()), handles);
        let captured =
            capture(&self.path("app.db"), &bucket, &Namespace::new("app").unwrap(), &options).await.unwrap();
        self.commits.push(Stored { frame: captured.durable_frame_no.get(), time, bytes });
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn segments(&self) -> BTreeSet<String> {
        let names = files(&self.path("store")).into_iter();
        names.filter(|name| name.starts_with("namespaces/app/segments/")).collect()
    }

    /// Makes all objects look so much older than they are.
    fn age_by(&self, millis: u64) {
        let then = SystemTime::now() - Duration::from_millis(millis);
        for name in files(&self.path("store")) {
            let file = fs::File::options().append(true).open(self.path("store").join(name)).unwrap();
            file.set_modified(then).unwrap();
        }
    }

    /// What an earlier writer might have stored after another had taken over: a segment of epoch 1.
    fn leave_fenced_segment(&self) -> String {
        let name = self.segments().into_iter().find(|name| !name.contains("/4294967294-")).unwrap();
        let fenced = format!(
            "namespaces/app/segments/4294967294-{}",
            name.rsplit_once('/').unwrap().1[11..].to_owned()
        );
        fs::copy(self.path("store").join(name), self.path("store").join(&fenced)).unwrap();
        fenced
    }

    fn log(&self, more: &[&str]) -> Vec<Value> {
        self.walkeep.ok(&[&["log", "store", "-n", "app", "--json"], more].concat()).json_lines()
    }

    /// The numbers of the commits that the log lists, oldest first.
    fn listed(&self) -> Vec<usize> {
        let number =
            |row: &Value| self.commits.iter().position(|commit| row["frame_no"] == commit.frame).unwrap();
        self.log(&[]).iter().rev().map(number).collect()
    }

    /// Restores with these arguments, and fails unless it is the commit of this number.
    #[track_caller]
    fn restores(&self, point: &[&str], commit: usize) {
        let args = [&["restore", "store", "-n", "app", "-o", "out.db", "--force"], point].concat();
        self.walkeep.ok(&args);
        assert_same(&fs::read(self.path("out.db")).unwrap(), &self.commits[commit].bytes, &point.join(" "));
    }

    /// Asks for something that is refused, plain and with `--json`; nothing in the folder may change.
    #[track_caller]
    fn refused(&self, args: &[&str], code: i32, texts: &[&str]) {
        let before = lasting_footprint(self.root.path());
        let ran = self.walkeep.run(args).expect(code).says(texts);
        assert!(ran.stderr.contains("error: "), "{ran:#?}");
        let error = self.walkeep.run(&[args, &["--json"]].concat()).expect(code).json_error();
        let all = format!("{} {}", error["message"], error["hint"]).replace("\\\"", "\"");
        for text in texts {
            assert!(all.contains(text), "{text:?} is not in {all}");
        }
        assert_eq!(before, lasting_footprint(self.root.path()), "{ran:#?}");
    }
}

/// Fails unless stdout says all of these.
#[track_caller]
fn prints(ran: &Ran, texts: &[&str]) {
    for text in texts {
        assert!(ran.stdout.contains(text), "stdout does not say {text:?}: {ran:#?}");
    }
}

fn rfc3339(millis: u64) -> String {
    UnixMillis(millis).to_string()
}

// Retention.

#[test]
fn what_is_kept_is_shown_set_and_taken_back() {
    let shop = Shop::of_six();
    let walkeep = &shop.walkeep;
    let first = &shop.commits[0];
    let show = walkeep.ok(&["retain", "store", "-n", "app"]);
    prints(
        &show,
        &["app keeps every commit, for ever", &format!("frame 1 ({}) on, 0 points", rfc3339(first.time))],
    );
    assert_eq!(show.stderr, "");

    let keep = ["--keep-all", "24h", "--keep-hourly", "2d", "--keep-daily", "30d", "--keep-monthly", "1y"];
    let set = walkeep.ok(&[&["retain", "store", "-n", "app"], &keep[..]].concat());
    let said = "every commit for 1d, one each hour for 2d, one each day for 30d, one each month for 365d";
    prints(&set, &[said, "from frame 1 (", "0 points before it"]);
    set.says(&["`walkeep gc` drops what is older"]);
    assert_eq!(shop.listed(), [0, 1, 2, 3, 4, 5], "nothing was dropped");
    let json = walkeep.ok(&["retain", "store", "--json"]).json();
    assert_eq!(json["retention"]["keep_all_ms"], DAY);
    assert_eq!(json["retention"]["tiers"].as_array().unwrap().len(), 3);
    assert_eq!((json["frontier"].as_u64(), json["frontier_time_ms"].as_u64()), (Some(1), Some(first.time)));

    walkeep.ok(&["pin", "store", "here"]);
    walkeep.ok(&["gc", "store"]);
    let json = walkeep.ok(&["retain", "store", "--json"]).json();
    // What the database was when the time of `--keep-all` began, and all that followed.
    assert_eq!(json["frontier"], shop.commits[3].frame);
    assert_eq!(json["frontier_time_ms"], shop.commits[3].time);
    assert_eq!((json["kept"].as_u64(), json["pins"].as_u64()), (Some(2), Some(1)));

    let back = walkeep.ok(&["retain", "store", "--keep-everything"]);
    prints(&back, &["every commit, for ever", "2 points before it"]);
    assert_eq!(back.stderr, "");
    assert_eq!(walkeep.ok(&["retain", "store", "--json"]).json()["retention"], Value::Null);
}

#[test]
fn a_retention_that_makes_no_sense_is_refused() {
    let shop = Shop::at(&[now() - HOUR]);
    for (keep, texts) in [
        (&["--keep-all", "0d"][..], &["--keep-all", "more than 0"][..]),
        (&["--keep-all", "-1d"], &["--keep-all", "90m, 24h"]),
        (&["--keep-all", "24"], &["--keep-all", "90m, 24h"]),
        (&["--keep-all", "24h", "--keep-daily", "0d"], &["--keep-daily", "more than 0"]),
        (&["--keep-all", "24h", "--keep-hourly", "1h"], &["each tier must last longer"]),
        (
            &["--keep-all", "24h", "--keep-hourly", "30d", "--keep-daily", "7d"],
            &["each tier must last longer"],
        ),
        (&["--keep-daily", "7d"], &["--keep-all"]),
        (&["--keep-everything", "--keep-all", "7d"], &["--keep-everything"]),
    ] {
        shop.refused(&[&["retain", "store", "-n", "app"], keep].concat(), 2, texts);
    }
    shop.refused(&["retain", "store", "-n", "none"], 3, &["none"]);
}

#[test]
fn the_log_says_why_each_point_is_kept() {
    let shop = Shop::of_six();
    shop.walkeep.ok(&["pin", "store", "first", "--frame", &shop.commits[0].frame.to_string()]);
    shop.walkeep.ok(&["pin", "store", "newest"]);
    shop.walkeep.ok(&["pin", "store", "daily", "--frame", &shop.commits[2].frame.to_string()]);
    shop.walkeep.ok(&["retain", "store", "--keep-all", "24h", "--keep-daily", "30d"]);
    shop.walkeep.ok(&["gc", "store"]);
    let kept = [
        "every commit, pin newest",
        "every commit",
        "every commit",
        "retention, pin daily",
        "retention",
        "pin first",
    ];
    let rows = shop.log(&["--points"]);
    assert_eq!(
        rows.iter().map(|row| row["kept"].as_str().unwrap()).collect::<Vec<_>>(),
        kept,
        "newest first"
    );
    assert!(shop.log(&[])[0].get("kept").is_none());
    let text = shop.walkeep.ok(&["log", "store", "--points"]).stdout;
    for (line, kept) in text.lines().skip(1).zip(kept) {
        assert!(line.ends_with(&format!(", kept: {kept}")), "{line:?} does not end with {kept:?}");
    }
    assert_eq!(text.lines().count(), 1 + kept.len());
}

#[test]
fn a_point_that_was_dropped_is_unreachable_and_its_neighbours_are_named() {
    let shop = Shop::thinned();
    assert_eq!(shop.listed(), [1, 2, 3, 4, 5]);
    let (frame, time) = (shop.commits[0].frame.to_string(), rfc3339(shop.commits[0].time));
    let after = format!("frame {}", shop.commits[1].frame);
    shop.refused(&["restore", "store", "-o", "out.db", "--frame", &frame], 3, &["retention", &after]);
    shop.refused(&["restore", "store", "-o", "out.db", "--at", &time], 3, &["retention", &after]);
    shop.refused(&["pin", "store", "late", "--frame", &frame], 3, &["retention", &after]);
    for (number, commit) in shop.commits.iter().enumerate().skip(1) {
        shop.restores(&["--frame", &commit.frame.to_string()], number);
    }
    // A point that was kept is the answer while it was the newest, not while a dropped one was.
    shop.restores(&["--at", &rfc3339(shop.commits[1].time + HOUR)], 1);
}

// Collecting.

#[test]
fn a_dry_run_names_every_object_and_changes_nothing() {
    let shop = Shop::of_six();
    let fenced = shop.leave_fenced_segment();
    shop.age_by(2 * HOUR);
    shop.walkeep.ok(&["retain", "store", "--keep-all", "24h", "--keep-daily", "30d"]);
    let before = lasting_footprint(shop.root.path());
    let json = shop.walkeep.ok(&["gc", "store", "--dry-run", "--json"]).json();
    let text = shop.walkeep.ok(&["gc", "store", "-n", "app", "--dry-run"]);
    assert_eq!(before, lasting_footprint(shop.root.path()));

    let objects = json["verdicts"].as_array().unwrap();
    let named = objects.iter().map(|object| object["path"].as_str().unwrap().to_string());
    let stored = files(&shop.path("store")).into_iter().filter(|name| name.starts_with("namespaces/app/"));
    assert_eq!(named.collect::<BTreeSet<_>>(), stored.collect::<BTreeSet<_>>());
    let segments = shop.segments();
    for object in objects {
        let (goes, is_segment) =
            (object["path"] == *fenced, segments.contains(object["path"].as_str().unwrap()));
        assert_eq!(object["goes"], goes, "{object}");
        let why = match (goes, is_segment) {
            (true, _) => "fenced",
            (false, true) => "not_covered",
            (false, false) => "manifest",
        };
        assert_eq!(object["why"], why, "{object}");
    }
    let size = fs::metadata(shop.path("store").join(&fenced)).unwrap().len();
    assert_eq!(json["bytes"], size);
    assert_eq!((json["frontier_before"].as_u64(), json["kept"].as_array().unwrap().len()), (Some(1), 2));
    assert_eq!(json["frontier"], shop.commits[3].frame);
    prints(
        &text,
        &[
            &format!("; 1 of {} objects would go", objects.len()),
            "and 2 points before it",
            "of a writer that lost its epoch",
        ],
    );
    let lines = |word: &str| text.stdout.lines().filter(|line| line.trim_start().starts_with(word)).count();
    assert_eq!((lines("go "), lines("stay ")), (1, objects.len() - 1));
}

#[test]
fn what_compaction_covers_and_nobody_needs_is_deleted_after_the_grace_time() {
    let times = [day(6, 1), day(5, 1), day(5, 2), day(4, 1), day(3, 1), now() - 2 * MINUTE, now() - MINUTE];
    let shop = Shop::at(&times);
    let walkeep = &shop.walkeep;
    walkeep.ok(&["retain", "store", "--keep-all", "24h", "--keep-daily", "30d"]);
    walkeep.ok(&["gc", "store"]);
    walkeep.ok(&["compact", "store", "--strategy", "tiered"]);
    let young = walkeep.ok(&["gc", "store", "--json"]).json();
    assert_eq!(young["deleted"], 0, "what covers them is younger than an hour: {young}");
    let before = shop.segments();
    shop.age_by(2 * HOUR);
    let plan = walkeep.ok(&["gc", "store", "--dry-run", "--json"]).json();
    let ran = walkeep.ok(&["gc", "store", "--json"]).json();
    assert_eq!(ran["bytes"], plan["bytes"]);
    let gone = before.difference(&shop.segments()).cloned().collect::<BTreeSet<_>>();
    assert_eq!(gone.len() as u64, ran["deleted"].as_u64().unwrap());
    for commit in &shop.commits[1..=2] {
        let end = format!("-{:020}-", u64::MAX - commit.frame);
        let raw = gone.iter().find(|name| name.contains(&end) && name.ends_with("-00"));
        assert!(raw.is_some(), "the segment of frame {} is still there: {gone:?}", commit.frame);
    }
    assert_eq!(shop.listed(), [0, 2, 3, 4, 5, 6]);
    for (number, commit) in shop.commits.iter().enumerate().filter(|(number, _)| *number != 1) {
        shop.restores(&["--frame", &commit.frame.to_string()], number);
    }
    prints(&walkeep.ok(&["verify", "store", "--deep"]), &["app: ok"]);
    prints(&walkeep.ok(&["gc", "store"]), &["app: 0 objects deleted"]);
}

#[test]
fn what_killed_uploads_left_behind_is_deleted_after_the_grace_time() {
    let shop = Shop::of_six();
    let folder = shop.path("store").join("namespaces/app/segments");
    for (name, age) in [(".tmp-0000000000000001", 2 * HOUR), (".tmp-0000000000000002", HOUR / 2)] {
        fs::write(folder.join(name), vec![0; 1000]).unwrap();
        let written = SystemTime::now() - Duration::from_millis(age);
        fs::File::open(folder.join(name)).unwrap().set_modified(written).unwrap();
    }
    let plan = shop.walkeep.ok(&["gc", "store", "--dry-run", "--json"]).json();
    assert_eq!(
        (&plan["leftovers"]["count"], &plan["leftovers"]["bytes"]),
        (&1.into(), &1000.into()),
        "{plan}"
    );
    prints(&shop.walkeep.ok(&["gc", "store", "--dry-run"]), &["1 file of uploads that never ended"]);
    prints(
        &shop.walkeep.ok(&["gc", "store"]),
        &["0 objects deleted, 1000", "1 file of uploads that never ended"],
    );
    assert!(!folder.join(".tmp-0000000000000001").exists() && folder.join(".tmp-0000000000000002").exists());
}

#[test]
fn the_grace_time_can_be_chosen() {
    let shop = Shop::of_six();
    let fenced = shop.leave_fenced_segment();
    let there = || shop.path("store").join(&fenced).exists();
    for grace in [&["--grace", "2h"][..], &[], &["--grace", "30m"]] {
        let ran = shop.walkeep.ok(&[&["gc", "store"], grace].concat());
        assert!(there(), "{ran:?}");
    }
    shop.age_by(40 * MINUTE);
    shop.walkeep.ok(&["gc", "store"]);
    assert!(there(), "an hour is the default");
    prints(&shop.walkeep.ok(&["gc", "store", "--grace", "30m"]), &["1 object deleted,"]);
    assert!(!there());
    shop.refused(&["gc", "store", "--grace", "-1h"], 2, &["--grace", "90m, 24h"]);
}

#[test]
fn what_is_no_longer_kept_is_said() {
    let shop = Shop::thinned();
    shop.walkeep.ok(&["retain", "store", "--keep-all", "1d", "--keep-daily", "4d"]);
    let text = shop.walkeep.ok(&["gc", "store", "--dry-run"]);
    let json = shop.walkeep.ok(&["gc", "store", "--json"]).json();
    let dropped = &shop.commits[1];
    prints(&text, &[&format!("no longer kept: frame {} of {}", dropped.frame, rfc3339(dropped.time))]);
    let frames = json["dropped"].as_array().unwrap().iter().map(|point| point["frame"].as_u64().unwrap());
    let frames = frames.collect::<Vec<_>>();
    assert!(frames.contains(&dropped.frame) && !frames.contains(&shop.commits[3].frame), "{json}");
}

#[test]
fn objects_that_the_store_does_not_delete_are_named_and_the_exit_code_says_so() {
    let shop = Shop::of_six();
    let fenced = shop.leave_fenced_segment();
    shop.age_by(2 * HOUR);
    let folder = shop.path("store/namespaces/app/segments");
    let mut rights = fs::metadata(&folder).unwrap().permissions();
    rights.set_readonly(true);
    fs::set_permissions(&folder, rights).unwrap();
    // The rights of folders do not bind root, unless it gives that privilege away.
    let bound = "if [ $(id -u) = 0 ]; then exec setpriv --bounding-set=-dac_override --inh-caps=-dac_override \
                 \"$0\" \"$@\"; fi";
    let bound = shop.walkeep.clone().after(bound);
    let ran = bound.run(&["gc", "store"]);
    assert_eq!(ran.code, Some(6), "{ran:#?}");
    ran.clone().says(&["1 object could not be deleted"]);
    prints(&ran, &["app: 0 objects deleted", &format!("not deleted: {fenced}:")]);
    let json = bound.run(&["gc", "store", "--json"]).json();
    assert_eq!((json["deleted"].as_u64(), json["refused"].as_array().unwrap().len()), (Some(0), 1));
    let why = json["refused"][0].as_str().unwrap();
    assert!(why.starts_with(&fenced) && why.contains("ermission"), "{json}");
    // A later run tries again.
    let mut rights = fs::metadata(&folder).unwrap().permissions();
    #[expect(clippy::permissions_set_readonly_false, reason = "a folder of this test")]
    rights.set_readonly(false);
    fs::set_permissions(&folder, rights).unwrap();
    prints(&shop.walkeep.ok(&["gc", "store"]), &["app: 1 object deleted,"]);
}

#[test]
fn a_namespace_that_fails_does_not_keep_the_others_from_being_collected() {
    let shop = Shop::of_six();
    let fenced = shop.leave_fenced_segment();
    shop.age_by(2 * HOUR);
    fs::create_dir_all(shop.path("store/namespaces/stray")).unwrap();
    fs::write(shop.path("store/namespaces/stray/file"), "x").unwrap();
    let broken = shop.path("store/namespaces/aaa/manifest");
    fs::create_dir_all(&broken).unwrap();
    let manifest = fs::read_dir(shop.path("store/namespaces/app/manifest")).unwrap().next().unwrap().unwrap();
    fs::write(broken.join(manifest.file_name()), "{}").unwrap();
    let ran = shop.walkeep.run(&["gc", "store"]);
    assert_eq!(ran.code, Some(4), "{ran:#?}");
    ran.clone().says(&["collect namespace aaa", "ignored 1 folder that is no namespace"]);
    prints(&ran, &["app: 1 object deleted,"]);
    assert!(!shop.path("store").join(fenced).exists());
}

#[test]
fn a_store_whose_clock_is_far_ahead_is_not_collected() {
    let shop = Shop::of_six();
    shop.leave_fenced_segment();
    shop.walkeep.ok(&["retain", "store", "--keep-all", "24h"]);
    shop.age_by(2 * HOUR);
    let name = shop.segments().into_iter().next().unwrap();
    let file = fs::File::options().append(true).open(shop.path("store").join(name)).unwrap();
    let ahead = now() + DAY;
    file.set_modified(UNIX_EPOCH + Duration::from_millis(ahead)).unwrap();
    shop.refused(&["gc", "store"], 1, &["clock", &rfc3339(ahead), &rfc3339(now())[..13]]);
    shop.refused(&["gc", "store", "--dry-run"], 1, &["clock", &rfc3339(ahead)]);
}

// Pins.

#[test]
fn a_pin_keeps_its_point_until_it_is_taken_away() {
    let shop = Shop::of_six();
    let walkeep = &shop.walkeep;
    let [first, second] = [&shop.commits[0], &shop.commits[1]];
    let (frame, between) = (first.frame.to_string(), rfc3339(second.time + MINUTE));
    let pinned = walkeep.ok(&["pin", "store", "-n", "app", "before-move", "--frame", &frame]);
    prints(&pinned, &["before-move: frame", &rfc3339(first.time), "until it is unpinned"]);
    let json =
        walkeep.ok(&["pin", "store", "by-time", "--at", &between, "--expires", "30d", "--json"]).json();
    assert_eq!(
        (json["frame_no"].as_u64(), json["time_ms"].as_u64()),
        (Some(second.frame), Some(second.time))
    );
    let lasts = json["expires_ms"].as_u64().unwrap() - json["created_ms"].as_u64().unwrap();
    assert!(lasts.abs_diff(30 * DAY) < MINUTE, "{json}");
    assert_eq!(
        walkeep.ok(&["pin", "store", "--latest", "newest", "--json"]).json()["frame_no"],
        shop.commits[5].frame
    );

    let pins = walkeep.ok(&["pins", "store", "-n", "app", "--json"]).json_lines();
    let names = pins.iter().map(|pin| pin["name"].as_str().unwrap()).collect::<Vec<_>>();
    assert_eq!(names, ["before-move", "by-time", "newest"]);
    assert_eq!(pins[0]["expires"], Value::Null);
    prints(&walkeep.ok(&["pins", "store"]), &["before-move: frame", json["expires"].as_str().unwrap()]);

    walkeep.ok(&["retain", "store", "--keep-all", "24h"]);
    walkeep.ok(&["gc", "store"]);
    assert_eq!(shop.listed(), [0, 1, 3, 4, 5]);
    shop.restores(&["--pin", "before-move"], 0);
    shop.restores(&["--pin", "by-time"], 1);
    walkeep.ok(&["fork", "store", "-n", "app", "copy", "--pin", "before-move"]);
    walkeep.ok(&["rm", "store", "-n", "copy", "--yes"]);

    prints(&walkeep.ok(&["unpin", "store", "-n", "app", "before-move"]), &["is no longer pinned"]);
    shop.refused(
        &["restore", "store", "-n", "app", "-o", "new.db", "--pin", "before-move"],
        3,
        &["walkeep pins"],
    );
    shop.refused(&["restore", "store", "-n", "app", "-o", "new.db", "--frame", &frame], 3, &["retention"]);
    shop.restores(&["--pin", "by-time"], 1);
}

#[test]
fn a_pin_that_has_expired_is_dropped_by_the_next_collection() {
    let shop = Shop::of_six();
    let soon = rfc3339(now() + 1500);
    let frame = shop.commits[0].frame.to_string();
    shop.walkeep.ok(&["pin", "store", "short", "--frame", &frame, "--expires", &soon]);
    shop.walkeep.ok(&["retain", "store", "--keep-all", "24h"]);
    shop.walkeep.ok(&["gc", "store"]);
    std::thread::sleep(Duration::from_millis(1600));
    assert_eq!(shop.walkeep.ok(&["pins", "store", "--json"]).json()["expired"], true);
    prints(&shop.walkeep.ok(&["pins", "store"]), &["expired at", "the next `walkeep gc` drops it"]);
    prints(&shop.walkeep.ok(&["gc", "store"]), &["pin short has expired"]);
    assert_eq!(shop.walkeep.ok(&["pins", "store", "--json"]).stdout, "");
    shop.refused(&["restore", "store", "-o", "new.db", "--frame", &frame], 3, &["retention"]);
}

#[test]
fn pins_that_cannot_be_are_refused() {
    let shop = Shop::of_six();
    let walkeep = &shop.walkeep;
    walkeep.ok(&["pin", "store", "taken"]);
    shop.refused(&["pin", "store", "taken"], 7, &["pin taken already exists", "walkeep unpin"]);
    let first = shop.commits[0].frame.to_string();
    shop.refused(&["pin", "store", "taken", "--frame", &first], 7, &["pin taken"]);
    shop.refused(&["unpin", "store", "none"], 3, &["pin none", "walkeep pins"]);
    shop.refused(&["fork", "store", "-n", "app", "new", "--pin", "none"], 3, &["pin none", "walkeep pins"]);
    shop.refused(&["restore", "store", "-o", "x.db", "--pin", "none"], 3, &["pin none", "walkeep pins"]);
    for (point, code, text) in [
        (&["--frame", "999999"][..], 3, "cannot be reached"),
        (&["--at", "2001-01-01T00:00:00Z"], 3, "2001-01-01"),
        (&["--expires", "-5m"], 1, "it is over"),
        (&["--expires", "2001-01-01T00:00:00Z"], 1, "it is over"),
        (&["--expires", "soon"], 2, "RFC 3339"),
        (&["--latest", "--frame", "1"], 2, "--frame"),
    ] {
        shop.refused(&[&["pin", "store", "late"], point].concat(), code, &[text]);
    }
    for name in ["", "a/b", "..", ".hidden", "a b", "ä", &"a".repeat(129)] {
        for command in ["pin", "unpin"] {
            shop.refused(&[command, "store", name], 2, &["1 to 128 ASCII letters"]);
        }
        shop.refused(&["restore", "store", "-o", "x.db", "--pin", name], 2, &["1 to 128 ASCII letters"]);
    }
    shop.refused(
        &["restore", "store", "-o", "x.db", "--pin", "taken", "--frame", "1"],
        2,
        &["--pin", "--frame"],
    );
    shop.refused(&["restore", "store", "-o", "x.db", "--pin", "taken", "--at", "now"], 2, &["--pin", "--at"]);
    shop.refused(&["pin", "store", "-n", "none", "name"], 3, &["none"]);
}
