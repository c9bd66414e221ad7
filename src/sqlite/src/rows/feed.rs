//! The database before and after each commit of a feed, as two files.
//!
//! Invariant: while `at` is set, both files are the database there. It is not set while they are being changed, so that
//! after an error or a cancelled call they are made anew.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::TryStreamExt;
use walkeep::core::{Directory, Error, File, FrameNo, Namespace, PageNo, PageSize, Result};
use walkeep::followers::Change;
use walkeep::restore::{FileTarget, RestoreOptions, RestorePlan};
use walkeep::{Bucket, DATABASE_BYTES_MAX, Handles, RestorePoint, View};

use super::compare::compare;
use super::database::Database;
use super::row_changes::RowChanges;
use super::table_pages::{TablePages, Written};
use crate::database_header::{DatabaseHeader, HEADER_LEN, pages_are_read_alike};

const BEFORE: &str = "before.db";
const AFTER: &str = "after.db";

/// How often a restore begins again when objects vanish under it.
const ATTEMPTS: u32 = 3;

/// Works out the rows of one commit after the other.
#[derive(Debug)]
pub struct RowFeed {
    bucket: Bucket,
    namespace: Namespace,
    handles: Handles,
    directory: Arc<dyn Directory>,
    path: PathBuf,
    /// Where both files are: behind a frame, or at the empty database before the first.
    at: Option<Option<FrameNo>>,
    /// Which pages of them belong to which table, if that is known.
    pages: Option<TablePages>,
}

impl RowFeed {
    /// A feed of a namespace, which keeps two files of the size of the database in `directory`. That is the directory
    /// `path`, of nobody else; whoever made it removes it.
    #[must_use]
    pub fn new(
        bucket: &Bucket,
        namespace: &Namespace,
        handles: &Handles,
        directory: Arc<dyn Directory>,
        path: &Path,
    ) -> Self {
        let (bucket, namespace, handles) = (bucket.clone(), namespace.clone(), handles.clone());
        Self { bucket, namespace, handles, directory, path: path.to_path_buf(), at: None, pages: None }
    }

    /// What differs between the database before the frames of a change and at its commit. A change that goes on where the
    /// last one ended takes the pages that it wrote; any other one takes a restore.
    ///
    /// # Errors
    ///
    /// `Invalid` when the namespace does not hold a SQLite database that can be read; `Unreachable` when the commit before
    /// the change is gone; `Corrupt`, `NotFound`, `Unavailable` of the store; `Exhausted` when the disk is full; `Io`.
    ///
    /// # Cancel safety
    ///
    /// A cancelled call may leave a thread that compares until it is done. The next call restores.
    pub async fn rows(&mut self, change: &Change) -> Result<RowChanges> {
        let before = change.first_frame.previous();
        let mut pages = self.pages.take();
        if self.at.take() != Some(before) {
            self.begin(before).await?;
            pages = None;
        }
        let after = self.writable(AFTER)?;
        resize(&*after, change)?;
        let mut images = change.images();
        while let Some((page, image)) = images.try_next().await? {
            put(&*after, page, change.page_size(), &image)?;
        }
        let frame = change.commit.frame_no;
        let (old, new) = (self.path.join(BEFORE), self.path.join(AFTER));
        let header = self.check_header(AFTER, &format!("namespace {} at frame {frame}", self.namespace))?;
        let is_read_alike = pages_are_read_alike(&self.header(BEFORE)?, &header);
        let written = Written {
            pages: change.pages().map(PageNo::get).collect(),
            smallest_size: change.smallest_size.get(),
        };
        let compared = tokio::task::spawn_blocking(move || {
            let written = is_read_alike.then_some(&written);
            compare(&Database::open(&old)?, &Database::open(&new)?, pages, written)
        });
        let compared = compared.await.map_err(|error| Error::Unknown {
            what: format!("comparing the rows of frame {frame} did not finish: {error}"),
        })?;
        let (rows, pages) = compared.map_err(|error| {
            let what = format!("the rows of namespace {} at frame {frame}", self.namespace);
            Error::invalid(what, format!("SQLite cannot read the database before or after it: {error}"))
        })?;
        self.catch_up(change, &*after)?;
        (self.at, self.pages) = (Some(Some(frame)), pages);
        Ok(rows)
    }

    /// Makes both files the database at a frame; before the first one it is empty.
    async fn begin(&self, at: Option<FrameNo>) -> Result<()> {
        for name in [BEFORE, AFTER] {
            match self.directory.remove_file(Path::new(name)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Error::io(format!("remove {}", self.path.join(name).display()), error));
                }
                _ => {}
            }
        }
        let create = |error| Error::io(format!("create a file in {}", self.path.display()), error);
        let Some(frame) = at else {
            self.directory.create_new(Path::new(BEFORE)).map_err(create)?;
            self.directory.create_new(Path::new(AFTER)).map_err(create)?;
            return Ok(());
        };
        let mut attempt = 0;
        loop {
            attempt += 1;
            match self.restore(frame).await {
                // An object that was listed is gone: a compaction may have put another in its place.
                Err(Error::NotFound { .. }) if attempt < ATTEMPTS => {}
                Err(error) => return Err(error),
                Ok(()) => break,
            }
        }
        self.check_header(BEFORE, &format!("namespace {} at frame {frame}", self.namespace))?;
        self.directory.copy_new(Path::new(BEFORE), Path::new(AFTER)).map_err(create)?;
        Ok(())
    }

    async fn restore(&self, frame: FrameNo) -> Result<()> {
        let point = RestorePoint::Frame(frame);
        let view = View::open(&self.bucket, &self.namespace, point, DATABASE_BYTES_MAX).await?;
        let mut target = FileTarget::new(Arc::clone(&self.directory), BEFORE, false, &*self.handles.random)?;
        let plan = RestorePlan::new(&view);
        view.write_to(&plan, &mut target, &RestoreOptions::default()).await?;
        target.publish()?;
        Ok(())
    }

    /// Makes the file of the database before a change what the one after it is.
    fn catch_up(&self, change: &Change, after: &dyn File) -> Result<()> {
        let before = self.writable(BEFORE)?;
        resize(&*before, change)?;
        let mut image = vec![0; change.page_size().bytes()];
        for page in change.pages() {
            let offset = page.file_offset(change.page_size());
            let read = after.read_at(offset, &mut image).map_err(failed)?;
            if read != image.len() {
                return Err(failed(std::io::ErrorKind::UnexpectedEof.into()));
            }
            put(&*before, page, change.page_size(), &image)?;
        }
        Ok(())
    }

    /// Refuses what is not a SQLite database.
    fn check_header(&self, name: &str, what: &str) -> Result<Vec<u8>> {
        let header = self.header(name)?;
        DatabaseHeader::parse(Path::new(what), &header)?;
        Ok(header)
    }

    /// The first bytes of a file.
    fn header(&self, name: &str) -> Result<Vec<u8>> {
        let file = self.directory.open(Path::new(name)).map_err(failed)?;
        let mut bytes = vec![0; HEADER_LEN];
        let len = file.read_at(0, &mut bytes).map_err(failed)?;
        bytes.truncate(len);
        Ok(bytes)
    }

    fn writable(&self, name: &str) -> Result<Box<dyn File>> {
        self.directory.open_writable(Path::new(name)).map_err(failed)
    }
}

/// Gives a file the length that it has after a change: what was cut off and has come back is zeros.
fn resize(file: &dyn File, change: &Change) -> Result<()> {
    let smallest = change.smallest_size.file_bytes(change.page_size());
    if file.len().map_err(failed)? > smallest {
        file.set_len(smallest).map_err(failed)?;
    }
    file.set_len(change.commit.size_after.file_bytes(change.page_size())).map_err(failed)
}

fn put(file: &dyn File, page: PageNo, size: PageSize, image: &[u8]) -> Result<()> {
    file.write_all_at(page.file_offset(size), image).map_err(failed)
}

fn failed(error: std::io::Error) -> Error {
    Error::io("read or write the two databases that are compared", error)
}
