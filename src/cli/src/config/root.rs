//! The configuration file as a whole.

use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::de::DeTable;

use super::databases::{Databases, Gathering};
use super::directory::{self, Directory};
use super::entry::{self, DatabaseEntry};
use super::log_format::LogFormat;
use super::overrides::{Overrides, quota_bytes};
use super::problem::{ConfigError, Problem};
use super::reader::Reader;
use super::section::Section;
use super::upkeep::Upkeep;
use super::variables::Lookup;

/// A configuration that was read, and has nothing wrong in itself.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// Where metrics are served.
    pub(crate) metrics: Option<SocketAddr>,
    pub(crate) log_format: LogFormat,
    /// How the histories of databases are looked after.
    pub(crate) upkeep: Upkeep,
    /// How many bytes of segments all databases together may have in each store.
    pub(crate) total_bytes_max: Option<NonZeroU64>,
    entries: Vec<DatabaseEntry>,
    directories: Vec<Directory>,
}

impl Config {
    /// Reads a file, with the variables of the environment.
    ///
    /// # Errors
    ///
    /// All that is wrong with it.
    pub(crate) fn load(path: &Path) -> Result<Self, ConfigError> {
        let file: Arc<Path> = path.into();
        let unreadable = |why: String| {
            Problem::of_file(
                &file,
                format!("cannot be read: {why}"),
                "name a TOML file that this user may read",
            )
        };
        let bytes = std::fs::read(path).map_err(|error| unreadable(error.to_string()))?;
        let text = String::from_utf8(bytes).map_err(|_| unreadable("it is not UTF-8".into()))?;
        Self::parse(file, &text, &|name| std::env::var(name))
    }

    pub(super) fn parse(file: Arc<Path>, text: &str, lookup: Lookup<'_>) -> Result<Self, ConfigError> {
        let reader = Reader::new(file, text, lookup);
        let table = DeTable::parse(text).map_err(|error| {
            let place = reader.place(&error.span().unwrap_or_default());
            // Not the error's own text, which quotes the line.
            Problem::at(&place, format!("this is not TOML: {}", error.message()), "")
        })?;
        let place = reader.place(&(0..0));
        let config = Self::read(Section::new(&reader, "the file", table.get_ref(), place));
        ConfigError::check(reader.into_problems())?;
        Ok(config)
    }

    fn read(mut section: Section<'_>) -> Self {
        let metrics = section.parsed("metrics", |text| {
            text.value.parse().map_err(|_| "it is an address and a port: \"127.0.0.1:9797\"".to_string())
        });
        let log_format = section.parsed("log_format", |text| LogFormat::parse(&text.value));
        let upkeep = Upkeep::read(&mut section);
        let total_bytes_max = section.parsed_quantity("quota_total_bytes", quota_bytes);
        let defaults = section.section("defaults", "[defaults]").map(|mut section| {
            let defaults = Overrides::read(&mut section);
            section.finish();
            defaults
        });
        let defaults = defaults.unwrap_or_default();
        let databases = section.sections("database", entry::TITLE);
        let directories = section.sections("directory", directory::TITLE);
        if !section.has("database") && !section.has("directory") {
            section.missing("database", "name one with [[database]], or many with [[directory]]");
        }
        section.finish();
        Self {
            metrics,
            log_format: log_format.unwrap_or_default(),
            upkeep,
            total_bytes_max,
            entries: databases.into_iter().filter_map(|one| DatabaseEntry::read(one, &defaults)).collect(),
            directories: directories.into_iter().filter_map(|one| Directory::read(one, &defaults)).collect(),
        }
    }

    /// The databases that are meant now, for a start.
    ///
    /// # Errors
    ///
    /// When two entries mean one file or one namespace, or a file that matches can have no namespace.
    pub(crate) fn databases(&self) -> Result<Databases, ConfigError> {
        let (databases, problems) = self.rescan(&[]);
        ConfigError::check(problems)?;
        Ok(databases)
    }

    /// The databases that are meant now, while those at `running` are replicated: what contradicts them or is wrong in
    /// itself is left out, and said, so that one wrong file does not keep the others from being replicated.
    ///
    /// Locks of SQLite connections of this process survive it.
    pub(crate) fn rescan(&self, running: &[PathBuf]) -> (Databases, Vec<Problem>) {
        let mut gathering = Gathering::default();
        for entry in &self.entries {
            gathering.name(entry.clone());
        }
        for directory in &self.directories {
            gathering.search(directory, running);
        }
        gathering.finish()
    }
}
