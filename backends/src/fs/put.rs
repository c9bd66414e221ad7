//! Creating an object as a file: written under a hidden name, synced, linked to its own name, and the directory
//! synced.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use walkeep_core::files::{Directory, File};
use walkeep_core::{Body, BodySource, Error, ObjectPath, Random, Result};

use super::unavailable;

const CHUNK: usize = 1 << 20;

/// How the names of files begin that are not finished.
pub(super) const HIDDEN_PREFIX: &str = ".tmp-";

/// Creates an object, whole and durable or not at all; `Unknown` when it is there but perhaps not durably.
pub(super) fn put_new(
    directory: &dyn Directory,
    durable: &DurableDirectories,
    random: &dyn Random,
    path: &ObjectPath,
    body: &Body,
) -> Result<()> {
    let target = Path::new(path.as_str());
    let parent = target.parent().unwrap_or(Path::new(""));
    durable.ensure(directory, parent).map_err(|error| unavailable("create the directory of", path, error))?;
    let mut suffix = [0; 8];
    random.fill(&mut suffix)?;
    let hidden = parent.join(format!("{HIDDEN_PREFIX}{:016x}", u64::from_le_bytes(suffix)));

    let linked = write_synced(directory, &hidden, body)
        .map_err(|error| unavailable("write", path, error))
        .and_then(|()| directory.hard_link(&hidden, target).map_err(|error| link_failed(path, error)));
    // The hidden name has done its work, whatever came of it; a name that cannot be removed is never listed.
    if let Err(error) = directory.remove_file(&hidden) {
        tracing::debug!(file = %hidden.display(), %error, "an unfinished file stays behind");
    }
    match linked {
        // Whoever created it may have stopped, or failed, before its name was durable: that it exists must not be
        // taken for that it stays.
        Ok(()) | Err(Error::AlreadyExists { .. }) => {
            durable.sync(directory, parent).map_err(|error| Error::Unknown {
                what: format!(
                    "{path} exists, but syncing its directory failed ({error}): a power loss may undo it"
                ),
            })?
        }
        Err(_) => {}
    }
    linked
}

fn link_failed(path: &ObjectPath, error: io::Error) -> Error {
    match error.kind() {
        ErrorKind::AlreadyExists => Error::AlreadyExists { what: path.to_string() },
        ErrorKind::Unsupported | ErrorKind::PermissionDenied => Error::invalid(
            format!("the directory of {path} as a store"),
            format!("a store needs a file system with hard links ({error})"),
        ),
        _ => unavailable("create", path, error),
    }
}

/// The directories that this process knows to be durable.
///
/// That a directory exists says nothing: another process, or an earlier run, may have created it and stopped before
/// its name was synced. So each is synced once by every process that relies on it.
///
/// A failed sync is final: what it covered may be lost although a later one succeeds. So a directory whose sync
/// failed is not synced again, and nothing in it is reported durable until the store is opened anew. Of two syncs of a
/// directory at once one may fail and the other succeed, so that they take turns: the second knows of the first.
#[derive(Debug, Default)]
pub(super) struct DurableDirectories {
    synced: Mutex<BTreeSet<PathBuf>>,
    turns: Mutex<BTreeMap<PathBuf, Arc<Mutex<Turn>>>>,
}

/// What became of the syncs of a directory so far.
#[derive(Debug, Default)]
struct Turn {
    failed: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl DurableDirectories {
    /// Makes the names in a directory durable.
    pub(super) fn sync(&self, directory: &dyn Directory, path: &Path) -> io::Result<()> {
        let turn = Arc::clone(lock(&self.turns).entry(path.to_path_buf()).or_default());
        let mut turn = lock(&turn);
        if turn.failed {
            return Err(io::Error::other("an earlier sync failed; open the store anew"));
        }
        let synced = directory.sync_directory(path);
        turn.failed = synced.is_err();
        synced
    }

    /// Creates the missing directories above an object, each made durable in the one above it.
    fn ensure(&self, directory: &dyn Directory, parent: &Path) -> io::Result<()> {
        if parent.as_os_str().is_empty() || lock(&self.synced).contains(parent) {
            return Ok(());
        }
        let above = parent.parent().unwrap_or(Path::new(""));
        self.ensure(directory, above)?;
        directory.create_directories(parent)?;
        self.sync(directory, above)?;
        lock(&self.synced).insert(parent.to_path_buf());
        Ok(())
    }
}

fn write_synced(directory: &dyn Directory, hidden: &Path, body: &Body) -> io::Result<()> {
    let file = directory.create_new(hidden)?;
    match body {
        Body::Bytes(bytes) => file.write_all_at(0, bytes)?,
        Body::Source(source) => copy(&**source, &*file)?,
    }
    file.sync()
}

fn copy(source: &dyn BodySource, file: &dyn File) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK];
    let mut offset = 0;
    while offset < source.len() {
        let len = usize::try_from(source.len() - offset).unwrap_or(CHUNK).min(CHUNK);
        let bytes = chunk.get_mut(..len).unwrap_or_default();
        source.read_exact_at(offset, bytes)?;
        file.write_all_at(offset, bytes)?;
        offset += len as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use walkeep_core::files::{Entry, Metadata};

    use super::*;

    /// A directory of which the first sync takes its time and fails; the others succeed.
    #[derive(Debug, Default)]
    struct FailsOnce {
        begun: AtomicUsize,
    }

    fn not_here<T>() -> io::Result<T> {
        Err(ErrorKind::Unsupported.into())
    }

    impl Directory for FailsOnce {
        fn open(&self, _: &Path) -> io::Result<Box<dyn File>> {
            not_here()
        }
        fn create_new(&self, _: &Path) -> io::Result<Box<dyn File>> {
            not_here()
        }
        fn copy_new(&self, _: &Path, _: &Path) -> io::Result<Box<dyn File>> {
            not_here()
        }
        fn hard_link(&self, _: &Path, _: &Path) -> io::Result<()> {
            not_here()
        }
        fn rename(&self, _: &Path, _: &Path) -> io::Result<()> {
            not_here()
        }
        fn remove_file(&self, _: &Path) -> io::Result<()> {
            not_here()
        }
        fn create_directories(&self, _: &Path) -> io::Result<()> {
            not_here()
        }
        fn entries(&self, _: &Path) -> io::Result<Vec<Entry>> {
            not_here()
        }
        fn metadata(&self, _: &Path) -> io::Result<Option<Metadata>> {
            not_here()
        }
        fn sync_directory(&self, _: &Path) -> io::Result<()> {
            if self.begun.fetch_add(1, Ordering::SeqCst) > 0 {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(200));
            Err(io::Error::other("the disk is broken"))
        }
        fn free_bytes(&self) -> io::Result<Option<u64>> {
            not_here()
        }
    }

    #[test]
    fn a_sync_beside_one_that_fails_is_not_taken_for_a_success() {
        let (durable, directory) = (DurableDirectories::default(), FailsOnce::default());
        let sync = || durable.sync(&directory, Path::new("d"));
        std::thread::scope(|scope| {
            let first = scope.spawn(sync);
            while directory.begun.load(Ordering::SeqCst) == 0 {
                std::thread::yield_now();
            }
            assert!(sync().is_err(), "what the first one should have made durable may be lost");
            assert!(first.join().unwrap().is_err());
        });
        assert!(durable.sync(&directory, Path::new("e")).is_ok(), "other directories are not concerned");
    }
}
