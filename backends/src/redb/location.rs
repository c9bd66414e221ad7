//! Where a sharded redb store is, as users write it: `redb:///path[?shards=N&cache=MIB]`.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use walkeep_core::shards::{ShardCount, ShardPurpose};
use walkeep_core::{Error, Result};

use super::options::ShardsOptions;
use super::store::RedbConfig;

/// What such a store may be called, in one line.
pub(crate) const FORM: &str = "redb:///path[?shards=N&cache=MIB]";

/// The settings behind `?`, for help texts.
pub(crate) const SETTINGS: &str = "\
Settings of redb:///path, many small databases in a few files of one directory, for one process at a time:
  shards=N              how many files a new store has: 1, 2, 4 … 256; 4 by default
  cache=MIB             how much memory it may use in this process for what it reads and writes, in MiB; 64 by default";

/// A place for a sharded redb store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedbLocation {
    /// The directory, an absolute path.
    pub path: PathBuf,
    /// How many shards it must have, and has if it is new; `None` for what it has.
    pub shards: Option<ShardCount>,
    /// How much memory it may use for what is read and written, in MiB; `None` for the default of [`ShardsOptions`]. It counts where this
    /// process opens the store, not where it has it open already.
    pub cache_mib: Option<u16>,
}

impl RedbLocation {
    /// Opens the store, or the one that is open in this process already; a new one is created only if `create`.
    ///
    /// # Errors
    ///
    /// As [`RedbConfig::shared`].
    pub fn open(&self, create: bool) -> Result<RedbConfig> {
        let usual = ShardsOptions::new(ShardPurpose::Segments);
        let cache_bytes = self.cache_mib.map_or(usual.cache_bytes, |mib| usize::from(mib) << 20);
        let options = ShardsOptions { shards: self.shards, create, cache_bytes, ..usual };
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
        let (mut shards, mut cache_mib) = (None, None);
        for setting in query.split('&').filter(|setting| !setting.is_empty()) {
            let (key, value) = setting.split_once('=').unwrap_or((setting, ""));
            let twice = match key {
                "shards" => shards.replace(value.parse()?).is_some(),
                "cache" => cache_mib.replace(mib(value)?).is_some(),
                _ => {
                    let what = format!("the key {key:?} of the address");
                    return Err(Error::invalid(what, "there are shards and cache"));
                }
            };
            if twice {
                let what = format!("the key {key:?} of the address");
                return Err(Error::invalid(what, "it stands there twice"));
            }
        }
        Ok(Self { path: Path::new(path).to_path_buf(), shards, cache_mib })
    }
}

/// A size of a cache, at least 1.
fn mib(text: &str) -> Result<u16> {
    let wrong = || Error::invalid(format!("cache={text}"), "it is a number of MiB, from 1 to 65535");
    text.parse().ok().filter(|mib| *mib > 0).ok_or_else(wrong)
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
        let location: RedbLocation = "redb:///var/store?shards=16&cache=256".parse().unwrap();
        assert_eq!(location.cache_mib, Some(256));
        assert_eq!(location.shards, Some(ShardCount::new(16).unwrap()));
        assert_eq!(location.to_string(), "redb:///var/store");
        assert_eq!("redb:///var/store".parse::<RedbLocation>().unwrap().shards, None);
    }

    #[test]
    fn wrong_ones_are_refused_with_the_rule() {
        for (text, says) in [
            ("redb://var/store", "absolute path"),
            ("redb://", "absolute path"),
            ("redb:///x?shard=4", "there are shards and cache"),
            ("redb:///x?cache=0", "a number of MiB"),
            ("redb:///x?cache=64M", "a number of MiB"),
            ("redb:///x?cache=70000", "a number of MiB"),
            ("redb:///x?cache=1&cache=1", "twice"),
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
