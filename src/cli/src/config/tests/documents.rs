//! Documentation and example say what is so.

use std::path::Path;

use walkeep::core::Quota;

use super::Scene;
use crate::config::{Care, ReplicationSettings};

/// The keys of a section, as the refusal of an unknown one lists them.
fn known_keys(section: &str) -> Vec<String> {
    let refused = Scene::new().refused(&format!("{section}\nQQQQ = 1"));
    let line = refused.lines().find(|line| line.contains("`QQQQ`")).unwrap().to_string();
    let (_, keys) = line.split_once("known here are ").unwrap();
    keys.split(", ").map(ToString::to_string).collect()
}

#[test]
fn every_key_is_in_the_documentation_and_in_the_example() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let operations = std::fs::read_to_string(root.join("docs/operations.md")).unwrap();
    let (_, section) = operations.split_once("\n## Configuration\n").unwrap();
    let section = section.split("\n## ").next().unwrap();
    let example = std::fs::read_to_string(root.join("contrib/walkeep.toml")).unwrap();
    for header in ["", "[defaults]", "[[database]]", "[[directory]]"] {
        for key in known_keys(header) {
            assert!(
                section.contains(&format!("| `{key}` |")) || section.contains(&format!("[{key}]")),
                "{key}"
            );
            assert!(
                example.contains(&format!("\n{key} = "))
                    || example.contains(&format!("\n# {key} = "))
                    || example.contains(&format!("[{key}]")),
                "{key}"
            );
        }
    }
}

#[test]
fn the_example_is_a_configuration_and_stays_one_with_everything_in_it_switched_on() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let example = std::fs::read_to_string(root.join("contrib/walkeep.toml")).unwrap();
    let scene = Scene::new();
    let plain = scene.databases(&example);
    assert_eq!(plain.entries.len(), 1);
    // Settings that are commented out show the defaults, or an example where there is none.
    let is_setting = |line: &str| line.split_once(" = ").is_some_and(|(key, _)| !key.contains([' ', '#']));
    let all_on = |line: &str| match line
        .strip_prefix("# ")
        .filter(|line| is_setting(line) || line.starts_with("[["))
    {
        Some(setting) => setting.to_string(),
        None => line.to_string(),
    };
    let text = example.lines().map(all_on).collect::<Vec<_>>().join("\n");
    assert_ne!(text, example);
    let all = scene.databases(&text);
    let without_examples = |settings: &ReplicationSettings| ReplicationSettings {
        care: Care::default(),
        quota: Quota::UNLIMITED,
        ..settings.clone()
    };
    assert_eq!(without_examples(&all.entries[0].settings), plain.entries[0].settings);
    let Quota { bytes, segments, stores_per_second } = all.entries[0].settings.quota;
    assert!(bytes.is_some() && segments.is_some() && stores_per_second.is_some());
    let care = &all.entries[0].settings.care;
    assert!(care.retention.is_some() && care.compact && care.gc && care.restore_drill.is_some());
    assert_eq!(plain.entries[0].settings, ReplicationSettings::default());
}
