//! SQLite's shared lock on a database file, taken directly, and questions about its other locks.
//!
//! While it is held nobody gets the exclusive lock: in rollback mode no page is written, and in WAL mode the last
//! connection to close cannot remove the log and the `-shm`.
//!
//! Source: the comments on file locking in SQLite's `os_unix.c` (places and lengths of the lock bytes).

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, PoisonError};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

/// Where the bytes begin that a shared lock covers, and how many there are.
const SHARED: (i64, i64) = ((1 << 30) + 2, 510);

/// The byte that a writer locks when it waits for the readers to leave. Who takes a shared lock passes it.
const PENDING: (i64, i64) = (1 << 30, 1);

/// The byte that a writer in rollback mode has locked from its first change to its last.
const RESERVED: (i64, i64) = ((1 << 30) + 1, 1);

/// Who holds a shared lock: all on one file share its only descriptor, whose lock is one.
static HOLDERS: Mutex<Vec<Arc<File>>> = Mutex::new(Vec::new());

/// The byte of a `-shm` file that every connection holds a shared lock on while it has the file open.
const SHM_LIVE: (i64, i64) = (128, 1);

/// The byte of a `-shm` file that a writer has locked from its first frame until its commit is visible.
const SHM_WRITE: (i64, i64) = (120, 1);

/// The byte of a `-shm` file that a connection has locked while it checkpoints.
const SHM_CHECKPOINT: (i64, i64) = (121, 1);

fn lock_of(kind: libc::c_int, (start, len): (i64, i64)) -> libc::flock {
    libc::flock {
        l_type: i16::try_from(kind).unwrap_or_default(),
        l_whence: i16::try_from(libc::SEEK_SET).unwrap_or_default(),
        l_start: start,
        l_len: len,
        l_pid: 0,
    }
}

/// SQLite's shared lock on a database file, as an open file description lock: it conflicts with the locks of
/// SQLite in other processes and in this one, and does not touch them.
#[derive(Debug)]
pub(crate) struct SharedLock(Arc<File>);

impl SharedLock {
    /// Takes the lock; `None` while a writer holds the file exclusively, or is about to.
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub(crate) fn try_acquire(file: &Arc<File>) -> io::Result<Option<Self>> {
        let mut holders = HOLDERS.lock().unwrap_or_else(PoisonError::into_inner);
        if !set(file, libc::F_RDLCK, PENDING)? {
            return Ok(None);
        }
        let taken = set(file, libc::F_RDLCK, SHARED);
        set(file, libc::F_UNLCK, PENDING)?;
        if !taken? {
            return Ok(None);
        }
        holders.push(Arc::clone(file));
        Ok(Some(Self(Arc::clone(file))))
    }

    /// Whether a writer in rollback mode has begun a transaction.
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub(crate) fn is_reserved(&self) -> io::Result<bool> {
        is_locked(&self.0, RESERVED)
    }
}

/// Sets or removes a lock of the open file description; `false` when another's is in the way.
fn set(file: &File, kind: libc::c_int, range: (i64, i64)) -> io::Result<bool> {
    taken(fcntl(file.as_fd(), FcntlArg::F_OFD_SETLK(&lock_of(kind, range))))
}

/// Whether anybody else has a lock on a range.
fn is_locked(file: &File, range: (i64, i64)) -> io::Result<bool> {
    let mut probe = lock_of(libc::F_WRLCK, range);
    fcntl(file.as_fd(), FcntlArg::F_OFD_GETLK(&mut probe))?;
    Ok(i32::from(probe.l_type) != libc::F_UNLCK)
}

impl Drop for SharedLock {
    fn drop(&mut self) {
        let mut holders = HOLDERS.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = holders.iter().position(|held| Arc::ptr_eq(held, &self.0)) {
            holders.swap_remove(at);
        }
        if holders.iter().any(|held| Arc::ptr_eq(held, &self.0)) {
            return;
        }
        // The descriptor stays open for ever: the lock must be given back by name.
        if let Err(error) = set(&self.0, libc::F_UNLCK, SHARED) {
            tracing::warn!(%error, "a shared lock could not be given back");
        }
    }
}

/// Whether any connection, in any process, has this `-shm` file open.
///
/// # Errors
///
/// The operating system's.
pub(crate) fn is_live(shm: &File) -> io::Result<bool> {
    is_locked(shm, SHM_LIVE)
}

/// Whether anybody writes to the log of this `-shm` file. When nobody does, every commit is visible.
///
/// # Errors
///
/// The operating system's.
pub(crate) fn is_written(shm: &File) -> io::Result<bool> {
    is_locked(shm, SHM_WRITE)
}

/// Takes the lock of checkpoints for this process, also when a connection of this process has it; `false` when one of
/// another process has it. The file must be open for writing.
///
/// # Errors
///
/// The operating system's.
pub(crate) fn try_lock_checkpoints(shm: &File) -> io::Result<bool> {
    set_for_process(shm, libc::F_WRLCK, SHM_CHECKPOINT)
}

/// Gives back what [`try_lock_checkpoints`] took.
///
/// # Errors
///
/// The operating system's.
pub(crate) fn unlock_checkpoints(shm: &File) -> io::Result<()> {
    set_for_process(shm, libc::F_UNLCK, SHM_CHECKPOINT).map(|_| ())
}

/// Sets or removes a lock of this process; `false` when another process's is in the way.
fn set_for_process(file: &File, kind: libc::c_int, range: (i64, i64)) -> io::Result<bool> {
    taken(fcntl(file.as_fd(), FcntlArg::F_SETLK(&lock_of(kind, range))))
}

fn taken(answer: nix::Result<libc::c_int>) -> io::Result<bool> {
    match answer {
        Ok(_) => Ok(true),
        Err(Errno::EAGAIN | Errno::EACCES) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
