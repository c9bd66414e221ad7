//! The catalog from the command line: made, listed, exported, imported, lost, restored, resharded, and refused.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code: a panic is a failed test")]

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use walkeep_tests::command::Walkeep;
use walkeep_tests::database::sql;

/// The lines of an export with two namespaces, a node that writes one of them, and a follower.
fn export() -> String {
    let time = json!({"created": 1, "updated": 2});
    let with = |mut value: Value| {
        value.as_object_mut().unwrap().extend(time.as_object().unwrap().clone());
        value.to_string()
    };
    [
        json!({"kind": "walkeep_catalog", "version": 1}).to_string(),
        with(json!({"kind": "node", "id": "n:1", "address": "host:1", "heartbeat": 5})),
        with(json!({"kind": "namespace", "namespace": "shop", "state": "active",
            "settings": {"quota": {"bytes": 1000}, "retention": {"keep_all_ms": 3_600_000}}})),
        with(json!({"kind": "namespace", "namespace": "shop-2", "state": "closed"})),
        with(json!({"kind": "assignment", "namespace": "shop", "node": "n:1", "generation": 3, "epoch": 2,
            "epoch_max": 2})),
        with(json!({"kind": "group", "namespace": "shop", "group": "readers"})),
        with(json!({"kind": "position", "namespace": "shop", "group": "readers", "member": "one", "frame_no": 1})),
        json!({"kind": "end", "records": 6}).to_string(),
    ]
    .join("\n")
}

fn scene(root: &Path) -> Walkeep {
    fs::write(root.join("in.jsonl"), export()).unwrap();
    sql(&root.join("shop.db"), "PRAGMA journal_mode = wal; CREATE TABLE t (a); INSERT INTO t VALUES (1)");
    let walkeep = Walkeep::at(root).with("WALKEEP_CATALOG", "catalog");
    walkeep.ok(&["replicate", "shop.db", "store", "--once"]);
    walkeep
}

/// What is exported, in no particular order, without what a restoring changes: when nodes were heard of, generations, and the
/// logs that it finds in the store.
fn exported(walkeep: &Walkeep) -> Vec<String> {
    let lines = walkeep.ok(&["catalog", "export"]).json_lines();
    assert_eq!(lines.last().unwrap()["records"].as_u64(), Some(lines.len() as u64 - 2));
    let mut lines = lines[1..]
        .iter()
        .map(|line| {
            let mut line = line.clone();
            line.as_object_mut()
                .unwrap()
                .retain(|name, _| !["heartbeat", "generation", "log_id", "updated"].contains(&name.as_str()));
            line.to_string()
        })
        .collect::<Vec<_>>();
    lines.sort();
    lines
}

#[test]
fn a_catalog_is_filled_lost_restored_and_resharded() {
    let root = tempfile::tempdir().unwrap();
    let walkeep = scene(root.path());
    let made = walkeep.ok(&["catalog", "init", "store", "--shards", "4", "--json"]).json();
    assert_eq!((made["shards"].as_u64(), made["copies"].as_u64()), (Some(4), Some(8)));

    let dry = walkeep.ok(&["catalog", "import", "in.jsonl", "--dry-run", "--json"]).json();
    assert_eq!((dry["added"].as_u64(), dry["dry_run"].as_bool()), (Some(6), Some(true)));
    assert_eq!(walkeep.ok(&["catalog", "list"]).stdout, "", "a dry run changes nothing");
    walkeep.ok(&["catalog", "import", "in.jsonl"]);
    let again = walkeep.ok(&["catalog", "import", "in.jsonl", "--json"]).json();
    assert_eq!((again["added"].as_u64(), again["unchanged"].as_u64()), (Some(0), Some(6)));

    let list = walkeep.ok(&["catalog", "list", "--json"]).json_lines();
    let names = |list: &[Value]| {
        list.iter().map(|row| row["namespace"].as_str().unwrap().to_string()).collect::<Vec<_>>()
    };
    assert_eq!(names(&list), ["shop", "shop-2"]);
    assert_eq!(list[0]["node"].as_str(), Some("n:1"));
    assert_eq!(
        names(&walkeep.ok(&["catalog", "list", "--prefix", "shop-", "--json"]).json_lines()),
        ["shop-2"]
    );
    assert_eq!(
        names(&walkeep.ok(&["catalog", "list", "--after", "shop", "--limit", "1", "--json"]).json_lines()),
        ["shop-2"]
    );
    let shown = walkeep.ok(&["catalog", "show", "shop"]).stdout;
    for text in
        ["active", "at most 1000 bytes", "node n:1: generation 3, epoch 2", "group readers", "one: frame 1"]
    {
        assert!(shown.contains(text), "{text:?} is not in {shown}");
    }
    let copied = walkeep.ok(&["catalog", "copy", "store", "--json"]).json();
    assert!(copied["copies"].as_u64() > Some(0), "{copied}");
    walkeep.ok(&["ls", "store"]).says(&[]);
    assert!(!walkeep.ok(&["ls", "store"]).stderr.contains("warning"), "the copies are no foreign folders");

    let before = exported(&walkeep);
    walkeep.ok(&["catalog", "reshard", "--shards", "16"]);
    assert_eq!(exported(&walkeep), before);
    walkeep.ok(&["catalog", "copy", "store"]);
    fs::rename(root.path().join("catalog"), root.path().join("lost")).unwrap();
    let restored = walkeep.ok(&["catalog", "restore", "store", "--shards", "2", "--json"]).json();
    assert_eq!((restored["records"].as_u64(), restored["segments"].as_u64()), (Some(6), Some(1)));
    assert_eq!(exported(&walkeep), before);
    let shown = walkeep.ok(&["catalog", "show", "shop", "--json"]).json();
    assert_eq!(shown["segments"]["count"].as_u64(), Some(1));

    // The catalog that was lost turns up again.
    let lost = walkeep.run(&["catalog", "copy", "store", "--catalog", "lost"]).expect(5);
    assert!(lost.stderr.contains("restored elsewhere"), "{lost:#?}");
}

#[test]
fn bad_input_is_refused_and_nothing_is_lost() {
    let root = tempfile::tempdir().unwrap();
    let walkeep = scene(root.path());
    for shards in ["0", "3", "512", "x"] {
        walkeep.run(&["catalog", "init", "store", "--shards", shards]).expect(2).says(&["power of two"]);
    }
    assert!(!root.path().join("catalog").exists());
    for command in
        [&["list"][..], &["show", "shop"], &["export"], &["copy", "store"], &["reshard", "--shards", "2"]]
    {
        let command = [&["catalog"], command].concat();
        walkeep.run(&command).expect(3).says(&["a catalog in catalog does not exist"]);
    }
    assert!(!root.path().join("catalog").exists(), "looking makes nothing");
    walkeep.run(&["catalog", "restore", "store"]).expect(3).says(&["a copy of a catalog"]);
    assert!(!root.path().join("catalog").exists(), "nor does a restoring of nothing");
    walkeep.ok(&["catalog", "import", "in.jsonl", "--shards", "4"]);
    let before = exported(&walkeep);

    walkeep.run(&["catalog", "copy", "store"]).expect(1).says(&["walkeep catalog init"]);
    walkeep
        .run(&["catalog", "import", "in.jsonl", "--shards", "8"])
        .expect(1)
        .says(&["walkeep catalog reshard"]);
    walkeep.run(&["catalog", "show", "nobody"]).expect(3).says(&["nobody", "walkeep catalog list"]);
    walkeep.run(&["catalog", "show", "__catalog"]).expect(2).says(&["reserved"]);
    walkeep
        .run(&["replicate", "shop.db", "store", "--once", "-n", "__catalog"])
        .expect(2)
        .says(&["reserved"]);

    // Exports that are cut short, newer, other ones, or say something else than what is there.
    let import = |text: &str| {
        fs::write(root.path().join("bad.jsonl"), text).unwrap();
        walkeep.run(&["catalog", "import", "bad.jsonl"])
    };
    let good = export();
    let cut = good.rsplit_once('\n').unwrap().0;
    import(cut).expect(1).says(&["cut short"]);
    import(&good.replace("\"version\":1", "\"version\":9")).expect(1).says(&["version 9", "version 1"]);
    import("{}").expect(1).says(&["begins with"]);
    import(&good.replace("\"shop-2\"", "\"__shop\"")).expect(1).says(&["line 4"]);
    import(&good.replace("\"bytes\":1000", "\"bytes\":0")).expect(1).says(&["line 3"]);
    import(&good.replace("host:1", "host:2")).expect(7).says(&["node n:1", "nothing was imported"]);
    let orphan = good
        .replace("\"group\":\"readers\",\"kind\":\"position\"", "\"group\":\"gone\",\"kind\":\"position\"");
    assert_ne!(orphan, good);
    import(&orphan).expect(1).says(&["group gone of namespace shop"]);
    assert_eq!(exported(&walkeep), before);

    // Another store, and one that has another catalog's copies.
    walkeep.ok(&["catalog", "init", "store"]);
    walkeep.ok(&["replicate", "shop.db", "store2", "--once"]);
    walkeep.run(&["catalog", "copy", "store2"]).expect(1).says(&["catalog of another store"]);
    walkeep
        .run(&["catalog", "init", "store", "--catalog", "catalog2"])
        .expect(1)
        .says(&["copies of catalog"]);
    walkeep.run(&["catalog", "init", "store2"]).expect(1).says(&["catalog of another store"]);
    walkeep.ok(&["catalog", "init", "store2", "--catalog", "catalog3"]);
    walkeep
        .run(&["catalog", "restore", "store", "--catalog", "catalog3"])
        .expect(1)
        .says(&["bound to a store already"]);
    // A catalog that is whole is restored by nothing.
    assert!(walkeep.ok(&["catalog", "restore", "store"]).stdout.contains("0 records"));
    assert_eq!(exported(&walkeep), before);
}

#[test]
fn a_layout_that_is_missing_foreign_or_newer_is_refused_and_kept() {
    let root = tempfile::tempdir().unwrap();
    let walkeep = scene(root.path());
    walkeep.ok(&["catalog", "import", "in.jsonl", "--shards", "2"]);
    let before = exported(&walkeep);
    let layout = root.path().join("catalog/layout.json");
    let good = fs::read(&layout).unwrap();
    fs::remove_file(&layout).unwrap();
    walkeep.run(&["catalog", "list"]).expect(1).says(&["layout.json"]);
    walkeep.run(&["catalog", "import", "in.jsonl"]).expect(1).says(&["layout.json"]);
    fs::write(&layout, b"{}\n").unwrap();
    walkeep.run(&["catalog", "list"]).expect(4).says(&["layout.json"]);
    fs::write(&layout, &good).unwrap();
    assert_eq!(exported(&walkeep), before);

    // A flipped bit: it says what to do, and what is in the store makes it whole again.
    walkeep.ok(&["catalog", "init", "store"]);
    let shards = ["shard-000.redb", "shard-001.redb"].map(|name| root.path().join("catalog").join(name));
    let mut found = 0;
    for shard in &shards {
        let good = fs::read(shard).unwrap();
        let at = good.windows(8).position(|bytes| bytes == b"\"created").unwrap_or_default();
        if at == 0 {
            continue;
        }
        let mut damaged = good.clone();
        damaged[at + 3] ^= 16;
        fs::write(shard, &damaged).unwrap();
        walkeep.run(&["catalog", "list"]).expect(4).says(&["walkeep catalog restore"]);
        found += 1;
    }
    assert!(found > 0);
    fs::rename(root.path().join("catalog"), root.path().join("damaged")).unwrap();
    walkeep.ok(&["catalog", "restore", "store"]);
    assert_eq!(exported(&walkeep), before);
}
