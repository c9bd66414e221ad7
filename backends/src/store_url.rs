//! Where a store is, as users write it: a path, a `file` URL, or the address of an object store. The one parser for
//! all kinds.
//!
//! Invariants:
//!
//! - whatever has `://` in it is a URL, and one of an unknown scheme is refused: it is never taken for a path;
//! - two stores in one (feature `copies`) are `mirror:?…` and `tiered:?…`, which hold addresses of this kind;
//! - no credentials stand in it (see [`ObjectLocation`]), and none are shown.
//!
//! Which stores there are depends on the features; without `object` and `redb` their addresses are refused, and the error
//! says so.

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use walkeep_core::{DynBackend, Erased, Error, Result};

use crate::fs::{Fs, FsConfig};
#[cfg(feature = "object")]
use crate::object::{self, Credentials, Object, ObjectConfig, ObjectLocation};
#[cfg(feature = "redb")]
use crate::redb::{Redb, RedbLocation, location};
#[cfg(feature = "copies")]
use crate::store_pair::{self, Copies, MirrorLocation, TieredLocation};

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
    /// A set of sharded redb files on this machine.
    #[cfg(feature = "redb")]
    Redb(RedbLocation),
    /// Two stores with the same objects.
    #[cfg(feature = "copies")]
    Mirror(Box<MirrorLocation>),
    /// A local store in front of another one.
    #[cfg(feature = "copies")]
    Tiered(Box<TieredLocation>),
}

impl StoreUrl {
    /// What a store may be called in this build, in one line.
    #[must_use]
    pub fn forms() -> String {
        let forms = [
            "a path, file:///path",
            #[cfg(feature = "redb")]
            location::FORM,
            #[cfg(feature = "object")]
            object::FORMS,
            #[cfg(feature = "copies")]
            store_pair::FORMS,
        ];
        forms.join(", ")
    }

    /// The same with all settings and the variables of the environment, in many lines.
    #[must_use]
    pub fn help() -> String {
        let help = [
            format!("{}.", Self::forms()),
            #[cfg(feature = "redb")]
            location::SETTINGS.to_string(),
            #[cfg(feature = "object")]
            object::SETTINGS.to_string(),
            #[cfg(feature = "copies")]
            store_pair::SETTINGS.to_string(),
        ];
        help.join("\n\n")
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
            #[cfg(feature = "redb")]
            Self::Redb(_) => None,
            #[cfg(feature = "copies")]
            Self::Mirror(_) | Self::Tiered(_) => None,
        }
    }

    /// Whether it is a place on this machine where nothing is yet, so that [`StoreUrl::create`] would make something.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        match self {
            Self::Directory(path) => !path.exists(),
            #[cfg(feature = "object")]
            Self::Object(_) => false,
            #[cfg(feature = "redb")]
            Self::Redb(location) => !location.path.exists(),
            #[cfg(feature = "copies")]
            Self::Mirror(mirror) => mirror.first.is_missing() && mirror.second.is_missing(),
            #[cfg(feature = "copies")]
            Self::Tiered(tiered) => tiered.remote.is_missing(),
        }
    }

    /// The same place, with all paths in it as `absolute` has them.
    #[must_use]
    pub fn with_paths(self, absolute: &dyn Fn(&Path) -> PathBuf) -> Self {
        match self {
            Self::Directory(path) => Self::Directory(absolute(&path)),
            #[cfg(feature = "copies")]
            Self::Mirror(mirror) => {
                let MirrorLocation { first, second, ack } = *mirror;
                let (first, second) = (first.with_paths(absolute), second.with_paths(absolute));
                Self::Mirror(Box::new(MirrorLocation { first, second, ack }))
            }
            #[cfg(feature = "copies")]
            Self::Tiered(tiered) => Self::Tiered(Box::new(TieredLocation {
                local: absolute(&tiered.local),
                remote: tiered.remote.with_paths(absolute),
                cache: tiered.cache.map(|cache| absolute(&cache)),
                ..*tiered
            })),
            #[cfg(feature = "object")]
            other @ Self::Object(_) => other,
            #[cfg(feature = "redb")]
            other @ Self::Redb(_) => other,
        }
    }

    /// The two places of a store in two, with what they are called: the one that objects are copied from first.
    #[cfg(feature = "copies")]
    #[must_use]
    pub fn sides(&self) -> Option<[(&'static str, Self); 2]> {
        match self {
            Self::Mirror(mirror) => {
                Some([("first", mirror.first.clone()), ("second", mirror.second.clone())])
            }
            Self::Tiered(tiered) => {
                let local = Self::Directory(tiered.local.clone());
                Some([("local", local), ("remote", tiered.remote.clone())])
            }
            _ => None,
        }
    }

    /// Opens a store in two places for bringing one up to the other; `None` for one place.
    ///
    /// # Errors
    ///
    /// As [`StoreUrl::create`].
    #[cfg(feature = "copies")]
    pub fn open_copies(&self) -> Result<Option<Copies>> {
        match self {
            Self::Mirror(mirror) => mirror.open(true).map(Some),
            Self::Tiered(tiered) => tiered.open(true).map(Some),
            _ => Ok(None),
        }
    }

    #[cfg(feature = "copies")]
    pub(crate) const fn is_pair(&self) -> bool {
        matches!(self, Self::Mirror(_) | Self::Tiered(_))
    }

    /// Which place it is, without settings that do not change that.
    #[cfg(feature = "copies")]
    pub(crate) fn place(&self) -> String {
        match self {
            #[cfg(feature = "object")]
            Self::Object(location) => {
                let setting = |value: &Option<String>| value.clone().unwrap_or_default();
                format!("{location} {} {}", setting(&location.endpoint), setting(&location.account))
            }
            other => other.to_string(),
        }
    }

    /// Opens a store that exists, an object store with the credentials of the environment. Nothing is sent yet:
    /// whether a bucket exists and the credentials are good, the first call tells. A redb store is opened for this process
    /// alone, and shared within it; that may block.
    ///
    /// # Errors
    ///
    /// `Unavailable` when a directory is not there, or another process has the store open; `Invalid` when settings or credentials contradict each other.
    pub fn open(&self) -> Result<DynBackend> {
        let opened = match self {
            Self::Directory(path) => FsConfig::open(path).map(|config| Erased::shared(Fs::new(config))),
            #[cfg(feature = "object")]
            Self::Object(location) => open_object(location),
            #[cfg(feature = "redb")]
            Self::Redb(location) => open_redb(location, false),
            #[cfg(feature = "copies")]
            Self::Mirror(mirror) => mirror.open(false).map(Copies::into_backend),
            #[cfg(feature = "copies")]
            Self::Tiered(tiered) => tiered.open(false).map(Copies::into_backend),
        };
        opened.map_err(|error| match error {
            Error::NotFound { what } => {
                Error::Unavailable { what: format!("{what} does not exist"), source: None }
            }
            error => error,
        })
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
            #[cfg(feature = "redb")]
            Self::Redb(location) => open_redb(location, true),
            #[cfg(feature = "copies")]
            Self::Mirror(mirror) => mirror.open(true).map(Copies::into_backend),
            #[cfg(feature = "copies")]
            Self::Tiered(tiered) => tiered.open(true).map(Copies::into_backend),
        }
    }
}

#[cfg(feature = "redb")]
fn open_redb(location: &RedbLocation, create: bool) -> Result<DynBackend> {
    Ok(Erased::shared(Redb::new(location.open(create)?)))
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
        #[cfg(feature = "copies")]
        if let Some(query) = text.strip_prefix("mirror:?") {
            return Ok(Self::Mirror(Box::new(MirrorLocation::parse(query)?)));
        }
        #[cfg(feature = "copies")]
        if let Some(query) = text.strip_prefix("tiered:?") {
            return Ok(Self::Tiered(Box::new(TieredLocation::parse(query)?)));
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
            #[cfg(feature = "redb")]
            Some(("redb", _)) => Ok(Self::Redb(text.parse()?)),
            #[cfg(not(feature = "redb"))]
            Some(("redb", _)) => {
                refused("the address of a redb store (this build has none: enable the feature `redb`)".into())
            }
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
            #[cfg(feature = "redb")]
            Self::Redb(location) => location.fmt(f),
            #[cfg(feature = "copies")]
            Self::Mirror(mirror) => mirror.fmt(f),
            #[cfg(feature = "copies")]
            Self::Tiered(tiered) => tiered.fmt(f),
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

    #[cfg(feature = "redb")]
    #[tokio::test]
    async fn a_redb_store_is_opened_once_and_shared_by_all_who_name_it() {
        use walkeep_core::{Body, ByteRange, ObjectPath};
        let root = tempfile::tempdir().unwrap();
        let named =
            |more: &str| parse(&format!("redb://{}{more}", root.path().join("store").display())).unwrap();
        let url = named("?shards=2");
        assert!(url.is_missing() && url.path().is_none());
        let error = url.open().unwrap_err();
        assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
        assert!(url.is_missing(), "nothing was created");

        let first = url.create().unwrap();
        let name = ObjectPath::new("a/b/c").unwrap();
        first.put_new(None, &name, Body::from(b"x".to_vec())).await.unwrap();
        std::os::unix::fs::symlink(root.path().join("store"), root.path().join("link")).unwrap();
        let link = parse(&format!("redb://{}", root.path().join("link").display())).unwrap();
        for url in [&url, &named(""), &link] {
            let again = url.open().unwrap();
            assert_eq!(again.get(None, &name, ByteRange::Full).await.unwrap(), &b"x"[..], "{url}");
        }
        let error = named("?shards=4").open().unwrap_err();
        assert!(error.to_string().contains("it has 2"), "{error}");
        drop(first);
        named("").open().unwrap();
    }

    #[cfg(not(feature = "redb"))]
    #[test]
    fn without_redb_its_addresses_are_refused_and_the_feature_is_named() {
        assert!(parse("redb:///x").unwrap_err().to_string().contains("`redb`"));
    }

    #[cfg(not(feature = "object"))]
    #[test]
    fn without_object_stores_their_addresses_are_refused_and_the_feature_is_named() {
        assert!(parse("s3://logs").unwrap_err().to_string().contains("`object`"));
    }
}
