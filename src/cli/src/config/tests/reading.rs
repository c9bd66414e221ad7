//! What a configuration file says, and how it is refused.

use std::num::NonZeroU64;
use std::path::Path;
use std::time::Duration;

use walkeep::compact::Budget;
use walkeep::core::{Period, Quota, Retention, Tier};

use super::Scene;
use crate::config::{Care, LogFormat, Upkeep};

#[test]
fn settings_come_from_the_entry_then_the_defaults_then_the_built_in_ones() {
    let scene = Scene::new();
    let text = r#"
        metrics = "127.0.0.1:9797"
        log_format = "json"
        [defaults]
        store = "s3://${BUCKET}/all?region=eu-1"
        sync_interval = "500ms"
        checkpoint = "8M"
        unfenced = true
        keep_all = "24h"
        keep_daily = "30d"
        restore_drill = "12h"
        quota_bytes = "1M"
        [[database]]
        path = "/srv/app.db"
        compact = false
        [[database]]
        path = "sub/other.db"
        namespace = "two"
        store = "./store"
        unfenced = false
        sync_interval = 0
        checkpoint = 4096
        seal = "1M"
        spool_max = "2G"
        quota_segments = 7
        busy_timeout = 0.5
        poll_interval = "2m"
        keep_all = "7d"
        gc = false
        restore_drill = "7d"
    "#;
    let config = scene.config(text);
    assert_eq!(config.metrics.unwrap().to_string(), "127.0.0.1:9797");
    assert_eq!(config.log_format, LogFormat::Json);
    let databases = config.databases().unwrap();
    let [app, other] = &databases.entries[..] else { panic!("{databases:?}") };

    assert_eq!((app.path.as_path(), app.namespace.as_str()), (Path::new("/srv/app.db"), "app"));
    assert_eq!((app.store.to_string().as_str(), app.unfenced), ("s3://logs/all", true));
    assert_eq!(
        (app.settings.sync_interval, app.settings.checkpoint_bytes),
        (Duration::from_millis(500), 8 << 20)
    );
    assert_eq!((app.settings.seal_bytes, app.settings.poll_interval), (64 << 20, Duration::from_secs(10)));

    assert_eq!((other.path.clone(), other.namespace.as_str()), (scene.at("sub/other.db"), "two"));
    assert_eq!((other.store.path(), other.unfenced), (Some(scene.at("store").as_path()), false));
    let settings = &other.settings;
    let quota = Quota { bytes: NonZeroU64::new(1 << 20), ..Quota::UNLIMITED };
    assert_eq!(app.settings.quota, quota);
    assert_eq!(settings.quota, Quota { segments: NonZeroU64::new(7), ..quota });
    assert_eq!((settings.sync_interval, settings.checkpoint_bytes), (Duration::ZERO, 4096));
    assert_eq!((settings.seal_bytes, settings.spool_bytes_max), (1 << 20, 2 << 30));
    assert_eq!(settings.busy_timeout, Duration::from_millis(500));
    assert_eq!(settings.poll_interval, Duration::from_secs(120));

    let (day, hour) = (Duration::from_secs(24 * 3600), Duration::from_secs(3600));
    let daily = Tier { each: Period::Day, for_ms: 30 * 24 * 3_600_000 };
    let kept = Some(Retention::new(day, vec![daily]).unwrap());
    let care = Care { retention: kept, compact: false, gc: true, restore_drill: Some(hour * 12) };
    assert_eq!(app.settings.care, care);
    // Its own retention replaces the other one as a whole.
    let kept = Some(Retention::new(day * 7, Vec::new()).unwrap());
    let care = Care { retention: kept, compact: true, gc: false, restore_drill: Some(day * 7) };
    assert_eq!(settings.care, care);
}

#[test]
fn what_compactions_may_take_is_said_once_for_all() {
    let (scene, database) = (Scene::new(), "[[database]]\npath = \"a.db\"\nstore = \"s\"\n");
    assert_eq!(scene.config(database).upkeep, Upkeep::default());
    let text = format!(
        "upkeep_interval = \"2m\"\ncompact_cpu_percent = 150\ncompact_bytes_per_second = \"20M\"\n\
         compact_requests_per_second = 5\n{database}"
    );
    let budget =
        Budget { cpu_percent: Some(150), bytes_per_second: Some(20 << 20), requests_per_second: Some(5) };
    assert_eq!(scene.config(&text).upkeep, Upkeep { interval: Duration::from_secs(120), budget });
    for wrong in
        ["compact_cpu_percent = 0", "compact_bytes_per_second = \"0K\"", "compact_requests_per_second = -1"]
    {
        let problems = scene.parse(&format!("{wrong}\n{database}")).unwrap_err();
        assert!(problems[0].to_string().contains("at least 1"), "{wrong}: {problems:?}");
    }
}

#[test]
fn retention_that_makes_no_sense_is_refused_where_it_stands() {
    let scene = Scene::new();
    for (keys, why) in [
        ("keep_daily = '30d'", "add `keep_all"),
        ("keep_all = '24h'\nkeep_daily = '12h'", "must last longer"),
        ("keep_all = '0h'", "more than 0"),
        ("keep_all = '-1h'", "whole number"),
        ("keep_all = '1d'\nkeep_hourly = '30d'\nkeep_daily = '7d'", "must last longer"),
    ] {
        let refused = scene.refused(&format!("[[database]]\nstore = 's'\npath = 'a'\n{keys}"));
        assert!(refused.contains(why), "{keys}: {refused}");
        assert_eq!(
            refused.lines().filter(|line| line.starts_with("w.toml:")).count(),
            1,
            "{keys}: {refused}"
        );
    }
}

#[test]
fn relative_paths_are_relative_to_the_file() {
    let scene = Scene::new();
    scene.database("a.db");
    let relative = "store = \"store\"\n[[directory]]\nglob = \"*.db\"\nexclude = [\"./x/*\"]\n";
    let databases = scene.databases(&format!("[defaults]\n{relative}[[database]]\npath = \"b.db\""));
    let paths = databases.entries.iter().map(|entry| entry.path.clone()).collect::<Vec<_>>();
    assert_eq!(paths, [scene.at("b.db"), scene.at("a.db")]);
    assert!(databases.entries.iter().all(|entry| entry.store.path() == Some(&scene.at("store"))));
}

#[test]
fn unknown_keys_are_refused_with_the_nearest_known_one() {
    let scene = Scene::new();
    let text = "metric = 'x'\n[defaults]\nsync_intervall = '1s'\nretention = '1d'\n[[database]]\npath = 'a'\n  \
                namepsace = 'x'\nstore = 's'\n[[directory]]\nglobs = 'x'\nglob = 'y/*'\nstore = 's'\n[[databse]]\n";
    assert_eq!(
        scene.refused(text),
        "w.toml:1:1: unknown key `metric` in the file; did you mean `metrics`?\n\
         w.toml:3:1: unknown key `sync_intervall` in [defaults]; did you mean `sync_interval`?\n\
         w.toml:4:1: unknown key `retention` in [defaults]; known here are store, unfenced, sync_interval, \
         checkpoint, seal, spool_max, busy_timeout, poll_interval, quota_bytes, quota_segments, \
         stores_per_second, keep_all, keep_hourly, keep_daily, \
         keep_monthly, compact, gc, restore_drill\n\
         w.toml:7:3: unknown key `namepsace` in [[database]]; did you mean `namespace`?\n\
         w.toml:10:1: unknown key `globs` in [[directory]]; did you mean `glob`?\n\
         w.toml:13:3: unknown key `databse` in the file; did you mean `database`?"
    );
}

#[test]
fn wrong_values_are_refused_in_their_place() {
    let scene = Scene::new();
    for (line, at, what) in [
        ("sync_interval = \"1 second\"", "3:17", "sync_interval = \"1 second\" is refused; a duration is"),
        ("sync_interval = \"-1s\"", "3:17", "a duration is"),
        ("poll_interval = \"0s\"", "3:17", "more than 0"),
        ("checkpoint = 0", "3:14", "more than 0"),
        ("seal = \"64X\"", "3:8", "a size is"),
        ("spool_max = true", "3:13", "`spool_max` is true or false; it must be a string such as"),
        ("busy_timeout = \"2d\"", "3:16", "a duration is"),
        ("unfenced = \"yes\"", "3:12", "`unfenced` is a string; it must be true or false"),
        ("namespace = \"a/b\"", "3:13", "a name has 1 to 128"),
        ("namespace = \"__x\"", "3:13", "reserved for Walkeep"),
        ("store = \"s4://x\"", "3:9", "this `store` is refused; the scheme \"s4\""),
        ("store = \"\"", "3:9", "this `store` is refused"),
        ("store = 7", "3:9", "`store` is a number; it must be a string"),
        ("store = \"s3://logs?regoin=x\"", "3:9", "region"),
        ("store = \"s3://${NONE}\"", "3:9", "the variable NONE is not set in the environment; set it, or"),
        ("namespace = \"$HOME\"", "3:13", "$$ for a dollar sign"),
        ("path = \"b\"", "3:1", "this is not TOML: duplicate key"),
        ("x = [", "4:7", "this is not TOML"),
    ] {
        let store = if line.starts_with("store") { "" } else { "store = 's'" };
        let refused = scene.refused(&format!("[[database]]\npath = \"a\"\n{line}\n{store}"));
        assert!(
            refused.starts_with(&format!("w.toml:{at}: ")) && refused.contains(what),
            "{line}: {refused}"
        );
        assert_eq!(refused.lines().count(), 1, "{line}: {refused}");
    }
}

#[test]
fn wrong_values_of_the_file_and_of_patterns_are_refused_in_their_place() {
    let scene = Scene::new();
    let entry = "[[directory]]\nstore = 's'\n";
    for (text, what) in [
        ("metrics = '9797'", "w.toml:1:11: metrics = \"9797\" is refused; it is an address and a port"),
        ("log_format = 'jsn'", "w.toml:1:14: log_format = \"jsn\" is refused; did you mean \"json\"?"),
        ("defaults = 1", "w.toml:1:12: `defaults` is a number; it must be [defaults]"),
        ("[database]\npath = 'a'", "`database` is a table; it must be [[database]], with two brackets"),
        ("database = ['a']", "`database` is a string; it must be [[database]]"),
        ("", "w.toml:1:1: the file has no `database`; name one with [[database]]"),
        ("[[database]]\nstore = 's'", "w.toml:1:1: [[database]] has no `path`"),
        ("[[database]]\npath = 'a'", "w.toml:1:1: [[database]] has no `store`; add"),
        (
            "[[database]]\npath = '/'\nstore = 's'",
            "w.toml:2:8: the file name of \"/\" is no namespace; add a `namespace`",
        ),
        ("E", "w.toml:1:1: [[directory]] has no `glob`"),
        ("Eglob = '***'", "w.toml:3:8: the pattern \"***\" is refused: wildcards"),
        ("Eglob = 'a[.db'", "w.toml:3:8: the pattern \"a[.db\" is refused"),
        ("Eglob = '*.db'\nexclude = ['a', '[', 'x/[']", "w.toml:4:17: the pattern \"[\" is refused"),
        ("Eglob = '*.db'\nexclude = ['a', '[', 'x/[']", "w.toml:4:22: the pattern \"x/[\" is refused"),
        ("Eglob = '*.db'\nexclude = 'a'", "w.toml:4:11: `exclude` is a string; it must be a list of strings"),
        ("Eglob = '*.db'\nexclude = [1]", "w.toml:4:12: `exclude` is a number"),
        (
            "Eglob = '*.db'\nnamespace = 'all'",
            "w.toml:1:1: all files that the pattern matches would have one namespace; put {stem}",
        ),
        (
            "Eglob = '*.db'\nnamespace = '{name}'",
            "w.toml:4:13: namespace = \"{name}\" is refused; only {stem}",
        ),
    ] {
        let text = text.strip_prefix('E').map_or_else(|| text.to_string(), |rest| format!("{entry}{rest}"));
        let refused = scene.refused(&text);
        assert!(refused.contains(what), "{text}: {refused}");
    }
}

#[test]
fn all_that_is_wrong_is_said_at_once() {
    let text = "[defaults]\nseal = 'x'\n[[database]]\nstore = 's'\n[[directory]]\nglob = '['\n";
    let refused = Scene::new().refused(text);
    let lines = refused.lines().map(|line| line.split(": ").next().unwrap()).collect::<Vec<_>>();
    assert_eq!(lines, ["w.toml:2:8", "w.toml:3:1", "w.toml:5:1", "w.toml:6:8"]);
}

#[test]
fn values_of_variables_are_not_repeated() {
    let scene = Scene::new();
    for key in [
        "store",
        "namespace",
        "sync_interval",
        "seal",
        "busy_timeout",
        "poll_interval",
        "checkpoint",
        "spool_max",
    ] {
        for text in [
            format!("[[database]]\npath = 'a'\n{key} = '${{SECRET}}'"),
            format!("[[directory]]\nglob = 'a'\n{key} = '${{SECRET}}'"),
        ] {
            let refused = scene.refused(&text);
            assert!(refused.contains(&format!("w.toml:3:{}", key.len() + 4)), "{refused}");
            assert!(!refused.contains("canary"), "{refused}");
        }
    }
    for text in ["metrics = '${SECRET}'", "log_format = '${SECRET}'"] {
        assert!(!scene.refused(text).contains("canary"));
    }
    // Written into the file itself: a store is not repeated either.
    let refused = scene.refused("[[database]]\npath = 'a'\nstore = 's3://canary:canary@b'");
    assert!(refused.contains("w.toml:3:9") && !refused.contains("canary"), "{refused}");
}
