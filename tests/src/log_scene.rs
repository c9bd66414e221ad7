//! A database that writes through a [`Log`], with everything around it: a database file, a store, and a model of what
//! the database was after each commit.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use walkeep::backends::Memory;
use walkeep::core::storage::Durable;
use walkeep::core::{
    Directory, Epoch, HashSeed, LogHead, LogId, Namespace, PageCount, PageHashTable, PageSize, Result,
    UnixMillis,
};
use walkeep::log::{Log, LogOptions, Opened, Recovered};
use walkeep::restore::{RestoreOptions, RestorePlan};
use walkeep::{Bucket, DATABASE_BYTES_MAX, Handles, RestorePoint, View, Writer};

use crate::handles::{SeededRandom, TestClock, handles};
use crate::memory_target::MemoryTarget;
use crate::recorded::{frame_no, page_no};

/// The size of pages: small, so that every byte of a file can be tried.
pub const PAGE: usize = 512;

/// The database file's name, which is in the log's directory only so that both crash together.
pub const DATABASE: &str = "app.db";

/// Pages by number, and the size.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Model {
    /// Pages that are not zeros.
    pub pages: BTreeMap<u32, Bytes>,
    /// The size in pages.
    pub size: u32,
}

impl Model {
    /// The database file.
    #[must_use]
    pub fn file(&self) -> Vec<u8> {
        let mut file = vec![0; self.size as usize * PAGE];
        for (page, image) in &self.pages {
            let start = (*page as usize - 1) * PAGE;
            file[start..start + PAGE].copy_from_slice(image);
        }
        file
    }

    /// Sets the size; what is cut off is gone.
    pub fn resize(&mut self, size: u32) {
        self.size = size;
        self.pages.retain(|page, _| *page <= size);
    }
}

/// The store of one namespace, and its writer.
#[derive(Debug)]
pub struct Store {
    /// Where it is.
    pub bucket: Bucket,
    /// Its name.
    pub namespace: Namespace,
    /// Its writer.
    pub writer: Writer,
    /// Where the log went on when it was opened.
    pub head: LogHead,
}

impl Store {
    /// Opens a namespace in a bucket for writing.
    pub async fn open(bucket: &Bucket, handles: &Handles) -> Result<Self> {
        let namespace = Namespace::new("shop")?;
        let page_size = PageSize::new(PAGE as u32)?;
        let writer = Writer::open(bucket, &namespace, page_size, handles).await?;
        let head = writer.head().await?;
        Ok(Self { bucket: bucket.clone(), namespace, writer, head })
    }

    /// The database at a commit, restored from the store.
    pub async fn restore(&self, frame: u64) -> Result<Vec<u8>> {
        let point = RestorePoint::Frame(frame_no(frame));
        let view = View::open(&self.bucket, &self.namespace, point, DATABASE_BYTES_MAX).await?;
        let mut target = MemoryTarget::default();
        view.write_to(&RestorePlan::new(&view), &mut target, &RestoreOptions::default()).await?;
        Ok(target.file())
    }
}

/// An empty bucket in memory.
#[must_use]
pub fn bucket() -> Bucket {
    Bucket::new(Arc::new(Memory::new()), None).unwrap()
}

/// The hashes of a database file.
#[must_use]
pub fn table_of(file: &[u8], seed: HashSeed) -> PageHashTable {
    let mut table = PageHashTable::new(seed);
    let pages = (1_u32..).zip(file.chunks(PAGE));
    let pages = pages.map(|(page, image)| (page_no(page), seed.page(page_no(page), image)));
    let pages = pages.collect::<Vec<_>>();
    table.apply(PageCount(pages.len() as u32), &pages);
    table
}

/// The database file in a directory; empty where there is none.
pub fn database_file(directory: &dyn Directory) -> Result<Vec<u8>> {
    let io = |error| walkeep::Error::io("read the database", error);
    let file = match directory.open(Path::new(DATABASE)) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        opened => opened.map_err(io)?,
    };
    let mut bytes = vec![0; file.len().map_err(io)? as usize];
    file.read_at(0, &mut bytes).map_err(io)?;
    // A crash may have left a part of the last page.
    bytes.resize(bytes.len().next_multiple_of(PAGE), 0);
    Ok(bytes)
}

/// The head of the log in `fixtures/log-v1`.
#[must_use]
pub fn fixture_head() -> LogHead {
    LogHead {
        log_id: LogId(0x77),
        hash_seed: HashSeed(5),
        epoch: Epoch(1),
        page_size: PageSize::new(PAGE as u32).unwrap(),
        durable: None,
        time_floor: UnixMillis(0),
        unbounded: false,
    }
}

/// Copies what is durable into the database file, as an embedder does, and tells the log.
pub fn checkpoint(log: &mut Log, directory: &dyn Directory, durable: Durable) -> Result<()> {
    log.set_durable(durable);
    let Some(checkpoint) = log.checkpoint() else { return Ok(()) };
    let io = |error| walkeep::Error::io("checkpoint", error);
    let path = Path::new(DATABASE);
    let file = match directory.open(path) {
        Ok(file) => file,
        Err(_) => directory.create_new(path).map_err(io)?,
    };
    directory.sync_directory(Path::new("")).map_err(io)?;
    let smallest = checkpoint.smallest_size().get() as u64 * PAGE as u64;
    if file.len().map_err(io)? > smallest {
        file.set_len(smallest).map_err(io)?;
    }
    for image in checkpoint.images() {
        let (page, image) = image?;
        file.write_all_at(page.index() as u64 * PAGE as u64, &image).map_err(io)?;
    }
    file.set_len(u64::from(checkpoint.size().get()) * PAGE as u64).map_err(io)?;
    file.sync().map_err(io)?;
    let frame_no = checkpoint.commit().frame_no;
    log.checkpointed(frame_no)
}

/// Opens the log of a store that is not stale.
pub fn open_log(
    directory: &Arc<dyn Directory>,
    head: &LogHead,
    options: &LogOptions,
    handles: &Handles,
) -> Result<(Log, Recovered)> {
    let base = table_of(&database_file(&**directory)?, head.hash_seed);
    match Log::open(Arc::clone(directory), head, base, options.clone(), handles)? {
        Opened::Ready(log, recovered) => Ok((*log, recovered)),
        Opened::Stale(stale) => panic!("{stale}"),
    }
}

/// The database as an embedder sees it: the log's pages, and the file's where it has none.
pub fn read_all(log: &Log, directory: &dyn Directory) -> Result<Vec<u8>> {
    let file = database_file(directory)?;
    let mut seen = Vec::new();
    for page in 1..=log.size().get() {
        match log.read(page_no(page))? {
            Some(image) => seen.extend_from_slice(&image),
            None => {
                let start = (page as usize - 1) * PAGE;
                seen.extend_from_slice(&file[start..start + PAGE]);
            }
        }
    }
    Ok(seen)
}

/// An image that is its number again and again.
#[must_use]
pub fn image(random: &SeededRandom) -> Bytes {
    match random.below(8) {
        0 => vec![0; PAGE].into(),
        number => {
            let number = number << 32 | random.below(1 << 20);
            number.to_le_bytes().repeat(PAGE / 8).into()
        }
    }
}

/// Handles of a test that replays.
#[must_use]
pub fn seeded(seed: u64) -> (Handles, Arc<TestClock>) {
    handles(1_000_000, seed)
}
