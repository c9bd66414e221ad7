//! Where a store is, as users write it: a path, a `file` URL, or the address of an object store. The one parser for
//! all kinds.
//!
//! Invariants:
//!
//! - whatever has `://` in it is a URL, and one of an unknown scheme is refused: it is never taken for a path;
//! - no credentials stand in it (see [`ObjectLocation`]), and none are shown.
//!
//! Which object stores there are depends on the features; without `object` their addresses are refused, and the
//! error says so.

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use walkeep_core::{DynBackend, Erased, Error, Result};

use crate::fs::{Fs, FsConfig};
#[cfg(feature = "object")]
use crate::object::{self, Credentials, Object, ObjectConfig, ObjectLocation};

/// A place for a store.
///
/// ```
/// use walkeep_backends::StoreUrl;
///
/// let url: StoreUrl = "file:///var/store".parse()?;
/// assert_eq!(url, "/var/store".parse()?);
/// assert!("s4://bucket".parse::<StoreUrl>().is_err());
/// # Ok::<(), walkeep_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreUrl {
    /// A local directory.
    Directory(PathBuf),
    /// A place in an object store.
    #[cfg(feature = "object")]
    Object(Box<ObjectLocation>),
}

impl StoreUrl {
    /// What a store may be called in this build, in one line.
    #[must_use]
    pub fn forms() -> String {
        #[cfg(feature = "object")]
        return format!("a path, file:///path, {}", object::FORMS);
        #[cfg(not(feature = "object"))]
        return "a path, file:///path".into();
    }

    /// The same with all settings and the variables of the environment, in many lines.
    #[must_use]
    pub fn help() -> String {
        let forms = Self::forms();
        #[cfg(feature = "object")]
        return format!("{forms}.\n\n{}", object::SETTINGS);
        #[cfg(not(feature = "object"))]
        return format!("{forms}.");
    }

    /// The same as from text, for a path that is no text.
    ///
    /// # Errors
    ///
    /// `Invalid`.
    pub fn from_os_str(text: &OsStr) -> Result<Self> {
        text.to_str().map_or_else(|| Ok(Self::Directory(text.into())), str::parse)
    }

    /// The local directory, if it is one.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Directory(path) => Some(path),
            #[cfg(feature = "object")]
            Self::Object(_) => None,
        }
    }

    /// Opens a store that exists, an object store with the credentials of the environment. Nothing is sent yet:
    /// whether a bucket exists and the credentials are good, the first call tells.
    ///
    /// # Errors
    ///
    /// `Unavailable` when a directory is not there; `Invalid` when settings or credentials contradict each other.
    pub fn open(&self) -> Result<DynBackend> {
        let config = match self {
            Self::Directory(path) => FsConfig::open(path),
            #[cfg(feature = "object")]
            Self::Object(location) => return open_object(location),
        };
        let config = config.map_err(|error| match error {
            Error::NotFound { what } => {
                Error::Unavailable { what: format!("{what} does not exist"), source: None }
            }
            error => error,
        })?;
        Ok(Erased::shared(Fs::new(config)))
    }

    /// As [`StoreUrl::open`], and creates a directory that is not there. Buckets are never created.
    ///
    /// # Errors
    ///
    /// As [`StoreUrl::open`].
    pub fn create(&self) -> Result<DynBackend> {
        match self {
            Self::Directory(path) => Ok(Erased::shared(Fs::new(FsConfig::create(path)?))),
            #[cfg(feature = "object")]
            Self::Object(location) => open_object(location),
        }
    }
}

#[cfg(feature = "object")]
fn open_object(location: &ObjectLocation) -> Result<DynBackend> {
    let config = ObjectConfig::open(location, &Credentials::from_environment())?;
    Ok(Erased::shared(Object::new(config)))
}

impl FromStr for StoreUrl {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let refused = |what: String| Err(Error::invalid(what, format!("a store is {}", Self::forms())));
        if text.is_empty() {
            return refused("an empty name of a store".into());
        }
        match text.split_once("://") {
            None => Ok(Self::Directory(text.into())),
            Some(("file", path)) if path.starts_with('/') => Ok(Self::Directory(path.into())),
            Some(("file", _)) => refused("a file URL without an absolute path".into()),
            #[cfg(feature = "object")]
            Some(("s3" | "gs" | "az", _)) => Ok(Self::Object(Box::new(text.parse()?))),
            #[cfg(not(feature = "object"))]
            Some(("s3" | "gs" | "az", _)) => refused(
                "the address of an object store (this build has none: enable the feature `object`)".into(),
            ),
            Some((scheme, _)) => refused(format!("the scheme {scheme:?}")),
        }
    }
}

/// Enough to find the place again, without settings.
impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path) => path.display().fmt(f),
            #[cfg(feature = "object")]
            Self::Object(location) => location.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<StoreUrl> {
        text.parse()
    }

    #[test]
    fn paths_and_file_urls_are_directories() {
        for (text, path) in
            [("./store", "./store"), ("file:///var/store", "/var/store"), ("a?b", "a?b"), ("s3:/x", "s3:/x")]
        {
            assert_eq!(parse(text).unwrap().path(), Some(Path::new(path)), "{text}");
        }
    }

    #[test]
    fn unknown_schemes_are_refused_with_the_known_ones() {
        for text in ["memory://x", "s4://bucket", "file://relative", "http://h/b", "://", ""] {
            let error = parse(text).unwrap_err();
            assert!(matches!(error, Error::Invalid { .. }), "{text}: {error:?}");
            assert!(error.to_string().contains("file:///path"), "{text}: {error}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_path_that_is_no_text_is_a_directory() {
        use std::os::unix::ffi::OsStrExt;
        let path = OsStr::from_bytes(b"store-\xff");
        assert_eq!(StoreUrl::from_os_str(path).unwrap().path(), Some(Path::new(path)));
    }

    #[test]
    fn a_directory_that_is_not_there_is_created_only_when_asked() {
        let root = tempfile::tempdir().unwrap();
        let url = StoreUrl::Directory(root.path().join("a/b"));
        let error = url.open().unwrap_err();
        assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
        url.create().unwrap();
        url.open().unwrap();
    }

    #[cfg(feature = "object")]
    #[test]
    fn addresses_of_object_stores_are_understood_and_shown_without_settings() {
        let url = parse("s3://logs/shop?endpoint=https://s3.example.org&region=eu-1").unwrap();
        assert_eq!((url.path(), url.to_string().as_str()), (None, "s3://logs/shop"));
        url.open().unwrap();
        for text in ["gs://logs", "az://logs/x"] {
            assert_eq!(parse(text).unwrap().to_string(), text);
        }
        assert!(parse("s3://logs?regoin=x").unwrap_err().to_string().contains("path_style"));
        assert!(
            StoreUrl::help().contains(&StoreUrl::forms()) && StoreUrl::help().contains("AWS_ACCESS_KEY_ID")
        );
    }

    #[cfg(not(feature = "object"))]
    #[test]
    fn without_object_stores_their_addresses_are_refused_and_the_feature_is_named() {
        assert!(parse("s3://logs").unwrap_err().to_string().contains("`object`"));
    }
}
