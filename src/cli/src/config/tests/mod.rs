//! Configuration files in a folder with databases.
//!
//! `reading`: what a file says, and how it is refused. `finding`: which databases it means. `documents`: what is written
//! about it.

mod documents;
mod finding;
mod reading;

use std::env::VarError;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::{Config, Databases, Problem};

/// A folder with databases and a configuration.
struct Scene(TempDir);

impl Scene {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Makes a database.
    fn database(&self, name: &str) {
        let connection = rusqlite::Connection::open(self.at(name)).unwrap();
        connection.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (a)").unwrap();
    }

    #[expect(clippy::disallowed_methods, reason = "test files")]
    fn file(&self, name: &str, bytes: &[u8]) {
        std::fs::create_dir_all(self.at(name).parent().unwrap()).unwrap();
        std::fs::write(self.at(name), bytes).unwrap();
    }

    #[expect(clippy::disallowed_methods, reason = "test files")]
    fn folder(&self, name: &str) {
        std::fs::create_dir_all(self.at(name)).unwrap();
    }

    fn parse(&self, text: &str) -> Result<Config, Vec<Problem>> {
        let environment = |name: &str| match name {
            "BUCKET" => Ok("logs".to_string()),
            "SECRET" => Ok("canary://canary@canary{canary}".to_string()),
            _ => Err(VarError::NotPresent),
        };
        let parsed = Config::parse(self.at("w.toml").as_path().into(), text, &environment);
        parsed.map_err(|error| error.problems().to_vec())
    }

    #[track_caller]
    fn config(&self, text: &str) -> Config {
        self.parse(text).unwrap()
    }

    fn databases(&self, text: &str) -> Databases {
        self.config(text).databases().unwrap()
    }

    /// What is wrong, without the name of the folder.
    #[track_caller]
    fn refused(&self, text: &str) -> String {
        let problems = match self.parse(text) {
            Err(problems) => problems,
            Ok(config) => config.databases().unwrap_err().problems().to_vec(),
        };
        let lines = problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        lines.replace(&format!("{}/", self.0.path().display()), "")
    }
}

/// File names and namespaces: `a.db=a`.
fn names(databases: &Databases) -> Vec<String> {
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_string();
    databases.entries.iter().map(|entry| format!("{}={}", name(&entry.path), entry.namespace)).collect()
}
