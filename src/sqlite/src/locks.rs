//! SQLite's locks on a database that is at rest: one in WAL mode that no process has open.
//!
//! Opening such a database with SQLite would leave a `-wal` and a `-shm` behind. Instead the shared lock that every
//! connection holds on the database file is taken directly. While it is held, another process may open the database
//! and write, which shows: its `-shm` appears, and cannot disappear, since the last connection to close needs the
//! exclusive lock to remove it.
//!
//! Source: the comments on file locking in SQLite's `os_unix.c` (places and lengths of the lock bytes).

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

/// Where the bytes begin that a shared lock covers, and how many there are.
const SHARED: (i64, i64) = ((1 << 30) + 2, 510);

/// The byte of a `-shm` file that every connection holds a shared lock on while it has the file open.
const SHM_LIVE: (i64, i64) = (128, 1);

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
    /// Takes the lock; `None` while a writer holds the file exclusively.
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub(crate) fn try_acquire(file: &Arc<File>) -> io::Result<Option<Self>> {
        match fcntl(file.as_fd(), FcntlArg::F_OFD_SETLK(&lock_of(libc::F_RDLCK, SHARED))) {
            Ok(_) => Ok(Some(Self(Arc::clone(file)))),
            Err(Errno::EAGAIN | Errno::EACCES) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

impl Drop for SharedLock {
    fn drop(&mut self) {
        // The descriptor stays open for ever: the lock must be given back by name.
        if let Err(error) = fcntl(self.0.as_fd(), FcntlArg::F_OFD_SETLK(&lock_of(libc::F_UNLCK, SHARED))) {
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
    let mut probe = lock_of(libc::F_WRLCK, SHM_LIVE);
    fcntl(shm.as_fd(), FcntlArg::F_OFD_GETLK(&mut probe))?;
    Ok(i32::from(probe.l_type) != libc::F_UNLCK)
}
