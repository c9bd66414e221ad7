//! A local directory as a store.
//!
//! Invariants:
//!
//! - an object is one file under its own path; it appears whole, with its name and content durable, or not at all;
//! - a name is taken with a hard link, which fails if it exists: creating is atomic, also between processes;
//! - files whose names begin with `.` are unfinished objects; they are never listed;
//! - nothing outside the directory is read or written, whatever links stand in it.
//!
//! It needs a file system with hard links. A failed sync makes the outcome of that call an error; it is not
//! retried.

mod leftovers;
mod listing;
mod put;

use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use walkeep_core::{
    Backend, Body, ByteRange, Directory, Error, Leftovers, ObjectMeta, ObjectPath, Random, Result, UnixMillis,
};

use self::put::DurableDirectories;
use crate::blocking::blocking;
use crate::os::{OsDirectory, SystemRandom};

/// A directory that holds objects, held open.
#[derive(Clone)]
pub struct FsConfig {
    name: PathBuf,
    directory: Arc<dyn Directory>,
    durable: Arc<DurableDirectories>,
}

impl FsConfig {
    /// A directory of the machine that exists.
    ///
    /// # Errors
    ///
    /// `NotFound` when there is no such directory; `Unavailable` when it cannot be opened.
    pub fn open(path: &Path) -> Result<Self> {
        match OsDirectory::open(path) {
            Ok(directory) => Ok(Self::on(path, Arc::new(directory))),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound) => {
                Err(Error::not_found(format!("the store directory {}", path.display())))
            }
            Err(error) => {
                Err(Error::unavailable(format!("open the store directory {}", path.display()), error))
            }
        }
    }

    /// A directory of the machine, created if it is missing.
    ///
    /// # Errors
    ///
    /// `Unavailable` when it cannot be created or opened.
    pub fn create(path: &Path) -> Result<Self> {
        let directory = OsDirectory::create(path).map_err(|error| {
            Error::unavailable(format!("create the store directory {}", path.display()), error)
        })?;
        Ok(Self::on(path, Arc::new(directory)))
    }

    /// Any [`Directory`]; `name` is for messages.
    pub fn on(name: impl Into<PathBuf>, directory: Arc<dyn Directory>) -> Self {
        Self { name: name.into(), directory, durable: Arc::default() }
    }
}

impl fmt::Debug for FsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FsConfig({})", self.name.display())
    }
}

/// A local directory as a [`Backend`].
///
/// Calls must be made in a tokio runtime: file I/O is done on its blocking threads.
#[derive(Debug)]
pub struct Fs {
    config: FsConfig,
    random: Arc<dyn Random>,
}

impl Fs {
    /// A store in this directory by default.
    #[must_use]
    pub fn new(config: FsConfig) -> Self {
        Self::with_random(config, Arc::new(SystemRandom))
    }

    /// As [`Fs::new`], with the source of randomness for names of unfinished files.
    #[must_use]
    pub fn with_random(config: FsConfig, random: Arc<dyn Random>) -> Self {
        Self { config, random }
    }

    fn config(&self, config: Option<&FsConfig>) -> FsConfig {
        config.unwrap_or(&self.config).clone()
    }
}

fn unavailable(what: &str, path: &ObjectPath, error: std::io::Error) -> Error {
    match Error::io("", error) {
        Error::Io { source, .. } => Error::unavailable(format!("{what} {path}: {source}"), source),
        full => Error::Exhausted { what: format!("{what} {path}{full}") },
    }
}

fn read(config: &FsConfig, path: &ObjectPath, range: &ByteRange) -> Result<Bytes> {
    let failed = |error: std::io::Error| match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => Error::not_found(path.as_str()),
        _ => unavailable("read", path, error),
    };
    let file = config.directory.open(Path::new(path.as_str())).map_err(failed)?;
    let range = range.resolve(file.len().map_err(failed)?);
    let len = usize::try_from(range.end - range.start)
        .map_err(|_| Error::Exhausted { what: format!("{path} is larger than memory") })?;
    let mut bytes = vec![0; len];
    let count = file.read_at(range.start, &mut bytes).map_err(failed)?;
    bytes.truncate(count);
    Ok(bytes.into())
}

fn delete(config: &FsConfig, paths: &[ObjectPath]) -> Result<()> {
    let mut parents = std::collections::BTreeSet::new();
    for path in paths {
        let file = Path::new(path.as_str());
        match config.directory.remove_file(file) {
            Ok(()) => drop(parents.insert(file.parent().unwrap_or(Path::new("")))),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {}
            Err(error) => return Err(unavailable("delete", path, error)),
        }
    }
    for parent in parents {
        config.durable.sync(&*config.directory, parent).map_err(|error| Error::Unknown {
            what: format!("sync {} after deleting in it: {error}", parent.display()),
        })?;
    }
    Ok(())
}

#[async_trait]
impl Backend for Fs {
    type Config = FsConfig;

    fn default_config(&self) -> FsConfig {
        self.config.clone()
    }

    async fn put_new(&self, config: Option<&FsConfig>, path: &ObjectPath, body: Body) -> Result<()> {
        let (config, path, random) = (self.config(config), path.clone(), Arc::clone(&self.random));
        blocking(move || put::put_new(&*config.directory, &config.durable, &*random, &path, &body)).await
    }

    async fn get(&self, config: Option<&FsConfig>, path: &ObjectPath, range: ByteRange) -> Result<Bytes> {
        let (config, path) = (self.config(config), path.clone());
        blocking(move || read(&config, &path, &range)).await
    }

    fn list<'a>(
        &'a self,
        config: Option<&'a FsConfig>,
        prefix: &'a ObjectPath,
        after: Option<&'a ObjectPath>,
        limit: usize,
    ) -> BoxStream<'a, Result<ObjectMeta>> {
        let (config, prefix, after) = (self.config(config), prefix.clone(), after.cloned());
        let listing = blocking(move || listing::objects(&*config.directory, &prefix, after.as_ref(), limit));
        stream::once(listing).flat_map(flatten).boxed()
    }

    fn list_directories<'a>(
        &'a self,
        config: Option<&'a FsConfig>,
        prefix: &'a ObjectPath,
        after: Option<&'a str>,
        limit: usize,
    ) -> BoxStream<'a, Result<String>> {
        let (config, prefix, after) = (self.config(config), prefix.clone(), after.map(str::to_string));
        let listing =
            blocking(move || listing::directories(&*config.directory, &prefix, after.as_deref(), limit));
        stream::once(listing).flat_map(flatten).boxed()
    }

    async fn delete(&self, config: Option<&FsConfig>, paths: &[ObjectPath]) -> Result<()> {
        let (config, paths) = (self.config(config), paths.to_vec());
        blocking(move || delete(&config, &paths)).await
    }

    async fn leftovers(
        &self,
        config: Option<&FsConfig>,
        prefix: &ObjectPath,
        before: UnixMillis,
        delete: bool,
    ) -> Result<Leftovers> {
        let (config, prefix) = (self.config(config), prefix.clone());
        blocking(move || leftovers::leftovers(&*config.directory, &prefix, before, delete)).await
    }
}

fn flatten<T: Send + 'static>(listing: Result<Vec<T>>) -> BoxStream<'static, Result<T>> {
    match listing {
        Ok(items) => stream::iter(items.into_iter().map(Ok)).boxed(),
        Err(error) => stream::iter([Err(error)]).boxed(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backend() -> (tempfile::TempDir, Fs) {
        let root = tempfile::tempdir().unwrap();
        let fs = Fs::new(FsConfig::open(root.path()).unwrap());
        (root, fs)
    }

    #[tokio::test]
    async fn it_conforms() {
        let (_root, fs) = backend();
        walkeep_core::conformance::everything(&fs, None).await;
        let other = tempfile::tempdir().unwrap();
        let config = FsConfig::create(&other.path().join("new")).unwrap();
        walkeep_core::conformance::everything(&fs, Some(&config)).await;
    }

    #[tokio::test]
    #[expect(clippy::disallowed_methods, reason = "files that nobody wrote as objects")]
    async fn what_a_killed_put_left_is_removed_when_it_is_old_and_nothing_else_is() {
        let (root, fs) = backend();
        let path = ObjectPath::new("a/b/c").unwrap();
        fs.put_new(None, &path, Body::from(b"x".to_vec())).await.unwrap();
        for name in ["a/b/.tmp-1", "a/.tmp-2", "a/.other", ".tmp-3"] {
            std::fs::write(root.path().join(name), "12345").unwrap();
        }
        std::fs::write(root.path().join("a/b/.tmp-new"), "1").unwrap();
        let at = |seconds| std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
        for (name, seconds) in [("a/b/.tmp-1", 10), ("a/.tmp-2", 20), ("a/.other", 10), (".tmp-3", 10)] {
            std::fs::File::open(root.path().join(name)).unwrap().set_modified(at(seconds)).unwrap();
        }
        let prefix = ObjectPath::new("a").unwrap();
        let two = Leftovers { count: 2, bytes: 10 };
        for (before, expected) in
            [(10_000, Leftovers::default()), (20_000, Leftovers { count: 1, bytes: 5 }), (30_000, two)]
        {
            assert_eq!(fs.leftovers(None, &prefix, UnixMillis(before), false).await.unwrap(), expected);
        }
        assert_eq!(fs.leftovers(None, &prefix, UnixMillis(30_000), true).await.unwrap(), two);
        let left = |name: &str| root.path().join(name).exists();
        assert!(left("a/b/c") && left("a/.other") && left(".tmp-3") && left("a/b/.tmp-new"));
        assert!(!left("a/b/.tmp-1") && !left("a/.tmp-2"));
        let missing = ObjectPath::new("nowhere").unwrap();
        assert_eq!(
            fs.leftovers(None, &missing, UnixMillis(30_000), true).await.unwrap(),
            Leftovers::default()
        );
    }

    #[tokio::test]
    async fn unfinished_and_hidden_files_are_not_objects() {
        let (root, fs) = backend();
        let path = ObjectPath::new("a/b").unwrap();
        fs.put_new(None, &path, Body::from(b"x".to_vec())).await.unwrap();
        FsConfig::open(&root.path().join("a")).unwrap().directory.create_new(Path::new(".tmp-1")).unwrap();
        let prefix = ObjectPath::new("a").unwrap();
        let listed = fs.list(None, &prefix, None, 10).collect::<Vec<_>>().await;
        assert_eq!(listed.len(), 1);
    }

    /// A page that is shorter than its limit says that there is no more.
    #[tokio::test]
    async fn names_that_are_no_keys_do_not_shorten_a_page() {
        let (root, fs) = backend();
        for name in ["a/1", "a/2", "a/3"] {
            fs.put_new(None, &ObjectPath::new(name).unwrap(), Body::from(b"x".to_vec())).await.unwrap();
        }
        let folder = OsDirectory::open(&root.path().join("a")).unwrap();
        for foreign in ["0\\x", "0\u{1}", ".0"] {
            folder.create_new(Path::new(foreign)).unwrap();
        }
        let prefix = ObjectPath::new("a").unwrap();
        for limit in 1..=3 {
            let listed = fs.list(None, &prefix, None, limit).count().await;
            assert_eq!(listed, limit);
        }
    }

    #[tokio::test]
    async fn a_put_leaves_nothing_but_the_object() {
        let (root, fs) = backend();
        let path = ObjectPath::new("a/b").unwrap();
        for _ in 0..2 {
            let _ = fs.put_new(None, &path, Body::from(b"x".to_vec())).await;
        }
        let names = OsDirectory::open(&root.path().join("a")).unwrap().entries(Path::new("")).unwrap();
        assert_eq!(names.iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>(), ["b"]);
    }

    #[tokio::test]
    async fn a_missing_store_directory_is_not_found() {
        let root = tempfile::tempdir().unwrap();
        let error = FsConfig::open(&root.path().join("none")).unwrap_err();
        assert!(matches!(error, Error::NotFound { .. }), "{error}");
    }
}
