//! The embedding: how log, storage and database file go together.
//!
//! - A page is read from the log, or where that has none, from the database file.
//! - A transaction goes to the log; the log seals segments; the storage stores them.
//! - What is durable in the store is copied into the database file, and no more than that.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;
use walkeep::backends::os::OsDirectory;
use walkeep::core::storage::Durable;
use walkeep::core::{
    Directory, FrameNo, LogHead, Namespace, PageCount, PageNo, RestorePoint, Storage, UnixMillis,
};
use walkeep::log::{Log, LogOptions, Opened};
use walkeep::restore::FileTarget;
use walkeep::{Error, Handles, Result, SealedSegment};

use crate::PAGE_SIZE;
use crate::database_file::DatabaseFile;
use crate::table::{ENTRY_BYTES_MAX, Entries, decode, encode, page_of};

const DATABASE: &str = "pages.db";
/// More pages than anyone would put into this.
const PAGES_MAX: u32 = 1 << 16;

/// An open page store.
#[derive(Debug)]
pub struct PageStore<S> {
    storage: Arc<S>,
    namespace: Namespace,
    log: Log,
    database: DatabaseFile,
    /// What was set and is not committed.
    pending: Entries,
    /// Sealed segments that the storage had no room for.
    waiting: VecDeque<SealedSegment>,
    /// What became of those that it took.
    stored: mpsc::UnboundedReceiver<Result<FrameNo>>,
    tell: mpsc::UnboundedSender<Result<FrameNo>>,
    durable: Option<FrameNo>,
    /// Held while this lives, and given back by the system however it ends.
    _lock: File,
}

/// Locks a directory for this process.
fn lock(directory: &Path) -> Result<File> {
    let path = directory.join("lock");
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(&path);
    let file = file.map_err(|error| Error::io(format!("open {}", path.display()), error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::invalid(
            format!("the directory {}", directory.display()),
            "another process has it open",
        )),
        Err(TryLockError::Error(error)) => Err(Error::io(format!("lock {}", path.display()), error)),
    }
}

impl<S: Storage> PageStore<S> {
    /// Opens the page store of a directory, or makes it from what the storage has.
    ///
    /// # Errors
    ///
    /// Those of [`Storage::open`], [`Storage::restore`] and [`Log::open`].
    pub async fn open(
        directory: &Path,
        storage: Arc<S>,
        namespace: Namespace,
        options: LogOptions,
        handles: &Handles,
    ) -> Result<Self> {
        let create = |path: &Path| {
            let created = OsDirectory::create(path);
            created.map_err(|error| Error::io(format!("create {}", path.display()), error))
        };
        let here: Arc<dyn Directory> = Arc::new(create(directory)?);
        // Fencing is about the store. That nobody else writes these files is for us to see to.
        let lock = lock(directory)?;
        let log_directory: Arc<dyn Directory> = Arc::new(create(&directory.join("log"))?);
        // From here on we are the writer, and another one is fenced.
        let head = storage.open(&namespace, PAGE_SIZE, None).await?;
        let mut restored = false;
        let (log, database) = loop {
            let database = DatabaseFile::open(&directory.join(DATABASE))?;
            // Its name must last before the log gives up what was copied into it.
            let synced = here.sync_directory(Path::new(""));
            synced.map_err(|error| Error::io(format!("sync {}", directory.display()), error))?;
            let base = database.hashes(head.hash_seed)?;
            match Log::open(Arc::clone(&log_directory), &head, base, options.clone(), handles)? {
                Opened::Ready(log, _) => break (*log, database),
                Opened::Stale(stale) if restored => return Err(Error::invalid("the log", stale.to_string())),
                Opened::Stale(stale) => {
                    eprintln!("{stale}");
                    Log::discard(&*log_directory)?;
                    restore(&*storage, &namespace, &head, &here, &database, handles).await?;
                    restored = true;
                }
            }
        };
        let (tell, stored) = mpsc::unbounded_channel();
        let durable = head.durable.map(|durable| durable.frame_no);
        let (pending, waiting) = (Entries::new(), log.sealed().into());
        let mut store =
            Self { storage, namespace, log, database, pending, waiting, stored, tell, durable, _lock: lock };
        // The process before may have ended between a segment's storing and its checkpoint.
        store.checkpoint()?;
        store.hand_over()?;
        Ok(store)
    }

    /// The value of a key, as it will be after the next commit.
    ///
    /// # Errors
    ///
    /// `Corrupt`, `Io`.
    pub fn get(&self, key: &str) -> Result<Option<String>> {
        match self.pending.get(key) {
            Some(value) => Ok(Some(value.clone())),
            None => Ok(self.entries(page_of(key, self.log.size()))?.remove(key)),
        }
    }

    /// Sets a key in the next transaction.
    ///
    /// # Errors
    ///
    /// `Invalid` for an empty key, or an entry that is too long.
    pub fn set(&mut self, key: &str, value: &str) -> Result<()> {
        if key.is_empty() || key.len() + value.len() > ENTRY_BYTES_MAX {
            let why = format!("a key has a byte at least, and with its value {ENTRY_BYTES_MAX} at most");
            return Err(Error::invalid(format!("an entry of {} bytes", key.len() + value.len()), why));
        }
        self.pending.insert(key.into(), value.into());
        Ok(())
    }

    /// Commits what was set to the log. It is acknowledged when [`PageStore::durable`] gives this frame or a later one.
    ///
    /// # Errors
    ///
    /// As [`Transaction::commit`](walkeep::log::Transaction::commit).
    pub fn commit(&mut self) -> Result<Option<FrameNo>> {
        if self.pending.is_empty() {
            return Ok(None);
        }
        let (size, pages) = self.changed_pages()?;
        let mut transaction = self.log.begin()?;
        for (page, image) in pages {
            transaction.write(page, image)?;
        }
        let commit = transaction.commit(size)?;
        self.pending.clear();
        self.tick()?;
        Ok(commit.map(|commit| commit.frame_no))
    }

    /// Seals if that is due, and stores. Called after commits, and at [`PageStore::wake_at`].
    ///
    /// # Errors
    ///
    /// As [`Log::seal`] and [`Storage::store`].
    pub fn tick(&mut self) -> Result<()> {
        self.log.sync_if_due()?;
        self.waiting.extend(self.log.seal_if_due()?);
        self.hand_over()
    }

    /// When [`PageStore::tick`] has something to do, if nothing else happens.
    #[must_use]
    pub fn wake_at(&self) -> Option<UnixMillis> {
        [self.log.seal_due_at(), self.log.sync_due_at()].into_iter().flatten().min()
    }

    /// Waits until more is durable, copies it into the database file, and says how far that is.
    ///
    /// # Errors
    ///
    /// What storing failed with for good, `Fenced` for one: end.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn durable(&mut self) -> Result<FrameNo> {
        let Some(stored) = self.stored.recv().await else {
            return Err(Error::Unknown { what: "the storage has gone".into() });
        };
        let frame_no = stored?;
        self.durable = self.durable.max(Some(frame_no));
        self.log.set_durable(Durable::Until(frame_no));
        self.checkpoint()?;
        // There may be room again.
        self.hand_over()?;
        Ok(frame_no)
    }

    /// Copies what is durable into the database file; the log lets go of it then.
    fn checkpoint(&mut self) -> Result<()> {
        if let Some(checkpoint) = self.log.checkpoint() {
            self.database.apply(&checkpoint)?;
            let frame_no = checkpoint.commit().frame_no;
            self.log.checkpointed(frame_no)?;
        }
        Ok(())
    }

    /// Waits until everything that is committed is durable and in the database file.
    ///
    /// # Errors
    ///
    /// As [`PageStore::durable`].
    pub async fn flush(&mut self) -> Result<()> {
        self.waiting.extend(self.log.seal()?);
        self.hand_over()?;
        while self.log.last().map(|last| last.frame_no) > self.durable {
            self.durable().await?;
        }
        Ok(())
    }

    /// Hands sealed segments to the storage, in order, as long as it takes them.
    fn hand_over(&mut self) -> Result<()> {
        while let Some(segment) = self.waiting.front() {
            let tell = self.tell.clone();
            let on_stored = Box::new(move |outcome| -> futures::future::BoxFuture<'static, ()> {
                // Nobody listens any more when this ends.
                let _ = tell.send(outcome);
                Box::pin(std::future::ready(()))
            });
            match self.storage.store(&self.namespace, segment.clone(), None, on_stored) {
                Ok(()) => drop(self.waiting.pop_front()),
                Err(Error::Exhausted { .. }) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn page(&self, page: PageNo) -> Result<Bytes> {
        match self.log.read(page)? {
            Some(image) => Ok(image),
            None => self.database.read(page),
        }
    }

    fn entries(&self, page: PageNo) -> Result<Entries> {
        decode(page, &self.page(page)?)
    }

    /// The pages that the next commit writes, and how many there are then.
    fn changed_pages(&self) -> Result<(PageCount, BTreeMap<PageNo, Vec<u8>>)> {
        let mut size = self.log.size().max(PageCount(1));
        loop {
            let mut pages = BTreeMap::<PageNo, Entries>::new();
            if size == self.log.size() {
                for key in self.pending.keys() {
                    let page = page_of(key, size);
                    pages.insert(page, self.entries(page)?);
                }
            } else {
                // Everything moves.
                for page in (1..=self.log.size().get()).filter_map(PageNo::new) {
                    for (key, value) in self.entries(page)? {
                        pages.entry(page_of(&key, size)).or_default().insert(key, value);
                    }
                }
                for page in (1..=size.get()).filter_map(PageNo::new) {
                    pages.entry(page).or_default();
                }
            }
            for (key, value) in &self.pending {
                pages.entry(page_of(key, size)).or_default().insert(key.clone(), value.clone());
            }
            let encoded = pages.iter().map(|(page, entries)| Some((*page, encode(entries)?)));
            if let Some(encoded) = encoded.collect::<Option<_>>() {
                return Ok((size, encoded));
            }
            size = PageCount(size.get() * 2);
            if size.get() > PAGES_MAX {
                return Err(Error::Exhausted { what: format!("a table of {PAGES_MAX} pages is full") });
            }
        }
    }
}

/// Makes the database file what the store has.
async fn restore<S: Storage>(
    storage: &S,
    namespace: &Namespace,
    head: &LogHead,
    directory: &Arc<dyn Directory>,
    database: &DatabaseFile,
    handles: &Handles,
) -> Result<()> {
    let Some(durable) = &head.durable else { return database.clear() };
    let mut target = FileTarget::new(Arc::clone(directory), DATABASE, true, &*handles.random)?;
    storage.restore(&mut target, namespace, RestorePoint::Frame(durable.frame_no), None).await?;
    target.publish()?;
    Ok(())
}
