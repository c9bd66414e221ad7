//! Single records of a catalog from the command line: namespaces, nodes, groups, who writes what; and what is refused.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code: a panic is a failed test")]

use std::path::Path;

use serde_json::{Value, json};
use walkeep_tests::command::{Ran, Walkeep};
use walkeep_tests::database::sql;

/// A catalog that is bound to a store with one database.
fn scene(root: &Path) -> Walkeep {
    sql(&root.join("shop.db"), "PRAGMA journal_mode = wal; CREATE TABLE t (a); INSERT INTO t VALUES (1)");
    let walkeep = Walkeep::at(root).with("WALKEEP_CATALOG", "catalog");
    walkeep.ok(&["replicate", "shop.db", "store", "--once"]);
    walkeep.ok(&["catalog", "init", "store", "--shards", "4"]);
    walkeep
}

fn run(walkeep: &Walkeep, line: &str) -> Ran {
    walkeep.run(&[&["catalog"], &line.split(' ').collect::<Vec<_>>()[..]].concat())
}

/// Runs a line and gives its one document.
#[track_caller]
fn json_of(walkeep: &Walkeep, line: &str) -> Value {
    run(walkeep, &format!("{line} --json")).expect(0).json()
}

/// Runs a line and gives one field of each of its documents.
#[track_caller]
fn fields(walkeep: &Walkeep, line: &str, field: &str) -> Vec<String> {
    let rows = run(walkeep, &format!("{line} --json")).expect(0).json_lines();
    rows.iter().map(|row| row[field].as_str().unwrap_or("-").to_string()).collect()
}

#[test]
fn a_namespace_is_created_changed_and_deleted() {
    let root = tempfile::tempdir().unwrap();
    let walkeep = scene(root.path());
    let made = json_of(
        &walkeep,
        "namespace create a --page-size 4096 --quota-bytes 2K --keep-all 24h --seal-age 5s",
    );
    assert_eq!(made["state"], "active");
    assert_eq!(made["settings"]["page_size"], 4096);
    assert_eq!(made["settings"]["quota"]["bytes"], 2048);
    assert_eq!(made["settings"]["retention"]["keep_all_ms"], 86_400_000);
    assert_eq!(made["settings"]["seal"]["age_ms"], 5000);

    let set = "namespace set a --quota-segments 7 --seal-bytes 1M --seal-age 2s --unset keep,page-size --state closed";
    let set = json_of(&walkeep, set);
    assert_eq!(set["settings"]["quota"], json!({"bytes": 2048, "segments": 7}), "what is not named stays");
    assert_eq!(set["settings"]["retention"], Value::Null);
    assert_eq!(set["settings"]["page_size"], Value::Null);
    assert_eq!(set["settings"]["seal"]["any"], json!([{"bytes": 1 << 20}, {"age_ms": 2000}]));
    assert_eq!(set["state"], "closed");
    assert_eq!(json_of(&walkeep, "namespace show a"), set);
    assert_eq!(json_of(&walkeep, "show a"), set);
    run(&walkeep, "namespace set a --quota-segments 7").expect(0).says(&["these settings already"]);

    run(&walkeep, "namespace create ab").expect(0);
    run(&walkeep, "namespace create b").expect(0);
    assert_eq!(fields(&walkeep, "namespace list", "namespace"), ["a", "ab", "b"]);
    assert_eq!(fields(&walkeep, "namespace list --prefix a", "namespace"), ["a", "ab"]);
    run(&walkeep, "group create a readers").expect(0);
    let deleted = json_of(&walkeep, "namespace delete a");
    assert_eq!((deleted["groups"].as_u64(), deleted["assigned"].as_bool()), (Some(1), Some(false)));
    assert_eq!(fields(&walkeep, "namespace list", "namespace"), ["ab", "b"]);
    run(&walkeep, "namespace set b --state tombstone").expect(0);
    run(&walkeep, "namespace set b --state active").expect(1).says(&["delete the record"]);

    // The log in the store is there all the same.
    run(&walkeep, "namespace create shop").expect(0);
    run(&walkeep, "namespace delete shop").expect(0).says(&["walkeep rm STORE shop"]);
    assert!(walkeep.ok(&["ls", "store"]).stdout.contains("shop"));
}

#[test]
fn wrong_names_and_settings_are_refused_and_change_nothing() {
    let root = tempfile::tempdir().unwrap();
    let walkeep = scene(root.path());
    run(&walkeep, "namespace create a --quota-bytes 5").expect(0);
    let before = json_of(&walkeep, "namespace show a");
    let refused = [
        ("namespace create a", 7, "already exists"),
        ("namespace create __catalog", 2, "reserved for Walkeep itself"),
        ("namespace create a:b", 2, "a name has"),
        ("namespace create ../a", 2, "a name has"),
        ("namespace create b --page-size 1000", 2, "power of two"),
        ("namespace create b --quota-bytes 0", 2, "at least 1"),
        ("namespace create b --keep-hourly 7d", 2, "--keep-all"),
        ("namespace create b --keep-all 7d --keep-hourly 1d", 2, "longer"),
        ("namespace create b --store s3://user:secret@host/x", 1, "password"),
        ("namespace set a --unset colour", 2, "page-size"),
        ("namespace set a --state open", 2, "tombstone"),
        ("namespace set nobody --quota-bytes 1", 3, "walkeep catalog list"),
        ("namespace show nobody", 3, "walkeep catalog list"),
        ("namespace delete nobody", 3, "walkeep catalog list"),
        ("namespace create b --catalog elsewhere", 3, "a catalog in elsewhere does not exist"),
        ("group create nobody readers", 3, "nobody"),
        ("group create a __g", 2, "reserved"),
        ("group create a g:h", 2, "a name has"),
        ("group show a nobody", 3, "walkeep catalog group list"),
        ("group delete a nobody", 3, "walkeep catalog group list"),
        ("group list nobody", 3, "walkeep catalog list"),
        ("group forget a nobody one", 3, "walkeep catalog group list"),
        ("node heartbeat nobody", 3, "walkeep catalog node list"),
        ("node drain nobody", 3, "walkeep catalog node list"),
        ("node remove nobody", 3, "walkeep catalog node list"),
        ("node register __n --address x", 2, "the name of a node has"),
        ("node register a/b --address x", 2, "the name of a node has"),
        ("node register n --address x --label zone", 2, "NAME=TEXT"),
        ("assign a nobody", 3, "walkeep catalog node list"),
        ("assign nobody n", 3, "nobody"),
        ("release a", 3, "walkeep catalog assignments"),
        ("assignments --node nobody", 3, "walkeep catalog node list"),
    ];
    for (line, code, says) in refused {
        run(&walkeep, line).expect(code).says(&[says]);
    }
    let error = run(&walkeep, "namespace create a --json").expect(7).json_error();
    assert_eq!(error["kind"], "already_exists");
    assert!(!error["hint"].as_str().unwrap().contains("--force"), "{error}");
    assert!(!root.path().join("elsewhere").exists());
    assert_eq!(json_of(&walkeep, "namespace show a"), before);
    assert_eq!(fields(&walkeep, "namespace list", "namespace"), ["a"]);
    assert_eq!(run(&walkeep, "node list").expect(0).stdout, "");
}

#[test]
fn nodes_are_registered_drained_and_removed() {
    let root = tempfile::tempdir().unwrap();
    let walkeep = scene(root.path());
    let made = json_of(&walkeep, "node register n:1 --address host:1 --label zone=eu --label rack=");
    assert_eq!((&made["status"], &made["labels"]["zone"]), (&"up".into(), &"eu".into()));
    // The same node again, and another one by its name.
    run(&walkeep, "node register n:1 --address host:1").expect(0);
    run(&walkeep, "node register n:1 --address host:2").expect(7).says(&["host:1", "host:2", "remove"]);
    assert_eq!(json_of(&walkeep, "node show n:1")["address"], "host:1");
    run(&walkeep, "node register n2 --address host:2").expect(0);

    assert_eq!(json_of(&walkeep, "node drain n2")["status"], "draining");
    run(&walkeep, "namespace create a").expect(0);
    run(&walkeep, "assign a n2").expect(1).says(&["draining"]);
    assert_eq!(json_of(&walkeep, "node drain n2 --undo")["status"], "up");
    run(&walkeep, "assign a n2").expect(0);
    run(&walkeep, "node remove n2").expect(1).says(&["release"]);
    assert_eq!(json_of(&walkeep, "node show n2")["namespaces"], 1);

    // Whoever is silent for long enough is down, until it is heard of.
    std::thread::sleep(std::time::Duration::from_millis(120));
    assert_eq!(fields(&walkeep, "node list --down-after 100ms", "status"), ["down", "down"]);
    run(&walkeep, "node heartbeat n2").expect(0);
    assert_eq!(fields(&walkeep, "node list --down-after 24h", "status"), ["up", "up"]);
    assert_eq!(fields(&walkeep, "node list", "id"), ["n2", "n:1"]);

    run(&walkeep, "release a").expect(0);
    run(&walkeep, "node remove n2").expect(0);
    assert_eq!(fields(&walkeep, "node list", "id"), ["n:1"]);
}

#[test]
fn namespaces_are_given_to_nodes_taken_back_and_moved() {
    let root = tempfile::tempdir().unwrap();
    let walkeep = scene(root.path());
    for line in [
        "node register n1 --address host:1",
        "node register n2 --address host:2",
        "namespace create a",
        "namespace create b",
        "namespace create c",
        "namespace create closed",
    ] {
        run(&walkeep, line).expect(0);
    }
    run(&walkeep, "assign a n1 --over 0").expect(0);
    // Two that want the same: the second is told who has it.
    let late = run(&walkeep, "assign a n2 --over 0").expect(5);
    late.says(&["node n1 in generation 1", "walkeep catalog assignments"]);
    for namespace in ["b", "c", "closed"] {
        run(&walkeep, &format!("assign {namespace} n1")).expect(0);
    }
    run(&walkeep, "namespace set closed --state closed").expect(0);
    assert_eq!(fields(&walkeep, "assignments --node n1", "namespace"), ["a", "b", "c", "closed"]);
    assert_eq!(fields(&walkeep, "assignments --node n2", "namespace"), [""; 0]);
    run(&walkeep, "namespace delete a").expect(2).says(&["node n1 writes a", "--force"]);
    run(&walkeep, "release c --generation 9").expect(5);
    assert_eq!(json_of(&walkeep, "release c")["generation"], 2);

    // What was released, and what is with a node that drains. A plan changes nothing.
    run(&walkeep, "node drain n1").expect(0);
    let plan = run(&walkeep, "rebalance --json").expect(0).says(&["--apply"]).json_lines();
    let plan = plan.iter().map(|row| row.to_string()).collect::<Vec<_>>();
    let row = |namespace, from, over| {
        format!(r#"{{"from":{from},"generation":null,"namespace":"{namespace}","over":{over},"to":"n2"}}"#)
    };
    assert_eq!(plan, [row("a", "\"n1\"", 1), row("b", "\"n1\"", 1), row("c", "null", 2)]);
    assert_eq!(fields(&walkeep, "assignments", "node"), ["n1", "n1", "-", "n1"]);
    assert_eq!(fields(&walkeep, "rebalance --apply", "to"), ["n2", "n2", "n2"]);
    assert_eq!(fields(&walkeep, "assignments", "node"), ["n2", "n2", "n2", "n1"]);
    run(&walkeep, "rebalance").expect(0).says(&["is with one that is up"]);
    // Nobody is up.
    std::thread::sleep(std::time::Duration::from_millis(120));
    run(&walkeep, "rebalance --down-after 100ms").expect(6).says(&["no node is up"]);
    run(&walkeep, "namespace delete a --force").expect(0);
    assert_eq!(fields(&walkeep, "assignments --node n2", "namespace"), ["b", "c"]);
}

#[test]
fn groups_and_members_come_and_go() {
    let root = tempfile::tempdir().unwrap();
    let walkeep = scene(root.path());
    run(&walkeep, "namespace create shop").expect(0);
    run(&walkeep, "group create shop readers").expect(0);
    run(&walkeep, "group create shop readers").expect(7).says(&["already exists"]);
    // No segment is known yet, so nothing is known to be durable.
    run(&walkeep, "group ack shop readers one 1").expect(1).says(&["last durable frame is 0"]);
    run(&walkeep, "sync store").expect(0);

    let frame = json_of(&walkeep, "show shop")["segments"]["newest"].as_u64().unwrap();
    assert!(frame > 1, "the segments are listed");
    let acked = json_of(&walkeep, &format!("group ack shop readers one {frame}"));
    assert_eq!(acked["positions"][0]["frame_no"].as_u64(), Some(frame));
    run(&walkeep, "group ack shop readers one 1").expect(1).says(&["never goes back"]);
    run(&walkeep, &format!("group ack shop readers one {}", frame + 1)).expect(1).says(&["nothing beyond"]);
    run(&walkeep, "group ack shop readers one 0").expect(2).says(&["at least 1"]);
    run(&walkeep, "group create shop billing").expect(0);
    assert_eq!(fields(&walkeep, "group list shop", "group"), ["billing", "readers"]);
    assert!(
        run(&walkeep, "group show shop readers").expect(0).stdout.contains(&format!("one: frame {frame}"))
    );
    let left = json_of(&walkeep, "group forget shop readers one");
    assert_eq!(left["positions"].as_array().unwrap().len(), 0);
    run(&walkeep, "group delete shop readers").expect(0);
    assert_eq!(fields(&walkeep, "group list shop", "group"), ["billing"]);
}

#[test]
fn the_segments_that_a_catalog_lists_follow_those_of_the_store() {
    let root = tempfile::tempdir().unwrap();
    let walkeep = scene(root.path());
    let replicate = |rows: &[u32]| {
        for row in rows {
            sql(&root.path().join("shop.db"), &format!("INSERT INTO t VALUES ({row})"));
            walkeep.ok(&["replicate", "shop.db", "store", "--once"]);
        }
    };
    run(&walkeep, "sync store").expect(0);
    for line in ["create shop", "create unwritten", "create away --store elsewhere"] {
        run(&walkeep, &format!("namespace {line}")).expect(0);
    }
    let counts = |found: &Value| ["added", "removed", "unchanged"].map(|name| found[name].as_u64().unwrap());
    let synced = run(&walkeep, "sync store --json").expect(0);
    assert!(synced.stderr.contains("1 namespace in other stores"), "{synced:?}");
    assert_eq!(synced.json()["namespace"], "shop");
    assert_eq!(counts(&synced.json()), [1, 0, 0]);
    replicate(&[2, 3]);
    assert_eq!(counts(&json_of(&walkeep, "sync store --newest -n shop")), [2, 0, 1]);
    let shown = json_of(&walkeep, "show shop");
    assert_eq!(shown["segments"]["count"], 3);
    assert!(shown["log_id"].is_string(), "its log is known now: {shown}");

    // One is gone: the oldest, whose name sorts last.
    let segments = std::fs::read_dir(root.path().join("store/namespaces/shop/segments")).unwrap();
    let oldest = segments.map(|entry| entry.unwrap().path()).max().unwrap();
    std::fs::remove_file(oldest).unwrap();
    assert_eq!(counts(&json_of(&walkeep, "sync store")), [0, 1, 2]);
    assert_eq!(json_of(&walkeep, "show shop")["segments"]["count"], 2);

    // One that fails does not keep the others from being listed.
    walkeep.ok(&["replicate", "shop.db", "elsewhere", "--once", "-n", "away"]);
    run(&walkeep, "sync elsewhere -n away").expect(0);
    std::fs::remove_dir_all(root.path().join("store/namespaces/shop")).unwrap();
    run(&walkeep, "namespace create zoo").expect(0);
    walkeep.ok(&["replicate", "shop.db", "store", "--once", "-n", "zoo"]);
    let failed = run(&walkeep, "sync store --json");
    assert_eq!(failed.code, Some(3), "{failed:?}");
    assert_eq!(failed.json()["namespace"], "zoo");
    assert!(failed.stderr.contains("namespace shop"), "{failed:?}");
    run(&walkeep, "sync store -n unwritten").expect(3).says(&["unwritten"]);
    run(&walkeep, "sync store -n nobody").expect(3).says(&["nobody"]);
}

#[test]
fn a_catalog_gives_unused_space_back() {
    let root = tempfile::tempdir().unwrap();
    let walkeep = Walkeep::at(root.path()).with("WALKEEP_CATALOG", "catalog");
    let mut lines = vec![r#"{"kind":"walkeep_catalog","version":1}"#.to_string()];
    for namespace in ["big", "kept"] {
        let record = json!({"kind": "namespace", "namespace": namespace, "state": "active", "created": 0, "updated": 0});
        lines.push(record.to_string());
    }
    let group = |n| format!("{n:0100}");
    let record =
        |n| json!({"kind": "group", "namespace": "big", "group": group(n), "created": 1, "updated": 1});
    lines.extend((0..8000).map(|n| record(n).to_string()));
    lines.push(json!({"kind": "end", "records": 8002}).to_string());
    std::fs::write(root.path().join("in.jsonl"), lines.join("\n")).unwrap();
    walkeep.ok(&["catalog", "import", "in.jsonl", "--shards", "1"]);
    run(&walkeep, "namespace delete big").expect(0);
    let length = || std::fs::metadata(root.path().join("catalog/shard-000.redb")).unwrap().len();
    let full = length();
    let shrunk = json_of(&walkeep, "shrink");
    assert_eq!(shrunk["bytes_before"].as_u64(), Some(full));
    // Closing it writes a little more.
    assert!(shrunk["bytes"].as_u64().unwrap().abs_diff(length()) < 100_000, "{shrunk} {}", length());
    assert!(length() < full / 2, "{full} became {}", length());
    assert_eq!(fields(&walkeep, "list", "namespace"), ["kept"]);
    run(&walkeep, "shrink --catalog elsewhere").expect(3).says(&["a catalog in elsewhere does not exist"]);
}
