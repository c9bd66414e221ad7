//! Opening a namespace for a database: does the database continue it, and from where does the capture go on?
//!
//! The namespace is claimed only after that is answered, so that a database that does not belong there fences nobody.
//! Each opening is one of its own; an epoch is never resumed.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use futures::future::BoxFuture;
use walkeep::core::{
    Commit, Error, FrameNo, LogHead, Namespace, PageHashTable, PageNo, PageSize, Result, Storage,
};
use walkeep::{Bucket, Handles};

use super::attach::table_of;
use super::capturer::Capturer;
use super::fall_back::FallBack;
use super::lineage::{Lineage, Local};
use super::live_database::{LiveDatabase, not_held};
use super::newest::{Look, Newest, look};
use super::options::ReplicationOptions;
use super::state::{Opening, Position, SpoolFile, StateDirectory, TableFile};
use super::store::ReplicationStore;
use super::task::blocking;
use crate::wal_position::WalPosition;

/// How often an opening begins again when the namespace changes under it.
const ATTEMPTS: u32 = 5;

/// From where a capture goes on.
struct Base {
    table: Option<PageHashTable>,
    last: Option<Commit>,
    position: Option<WalPosition>,
    /// Why the position does not count.
    lost: Option<String>,
    /// Whether the table is that of another page size.
    starts_over: bool,
    /// Whether the database file was written since the position was recorded.
    file_written: bool,
    /// The position behind the newest commit of the store, to be recorded before anything is removed.
    stored: Option<Position>,
    spool: Vec<SpoolFile>,
}

impl Base {
    /// Everything is stored, and nothing is known of what is there.
    fn lost(why: impl Into<String>) -> Self {
        Self {
            table: None,
            last: None,
            position: None,
            lost: Some(why.into()),
            starts_over: false,
            file_written: true,
            stored: None,
            spool: Vec::new(),
        }
    }
}

/// What an opening needs.
#[derive(Clone, Debug)]
pub(super) struct OpeningRequest {
    pub(super) store: ReplicationStore,
    pub(super) namespace: Namespace,
    pub(super) options: ReplicationOptions,
    pub(super) handles: Handles,
    /// Whether a sync of local state has failed in this process.
    pub(super) sync_failed: Arc<AtomicBool>,
}

/// An open namespace, and the capture that goes on.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) capturer: Capturer,
    pub(super) head: LogHead,
    pub(super) fall_back: Option<FallBack>,
}

impl OpeningRequest {
    fn bucket(&self) -> &Bucket {
        &self.store.bucket
    }

    /// Becomes the writer. (Where it is awaited directly, the compiler does not see that the future is [`Send`].)
    fn claim(&self, page_size: PageSize) -> BoxFuture<'_, Result<LogHead>> {
        self.store.storage.open(&self.namespace, page_size, None)
    }

    /// Opens the namespace for a database that is held. It stays held if the store fails.
    ///
    /// # Errors
    ///
    /// `Invalid` when the database does not continue the namespace; `Fenced`, `Corrupt`, `Unavailable`, `Unknown`, `Io`.
    pub(super) async fn open(
        self,
        state: Arc<StateDirectory>,
        live: LiveDatabase,
    ) -> (Result<Opened>, Option<LiveDatabase>) {
        let mut held = Some(live);
        let opened = self.try_open(&state, &mut held).await;
        (opened, held)
    }

    async fn try_open(&self, state: &Arc<StateDirectory>, held: &mut Option<LiveDatabase>) -> Result<Opened> {
        let page_size = held.as_ref().ok_or_else(not_held)?.page_size();
        for _ in 0..ATTEMPTS {
            let looked = match look(self.bucket(), &self.namespace).await? {
                Look::Unsettled => {
                    self.claim(page_size).await?;
                    look(self.bucket(), &self.namespace).await?
                }
                looked => looked,
            };
            let newest = match looked {
                Look::Newest(newest) => Some(newest),
                Look::Empty | Look::Unsettled => None,
            };
            let base = self.base(state, newest, held).await?;
            let head = self.claim(page_size).await?;
            let same = |commit: Commit| newest.is_some_and(|newest| newest.commit == commit);
            if head.durable.map_or(newest.is_none(), same) {
                let live = held.take().ok_or_else(not_held)?;
                return self.start(Arc::clone(state), live, base, head).await;
            }
            tracing::info!(namespace = %self.namespace, "the namespace changed while it was opened; looking again");
        }
        let what = format!("namespace {} changed too fast to be opened; try again", self.namespace);
        Err(Error::Exhausted { what })
    }

    /// Finds out from where to go on.
    async fn base(
        &self,
        state: &Arc<StateDirectory>,
        newest: Option<Newest>,
        held: &mut Option<LiveDatabase>,
    ) -> Result<Base> {
        let there = Arc::clone(state);
        let live = held.take().ok_or_else(not_held)?;
        let (local, identity, live) = blocking(move || {
            let position = there.position()?;
            let local = Local { position, spool: there.spool(position.as_ref())?, opening: there.opening()? };
            Ok((local, live.identity()?, live))
        })
        .await?;
        let page_size = live.page_size();
        *held = Some(live);
        let Some(newest) = &newest else {
            if !local.spool.is_empty() {
                tracing::warn!(namespace = %self.namespace, "the namespace is empty: segments that waited for another \
                               one are dropped, the whole database is stored");
            }
            return Ok(Base::lost("the namespace is new"));
        };
        let why = match local.lineage(newest, &identity, page_size) {
            Lineage::Yes { captured, stored, unsent } => {
                let spool = local.spool.get(local.spool.len() - unsent..).unwrap_or_default().to_vec();
                let table = self.table(state, newest, &local.spool, unsent, &captured.commit).await?;
                let (last, position) = (Some(captured.commit), Some(captured.wal));
                return match table {
                    None => self.ours(newest, page_size, "the spool was damaged".into()).await,
                    table => {
                        let (stored, lost, starts_over) = (Some(stored), None, false);
                        let file_written = identity.is_written_since(&captured.database);
                        Ok(Base { table, last, position, lost, starts_over, file_written, stored, spool })
                    }
                };
            }
            Lineage::Ours(why) => return self.ours(newest, page_size, why).await,
            Lineage::StoreLost(stored) if !self.options.rewind => {
                return Err(self.store_lost(newest, stored.commit.frame_no));
            }
            Lineage::StoreLost(_) => "the store has lost commits".to_string(),
            Lineage::Unknown(why) => why,
        };
        self.compared(newest, held, why).await
    }

    fn store_lost(&self, newest: &Newest, frame: FrameNo) -> Error {
        let expected = format!("frame {frame}, which was stored and reported durable");
        let found = format!(
            "nothing newer than frame {}: the store has lost objects, or another one has its place; find out which \
             before you go on with --rewind",
            newest.commit.frame_no
        );
        Error::corrupt(format!("namespace {}", self.namespace), 0, expected, found)
    }

    /// The newest commit was captured from this database: what differs now is what it did since.
    async fn ours(&self, newest: &Newest, page_size: PageSize, why: String) -> Result<Base> {
        let starts_over = newest.page_size != page_size;
        let table = if starts_over { None } else { Some(self.table_from_store(newest).await?) };
        Ok(Base { table, last: Some(newest.commit), starts_over, ..Base::lost(why) })
    }

    /// Nothing is known but what the database is now: it continues the namespace if it is what the newest commit says,
    /// or if its user says so.
    async fn compared(&self, newest: &Newest, held: &mut Option<LiveDatabase>, why: String) -> Result<Base> {
        let page_size = held.as_ref().ok_or_else(not_held)?.page_size();
        let mut base = self.ours(newest, page_size, format!("--rewind: {why}")).await?;
        let Some(table) = base.table.take() else {
            self.refuse_unless_rewound(newest, &why, "their pages differ in size")?;
            return Ok(base);
        };
        let live = held.take().ok_or_else(not_held)?;
        let (database, live, table, found) = blocking(move || {
            let found = table_of(&live.snapshot()?, &table)?;
            Ok((live.identity()?, live, table, found))
        })
        .await?;
        let wal = live.end();
        *held = Some(live);
        if found.state() == table.state() {
            // What was captured here before, and never stored, is of another history.
            base.stored =
                Some(Position { log_id: newest.log_id, page_size, commit: newest.commit, wal, database });
            base.position = Some(wal);
            base.lost = None;
            base.file_written = false;
        } else {
            let size = found.size().max(table.size()).get();
            let pages = (1..=size).filter_map(PageNo::new);
            let count = pages.filter(|page| found.get(*page) != table.get(*page)).count();
            self.refuse_unless_rewound(newest, &why, &format!("{count} of {size} pages differ"))?;
        }
        base.table = Some(table);
        Ok(base)
    }

    fn refuse_unless_rewound(&self, newest: &Newest, why: &str, how: &str) -> Result<()> {
        if self.options.rewind {
            return Ok(());
        }
        let (frame, time) = (newest.commit.frame_no, newest.commit.time);
        Err(Error::invalid(
            format!("replicating this database to namespace {}", self.namespace),
            format!(
                "it does not continue the newest state there, frame {frame} of {time}: {how}, and {why}. If it is \
                 another database, choose another namespace (-n). If it was restored from an older point, or changed \
                 while nobody captured, and shall be the newest state from now on, say so with --rewind: what differs \
                 is stored as one commit on top, and every earlier point stays restorable"
            ),
        ))
    }

    async fn table_from_store(&self, newest: &Newest) -> Result<PageHashTable> {
        newest.table(self.bucket(), &self.namespace, self.options.database_bytes_max).await
    }

    /// The page hashes at the newest position: the local ones, else those of the store and the spool. `None` when they
    /// do not lead to the state that was captured.
    async fn table(
        &self,
        state: &Arc<StateDirectory>,
        newest: &Newest,
        spool: &[SpoolFile],
        unsent: usize,
        captured: &Commit,
    ) -> Result<Option<PageHashTable>> {
        let (there, log_id, files, commit) = (Arc::clone(state), newest.log_id, spool.to_vec(), *captured);
        let local = blocking(move || {
            let Some((header, mut table)) = TableFile::read(&*there.directory)? else { return Ok(None) };
            if header.log_id != log_id {
                return Ok(None);
            }
            let behind = files.iter().filter(|file| file.start() > header.frame_no);
            apply(&mut table, behind)?;
            Ok(Some(table).filter(|table| Some(table.state()) == commit.state))
        })
        .await;
        match local {
            Ok(Some(table)) => return Ok(Some(table)),
            Ok(None) => {}
            Err(error) => tracing::debug!(%error, "the local page hashes cannot be used"),
        }
        let mut table = self.table_from_store(newest).await?;
        let files = spool.get(spool.len() - unsent..).unwrap_or_default().to_vec();
        let commit = *captured;
        blocking(move || {
            Ok(match apply(&mut table, files.iter()) {
                Ok(()) => Some(table).filter(|table| Some(table.state()) == commit.state),
                Err(_) => None,
            })
        })
        .await
    }

    /// Goes on with the capture.
    async fn start(
        &self,
        state: Arc<StateDirectory>,
        live: LiveDatabase,
        base: Base,
        head: LogHead,
    ) -> Result<Opened> {
        let (options, handles, sync_failed) =
            (self.options.clone(), self.handles.clone(), Arc::clone(&self.sync_failed));
        blocking(move || {
            let database = Some(live.identity()?);
            if let Some(stored) = &base.stored {
                state.set_position(stored, true)?;
            }
            state.keep_in_spool(&base.spool)?;
            state.set_opening(&Opening { log_id: head.log_id, epoch: head.epoch, database })?;
            let spool = base.spool.into_iter().map(|file| file.restamped(head.epoch));
            let spool = spool.collect::<Result<VecDeque<_>>>()?;
            let mut capturer = Capturer {
                database: live.path().to_path_buf(),
                live: None,
                state,
                options,
                handles,
                head,
                table: base.table.unwrap_or_else(|| PageHashTable::new(head.hash_seed)),
                table_file: None,
                last: base.last,
                position: base.position,
                starts_over: base.starts_over,
                file_written: base.file_written,
                pending: VecDeque::new(),
                spool,
                clock_warned: false,
                leftover: Vec::new(),
                sync_failed,
                transactions: 0,
                frames: 0,
            };
            let fall_back = capturer.attach_to(live, base.lost)?;
            Ok(Opened { capturer, head, fall_back })
        })
        .await
    }
}

/// Applies the commits of segments, oldest first.
fn apply<'a>(table: &mut PageHashTable, files: impl Iterator<Item = &'a SpoolFile>) -> Result<()> {
    for file in files {
        let index = file.index()?;
        let frames = index.frames().iter().zip(index.pages()).zip(index.hashes());
        let mut rows = frames.map(|((frame, page), hash)| (*frame, *page, *hash)).collect::<Vec<_>>();
        rows.sort_unstable_by_key(|(frame, ..)| *frame);
        let mut rows = rows.into_iter().peekable();
        for commit in index.commits() {
            let mut hashes = Vec::new();
            while let Some((_, page, hash)) = rows.next_if(|(frame, ..)| *frame <= commit.frame_no) {
                hashes.push((page, hash));
            }
            table.apply(commit.size_after, &hashes);
        }
    }
    Ok(())
}
