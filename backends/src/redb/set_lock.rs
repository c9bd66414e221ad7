//! The lock of a set of shards: one process at a time.
//!
//! It is a file of its own, `lock`, so that also the creation of a set is behind it. It is never removed: its content is nothing, and
//! the lock ends with the process that holds it.

use std::io::{self, ErrorKind};
use std::path::Path;
use std::time::Duration;

use walkeep_core::{Directory, Error, File, Result};

/// The name of the lock file.
pub(super) const NAME: &str = "lock";

const PAUSE_FIRST: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_millis(250);

/// A lock that is held as long as this lives.
#[derive(Debug)]
pub(super) struct SetLock {
    _file: Box<dyn File>,
}

impl SetLock {
    /// Takes the lock of the set in `directory`, waiting at most `wait` for who has it; `name` is the directory's, for
    /// messages.
    ///
    /// # Errors
    ///
    /// `Unavailable` with the process that has it; `Invalid` where files cannot be locked; `Io`, `Exhausted`.
    pub(super) fn take(directory: &dyn Directory, name: &Path, wait: Duration) -> Result<Self> {
        let file = open(directory)
            .map_err(|error| Error::io(format!("open the lock of {}", name.display()), error))?;
        let (mut pause, mut waited) = (PAUSE_FIRST, Duration::ZERO);
        loop {
            match file.try_lock() {
                Ok(true) => return Ok(Self { _file: file }),
                Ok(false) if waited >= wait => return Err(busy(name, file.lock_holder(), wait)),
                Ok(false) => {}
                Err(error) if error.kind() == ErrorKind::Unsupported => {
                    let what = format!("{} as a place for shards", name.display());
                    return Err(Error::invalid(what, "its file system cannot lock files"));
                }
                Err(error) => return Err(Error::io(format!("lock {}", name.display()), error)),
            }
            let this = pause.min(wait - waited);
            std::thread::sleep(this);
            (pause, waited) = ((pause * 2).min(PAUSE_MAX), waited + this);
        }
    }
}

fn open(directory: &dyn Directory) -> io::Result<Box<dyn File>> {
    let path = Path::new(NAME);
    match directory.open_writable(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        opened => return opened,
    }
    match directory.create_new(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => directory.open_writable(path),
        created => created,
    }
}

fn busy(name: &Path, holder: Option<u32>, waited: Duration) -> Error {
    let who = match holder {
        Some(process) if process == std::process::id() => "this process has it open already".to_string(),
        Some(process) => format!("process {process} has it open"),
        None => "another process has it open".into(),
    };
    Error::Unavailable {
        what: format!(
            "{}: {who}, still after {} ms; one process at a time can use it: stop the other one, or wait for it",
            name.display(),
            waited.as_millis()
        ),
        source: None,
    }
}
