//! The house rules that a machine can check.

use std::path::{Path, PathBuf};
use std::process::Command;

const LICENSES: [&str; 14] = [
    "MIT",
    "MIT-0",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "Unicode-3.0",
    "Unlicense",
    "CC0-1.0",
    "0BSD",
    "BSL-1.0",
    // Mozilla's list of root certificates, which is data.
    "CDLA-Permissive-2.0",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_string();
        if path.is_dir()
            && !name.starts_with('.')
            && name != "target"
            && name != "corpus"
            && name != "fixtures"
        {
            files(&path, found);
        } else if path.is_file() {
            found.push(path);
        }
    }
}

fn sources() -> Vec<(String, String)> {
    let mut found = Vec::new();
    files(&root(), &mut found);
    let rust = found.into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    let read = |path: PathBuf| {
        let name = path.strip_prefix(root()).unwrap().display().to_string();
        (name, std::fs::read_to_string(path).unwrap())
    };
    let mut sources = rust.map(read).collect::<Vec<_>>();
    sources.sort();
    assert!(sources.len() > 50);
    sources
}

/// Lines before the inline tests.
fn code_lines(text: &str) -> usize {
    text.lines().take_while(|line| !line.starts_with("#[cfg(test)]")).count()
}

#[test]
fn every_module_says_what_it_is() {
    let silent = sources().into_iter().filter(|(_, text)| !text.starts_with("//!"));
    assert_eq!(silent.map(|(name, _)| name).collect::<Vec<_>>(), Vec::<String>::new());
}

#[test]
fn files_are_one_concept_long() {
    let long =
        sources().into_iter().filter(|(name, text)| !name.starts_with("tests") && code_lines(text) > 450);
    assert_eq!(long.map(|(name, _)| name).collect::<Vec<_>>(), Vec::<String>::new());
}

#[test]
fn core_does_no_io() {
    for (name, text) in
        sources().iter().filter(|(name, _)| name.starts_with("src/core/src") && !name.contains("/tests/"))
    {
        let code = text.lines().take(code_lines(text)).filter(|line| !line.trim_start().starts_with("//"));
        for line in code {
            for banned in
                ["std::fs", "std::net", "tokio", "object_store", "redb", "rusqlite", "SystemTime", "Instant"]
            {
                assert!(!line.contains(banned), "{name}: {line}");
            }
        }
    }
}

#[test]
fn dependencies_point_one_way() {
    let below = |package: &str| -> &[&str] {
        match package {
            "walkeep-core" => &[],
            "walkeep-backends" => &["walkeep-core"],
            "walkeep" => &["walkeep-core", "walkeep-backends"],
            "walkeep-sqlite" => &["walkeep"],
            "walkeep-cli" => &["walkeep", "walkeep-sqlite"],
            "pagestore" => &["walkeep"],
            "walkeep-server-example" => &["walkeep", "walkeep-sqlite"],
            _ => panic!("{package}"),
        }
    };
    let metadata = metadata(&["--no-deps"]);
    for package in metadata["packages"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        if ["walkeep-tests", "walkeep-benches", "walkeep-model"].contains(&name) {
            continue;
        }
        for dependency in package["dependencies"].as_array().unwrap() {
            let on = dependency["name"].as_str().unwrap();
            if on.starts_with("walkeep") && dependency["kind"].is_null() {
                assert!(below(name).contains(&on), "{name} depends on {on}");
            }
        }
    }
}

fn metadata(arguments: &[&str]) -> serde_json::Value {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--all-features"])
        .args(arguments)
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn every_dependency_has_a_licence_that_fits() {
    for package in metadata(&[])["packages"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        let license = package["license"].as_str().unwrap_or_else(|| panic!("{name} names no licence"));
        let plain = license.replace(['(', ')'], " ").replace('/', " OR ");
        // Of alternatives one must fit; what is joined by AND must fit in each part.
        let fits =
            plain.split(" AND ").all(|part| part.split(" OR ").any(|one| LICENSES.contains(&one.trim())));
        assert!(fits, "{name}: {license}");
    }
}

#[test]
fn nothing_is_left_for_later() {
    for (name, text) in sources().iter().filter(|(name, _)| name != "tests/tests/tidy.rs") {
        for mark in ["todo!", "unimplemented!", "TODO", "FIXME", "XXX"] {
            assert!(!text.contains(mark), "{name}: {mark}");
        }
    }
}
