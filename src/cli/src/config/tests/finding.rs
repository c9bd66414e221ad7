//! Which databases a configuration means.

use std::collections::BTreeSet;
use std::env::VarError;

use super::{Scene, names};
use crate::config::Config;
use crate::config::left_out::Why;

#[test]
fn a_pattern_finds_databases_and_leaves_out_what_is_none() {
    let scene = Scene::new();
    for name in ["b.db", "a.db", "c.tmp.db", ".hidden.db"] {
        scene.database(name);
    }
    for (name, bytes) in [
        ("d.db", &b"text"[..]),
        ("e.db", b""),
        ("x.db-wal", b""),
        ("x.db-shm", b"\0"),
        ("x.db-journal", b"x"),
    ] {
        scene.file(name, bytes);
    }
    scene.folder("f.db");
    scene.folder(".a.db-walkeep");
    scene.database(".a.db-walkeep/state.db");
    std::os::unix::fs::symlink("nowhere", scene.at("g.db")).unwrap();
    let databases = scene.databases(
        "[[directory]]\nglob = '**/*.db*'\nstore = 's'\nnamespace = 't-{stem}'\nexclude = ['*.tmp.db']",
    );
    assert_eq!(names(&databases), ["a.db=t-a", "b.db=t-b"]);
    let left_out = databases.left_out.iter().map(|left| {
        assert_eq!(left.place.line, 1);
        (left.path.strip_prefix(scene.0.path()).unwrap().to_str().unwrap(), left.why.clone())
    });
    let expected = [
        ("d.db", Why::Foreign),
        ("e.db", Why::Empty),
        ("f.db", Why::NotAFile),
        ("g.db", Why::Gone),
        ("x.db-journal", Why::SideFile),
        ("x.db-shm", Why::SideFile),
        ("x.db-wal", Why::SideFile),
    ];
    assert_eq!(left_out.collect::<BTreeSet<_>>(), expected.into_iter().collect());
}

#[test]
fn a_database_whose_name_looks_like_a_side_file_is_one() {
    let scene = Scene::new();
    scene.database("great-wal");
    assert_eq!(names(&scene.databases("[[directory]]\nglob = '*'\nstore = 's'")), ["great-wal=great-wal"]);
}

#[test]
fn exclusions_go_by_name_or_by_path() {
    let scene = Scene::new();
    for folder in ["x", "y"] {
        scene.folder(folder);
        for name in ["a.db", "b.db"] {
            scene.database(&format!("{folder}/{folder}{name}"));
        }
    }
    let found = |exclude: &str| {
        let text = format!("[[directory]]\nglob = '*/*.db'\nstore = 's'\nexclude = ['{exclude}']");
        names(&scene.databases(&text)).iter().map(|name| name[..5].to_string()).collect::<Vec<_>>()
    };
    assert_eq!(found("*a.db"), ["xb.db", "yb.db"]);
    assert_eq!(found("x/*"), ["ya.db", "yb.db"]);
    assert_eq!(found("./y/yb.db"), ["xa.db", "xb.db", "ya.db", "yb.db"], "patterns are not made simpler");
}

#[test]
fn patterns_in_the_name_of_the_folder_are_not_patterns() {
    let scene = Scene::new();
    scene.folder("[a]");
    scene.database("[a]/x.db");
    let file = scene.at("[a]/w.toml");
    let text = "[[directory]]\nglob = '*.db'\nstore = 's'";
    let config = Config::parse(file.as_path().into(), text, &|_| Err(VarError::NotPresent)).unwrap();
    assert_eq!(names(&config.databases().unwrap()), ["x.db=x"]);
}

#[test]
fn an_entry_takes_its_file_from_patterns() {
    let scene = Scene::new();
    for name in ["a.db", "b.db"] {
        scene.database(name);
    }
    std::os::unix::fs::symlink("a.db", scene.at("link")).unwrap();
    let databases = scene.databases(
        "[[directory]]\nglob = '*.db'\nstore = 's'\n[[database]]\npath = 'link'\nstore = 's'\nnamespace = 'one'",
    );
    assert_eq!(names(&databases), ["link=one", "b.db=b"]);
}

#[test]
fn two_entries_for_one_file_are_refused_with_both_places() {
    let scene = Scene::new();
    scene.database("a.db");
    #[expect(clippy::disallowed_methods, reason = "a test file")]
    std::fs::hard_link(scene.at("a.db"), scene.at("hard")).unwrap();
    std::os::unix::fs::symlink("a.db", scene.at("soft")).unwrap();
    for name in ["a.db", "hard", "soft", "./a.db", "none/../a.db"] {
        if name.starts_with("none") {
            scene.folder("none");
        }
        let text = format!(
            "[[database]]\npath = 'a.db'\nstore = 's'\n[[database]]\npath = '{name}'\nnamespace = 'b'\nstore = 't'"
        );
        let refused = scene.refused(&text);
        assert!(
            refused.starts_with("w.toml:4:1: ") && refused.contains("by w.toml:1:1"),
            "{name}: {refused}"
        );
        assert!(refused.contains("is replicated twice"), "{name}: {refused}");
    }
    // A file that is not there yet.
    let text =
        "[[database]]\npath = 'new'\nstore = 's'\n[[database]]\npath = './new'\nnamespace = 'b'\nstore = 's'";
    assert!(scene.refused(text).contains("is replicated twice"));
    // Of two patterns, and within one.
    let one = "[[directory]]\nglob = 'a*'\nstore = 's'\n";
    let refused = scene.refused(&format!("{one}[[directory]]\nglob = '*.db'\nstore = 't'"));
    assert!(refused.contains("w.toml:4:1") && refused.contains("w.toml:1:1"), "{refused}");
    let refused = scene.refused("[[directory]]\nglob = '*'\nstore = 's'");
    assert!(refused.contains("hard is replicated twice: here, and as a.db by w.toml:1:1"), "{refused}");
}

#[test]
fn two_databases_for_one_namespace_of_a_store_are_refused_with_both_places() {
    let scene = Scene::new();
    let two = |first: &str, second: &str| {
        format!(
            "[[database]]\npath = '/x/a.db'\nstore = '{first}'\n[[database]]\npath = '/y/a.db'\nstore = '{second}'"
        )
    };
    scene.folder("store");
    std::os::unix::fs::symlink("store", scene.at("same")).unwrap();
    for (first, second) in [
        ("s3://b/p", "s3://b/p/?timeout_s=5"),
        ("store", "./same"),
        ("store", "same/../store"),
        ("new", "./new"),
    ] {
        let refused = scene.refused(&two(first, second));
        assert!(refused.contains("namespace a of "), "{first} {second}: {refused}");
        assert!(refused.starts_with("w.toml:4:1: ") && refused.contains("by w.toml:1:1"), "{refused}");
        assert!(refused.contains("/x/a.db") && refused.contains("/y/a.db"), "{refused}");
    }
    for (first, second) in [
        ("s3://b/p", "s3://b/q"),
        ("s3://b/p?endpoint=https://one.example.org", "s3://b/p?endpoint=https://two.example.org"),
        ("az://b?account=x", "az://b?account=y"),
        ("store", "other"),
    ] {
        assert_eq!(scene.databases(&two(first, second)).entries.len(), 2, "{first} {second}");
    }
}

#[test]
fn a_name_that_is_no_namespace_is_an_error_not_a_gap() {
    let scene = Scene::new();
    for name in ["a.db", "m\u{fc}ller.db"] {
        scene.database(name);
    }
    let text = "[[directory]]\nglob = '*.db'\nstore = 's'";
    let refused = scene.refused(text);
    assert!(refused.contains("m\u{fc}ller.db gets no valid namespace"), "{refused}");
    // While a daemon runs, the others are picked up all the same.
    let (found, problems) = scene.config(text).rescan(&[]);
    assert_eq!((names(&found), problems.len()), (vec!["a.db=a".to_string()], 1));
}

#[test]
fn what_runs_is_kept_and_what_contradicts_it_is_refused() {
    let scene = Scene::new();
    scene.database("b.db");
    std::os::unix::fs::symlink("b.db", scene.at("a.db")).unwrap();
    let config = scene.config("[[directory]]\nglob = '*.db'\nstore = 's'");
    let (found, problems) = config.rescan(&[scene.at("b.db")]);
    assert_eq!(names(&found), ["b.db=b"]);
    assert!(problems[0].to_string().contains("a.db is replicated twice"), "{problems:?}");
    // Whatever stands in the file now: whether that can be replicated, the one who does it says.
    scene.file("b.db", b"overwritten");
    assert_eq!(names(&config.rescan(&[scene.at("b.db")]).0), ["b.db=b"]);
    assert_eq!(names(&config.rescan(&[]).0), [""; 0]);
}

#[test]
fn new_files_are_picked_up_and_removed_ones_let_go() {
    let scene = Scene::new();
    scene.database("a.db");
    let config = scene.config("[[directory]]\nglob = '*.db'\nstore = 's'");
    assert_eq!(names(&config.rescan(&[]).0), ["a.db=a"]);
    scene.database("b.db");
    let running = [scene.at("a.db")];
    assert_eq!(names(&config.rescan(&running).0), ["a.db=a", "b.db=b"]);
    #[expect(clippy::disallowed_methods, reason = "a test file")]
    std::fs::remove_file(scene.at("a.db")).unwrap();
    assert_eq!(names(&config.rescan(&running).0), ["b.db=b"]);
    // A link stays where it is when what it led to has gone.
    std::os::unix::fs::symlink("b.db", scene.at("c.db")).unwrap();
    #[expect(clippy::disallowed_methods, reason = "a test file")]
    std::fs::remove_file(scene.at("b.db")).unwrap();
    assert_eq!(names(&config.rescan(&[scene.at("b.db"), scene.at("c.db")]).0), [""; 0]);
}
