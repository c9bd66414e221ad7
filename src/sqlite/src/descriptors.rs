//! Raw descriptors of database files that are never closed.
//!
//! POSIX locks of a process on a file die when *any* of its descriptors of that file is closed. A descriptor of ours
//! that is closed would silently take away the locks of every SQLite connection in this process. So each file (by
//! device and inode) is opened once and kept for as long as the process lives.
//!
//! The price: a database that was deleted keeps its disk space until the process ends.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// Device and inode of a file.
type Identity = (u64, u64);

/// Files that are kept open.
type Kept = Mutex<Vec<(Identity, Arc<File>)>>;

static OPEN: Kept = Mutex::new(Vec::new());

/// Those that are open for writing, which locks for one's own need. Nothing is written to them.
static OPEN_FOR_LOCKS: Kept = Mutex::new(Vec::new());

/// A descriptor of the file for reading; `None` when there is no file.
///
/// # Errors
///
/// The operating system's.
pub(crate) fn open(path: &Path) -> io::Result<Option<Arc<File>>> {
    open_once(&OPEN, path, OpenOptions::new().read(true))
}

/// A descriptor of the file for taking locks that keep others out; `None` when there is no file.
///
/// # Errors
///
/// The operating system's: among others, that this user may not write to the file.
pub(crate) fn open_for_locks(path: &Path) -> io::Result<Option<Arc<File>>> {
    open_once(&OPEN_FOR_LOCKS, path, OpenOptions::new().read(true).write(true))
}

fn open_once(kept: &Kept, path: &Path, how: &OpenOptions) -> io::Result<Option<Arc<File>>> {
    let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
    // Looking before opening: a second descriptor of a known file would have to be kept as well.
    let identity = match std::fs::metadata(path) {
        Ok(metadata) => (metadata.dev(), metadata.ino()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if let Some((_, file)) = kept.iter().find(|(known, _)| *known == identity) {
        return Ok(Some(Arc::clone(file)));
    }
    let file = match how.open(path) {
        Ok(file) => Arc::new(file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    // The file may have been replaced between the two calls: what was opened counts.
    let metadata = file.metadata()?;
    kept.push(((metadata.dev(), metadata.ino()), Arc::clone(&file)));
    Ok(Some(file))
}

/// Whether this is the file that has that path now.
///
/// # Errors
///
/// The operating system's.
pub(crate) fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let ours = file.metadata()?;
    match std::fs::metadata(path) {
        Ok(found) => Ok((found.dev(), found.ino()) == (ours.dev(), ours.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Looks at the first bytes of a file, fewer if it is shorter. A descriptor is opened and closed for it only if the
/// file is none of those that are kept: those may be locked.
///
/// # Errors
///
/// The operating system's; `NotFound` when there is no file.
pub(crate) fn peek(path: &Path, bytes: &mut [u8]) -> io::Result<usize> {
    // Held to the end: nobody takes this file into use between looking and closing.
    let mut kept = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    let identity = |metadata: &std::fs::Metadata| (metadata.dev(), metadata.ino());
    let is_kept = |kept: &[(Identity, Arc<File>)], at: Identity| {
        kept.iter().find(|(known, _)| *known == at).map(|(_, file)| Arc::clone(file))
    };
    if let Some(file) = is_kept(&kept, identity(&std::fs::metadata(path)?)) {
        return read_start(&file, bytes);
    }
    let file = File::open(path)?;
    let opened = identity(&file.metadata()?);
    let read = read_start(&file, bytes);
    if is_kept(&kept, opened).is_some() {
        // It was put there between the two calls.
        kept.push((opened, Arc::new(file)));
    }
    read
}

fn read_start(file: &File, bytes: &mut [u8]) -> io::Result<usize> {
    let mut len = 0;
    while let Some(rest) = bytes.get_mut(len..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, len as u64) {
            Ok(0) => break,
            Ok(read) => len += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_opened_once_even_under_two_names() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        #[expect(clippy::disallowed_methods, reason = "a test file")]
        std::fs::write(&a, "x").unwrap();
        #[expect(clippy::disallowed_methods, reason = "a test file")]
        std::fs::hard_link(&a, &b).unwrap();
        let (first, second) = (open(&a).unwrap().unwrap(), open(&b).unwrap().unwrap());
        assert!(Arc::ptr_eq(&first, &second));
        assert!(open(&dir.path().join("none")).unwrap().is_none());
    }
}
