//! Following a log from the command line: groups, acknowledgements, the feed of changes, and what goes wrong.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code: a panic is a failed test")]

use std::fs;
use std::path::Path;

use serde_json::Value;
use walkeep_tests::command::Walkeep;
use walkeep_tests::database::sql;
use walkeep_tests::retention::keep_next_to_nothing;

const FEED: [&str; 6] = ["changes", "store", "-g", "search", "-m", "a"];

/// Adds a row, and stores it; the frame that its commit ends with.
fn add(root: &Path, walkeep: &Walkeep) -> u64 {
    let create = "PRAGMA journal_mode = wal; CREATE TABLE IF NOT EXISTS t (a);";
    sql(&root.join("shop.db"), &format!("{create} INSERT INTO t VALUES (randomblob(3000))"));
    walkeep.replicate("shop.db")
}

/// Three commits, and a group behind the first.
fn shop(root: &Path) -> (Walkeep, [u64; 3]) {
    let walkeep = Walkeep::at(root);
    let ends = [(); 3].map(|()| add(root, &walkeep));
    walkeep.ok(&["followers", "store", "create", "search", "--frame", &ends[0].to_string()]);
    (walkeep, ends)
}

fn feed(walkeep: &Walkeep, more: &[&str]) -> Vec<Value> {
    walkeep.ok(&[&FEED, more].concat()).json_lines()
}

fn frames(lines: &[Value]) -> Vec<u64> {
    lines.iter().map(|line| line["frame_no"].as_u64().unwrap()).collect()
}

#[test]
fn a_feed_goes_on_where_it_was_acknowledged() {
    let root = tempfile::tempdir().unwrap();
    let (walkeep, ends) = shop(root.path());
    let lines = feed(&walkeep, &[]);
    assert_eq!(frames(&lines), ends[1..]);
    assert_eq!((&lines[0]["namespace"], &lines[0]["page_size"]), (&"shop".into(), &4096.into()));
    assert!(!lines[0]["changed"].as_array().unwrap().is_empty() && lines[0]["pages"].as_u64() > Some(1));
    assert_eq!(lines[1]["first_frame"].as_u64(), Some(ends[1] + 1));
    assert_eq!(feed(&walkeep, &[]), lines, "nothing was acknowledged");
    assert_eq!(frames(&feed(&walkeep, &["--limit", "1", "--ack"])), ends[1..2]);
    assert_eq!(frames(&feed(&walkeep, &["--ack"])), ends[2..]);
    assert_eq!(feed(&walkeep, &["--ack"]), Vec::<Value>::new());
    let next = add(root.path(), &walkeep);
    let listed = walkeep.ok(&["followers", "store", "--json"]).json_lines();
    let member = &listed[0]["members"][0];
    assert_eq!((member["member"].as_str(), member["position"].as_u64()), (Some("a"), Some(ends[2])));
    assert_eq!(member["lag_frames"].as_u64(), Some(next - ends[2]));
    // What was stored builds the database: the images are those of the restored file.
    let lines = feed(&walkeep, &["--images"]);
    let restored = walkeep.restored("shop", next);
    let (changed, images) = (lines[0]["changed"].as_array().unwrap(), lines[0]["images"].as_array().unwrap());
    assert!(changed.len() == images.len() && !images.is_empty());
    for (page, image) in changed.iter().zip(images) {
        let start = (usize::try_from(page.as_u64().unwrap()).unwrap() - 1) * 4096;
        let hex = restored[start..start + 4096].iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        assert_eq!(image.as_str().unwrap(), hex, "page {page}");
    }
}

#[test]
fn a_command_gets_each_commit_and_its_failure_stops_the_feed() {
    let root = tempfile::tempdir().unwrap();
    let (walkeep, ends) = shop(root.path());
    let add_line = "cat >> lines; echo $WALKEEP_NAMESPACE/$WALKEEP_FRAME >> seen";
    let fails = format!("test $WALKEEP_FRAME != {} && {{ {add_line}; }}", ends[2]);
    let ran = walkeep.run(&[&FEED[..], &["--ack", "--exec", &fails]].concat()).expect(10);
    ran.says(&["exit status: 1", &format!("for frame {}", ends[2]), "not acknowledged"]);
    let seen = |name: &str| fs::read_to_string(root.path().join(name)).unwrap();
    assert_eq!(seen("seen"), format!("shop/{}\n", ends[1]));
    let failure = walkeep.run(&[&FEED[..], &["--ack", "--exec", "exit 3", "--json"]].concat()).expect(10);
    assert_eq!(failure.json_error()["kind"], "command_failed");
    // It reads nothing of its input, and that is no failure.
    walkeep.ok(&[&FEED[..], &["--exec", "true"]].concat());
    walkeep.ok(&[&FEED[..], &["--ack", "--exec", add_line]].concat());
    assert_eq!(seen("seen"), format!("shop/{}\nshop/{}\n", ends[1], ends[2]));
    let lines = seen("lines");
    let lines = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<Value>>();
    assert_eq!(frames(&lines), ends[1..]);
    assert_eq!(feed(&walkeep, &[]), Vec::<Value>::new());
}

#[test]
fn a_feed_that_follows_writes_what_is_stored_later() {
    let root = tempfile::tempdir().unwrap();
    let (walkeep, ends) = shop(root.path());
    let follow = [&FEED[..], &["--follow", "--ack", "--poll", "50ms"]].concat();
    let mut running = walkeep.start(&follow);
    running.wait_until("the first commits", |running| running.stdout().lines().count() == 2);
    let next = add(root.path(), &walkeep);
    running.wait_until("the next commit", |running| running.stdout().lines().count() == 3);
    assert!(running.stdout().lines().last().unwrap().contains(&format!("\"frame_no\":{next},")));
    let position = |walkeep: &Walkeep| {
        let listed = walkeep.ok(&["followers", "store", "--json"]).json_lines();
        listed[0]["members"][0]["position"].as_u64()
    };
    running.wait_until("its acknowledgement", |_| position(&walkeep) == Some(next));
    running.signal("TERM");
    let ended = running.end().expect(0).says(&["SIGTERM: stopped"]);
    assert_eq!(frames(&ended.json_lines()), [ends[1], ends[2], next]);
}

#[test]
fn a_collection_waits_and_names_whom_it_waits_for() {
    let root = tempfile::tempdir().unwrap();
    let (walkeep, ends) = shop(root.path());
    walkeep.ok(&["followers", "store", "ack", "search", "slow", &ends[0].to_string()]);
    keep_next_to_nothing(&root.path().join("store"));
    let later = walkeep.ok(&["gc", "store", "--dry-run", "--grace", "0", "--json"]).json();
    assert_eq!(later["held_by"]["member"], "slow");
    assert_eq!(later["frontier"].as_u64(), Some(ends[0]));
    let text = walkeep.ok(&["gc", "store", "--grace", "0"]).stdout;
    let waits = format!("more would be dropped, but follower slow of group search is at frame {}", ends[0]);
    assert!(text.contains(&waits), "{text}");
    assert_eq!(frames(&feed(&walkeep, &[])), ends[1..]);

    // Nobody is waited for beyond the cap.
    walkeep.ok(&["followers", "store", "delete", "search"]);
    walkeep.ok(&["followers", "store", "create", "search", "--from-start", "--max-bytes", "1"]);
    let text = walkeep.ok(&["gc", "store", "--grace", "0"]).stdout;
    assert!(text.contains("group search of followers is past its cap"), "{text}");
    let gone = walkeep.run(&FEED).expect(3);
    gone.says(&["some are gone", &format!("restore the database at frame {}", ends[2])]);
    let listed = walkeep.ok(&["followers", "store"]).stdout;
    assert!(listed.contains("it was past its cap"), "{listed}");
    walkeep.ok(&["followers", "store", "ack", "search", "a", &ends[2].to_string()]);
    assert_eq!(feed(&walkeep, &[]), Vec::<Value>::new());
}

#[test]
fn what_is_wrong_is_said() {
    let root = tempfile::tempdir().unwrap();
    let (walkeep, ends) = shop(root.path());
    let [first, .., last] = ends;
    let ack = |frame: u64| walkeep.run(&["followers", "store", "ack", "search", "a", &frame.to_string()]);
    ack(last).expect(0);
    ack(last).expect(0);
    ack(first).expect(1).says(&[&format!("acknowledged frame {last}"), &format!("frame {first}")]);
    ack(last + 1).expect(1).says(&[&format!("durable frame of namespace shop is {last}")]);
    walkeep.run(&["followers", "store", "ack", "search", "a", "0"]).expect(2);
    walkeep.run(&["followers", "store", "ack", "search", "a/b", "1"]).expect(2);
    walkeep.run(&["followers", "store", "ack", "nobody", "a", "1"]).expect(3).says(&["group nobody"]);
    walkeep.run(&["followers", "store", "delete", "search", "nobody"]).expect(3).says(&["member nobody"]);
    walkeep.run(&["followers", "store", "create", "search"]).expect(7).says(&["group search already exists"]);
    walkeep.run(&["followers", "store", "create", "x", "--from-start", "--frame", "1"]).expect(2);
    walkeep
        .run(&["followers", "store", "create", "x", "--max-bytes", "0"])
        .expect(1)
        .says(&["cap of nothing"]);
    walkeep.run(&["followers", "store", "create", "x", "--frame", "99999"]).expect(3);
    walkeep.run(&["followers", "store", "-n", "nowhere"]).expect(3);
    walkeep.run(&["changes", "store", "-n", "nowhere", "-g", "search", "-m", "a"]).expect(3);
    walkeep.run(&["changes", "store", "-g", "nobody", "-m", "a"]).expect(3).says(&["group nobody"]);
    walkeep.run(&["changes", "store", "-g", "search"]).expect(2);
    walkeep.run(&["changes", "nowhere", "-g", "search", "-m", "a"]).expect(6);
    walkeep.ok(&["followers", "store", "delete", "search", "a"]);
    walkeep.ok(&["followers", "store", "-n", "shop", "delete", "search"]);
    walkeep.ok(&["followers", "store", "list"]).says(&["nobody follows shop"]);
}
