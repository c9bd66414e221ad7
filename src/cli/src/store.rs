//! `STORE` on the command line: a path or a URL.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use walkeep::backends::fs::{Fs, FsConfig};
use walkeep::backends::metered::{Metered, Requests};
use walkeep::{Bucket, Error};

/// The schemes that a URL may have, for messages.
pub(crate) const SCHEMES: &str = "a path, or file:///path";

/// Where segments are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoreArg {
    path: PathBuf,
}

impl FromStr for StoreArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err(format!("it is empty; a store is {SCHEMES}"));
        }
        let path = match text.split_once("://") {
            None => text,
            Some(("file", path)) if path.starts_with('/') => path,
            Some(("file", _)) => {
                return Err(format!("a file URL has an absolute path; a store is {SCHEMES}"));
            }
            Some((scheme, _)) => {
                return Err(format!("the scheme {scheme:?} is not known; a store is {SCHEMES}"));
            }
        };
        Ok(Self { path: path.into() })
    }
}

impl StoreArg {
    /// The path as it was written.
    pub(crate) const fn path(&self) -> &PathBuf {
        &self.path
    }

    /// Opens a store that exists, for reading.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub(crate) fn open(&self) -> Result<Store, Error> {
        let config = FsConfig::open(&self.path).map_err(|error| match error {
            Error::NotFound { what } => {
                Error::Unavailable { what: format!("{what} does not exist"), source: None }
            }
            error => error,
        })?;
        Store::on(config)
    }

    /// Opens a store for writing, creating it if it is new.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub(crate) fn create(&self) -> Result<Store, Error> {
        Store::on(FsConfig::create(&self.path)?)
    }
}

/// An open store, and a count of what goes to it.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) bucket: Bucket,
    metered: Arc<Metered<Fs>>,
}

impl Store {
    fn on(config: FsConfig) -> Result<Self, Error> {
        let metered = Arc::new(Metered::new(Fs::new(config)));
        Ok(Self { bucket: Bucket::new(Arc::clone(&metered), None)?, metered })
    }

    /// What has gone to the store so far.
    pub(crate) fn requests(&self) -> Requests {
        self.metered.requests()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_file_urls_are_stores() {
        let path = |text: &str| text.parse::<StoreArg>().unwrap().path;
        assert_eq!(path("./store"), PathBuf::from("./store"));
        assert_eq!(path("file:///var/store"), PathBuf::from("/var/store"));
    }

    #[test]
    fn unknown_schemes_are_refused_with_the_known_ones() {
        for text in ["memory://x", "s4://bucket", "file://relative", ""] {
            assert!(text.parse::<StoreArg>().unwrap_err().contains("file:///path"), "{text}");
        }
    }
}
