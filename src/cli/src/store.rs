//! `STORE` on the command line: opened, with a count of what goes to it.
//!
//! What is written there is never repeated in an error: somebody may have put a password into it.

use std::ffi::OsStr;
use std::sync::Arc;

use clap::builder::TypedValueParser;
use clap::error::ErrorKind;
use walkeep::backends::metered::{Metered, Requests};
use walkeep::backends::{Copies, CopyStatus, StoreUrl};
use walkeep::core::DynBackend;
use walkeep::core::libsql::Cluster;
use walkeep::{Bucket, Error, Fencing};

/// Reads `STORE`. The parsers of the command line library repeat what they refuse; this one does not.
#[derive(Clone, Debug)]
pub(crate) struct StoreParser;

impl TypedValueParser for StoreParser {
    type Value = StoreUrl;

    fn parse_ref(
        &self,
        command: &clap::Command,
        arg: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<StoreUrl, clap::Error> {
        StoreUrl::from_os_str(value).map_err(|error| {
            let name = arg.map(|arg| format!("{arg}: ")).unwrap_or_default();
            clap::Error::raw(ErrorKind::ValueValidation, format!("{name}{error}\n")).with_cmd(command)
        })
    }
}

/// An open store, and a count of what goes to it.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) bucket: Bucket,
    metered: Arc<Metered<DynBackend>>,
    /// Of a store in two places: how far one is behind the other.
    copies: Option<Copies>,
}

impl Store {
    /// Opens a store that exists, for reading.
    ///
    /// # Errors
    ///
    /// `Unavailable`; `Invalid` when settings or credentials contradict each other.
    pub(crate) fn open(url: &StoreUrl) -> Result<Self, Error> {
        Self::on(url, url.open()?, None)
    }

    /// Opens a store for writing, creating a directory that is new.
    ///
    /// # Errors
    ///
    /// As [`Store::open`].
    pub(crate) fn create(url: &StoreUrl) -> Result<Self, Error> {
        match url.open_copies()? {
            Some(copies) => Self::on(url, copies.clone().into_backend(), Some(copies)),
            None => Self::on(url, url.create()?, None),
        }
    }

    fn on(url: &StoreUrl, backend: DynBackend, copies: Option<Copies>) -> Result<Self, Error> {
        let metered = Arc::new(Metered::new(backend));
        Ok(Self { bucket: Bucket::new(Arc::clone(&metered), None)?.named(url), metered, copies })
    }

    /// The backend, for a queue in front of it; what goes to it is counted.
    pub(crate) fn backend(&self) -> DynBackend {
        self.metered.clone()
    }

    /// The same store, whether or not it can tell two writers apart.
    pub(crate) fn unfenced(self) -> Self {
        Self { bucket: self.bucket.with_fencing(Fencing::Unfenced), ..self }
    }

    /// The same store, read as a bucket of libsql-wal.
    pub(crate) fn into_libsql(self, cluster: Cluster) -> Self {
        Self { bucket: self.bucket.as_libsql(cluster), ..self }
    }

    /// What has gone to the store so far.
    pub(crate) fn requests(&self) -> Requests {
        self.metered.requests()
    }

    /// How far copying between the two places is, of a store that was opened for writing and is in two.
    pub(crate) fn copying(&self) -> Option<CopyStatus> {
        self.copies.as_ref().map(Copies::status)
    }
}
