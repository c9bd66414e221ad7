//! Where a sharded redb store is, as users write it: `redb:///path[?shards=N]`.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use walkeep_core::shards::{ShardCount, ShardPurpose};
use walkeep_core::{Error, Result};

use super::options::ShardsOptions;
use super::store::RedbConfig;

/// What such a store may be called, in one line.
pub(crate) const FORM: &str = "redb:///path[?shards=N]";

/// The settings behind `?`, for help texts.
pub(crate) const SETTINGS: &str = "\
Settings of redb:///path, many small databases in a few files of one directory, for one process at a time:
  shards=N              how many files a new store has: 1, 2, 4 … 256; 4 by default";

/// A place for a sharded redb store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedbLocation {
    /// The directory, an absolute path.
    pub path: PathBuf,
    /// How many shards it must have, and has if it is new; `None` for what it has.
    pub shards: Option<ShardCount>,
}

impl RedbLocation {
    /// Opens the store, or the one that is open in this process already; a new one is created only if `create`.
    ///
    /// # Errors
    ///
    /// As [`RedbConfig::shared`].
    pub fn open(&self, create: bool) -> Result<RedbConfig> {
        let options =
            ShardsOptions { shards: self.shards, create, ..ShardsOptions::new(ShardPurpose::Segments) };
        RedbConfig::shared(&self.path, &options)
    }
}

impl FromStr for RedbLocation {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let rest = text.strip_prefix("redb://").unwrap_or(text);
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        if !path.starts_with('/') {
            return Err(Error::invalid("a redb URL without an absolute path", format!("it is {FORM}")));
        }
        let mut shards = None;
        for setting in query.split('&').filter(|setting| !setting.is_empty()) {
            let (key, value) = setting.split_once('=').unwrap_or((setting, ""));
            if key != "shards" {
                return Err(Error::invalid(
                    format!("the key {key:?} of the address"),
                    "the only one is shards",
                ));
            }
            if shards.replace(value.parse()?).is_some() {
                return Err(Error::invalid("the key \"shards\" of the address", "it stands there twice"));
            }
        }
        Ok(Self { path: Path::new(path).to_path_buf(), shards })
    }
}

/// Enough to find the place again, without settings.
impl fmt::Display for RedbLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "redb://{}", self.path.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_understood_and_shown_without_settings() {
        let location: RedbLocation = "redb:///var/store?shards=16".parse().unwrap();
        assert_eq!(location.shards, Some(ShardCount::new(16).unwrap()));
        assert_eq!(location.to_string(), "redb:///var/store");
        assert_eq!("redb:///var/store".parse::<RedbLocation>().unwrap().shards, None);
    }

    #[test]
    fn wrong_ones_are_refused_with_the_rule() {
        for (text, says) in [
            ("redb://var/store", "absolute path"),
            ("redb://", "absolute path"),
            ("redb:///x?shard=4", "the only one is shards"),
            ("redb:///x?shards=4&shards=4", "twice"),
            ("redb:///x?shards=3", "power of two"),
            ("redb:///x?shards=0", "power of two"),
            ("redb:///x?shards=512", "power of two"),
            ("redb:///x?shards=", "power of two"),
        ] {
            let error = text.parse::<RedbLocation>().unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
