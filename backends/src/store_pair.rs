//! Addresses of stores in two places, and how they are opened.
//!
//! `mirror:?first=STORE&second=STORE` and `tiered:?local=DIRECTORY&remote=STORE`, with settings, in any order. In the
//! addresses inside `&` is written `%26` and `%` is written `%25`; nothing else need be escaped.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use walkeep_core::{
    AnyConfig, Backend, Body, ByteRange, DynBackend, Erased, Error, Leftovers, ObjectMeta, ObjectPath,
    Result, UnixMillis,
};

use crate::copies::CopyStatus;
use crate::mirror::{Mirror, MirrorAck, MirrorOptions};
use crate::os::OsDirectory;
use crate::store_url::StoreUrl;
use crate::tiered::{CacheOptions, Tiered, TieredAck, TieredOptions};

/// How to write addresses of two stores.
pub(crate) const FORMS: &str = "mirror:?first=STORE&second=STORE, tiered:?local=DIRECTORY&remote=STORE";

/// The settings of addresses of two stores, for help.
pub(crate) const SETTINGS: &str = "\
Two stores (in an address inside another one, & is written %26 and % is written %25):
  mirror:?first=STORE&second=STORE   the same objects in both; the first one decides
      &ack=both                      stored is what both have (the default), or
      &ack=first                     what the first has; the second follows
  tiered:?local=DIRECTORY&remote=STORE   a local store in front of a remote one, which decides
      &ack=both                      stored is what both have (the default), or
      &ack=local                     what the local one has; the remote one follows
      &cache=DIRECTORY               where parts of remote segments are kept (LOCAL/.cache)
      &cache_max=BYTES               how much of them (268435456); 0 keeps nothing";

/// The default of `cache_max`, in bytes.
const CACHE_BYTES_MAX: u64 = 256 << 20;

/// Where a mirror is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MirrorLocation {
    /// The store that decides.
    pub first: StoreUrl,
    /// The store that follows.
    pub second: StoreUrl,
    /// When an object counts as stored.
    pub ack: MirrorAck,
}

/// Where a tiered store is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TieredLocation {
    /// The local directory.
    pub local: PathBuf,
    /// The store that decides.
    pub remote: StoreUrl,
    /// When a segment counts as stored.
    pub ack: TieredAck,
    /// Where parts of remote segments are kept; by default `.cache` in the local directory.
    pub cache: Option<PathBuf>,
    /// How many bytes of them; 0 keeps nothing.
    pub cache_bytes_max: u64,
}

/// A store in two places, opened so that one can be brought up to the other.
#[derive(Clone, Debug)]
pub enum Copies {
    /// A mirror.
    Mirror(Arc<Mirror<DynBackend, DynBackend>>),
    /// A tiered store.
    Tiered(Arc<Tiered<DynBackend, DynBackend>>),
}

impl Copies {
    /// As [`Mirror::catch_up`] and [`Tiered::ship`].
    ///
    /// # Errors
    ///
    /// Theirs.
    pub async fn catch_up(&self) -> Result<()> {
        match self {
            Self::Mirror(mirror) => mirror.catch_up().await,
            Self::Tiered(tiered) => tiered.ship().await,
        }
    }

    /// How far copying is.
    #[must_use]
    pub fn status(&self) -> CopyStatus {
        match self {
            Self::Mirror(mirror) => mirror.status(),
            Self::Tiered(tiered) => tiered.status(),
        }
    }

    /// The same store, as any other one.
    #[must_use]
    pub fn into_backend(self) -> DynBackend {
        match self {
            Self::Mirror(mirror) => Erased::shared(mirror),
            Self::Tiered(tiered) => Erased::shared(tiered),
        }
    }
}

/// The settings of an address, each once.
struct Settings {
    kind: &'static str,
    values: BTreeMap<String, String>,
}

impl Settings {
    fn parse(kind: &'static str, query: &str, known: &[&str]) -> Result<Self> {
        let mut values = BTreeMap::new();
        for setting in query.split('&') {
            // What stands there is not repeated: it may hold a password that does not belong there.
            let (key, value) = setting.split_once('=').unwrap_or((setting, ""));
            if !known.contains(&key) {
                let why = format!("its settings are {}; in the addresses inside, & is %26", known.join(", "));
                return Err(Error::invalid(format!("a setting of a {kind} store"), why));
            }
            let value = unescaped(value).ok_or_else(|| {
                Error::invalid(
                    format!("the setting {key} of a {kind} store"),
                    "behind a % stand two hexadecimal digits; the character itself is %25",
                )
            })?;
            if value.is_empty() || values.insert(key.to_string(), value).is_some() {
                let why = "each setting is given once, with a value";
                return Err(Error::invalid(format!("the setting {key} of a {kind} store"), why));
            }
        }
        Ok(Self { kind, values })
    }

    fn take(&mut self, key: &str) -> Result<String> {
        let wanted = format!("a {} store without {key}=", self.kind);
        self.values.remove(key).ok_or_else(|| Error::invalid(wanted, format!("it is {FORMS}")))
    }

    /// A store inside: one place.
    fn store(&mut self, key: &str) -> Result<StoreUrl> {
        let url: StoreUrl = self.take(key)?.parse()?;
        if url.is_pair() {
            let what = format!("two places as {key} of a {} store", self.kind);
            return Err(Error::invalid(what, "it is one place: a path or the address of an object store"));
        }
        Ok(url)
    }

    fn ack<T: Default + Copy>(&mut self, choices: [(&str, T); 2]) -> Result<T> {
        let Some(given) = self.values.remove("ack") else { return Ok(T::default()) };
        let chosen = choices.iter().find(|(name, _)| *name == given);
        chosen.map(|(_, ack)| *ack).ok_or_else(|| {
            let [(one, _), (other, _)] = choices;
            Error::invalid(format!("this ack of a {} store", self.kind), format!("it is {one} or {other}"))
        })
    }
}

fn unescaped(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).ok()
}

impl MirrorLocation {
    /// Reads what stands behind `mirror:?`.
    pub(crate) fn parse(query: &str) -> Result<Self> {
        let mut settings = Settings::parse("mirror", query, &["first", "second", "ack"])?;
        let location = Self {
            first: settings.store("first")?,
            second: settings.store("second")?,
            ack: settings.ack([("both", MirrorAck::Both), ("first", MirrorAck::First)])?,
        };
        if location.first == location.second {
            return Err(Error::invalid("a mirror of a store in itself", "its two stores are two places"));
        }
        Ok(location)
    }

    /// Opens it. One side that is a directory and is not there may be missing for reading: then the other one answers.
    pub(crate) fn open(&self, create: bool) -> Result<Copies> {
        let (first, second) = if create {
            (self.first.create()?, self.second.create()?)
        } else {
            match (self.first.open(), self.second.open()) {
                (Err(error), Err(_)) => return Err(error),
                (first, second) => (Away::unless(first)?, Away::unless(second)?),
            }
        };
        let options = MirrorOptions::new(self.ack)?;
        Ok(Copies::Mirror(Arc::new(Mirror::new(Arc::new(first), Arc::new(second), options))))
    }
}

impl TieredLocation {
    /// Reads what stands behind `tiered:?`.
    pub(crate) fn parse(query: &str) -> Result<Self> {
        let known = ["local", "remote", "ack", "cache", "cache_max"];
        let mut settings = Settings::parse("tiered", query, &known)?;
        let Some(local) = settings.store("local")?.path().map(Path::to_path_buf) else {
            let why = "it is a directory; its remote store may be anything";
            return Err(Error::invalid("the local store of a tiered store", why));
        };
        let cache_bytes_max = match settings.values.remove("cache_max") {
            None => CACHE_BYTES_MAX,
            Some(text) => text.parse().map_err(|_| {
                Error::invalid("this cache_max of a tiered store", "it is a number of bytes; 0 keeps nothing")
            })?,
        };
        let location = Self {
            local,
            remote: settings.store("remote")?,
            ack: settings.ack([("both", TieredAck::Both), ("local", TieredAck::Local)])?,
            cache: settings.values.remove("cache").map(PathBuf::from),
            cache_bytes_max,
        };
        if location.remote.path() == Some(&location.local) {
            return Err(Error::invalid("a tiered store over itself", "its two stores are two places"));
        }
        Ok(location)
    }

    /// Opens it; a local directory that is new is created in any case, since it decides nothing.
    pub(crate) fn open(&self, create: bool) -> Result<Copies> {
        let remote = if create { self.remote.create()? } else { self.remote.open()? };
        let local = StoreUrl::Directory(self.local.clone()).create()?;
        let mut options = TieredOptions::new(self.ack);
        if self.cache_bytes_max > 0 {
            let path = self.cache.clone().unwrap_or_else(|| self.local.join(".cache"));
            let directory = OsDirectory::create(&path).map_err(|error| {
                Error::unavailable(format!("create the cache directory {}", path.display()), error)
            })?;
            options = options.with_cache(CacheOptions {
                directory: Arc::new(directory),
                store: self.remote.place(),
                bytes_max: self.cache_bytes_max,
            });
        }
        Ok(Copies::Tiered(Arc::new(Tiered::new(Arc::new(local), Arc::new(remote), options)?)))
    }
}

impl fmt::Display for MirrorLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mirror:?first={}&second={}", self.first, self.second)
    }
}

impl fmt::Display for TieredLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tiered:?local={}&remote={}", self.local.display(), self.remote)
    }
}

/// A store that could not be opened, so that the other one can answer.
#[derive(Debug)]
struct Away {
    error: Error,
}

impl Away {
    fn unless(opened: Result<DynBackend>) -> Result<DynBackend> {
        match opened {
            Err(error @ Error::Unavailable { .. }) => {
                tracing::warn!(%error, "one of two stores is not there");
                Ok(Erased::shared(Self { error }))
            }
            opened => opened,
        }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Backend for Away {
    type Config = AnyConfig;

    fn default_config(&self) -> AnyConfig {
        AnyConfig::new(())
    }

    async fn put_new(&self, _: Option<&AnyConfig>, _: &ObjectPath, _: Body) -> Result<()> {
        Err(self.error.again())
    }

    async fn get(&self, _: Option<&AnyConfig>, _: &ObjectPath, _: ByteRange) -> Result<Bytes> {
        Err(self.error.again())
    }

    fn list<'a>(
        &'a self,
        _: Option<&'a AnyConfig>,
        _: &'a ObjectPath,
        _: Option<&'a ObjectPath>,
        _: usize,
    ) -> BoxStream<'a, Result<ObjectMeta>> {
        stream::iter([Err(self.error.again())]).boxed()
    }

    fn list_directories<'a>(
        &'a self,
        _: Option<&'a AnyConfig>,
        _: &'a ObjectPath,
        _: Option<&'a str>,
        _: usize,
    ) -> BoxStream<'a, Result<String>> {
        stream::iter([Err(self.error.again())]).boxed()
    }

    async fn delete(&self, _: Option<&AnyConfig>, _: &[ObjectPath]) -> Result<()> {
        Err(self.error.again())
    }

    async fn leftovers(
        &self,
        _: Option<&AnyConfig>,
        _: &ObjectPath,
        _: UnixMillis,
        _: bool,
    ) -> Result<Leftovers> {
        Err(self.error.again())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<StoreUrl> {
        text.parse()
    }

    #[test]
    fn addresses_of_two_stores_read_back() {
        let url = parse("mirror:?second=/b%26%25c&ack=first&first=/a").unwrap();
        let StoreUrl::Mirror(mirror) = &url else { panic!("{url:?}") };
        assert_eq!((mirror.ack, mirror.second.path()), (MirrorAck::First, Some(Path::new("/b&%c"))));
        assert_eq!(parse("mirror:?first=/a&second=/b").unwrap().to_string(), "mirror:?first=/a&second=/b");
        let url = parse("tiered:?local=/a&remote=file:///b&cache=/c&cache_max=0").unwrap();
        let StoreUrl::Tiered(tiered) = &url else { panic!("{url:?}") };
        assert_eq!((tiered.ack, tiered.cache_bytes_max), (TieredAck::Both, 0));
        assert_eq!((url.to_string().as_str(), url.path()), ("tiered:?local=/a&remote=/b", None));
    }

    #[test]
    fn wrong_addresses_of_two_stores_are_refused_and_not_repeated() {
        for text in [
            "mirror:?",
            "mirror:?first=/a",
            "mirror:?first=/a&second=/a",
            "mirror:?first=/a&second=/b&second=/c",
            "mirror:?first=/a&second=/b&ack=canary",
            "mirror:?first=/a&second=/b&canary=1",
            "mirror:?first=/a&second=/b%2",
            "mirror:?first=/a&second=/b%+1",
            "mirror:?first=/a&second=tiered:?local=/b%26remote=/c",
            "tiered:?remote=/b",
            "tiered:?local=/a&remote=/a",
            "tiered:?local=/a&remote=/b&cache_max=canary",
            "tiered:?local=/a&remote=s9://canary",
        ] {
            let error = parse(text).unwrap_err();
            assert!(matches!(error, Error::Invalid { .. }), "{text}: {error}");
            assert!(!error.to_string().contains("canary"), "{text}: {error}");
        }
    }

    #[cfg(feature = "object")]
    #[test]
    fn object_stores_inside_keep_their_settings_and_do_not_show_them() {
        let text = "mirror:?first=/a&second=s3://logs/x?region=eu-1%26endpoint=https://s3.example.org";
        let url = parse(text).unwrap();
        let StoreUrl::Mirror(mirror) = &url else { panic!("{url:?}") };
        assert_eq!(mirror.second, parse("s3://logs/x?region=eu-1&endpoint=https://s3.example.org").unwrap());
        assert_eq!(url.to_string(), "mirror:?first=/a&second=s3://logs/x");
        let local = parse("tiered:?local=s3://a&remote=s3://b").unwrap_err();
        assert!(local.to_string().contains("it is a directory"), "{local}");
    }

    #[tokio::test]
    async fn a_mirror_of_which_one_directory_is_lost_is_read_and_not_written() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name).display().to_string();
        let url = parse(&format!("mirror:?first={}&second={}", at("a"), at("b"))).unwrap();
        assert!(url.open().is_err());
        let path = ObjectPath::new("namespaces/x/segments/1").unwrap();
        url.create().unwrap().put_new(None, &path, vec![7].into()).await.unwrap();
        std::fs::remove_dir_all(root.path().join("a")).unwrap();
        let store = url.open().unwrap();
        assert_eq!(store.get(None, &path, ByteRange::Full).await.unwrap(), vec![7]);
        let other = ObjectPath::new("namespaces/x/segments/2").unwrap();
        let put = store.put_new(None, &other, vec![7].into()).await;
        assert!(matches!(put, Err(Error::Unavailable { .. })), "{put:?}");
    }
}
