//! The write side: the log of one database on local disk.
//!
//! A [`Log`] takes transactions, keeps them in the *current segment*, and seals it into files in the stored form,
//! which are handed to a [`Storage`](walkeep_core::Storage). What an embedder does, once and then for ever:
//!
//! 1. `storage.open` the namespace: a [`LogHead`]. [`Log::open`] with it and with the hashes of the database file's pages. When
//!    it is [`Stale`](Opened::Stale): [`Log::discard`], restore, open again. Hand what [`Log::sealed`] lists to `storage.store`.
//! 2. [`Log::begin`], write, commit. Read pages with [`Log::read`], and from the database file where it has none.
//! 3. After commits, and by a timer at [`Log::seal_due_at`]: [`Log::seal_if_due`], and `storage.store` what it gives.
//! 4. When the durable frame rises: [`Log::set_durable`], copy [`Log::checkpoint`] into the database file,
//!    [`Log::checkpointed`]. The database file is written by this alone.
//!
//! ```
//! use std::sync::Arc;
//! use walkeep::backends::{Memory, os::OsDirectory};
//! use walkeep::core::{PageCount, PageHashTable, PageNo, PageSize};
//! use walkeep::log::{Log, LogOptions, Opened};
//! use walkeep::{Bucket, DATABASE_BYTES_MAX, Handles, RestorePoint, View, Writer};
//!
//! # tokio::runtime::Runtime::new().expect("a runtime").block_on(async {
//! # let root = tempfile::tempdir().expect("a directory");
//! # let path = root.path();
//! let (bucket, handles) = (Bucket::new(Arc::new(Memory::new()), None)?, Handles::system());
//! let (namespace, page_size, page) = ("shop".parse()?, PageSize::DEFAULT, PageNo::FIRST);
//! let mut writer = Writer::open(&bucket, &namespace, page_size, &handles).await?;
//! let head = writer.head().await?;
//!
//! // A new database: its file is empty.
//! let directory = Arc::new(OsDirectory::create(path).expect("a directory for the log"));
//! let base = PageHashTable::new(head.hash_seed);
//! let Opened::Ready(mut log, _) = Log::open(directory, &head, base, LogOptions::default(), &handles)? else {
//!     panic!("nothing was there, so nothing can be stale");
//! };
//! let mut transaction = log.begin()?;
//! transaction.write(page, vec![7; page_size.bytes()])?;
//! transaction.commit(PageCount(1))?;
//!
//! let segment = log.seal()?.expect("something was committed");
//! let durable = writer.store(&segment).await?;
//! let view = View::open(&bucket, &namespace, RestorePoint::Frame(durable), DATABASE_BYTES_MAX).await?;
//! assert_eq!(Some(view.page(page).await?), log.read(page)?);
//! # Ok::<(), walkeep::Error>(()) }).expect("an example that works");
//! ```
//!
//! # Invariants
//!
//! - Frames have numbers without a hole. Each file holds whole transactions; a torn one at the end counts for nothing.
//! - A file is removed only when everything in it is durable in the store and in the database file, or is in another
//!   file whose name and content were synced.
//! - A failed sync is final: the log takes nothing more until it is opened again, and opening copies what it believes
//!   into new files. A file that another process left is never appended to.
//! - The page hashes are those of the last commit, and every image that is read is checked against its hash.
//!
//! # What it is not
//!
//! Not shared: a log belongs to one process, and to one thread at a time (it is [`Send`]; calls block on file I/O). Not a page
//! cache. Not fencing: two processes on one directory are the embedder's to prevent, on one namespace the store does.
//!
//! A damaged current file cannot in general be told from one that a power loss tore: it is believed as far as its
//! checksums hold. Damage before the durable frame is noticed, since the log then does not reach it.
//!
//! In memory are 8 bytes a page of the database, about 40 for each page in the log, and 20 for each frame in the files
//! that are here; and one open file for each sealed segment here.

mod checkpoint;
mod current_file;
mod file_name;
mod image_reader;
mod opened;
mod options;
mod recovery;
mod seal;
mod sealed_file;
mod sealing;
mod start;
mod sync;
mod transaction;
mod visible;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use walkeep_core::storage::Durable;
use walkeep_core::{
    Commit, CommitKind, Directory, Error, FrameNo, LogHead, PageCount, PageHashTable, PageNo, PageSize,
    Result, SealedSegment, UnixMillis,
};

pub use self::checkpoint::Checkpoint;
use self::current_file::CurrentFile;
use self::file_name::FileName;
use self::image_reader::ImageReader;
pub use self::opened::{Opened, Recovered, Stale};
pub use self::options::{LogOptions, SyncPolicy};
use self::sealed_file::SealedFile;
pub use self::transaction::{Savepoint, Transaction};
use crate::Handles;
use crate::view::check_size;
pub use walkeep_core::{SealPolicy, Unsealed};

/// The log of one database on local disk.
#[derive(Debug)]
pub struct Log {
    directory: Arc<dyn Directory>,
    handles: Handles,
    options: LogOptions,
    head: LogHead,
    /// The database after `last`.
    table: PageHashTable,
    /// Oldest first; they join, and the current file joins them.
    sealed: Vec<SealedFile>,
    current: CurrentFile,
    /// Of each page the newest image in these files, where it is visible.
    newest: BTreeMap<PageNo, FrameNo>,
    /// Pages up to this one are in the database file, unless there is a newer image. Those behind are zeros.
    in_file: PageCount,
    /// The newest commit, local or durable.
    last: Option<Commit>,
    durable: Durable,
    unsynced_since: Option<UnixMillis>,
    /// When the first transaction in the current file was committed, as the clock said then.
    unsealed_since: UnixMillis,
    savepoints: u64,
    poisoned: Option<String>,
}

impl Log {
    /// The size of a page.
    #[must_use]
    pub const fn page_size(&self) -> PageSize {
        self.head.page_size
    }

    /// The size of the database after the last commit.
    #[must_use]
    pub fn size(&self) -> PageCount {
        self.table.size()
    }

    /// The newest commit, local or durable.
    #[must_use]
    pub const fn last(&self) -> Option<&Commit> {
        self.last.as_ref()
    }

    /// The hashes of the database's pages after the last commit.
    #[must_use]
    pub const fn table(&self) -> &PageHashTable {
        &self.table
    }

    /// Begins a transaction.
    ///
    /// # Errors
    ///
    /// `Unknown` after a failure: open the log again.
    pub fn begin(&mut self) -> Result<Transaction<'_>> {
        self.check_writable()?;
        Ok(Transaction::new(self))
    }

    /// A page after the last commit; `None` when it is what the database file has.
    ///
    /// # Errors
    ///
    /// `Corrupt` when the image is not the one that was committed; `Io`.
    pub fn read(&self, page: PageNo) -> Result<Option<Bytes>> {
        match self.newest.get(&page) {
            Some(frame) => ImageReader::new(self).image(page, *frame).map(Some),
            None if self.in_file.contains(page) => Ok(None),
            None => Ok(Some(vec![0; self.page_size().bytes()].into())),
        }
    }

    /// Records a transaction: what [`Transaction::commit`] says.
    fn append(
        &mut self,
        pages: BTreeMap<PageNo, Bytes>,
        size_after: PageCount,
        kind: CommitKind,
    ) -> Result<Option<Commit>> {
        check_size(self.page_size(), size_after, self.options.database_bytes_max)?;
        let mut pages = pages.into_iter().filter(|(page, _)| size_after.contains(*page)).collect::<Vec<_>>();
        if pages.is_empty() {
            let Some(page) = self.page_for_size(size_after) else { return Ok(None) };
            pages.push((page, vec![0; self.page_size().bytes()].into()));
        }
        let seed = self.head.hash_seed;
        let hashes = pages.iter().map(|(page, image)| (*page, seed.page(*page, image))).collect::<Vec<_>>();
        let now = self.handles.clock.now();
        let floor = self.last.map_or(UnixMillis(0), |last| last.time).max(self.head.time_floor);
        let commit = Commit {
            frame_no: self.frame_after(pages.len())?,
            size_after,
            time: now.max(floor),
            state: Some(self.table.state_after(size_after, &hashes)),
            kind,
        };
        if let Err(failed) = self.current.append(&pages, &hashes, &commit) {
            return Err(if failed.undone { failed.error } else { self.poison(failed.error) });
        }
        let first = self.current.commits().len() == 1;
        if first {
            self.unsealed_since = now;
        }
        self.table.apply(size_after, &hashes);
        self.remember(&commit, &pages);
        self.sync_by_policy(now)?;
        Ok(Some(commit))
    }

    /// A transaction that only changes the size needs a frame: a zero image that shows nothing. Where the database
    /// shrinks it is of the first page behind it, which nobody sees; where it grows, of its new last page, which is
    /// zeros. `None` when the size stays.
    fn page_for_size(&self, size_after: PageCount) -> Option<PageNo> {
        match size_after.cmp(&self.size()) {
            std::cmp::Ordering::Less => PageNo::new(size_after.get().checked_add(1)?),
            std::cmp::Ordering::Equal => None,
            std::cmp::Ordering::Greater => PageNo::new(size_after.get()),
        }
    }

    /// The last frame of a transaction of so many.
    fn frame_after(&self, count: usize) -> Result<FrameNo> {
        let last = self.last.map_or(0, |last| last.frame_no.get());
        let in_segment = self.current.rows().len() + count;
        // The last frame number of all is kept free: something must be behind every segment.
        let frame = last.checked_add(count as u64).filter(|frame| *frame < FrameNo::MAX.get());
        match frame.and_then(FrameNo::new).filter(|_| u32::try_from(in_segment).is_ok()) {
            Some(frame) => Ok(frame),
            None => Err(Error::Exhausted {
                what: format!(
                    "{count} frames more are too many for the log, or for its current segment: seal it"
                ),
            }),
        }
    }

    fn remember(&mut self, commit: &Commit, pages: &[(PageNo, Bytes)]) {
        let size = commit.size_after;
        if let Some(behind) = size.get().checked_add(1).and_then(PageNo::new) {
            self.newest.split_off(&behind);
        }
        let frames = (1_u64..).map(|n| commit.frame_no.get() - pages.len() as u64 + n);
        for ((page, _), frame) in pages.iter().zip(frames) {
            if let Some(frame) = FrameNo::new(frame).filter(|_| size.contains(*page)) {
                self.newest.insert(*page, frame);
            }
        }
        self.in_file = self.in_file.min(size);
        self.last = Some(*commit);
    }

    /// The sealed segments that are here and were not durable when the log was opened, oldest first: to be stored
    /// again after a restart. Those of an earlier epoch are given as segments of this one.
    #[must_use]
    pub fn sealed(&self) -> Vec<SealedSegment> {
        let durable = self.head.durable.map_or(0, |durable| durable.frame_no.get());
        let files = self.sealed.iter().filter(|file| file.end().get() > durable);
        files.map(|file| file.segment().clone()).collect()
    }

    /// Removes every file of a log. Other files in the directory stay.
    ///
    /// The newest go first: what an interruption leaves is the beginning of the same log, and stale as before.
    ///
    /// # Errors
    ///
    /// `Io`, `Unknown`: call it again.
    pub fn discard(directory: &dyn Directory) -> Result<()> {
        for name in FileName::list(directory)?.into_iter().rev() {
            remove(directory, name)?;
        }
        sync_directory(directory)
    }

    fn local_commits(&self) -> impl DoubleEndedIterator<Item = &Commit> {
        self.sealed.iter().flat_map(SealedFile::commits).chain(self.current.commits())
    }

    fn check_writable(&self) -> Result<()> {
        self.poisoned.as_ref().map_or(Ok(()), |why| {
            let what = format!("the log takes nothing more after a failure ({why}); open it again");
            Err(Error::Unknown { what })
        })
    }

    /// Takes nothing more from here on.
    fn poison(&mut self, error: Error) -> Error {
        let why = match error {
            Error::Unknown { what } => what,
            error => error.to_string(),
        };
        let what =
            format!("{why}; the last transaction may or may not be found when the log is opened again");
        self.poisoned = Some(why);
        Error::Unknown { what }
    }

    const fn next_savepoint(&mut self) -> u64 {
        self.savepoints += 1;
        self.savepoints
    }

    const fn current(&self) -> &CurrentFile {
        &self.current
    }

    fn sealed_files(&self) -> &[SealedFile] {
        &self.sealed
    }
}

fn remove(directory: &dyn Directory, name: FileName) -> Result<()> {
    match directory.remove_file(&name.path()) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::io(format!("remove {name}"), error))
        }
        _ => Ok(()),
    }
}

fn sync_directory(directory: &dyn Directory) -> Result<()> {
    let synced = directory.sync_directory(Path::new(""));
    synced.map_err(|error| sync_failed("the directory of the log", &error))
}

/// A failed sync, also for want of space, is never one that did nothing.
fn sync_failed(what: impl std::fmt::Display, error: &std::io::Error) -> Error {
    Error::Unknown { what: format!("sync {what}: {error}") }
}
