//! Parts of remote objects on local disk, so that indexes and blocks that are read again need no request.
//!
//! Invariants:
//!
//! - **an answer is what the remote store has, or none is given**: a file counts only if its checksum holds and it says
//!   that it is this part of this object of this store, in the version that a listing told of. Anything else is a miss, and
//!   is removed;
//! - what came from the remote store only once is not answered from: it is fetched again, and kept for good if both
//!   agree. So a bit that flipped on the way does not come back for ever;
//! - no file is needed: a cache that is gone, full, cut short by a crash or in use by another process costs requests
//!   and nothing else. So nothing is synced, and no error of it is an error of a read;
//! - it takes at most the bytes it may, as this process counts them: what was not used for longest goes first.

mod entry;
mod index;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use walkeep_core::files::EntryKind;
use walkeep_core::{Directory, ObjectMeta, ObjectPath};

use self::entry::Identity;
use self::index::Index;
use super::options::CacheOptions;

/// Objects are kept in parts of this size.
pub(super) const PART: u64 = 64 << 10;
/// Files whose content came once, and not yet twice.
const ONCE: &str = ".once";
const UNFINISHED: &str = ".tmp";
/// Versions of more objects are forgotten, all at once: they are not cached until a listing tells of them again.
const VERSIONS_MAX: usize = 100_000;

/// What a listing says about an object: one that was made anew under its name has another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Version {
    pub(super) size: u64,
    /// In milliseconds; 0 where the store does not say.
    pub(super) modified: u64,
}

/// What the cache has of a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Held {
    /// The part.
    Part(Bytes),
    /// It must be fetched.
    Nothing,
}

/// How useful the cache is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheStatus {
    /// Parts that were answered from it.
    pub hits: u64,
    /// Parts that were fetched.
    pub misses: u64,
    /// Files that were damaged, cut short or of something else.
    pub discarded: u64,
    /// Bytes that it takes.
    pub bytes: u64,
}

/// The cache.
#[derive(Debug)]
pub(super) struct Cache {
    directory: Arc<dyn Directory>,
    store: String,
    bytes_max: u64,
    versions: Mutex<BTreeMap<ObjectPath, Version>>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Read from the directory when it is first needed.
    index: Option<Index>,
    status: CacheStatus,
    /// Tells unfinished files apart.
    written: u64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Files lie in folders by the first two letters of their names.
fn place(name: &str) -> PathBuf {
    Path::new(name.get(..2).unwrap_or_default()).join(name)
}

impl Cache {
    pub(super) fn new(options: CacheOptions) -> Self {
        let CacheOptions { directory, store, bytes_max } = options;
        Self { directory, store, bytes_max, versions: Mutex::default(), state: Mutex::default() }
    }

    pub(super) fn status(&self) -> CacheStatus {
        let state = lock(&self.state);
        let bytes = state.index.as_ref().map_or(0, Index::bytes);
        CacheStatus { bytes, ..state.status }
    }

    /// A listing of the remote store told of an object.
    pub(super) fn saw(&self, object: &ObjectMeta) {
        let version = Version { size: object.size, modified: object.modified.map_or(0, |time| time.get()) };
        let mut versions = lock(&self.versions);
        if versions.len() >= VERSIONS_MAX && !versions.contains_key(&object.path) {
            versions.clear();
        }
        versions.insert(object.path.clone(), version);
    }

    /// What listings told of an object last.
    pub(super) fn version(&self, path: &ObjectPath) -> Option<Version> {
        lock(&self.versions).get(path).copied()
    }

    /// Objects are being deleted: what is cached of them is never asked for again.
    pub(super) fn forget(&self, paths: &[ObjectPath]) {
        let mut versions = lock(&self.versions);
        for path in paths {
            versions.remove(path);
        }
    }

    fn identity(&self, path: &ObjectPath, version: Version, part: u64) -> Identity {
        let len = PART.min(version.size.saturating_sub(part * PART));
        // A part has at most 64 KiB.
        Identity::new(&self.store, path, version, part, usize::try_from(len).unwrap_or(usize::MAX))
    }

    /// A part, if it is there and came twice. This does file I/O.
    pub(super) fn get(&self, path: &ObjectPath, version: Version, part: u64) -> Held {
        let identity = self.identity(path, version, part);
        let name = identity.name();
        if !self.with_index(|index| index.has(&name)) {
            lock(&self.state).status.misses += 1;
            return Held::Nothing;
        }
        let read = self.read(&name).ok().and_then(|bytes| entry::decode(&identity, bytes));
        let mut state = lock(&self.state);
        match read {
            Some(bytes) => {
                state.status.hits += 1;
                if let Some(index) = &mut state.index {
                    index.touch(&name);
                }
                Held::Part(bytes)
            }
            None => {
                state.status.misses += 1;
                state.status.discarded += 1;
                drop(state);
                self.discard(&name);
                Held::Nothing
            }
        }
    }

    /// A part came from the remote store. This does file I/O; what fails is not kept.
    pub(super) fn put(&self, path: &ObjectPath, version: Version, part: u64, bytes: &[u8]) {
        let identity = self.identity(path, version, part);
        let name = identity.name();
        let once = format!("{name}{ONCE}");
        let content = entry::encode(&identity, bytes);
        let size = content.len() as u64;
        if size > self.bytes_max || self.with_index(|index| index.has(&name)) {
            return;
        }
        // What stands there counts only if it is the very same.
        let again = self.with_index(|index| index.has(&once))
            && self.read(&once).is_ok_and(|known| known == content.as_slice());
        let kept = if again {
            self.directory.rename(&place(&once), &place(&name)).map(|()| &name)
        } else {
            self.write(&once, &content).map(|()| &once)
        };
        match kept {
            Ok(kept) => {
                let old = self.with_index(|index| {
                    index.remove(&once);
                    index.insert(kept, size);
                    let over = |index: &Index| index.bytes() > self.bytes_max;
                    std::iter::from_fn(|| over(index).then(|| index.pop_oldest())?).collect::<Vec<_>>()
                });
                for name in old {
                    self.discard(&name);
                }
            }
            Err(error) => {
                tracing::debug!(name, %error, "a part of an object is not cached");
                self.discard(&once);
            }
        }
    }

    fn read(&self, name: &str) -> io::Result<Bytes> {
        let file = self.directory.open(&place(name))?;
        // No entry is much longer than a part.
        let len = file.len()?.min(PART * 2);
        let mut bytes = vec![0; usize::try_from(len).unwrap_or_default()];
        let count = file.read_at(0, &mut bytes)?;
        bytes.truncate(count);
        Ok(bytes.into())
    }

    fn write(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let written = {
            let mut state = lock(&self.state);
            state.written += 1;
            state.written
        };
        let unfinished = place(&format!("{name}{written}{UNFINISHED}"));
        if let Some(folder) = unfinished.parent() {
            self.directory.create_directories(folder)?;
        }
        // Left by a process that ended here, or being written by another one: then that one has it.
        let _ = self.directory.remove_file(&unfinished);
        let done = self
            .directory
            .create_new(&unfinished)
            .and_then(|file| file.write_all_at(0, content))
            .and_then(|()| self.directory.rename(&unfinished, &place(name)));
        if done.is_err() {
            let _ = self.directory.remove_file(&unfinished);
        }
        done
    }

    fn discard(&self, name: &str) {
        if let Some(index) = &mut lock(&self.state).index {
            index.remove(name);
        }
        match self.directory.remove_file(&place(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::debug!(name, %error, "a file of the cache stays");
            }
            _ => {}
        }
    }

    fn with_index<T>(&self, work: impl FnOnce(&mut Index) -> T) -> T {
        let mut state = lock(&self.state);
        work(state.index.get_or_insert_with(|| self.load()))
    }

    /// Finds out what is there, from an earlier run; the oldest files first. Unfinished ones are removed.
    fn load(&self) -> Index {
        let mut found = Vec::new();
        let folders = self.directory.entries(Path::new("")).unwrap_or_default();
        for folder in folders.into_iter().filter(|folder| folder.kind == EntryKind::Directory) {
            let folder = PathBuf::from(folder.name);
            for file in self.directory.entries(&folder).unwrap_or_default() {
                let path = folder.join(&file.name);
                if file.name.ends_with(UNFINISHED) {
                    let _ = self.directory.remove_file(&path);
                } else if file.kind == EntryKind::File
                    && place(&file.name) == path
                    && let Ok(Some(metadata)) = self.directory.metadata(&path)
                {
                    found.push((metadata.modified, file.name, metadata.len));
                }
            }
        }
        found.sort();
        let mut index = Index::default();
        for (_, name, size) in found {
            index.insert(&name, size);
        }
        index
    }
}
