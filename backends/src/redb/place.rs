//! Where a shard is: how its file is opened, and copied first where a sync of it failed.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use walkeep_core::shards::{ShardLayout, ShardNo, ShardPurpose};
use walkeep_core::{Directory, Error, File, Result};

use super::identity;
use super::open_shard::{OpenShard, database, guarded};
use super::recent::Recent;
use super::shard_file::{ShardFile, Watch};

/// How the name of the file ends that makes a shard suspect: `shard-000.suspect`.
const SUSPECT: &str = "suspect";

/// Where a shard is, and how it is opened.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) directory: Arc<dyn Directory>,
    pub(super) path: PathBuf,
    /// What it is called in messages.
    pub(super) label: String,
    pub(super) layout: ShardLayout,
    pub(super) cache_bytes: usize,
    pub(super) check: bool,
    pub(super) rows_waiting: usize,
}

impl Place {
    /// Opens the shard that is there. A suspect one is copied first, so that what is only in the machine's memory comes
    /// to the disk: see [`ShardFile`].
    pub(super) fn open_again(&self, no: ShardNo) -> Result<OpenShard> {
        self.renew().map_err(|error| Error::io(format!("copy {} after a failed sync", self.label), error))?;
        let file = self.directory.open_writable(&self.path);
        let file = file.map_err(|error| Error::io(format!("open {}", self.label), error))?;
        let empty = file.len().map_err(|error| Error::io(format!("open {}", self.label), error))? == 0;
        if empty {
            // The database would take it for a new one.
            return Err(Error::corrupt(&self.label, 0, "a shard", "an empty file"));
        }
        let open = self.open_file(file)?;
        let checked = guarded(|| {
            let transaction = open.begin_read()?;
            identity::check(&transaction, &self.label, &self.layout, no)?;
            if self.layout.purpose == ShardPurpose::Segments && self.layout.version >= ShardLayout::ROWS_LATER
            {
                return Recent::load(&transaction);
            }
            Ok(Recent::default())
        });
        let recent = checked.map_err(|failure| failure.into_error(&format!("open {}", self.label)))?;
        Ok(open.with_rows(recent))
    }

    fn renew(&self) -> io::Result<()> {
        let suspect = self.path.with_extension(SUSPECT);
        if self.directory.metadata(&suspect)?.is_none() {
            return Ok(());
        }
        tracing::warn!(shard = self.label, "a sync of it failed: it is copied");
        let copy = self.path.with_extension("copy");
        match self.directory.remove_file(&copy) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        self.directory.copy_new(&self.path, &copy)?.sync()?;
        self.directory.rename(&copy, &self.path)?;
        self.directory.sync_directory(Path::new(""))?;
        self.directory.remove_file(&suspect)
    }

    pub(super) fn open_file(&self, file: Box<dyn File>) -> Result<OpenShard> {
        let watch = Arc::<Watch>::default();
        let suspect = self.path.with_extension(SUSPECT);
        let storage = ShardFile::new(file, Arc::clone(&watch), Arc::clone(&self.directory), suspect);
        let database = database(&self.label, self.cache_bytes, self.check, storage)?;
        Ok(OpenShard::new(database, watch, self.rows_waiting))
    }
}
