//! A directory with a *live* and a *durable* image, that can crash or fail at any operation.
//!
//! Fault model: data is durable after a sync of its file, a name after a sync of its directory. In a crash each name
//! that is not durable is there or not, and data that is not durable is there, is zeros (or what stood there before), or is
//! missing, sector by sector, as a seed decides. Once crashed, every operation fails. What a failed sync should have made durable stays as it was for good:
//! a later sync that succeeds does not help.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use walkeep::core::files::{Directory, Entry, EntryKind, File, FileStamp, Metadata};

use crate::handles::SeededRandom;

type Inode = u64;

#[derive(Clone, Debug, Default)]
struct Content {
    live: Vec<u8>,
    durable: Vec<u8>,
    lost: bool,
    /// How often it was written to.
    writes: u64,
    /// Which open file has it locked.
    locked_by: Option<u64>,
}

/// What has the names: files by inode; a directory is a name without one.
type Names = BTreeMap<PathBuf, Option<Inode>>;

#[derive(Debug, Default)]
struct State {
    files: BTreeMap<Inode, Content>,
    live: Names,
    durable: Names,
    lost: BTreeSet<PathBuf>,
    /// Directories that changed their names, which is not durable yet.
    exchanged: Vec<(PathBuf, PathBuf)>,
    next_inode: Inode,
    handles: u64,
    operations: u64,
    crash_at: Option<u64>,
    fail_at: Option<(u64, ErrorKind)>,
    crashed: bool,
}

/// A simulated directory. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct SimDirectory(Arc<Mutex<State>>);

impl SimDirectory {
    /// An empty directory.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Crashes before the operation with this number, counted from 1 and from the last such call.
    pub fn crash_at(&self, operation: u64) {
        let mut state = self.0.lock().unwrap();
        (state.operations, state.crash_at) = (0, Some(operation));
    }

    /// Fails the operation with this number and no other.
    pub fn fail_at(&self, operation: u64, kind: ErrorKind) {
        let mut state = self.0.lock().unwrap();
        (state.operations, state.fail_at) = (0, Some((operation, kind)));
    }

    /// How many operations there were since the last call of `crash_at` or `fail_at`.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.0.lock().unwrap().operations
    }

    /// The process ended where it crashed, but the machine goes on: nothing is lost yet.
    pub fn restart(&self) {
        let mut state = self.0.lock().unwrap();
        (state.crashed, state.crash_at, state.fail_at) = (false, None, None);
    }

    /// What is there after the power came back.
    #[must_use]
    pub fn after_crash(&self, seed: u64) -> Self {
        let random = SeededRandom::new(seed);
        let state = self.0.lock().unwrap();
        let (mut live, mut durable) = (state.live.clone(), state.durable.clone());
        // In one step: all names that it changed, or none.
        for (one, other) in state.exchanged.iter().rev() {
            exchange_names(if random.below(2) == 0 { &mut durable } else { &mut live }, one, other);
        }
        let mut names = durable.clone();
        for path in live.keys().chain(durable.keys()) {
            if live.get(path) != durable.get(path) && random.below(2) == 0 {
                match live.get(path) {
                    Some(name) => names.insert(path.clone(), *name),
                    None => names.remove(path),
                };
            }
        }
        // What lies in a directory that is gone is gone with it.
        let directories = names.iter().filter(|(_, inode)| inode.is_none()).map(|(path, _)| path.clone());
        let directories = directories.chain([PathBuf::new()]).collect::<BTreeSet<_>>();
        names.retain(|path, _| path.ancestors().skip(1).all(|above| directories.contains(above)));
        let files = state.files.iter().map(|(inode, content)| (*inode, content.after_crash(&random)));
        let files = files.collect();
        let recovered = State {
            files,
            live: names.clone(),
            durable: names,
            next_inode: state.next_inode,
            ..State::default()
        };
        Self(Arc::new(Mutex::new(recovered)))
    }

    /// The content of every file, by name.
    #[must_use]
    pub fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let state = self.0.lock().unwrap();
        let files = state.live.iter().filter_map(|(path, inode)| {
            Some((path.to_str()?.to_string(), state.files[inode.as_ref()?].live.clone()))
        });
        files.collect()
    }

    /// Puts a durable file there.
    pub fn put(&self, name: &str, content: &[u8]) {
        let mut state = self.0.lock().unwrap();
        let inode = state.next_inode;
        state.next_inode += 1;
        let content = Content {
            live: content.to_vec(),
            durable: content.to_vec(),
            lost: false,
            writes: 1,
            locked_by: None,
        };
        state.files.insert(inode, content);
        state.live.insert(name.into(), Some(inode));
        state.durable.insert(name.into(), Some(inode));
    }

    fn has_crashed(&self) -> bool {
        self.0.lock().unwrap().crashed
    }

    /// Another open file.
    fn handle(&self, inode: Inode) -> Box<dyn File> {
        let mut state = self.0.lock().unwrap();
        state.handles += 1;
        Box::new(SimFile { directory: self.clone(), inode, handle: state.handles })
    }

    fn operate<T>(&self, work: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.0.lock().unwrap();
        state.operations += 1;
        if state.crash_at == Some(state.operations) {
            state.crashed = true;
        }
        if state.crashed {
            return Err(io::Error::other("crashed"));
        }
        if let Some((_, kind)) = state.fail_at.filter(|(at, _)| *at == state.operations) {
            return Err(kind.into());
        }
        work(&mut state)
    }
}

/// What a disk writes at once, of a simulated disk: small, so that frames and pages tear.
const SECTOR: usize = 64;

impl Content {
    fn after_crash(&self, random: &SeededRandom) -> Self {
        let content = if self.live == self.durable {
            self.durable.clone()
        } else {
            let cut = self.live.len().min(self.durable.len());
            match random.below(5) {
                0 => self.live.clone(),
                1 => self.torn(|_| false),
                2 => {
                    let behind = (self.live.len() - cut) as u64;
                    self.live[..cut + usize::try_from(random.below(behind + 1)).unwrap()].to_vec()
                }
                3 => self.torn(|_| random.below(2) == 0),
                _ => self.durable.clone(),
            }
        };
        Self { live: content.clone(), durable: content, lost: false, writes: self.writes, locked_by: None }
    }

    /// As long as the live content: of each sector what was written last, or what was durable (zeros behind its end).
    fn torn(&self, mut written: impl FnMut(usize) -> bool) -> Vec<u8> {
        let mut content = self.durable.clone();
        content.resize(self.live.len(), 0);
        for (sector, (old, new)) in content.chunks_mut(SECTOR).zip(self.live.chunks(SECTOR)).enumerate() {
            if old != new && written(sector) {
                old.copy_from_slice(new);
            }
        }
        content
    }
}

impl State {
    fn inode(&self, path: &Path) -> io::Result<Inode> {
        self.live.get(path).copied().flatten().ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn unlock(&mut self, inode: Inode, handle: u64) {
        if let Some(content) = self.files.get_mut(&inode).filter(|file| file.locked_by == Some(handle)) {
            content.locked_by = None;
        }
    }

    fn has_directory(&self, path: &Path) -> bool {
        path.as_os_str().is_empty() || matches!(self.live.get(path), Some(None))
    }
}

/// Gives each of two directories the name of the other.
fn exchange_names(names: &mut Names, one: &Path, other: &Path) {
    let renamed = |path: &Path| {
        let under = |from: &Path, to: &Path| Some(to.join(path.strip_prefix(from).ok()?));
        under(one, other).or_else(|| under(other, one)).unwrap_or_else(|| path.to_path_buf())
    };
    *names = std::mem::take(names).into_iter().map(|(path, inode)| (renamed(&path), inode)).collect();
}

impl SimDirectory {
    /// Gives each of two directories in this one the name of the other, in one step. It is durable after a sync of this
    /// directory; until then it has happened wholly or not at all when the power comes back.
    ///
    /// # Errors
    ///
    /// `NotFound` when one of them is not there.
    pub fn exchange(&self, one: &Path, other: &Path) -> io::Result<()> {
        self.operate(|state| {
            if !state.has_directory(one) || !state.has_directory(other) {
                return Err(ErrorKind::NotFound.into());
            }
            exchange_names(&mut state.live, one, other);
            state.exchanged.push((one.into(), other.into()));
            Ok(())
        })
    }

    /// Removes an empty directory.
    ///
    /// # Errors
    ///
    /// `NotFound`; `DirectoryNotEmpty`.
    pub fn remove_directory(&self, path: &Path) -> io::Result<()> {
        self.operate(|state| {
            if !state.has_directory(path) {
                return Err(ErrorKind::NotFound.into());
            }
            if state.live.keys().any(|name| name.parent() == Some(path)) {
                return Err(ErrorKind::DirectoryNotEmpty.into());
            }
            state.live.remove(path);
            Ok(())
        })
    }
}

impl Directory for SimDirectory {
    fn open(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let inode = self.operate(|state| state.inode(path))?;
        Ok(self.handle(inode))
    }

    fn open_writable(&self, path: &Path) -> io::Result<Box<dyn File>> {
        self.open(path)
    }

    fn create_new(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let inode = self.operate(|state| {
            if state.live.contains_key(path) {
                return Err(ErrorKind::AlreadyExists.into());
            }
            if !state.has_directory(path.parent().unwrap()) {
                return Err(ErrorKind::NotFound.into());
            }
            let inode = state.next_inode;
            state.next_inode += 1;
            state.files.insert(inode, Content::default());
            state.live.insert(path.into(), Some(inode));
            Ok(inode)
        })?;
        Ok(self.handle(inode))
    }

    fn copy_new(&self, from: &Path, to: &Path) -> io::Result<Box<dyn File>> {
        let content = self.operate(|state| {
            let inode = state.inode(from)?;
            Ok(state.files[&inode].live.clone())
        })?;
        let copy = self.create_new(to)?;
        copy.write_all_at(0, &content)?;
        Ok(copy)
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.operate(|state| {
            let inode = state.inode(from)?;
            if state.live.contains_key(to) {
                return Err(ErrorKind::AlreadyExists.into());
            }
            state.live.insert(to.into(), Some(inode));
            Ok(())
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.operate(|state| {
            let inode = state.inode(from)?;
            state.live.remove(from);
            state.live.insert(to.into(), Some(inode));
            Ok(())
        })
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.operate(|state| {
            state.inode(path)?;
            state.live.remove(path);
            Ok(())
        })
    }

    fn create_directories(&self, path: &Path) -> io::Result<()> {
        self.operate(|state| {
            for ancestor in path.ancestors().filter(|ancestor| !ancestor.as_os_str().is_empty()) {
                state.live.entry(ancestor.into()).or_insert(None);
            }
            Ok(())
        })
    }

    fn entries(&self, path: &Path) -> io::Result<Vec<Entry>> {
        self.operate(|state| {
            if !state.has_directory(path) {
                return Err(ErrorKind::NotFound.into());
            }
            let below = state.live.iter().filter(|(name, _)| name.parent() == Some(path));
            let entries = below.map(|(name, inode)| Entry {
                name: name.file_name().unwrap().to_str().unwrap().to_string(),
                kind: if inode.is_some() { EntryKind::File } else { EntryKind::Directory },
            });
            Ok(entries.collect())
        })
    }

    fn metadata(&self, path: &Path) -> io::Result<Option<Metadata>> {
        self.operate(|state| {
            Ok(state.live.get(path).map(|inode| match inode {
                Some(inode) => {
                    let content = &state.files[inode];
                    let stamp = FileStamp(u128::from(*inode) << 64 | u128::from(content.writes));
                    Metadata { kind: EntryKind::File, len: content.live.len() as u64, stamp, modified: None }
                }
                None => Metadata { kind: EntryKind::Directory, len: 0, stamp: FileStamp(0), modified: None },
            }))
        })
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        let synced = self.operate(|state| {
            let State { live, durable, lost, exchanged, .. } = state;
            if path.as_os_str().is_empty() {
                exchanged.drain(..).for_each(|(one, other)| exchange_names(durable, &one, &other));
            }
            durable.retain(|name, _| name.parent() != Some(path) || lost.contains(name));
            let below = live.iter().filter(|(name, _)| name.parent() == Some(path) && !lost.contains(*name));
            durable.extend(below.map(|(name, inode)| (name.clone(), *inode)));
            Ok(())
        });
        if synced.is_err() && !self.has_crashed() {
            let State { live, durable, lost, .. } = &mut *self.0.lock().unwrap();
            let below = live.keys().chain(durable.keys()).filter(|name| name.parent() == Some(path));
            lost.extend(below.filter(|name| live.get(*name) != durable.get(*name)).cloned());
        }
        synced
    }

    fn free_bytes(&self) -> io::Result<Option<u64>> {
        self.operate(|_| Ok(None))
    }
}

#[derive(Debug)]
struct SimFile {
    directory: SimDirectory,
    inode: Inode,
    handle: u64,
}

impl Drop for SimFile {
    fn drop(&mut self) {
        // A test that fails may have left it locked in the middle of an operation.
        if let Ok(mut state) = self.directory.0.lock() {
            state.unlock(self.inode, self.handle);
        }
    }
}

impl SimFile {
    fn operate<T>(&self, work: impl FnOnce(&mut Content) -> T) -> io::Result<T> {
        self.directory.operate(|state| Ok(work(state.files.get_mut(&self.inode).unwrap())))
    }
}

impl File for SimFile {
    fn len(&self) -> io::Result<u64> {
        self.operate(|content| content.live.len() as u64)
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<usize> {
        self.operate(|content| {
            let start = usize::try_from(offset).unwrap().min(content.live.len());
            let len = bytes.len().min(content.live.len() - start);
            bytes[..len].copy_from_slice(&content.live[start..start + len]);
            len
        })
    }

    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.operate(|content| {
            let start = usize::try_from(offset).unwrap();
            content.writes += 1;
            content.live.resize(content.live.len().max(start + bytes.len()), 0);
            content.live[start..start + bytes.len()].copy_from_slice(bytes);
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.operate(|content| {
            content.writes += 1;
            content.live.resize(usize::try_from(len).unwrap(), 0);
        })
    }

    fn set_read_only(&self) -> io::Result<()> {
        self.operate(|content| content.writes += 1)
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        let synced = self.operate(|content| {
            if !content.lost {
                content.durable = content.live.clone();
            }
        });
        if synced.is_err() && !self.directory.has_crashed() {
            self.directory.0.lock().unwrap().files.get_mut(&self.inode).unwrap().lost = true;
        }
        synced
    }

    // Locks are the kernel's, not the disk's: they are no operations that could fail or crash.
    fn try_lock(&self) -> io::Result<bool> {
        let mut state = self.directory.0.lock().unwrap();
        let content = state.files.get_mut(&self.inode).unwrap();
        Ok(*content.locked_by.get_or_insert(self.handle) == self.handle)
    }

    fn unlock(&self) -> io::Result<()> {
        self.directory.0.lock().unwrap().unlock(self.inode, self.handle);
        Ok(())
    }
}
