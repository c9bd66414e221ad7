//! A replica: a file that holds the newest commit of a namespace, and is replaced when there is a newer one.
//!
//! Invariants:
//!
//! - the file is never changed: the next version is made beside it, proven page by page against the hashes and the
//!   state checksum of the commit, made durable, and put under its name by a rename. So a reader that has the file open keeps one
//!   whole commit for as long as it likes, and one that opens it again sees the newest;
//! - what the replica is follows from its content: a file that was touched by others is never built upon. All of it is hashed when a
//!   replica is opened, and all of each version before it is put in place;
//! - a version is made from the one before by the pages whose hashes differ, whatever happened in the log between the two. A gap,
//!   a rewound log or skipped commits make no difference: what is put in place is a view of the store;
//! - after a crash the file is one of the two versions that the state beside it names (`docs/format.md`, section 7).
//!
//! One process keeps a replica. Two on one file do not mix states, but undo each other's work.
//!
//! Not here: when to look again, and what to do about a store that is away.

mod behind;
mod journal_mode;
mod next_file;
mod options;
mod pages;
mod state_file;

use std::path::Path;
use std::sync::Arc;

use walkeep_core::files::FileStamp;
use walkeep_core::{
    DatabaseShape, Directory, Error, Manifest, Namespace, PageHash, PageHashTable, Random, ReplicaState,
    ReplicaVersion, Result, SegmentKey,
};

pub use journal_mode::JournalMode;
pub use options::{Applied, How, ReplicaOptions, Seeding, Step};

use crate::bucket::Bucket;
use crate::locate::Search;
use crate::manifests;
use crate::restore::RestorePlan;
use crate::timeline::no_namespace;
use crate::view::View;
use behind::newest_view;
use next_file::NextFile;

/// How often a version is begun anew when objects vanish under it.
const ATTEMPTS: u32 = 3;

/// The stamp of a file that must be looked at again.
const UNSURE: FileStamp = FileStamp(u128::MAX);

/// A replica of a namespace in a file.
#[derive(Debug)]
pub struct Replica {
    bucket: Bucket,
    namespace: Namespace,
    directory: Arc<dyn Directory>,
    name: String,
    random: Arc<dyn Random>,
    options: ReplicaOptions,
    /// The state beside the file, if there is one for this namespace.
    state: Option<ReplicaState>,
    /// What the file is, or why that is not known and it must be made from nothing.
    current: std::result::Result<Current, Seeding>,
    /// The newest manifest when it was last looked for.
    manifest: Option<Manifest>,
}

/// A version that is in place, proven.
#[derive(Clone, Debug)]
struct Current {
    version: ReplicaVersion,
    table: Arc<PageHashTable>,
    stamp: FileStamp,
}

impl Replica {
    /// Finds out what the file `name` in `directory` is, by reading all of it. Removes what a run that was killed left
    /// behind. Nothing is asked of the store yet.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` when the file is no replica of this namespace, or a program that wrote to it left files beside it, and
    /// [`ReplicaOptions::force`] is off; `Invalid` for a state of a version that this code does not know; `Io`.
    pub async fn open(
        bucket: &Bucket,
        namespace: &Namespace,
        directory: Arc<dyn Directory>,
        name: &str,
        random: Arc<dyn Random>,
        options: ReplicaOptions,
    ) -> Result<Self> {
        state_file::remove_unfinished(&*directory, name)?;
        let mut replica = Self {
            bucket: bucket.clone(),
            namespace: namespace.clone(),
            directory,
            name: name.to_string(),
            random,
            options,
            state: None,
            current: Err(Seeding::New),
            manifest: None,
        };
        let found = replica.read_state();
        let exists = replica.stamp()?.is_some();
        replica.current = match found {
            Ok(None) if !exists => Err(Seeding::New),
            Ok(None) => Err(replica.take_over(replica.foreign())?),
            Ok(Some(state)) => {
                replica.state = Some(state);
                replica.identify().await?
            }
            Err(Error::Corrupt(damage)) => Err(Seeding::StateDamaged(damage.to_string())),
            Err(error) => Err(replica.take_over(error)?),
        };
        replica.refuse_leftovers()?;
        if replica.current.is_ok() && replica.options.force {
            // The file is as it should be: only what lies beside it is in the way.
            state_file::remove_leftovers(&*replica.directory, name)?;
            replica.options.force = false;
        }
        Ok(replica)
    }

    /// What the file is; `None` while it is not known to be a replica.
    #[must_use]
    pub fn version(&self) -> Option<&ReplicaVersion> {
        self.current.as_ref().ok().map(|current| &current.version)
    }

    /// Looks for a newer commit, and puts it in place.
    ///
    /// While there is none, this costs a listing of a few manifests and one of a few segments, and a look at the file's
    /// metadata. Otherwise what is fetched goes with what was stored since the commit that the file has; and all of the
    /// file is copied, or made to share its blocks where the file system can, and read.
    ///
    /// # Errors
    ///
    /// As [`View::open`] and [`View::write_to`], and then nothing has changed; `AlreadyExists` when a program has written to the
    /// replica and left a file beside it; `Exhausted`, `Io`; `Unknown` when a new version is in place but perhaps not
    /// durably. Whatever the error, the next call begins with finding out what the file is.
    ///
    /// # Cancel safety
    ///
    /// A cancelled call leaves the old version or the new one, and no hidden file for long.
    pub async fn step(&mut self) -> Result<Step> {
        self.look_at_file().await?;
        if let Ok(current) = &self.current {
            let version = current.version;
            if self.is_newest(&version).await? {
                return Ok(Step::UpToDate(version));
            }
        }
        let mut attempt = 1;
        loop {
            match self.advance().await {
                Err(Error::NotFound { what }) if attempt < ATTEMPTS => {
                    tracing::debug!(object = what, "an object is gone; beginning anew");
                    attempt += 1;
                }
                Ok(None) => {}
                Ok(Some(step)) => return Ok(step),
                Err(error) => return Err(error),
            }
        }
    }

    /// Whether the newest segment that counts ends with this very commit: two listings of a few names.
    async fn is_newest(&mut self, version: &ReplicaVersion) -> Result<bool> {
        let newest = manifests::newest_version(&self.bucket, &self.namespace).await?;
        let newest = newest.ok_or_else(|| no_namespace(&self.namespace))?;
        let manifest = match self.manifest.take() {
            Some(known) if known.version() == newest => known,
            _ => match self.bucket.libsql() {
                Some(libsql) => libsql.manifest(&self.namespace)?,
                None => manifests::read(&self.bucket, &self.namespace, newest).await?,
            },
        };
        let search = Search { bucket: &self.bucket, namespace: &self.namespace, manifest: &manifest };
        let segment = search.newest_end().await?;
        let same_log = manifest.log_id() == version.log_id && manifest.life().is_there();
        self.manifest = Some(manifest);
        // The time tells a log that was made anew, whose manifests may have the same numbers.
        let ours = (version.epoch, version.frame_no, version.time);
        let is_ours = |key: &SegmentKey| (key.epoch(), key.end(), key.time()) == ours;
        Ok(same_log && segment.is_some_and(|key| is_ours(&key)))
    }

    /// Opens the newest view and puts it in place, if it is another state than the file's. `None` when the file turned
    /// out not to be what it was.
    async fn advance(&mut self) -> Result<Option<Step>> {
        let known = self.current.as_ref().ok().map(|current| (&current.version, &current.table));
        let max = self.options.database_bytes_max;
        let view = newest_view(&self.bucket, &self.namespace, known, max).await?;
        let table = Arc::new(view.page_hashes()?);
        let version = version_of(&view, &table);
        let (how, base) = match self.current.clone() {
            Err(why) => (How::Seeded(why), None),
            Ok(current) if current.version.log_id != version.log_id => (How::Seeded(Seeding::OtherLog), None),
            Ok(Current { version: replica, .. }) if version.frame_no < replica.frame_no => {
                return Ok(Some(Step::StoreBehind { replica, newest: *view.commit() }));
            }
            Ok(current) if current.version == version => return Ok(Some(Step::UpToDate(version))),
            Ok(current) if current.version.page_size != version.page_size => {
                (How::Seeded(Seeding::OtherPageSize), None)
            }
            Ok(current) => (How::Updated, Some(current)),
        };
        self.refuse_leftovers()?;
        let made = self.make(&view, &table, &version, base.as_ref()).await?;
        match made.wrong {
            None => {}
            Some(_) if base.is_some() => {
                self.current = Err(Seeding::Changed);
                return Ok(None);
            }
            Some(page) => {
                let (file, expected) = (format!("the next version of {}", self.name), "what was written");
                let offset = page.file_offset(version.page_size);
                return Err(Error::corrupt(file, offset, expected, "something else"));
            }
        }
        let before = self.version().copied();
        self.put_in_place(made.file, version, table)?;
        let applied = Applied {
            version,
            commit: *view.commit(),
            before,
            how,
            pages_written: made.pages_written,
            verified: made.verified,
        };
        Ok(Some(Step::Applied(Box::new(applied))))
    }

    /// Makes the file of a view beside the replica, from a version of it or from nothing, and reads all of it.
    async fn make(
        &self,
        view: &View,
        table: &Arc<PageHashTable>,
        version: &ReplicaVersion,
        base: Option<&Current>,
    ) -> Result<Made> {
        let plan = match base {
            Some(base) => RestorePlan::over(view, table, &base.table),
            None => RestorePlan::new(view),
        };
        let zeroed = base.map_or_else(Vec::new, |base| {
            let inside = table.changed_since(&base.table).filter(|page| table.size().contains(*page));
            inside.filter(|page| table.get(*page) == PageHash::ZERO).collect()
        });
        let pages_written = plan.pages_written + zeroed.len() as u64;
        let shape = DatabaseShape { page_size: version.page_size, size: version.size, pages_written };
        let (directory, mode) = (Arc::clone(&self.directory), self.options.journal_mode);
        let mut file = NextFile::new(directory, &self.name, mode, &*self.random)?;
        let copies = base.is_some();
        let mut file = blocking(move || {
            if copies { file.begin_copy(&shape, &zeroed) } else { file.begin_empty(&shape) }?;
            Ok(file)
        })
        .await?;
        let restored = view.write_to(&plan, &mut file, &self.options.restore).await?;
        let (expected, version) = (Arc::clone(table), *version);
        let (file, wrong) = blocking(move || {
            let wrong = pages::first_wrong(&**file.file()?, &version, &expected, mode)?;
            Ok((file, wrong))
        })
        .await?;
        Ok(Made { file, pages_written, verified: restored.verified, wrong })
    }

    /// First says what the file is about to become, then lets it.
    fn put_in_place(
        &mut self,
        file: NextFile,
        version: ReplicaVersion,
        table: Arc<PageHashTable>,
    ) -> Result<()> {
        let before = self.version().copied();
        let state = ReplicaState { namespace: self.namespace.clone(), newest: version, before };
        if let Ok(current) = &mut self.current {
            current.stamp = UNSURE;
        }
        state_file::write(&*self.directory, &self.name, &state, &*self.random)?;
        self.state = Some(state);
        if self.options.force {
            state_file::remove_leftovers(&*self.directory, &self.name)?;
        } else {
            self.refuse_leftovers()?;
        }
        file.publish()?;
        // What comes later is not what was to be taken over.
        self.options.force = false;
        let stamp = self.stamp().ok().flatten().unwrap_or(UNSURE);
        self.current = Ok(Current { version, table, stamp });
        Ok(())
    }

    /// Finds out again what the file is, if it may have changed.
    async fn look_at_file(&mut self) -> Result<()> {
        if let Ok(current) = &self.current
            && self.stamp()? != Some(current.stamp)
        {
            self.current = self.identify().await?;
        }
        Ok(())
    }

    /// What the file is, by its content, of what the state names.
    async fn identify(&self) -> Result<std::result::Result<Current, Seeding>> {
        let Some(state) = &self.state else { return Ok(Err(Seeding::Changed)) };
        let Some(stamp) = self.stamp()? else { return Ok(Err(Seeding::Missing)) };
        let (directory, name) = (Arc::clone(&self.directory), self.name.clone());
        let (newest, before, mode) = (state.newest, state.before, self.options.journal_mode);
        blocking(move || {
            let file = directory.open(Path::new(&name));
            let file = file.map_err(|error| Error::io(format!("open {name}"), error))?;
            for version in std::iter::once(newest).chain(before) {
                if let Some(table) = pages::identify(&*file, &version, mode)? {
                    return Ok(Ok(Current { version, table: Arc::new(table), stamp }));
                }
            }
            Ok(Err(Seeding::Changed))
        })
        .await
    }

    /// The state beside the file, which must be one of this namespace.
    fn read_state(&self) -> Result<Option<ReplicaState>> {
        let state = state_file::read(&*self.directory, &self.name)?;
        match state {
            Some(state) if state.namespace != self.namespace => {
                let what = format!("the file {}, a replica of namespace {},", self.name, state.namespace);
                Err(Error::AlreadyExists { what })
            }
            state => Ok(state),
        }
    }

    fn foreign(&self) -> Error {
        let what = format!("the file {}, which is no replica of namespace {},", self.name, self.namespace);
        Error::AlreadyExists { what }
    }

    fn take_over(&self, refused: Error) -> Result<Seeding> {
        if self.options.force { Ok(Seeding::TakenOver) } else { Err(refused) }
    }

    /// Refuses to go on where a program has written to the replica: what it left would be mixed with the next version.
    fn refuse_leftovers(&self) -> Result<()> {
        match state_file::leftover(&*self.directory, &self.name)? {
            Some(beside) if !self.options.force => {
                let what = format!(
                    "{beside}, which a program that opened {} for writing has made (end it, and remove what it left),",
                    self.name
                );
                Err(Error::AlreadyExists { what })
            }
            _ => Ok(()),
        }
    }

    fn stamp(&self) -> Result<Option<FileStamp>> {
        let found = self.directory.metadata(Path::new(&self.name));
        let found = found.map_err(|error| Error::io(format!("look at {}", self.name), error))?;
        Ok(found.map(|found| found.stamp))
    }
}

/// A file that was made, and the first page of it that is not what it should be.
struct Made {
    file: NextFile,
    pages_written: u64,
    verified: bool,
    wrong: Option<walkeep_core::PageNo>,
}

fn version_of(view: &View, table: &PageHashTable) -> ReplicaVersion {
    let owner = view.manifest().owner(view.commit().frame_no);
    ReplicaVersion {
        epoch: owner.unwrap_or(view.manifest().last()).epoch,
        log_id: view.manifest().log_id(),
        hash_seed: view.manifest().hash_seed(),
        page_size: view.page_size(),
        frame_no: view.commit().frame_no,
        time: view.commit().time,
        size: view.size(),
        state: table.state(),
    }
}

/// Does work that blocks.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(Error::Unknown { what: format!("work on the replica did not finish: {error}") }),
    }
}
