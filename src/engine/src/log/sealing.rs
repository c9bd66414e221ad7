//! When and how a log seals its current segment.
//!
//! The order of steps, on which [`super::recovery`] relies: the sealed file and the next current file are written and
//! synced under temporary names; the sealed file gets its name, the directory is synced; the next current file gets its
//! name, the old one is removed, the directory is synced. A crash between any two loses nothing.

use std::sync::Arc;

use walkeep_core::current_segment::CurrentHeader;
use walkeep_core::{Error, Result, SealedSegment, UnixMillis};

use super::current_file::CurrentFile;
use super::seal::Sealing;
use super::sealed_file::SealedFile;
use super::{Log, Unsealed, remove, start, sync_directory};

impl Log {
    /// What is committed and not sealed yet; `None` when nothing is.
    #[must_use]
    pub fn unsealed(&self) -> Option<Unsealed> {
        let frames = self.current.rows().len() as u64;
        let bytes = frames.saturating_mul(self.page_size().bytes_u64());
        (frames > 0).then_some(Unsealed { frames, bytes, since: self.unsealed_since })
    }

    /// When [`Log::seal_if_due`] is to be called if nothing more is committed; `None` when that makes nothing due.
    #[must_use]
    pub fn seal_due_at(&self) -> Option<UnixMillis> {
        self.unsealed().and_then(|unsealed| self.options.seal.due_at(&unsealed))
    }

    /// Seals if the policy says so: see [`Log::seal`].
    ///
    /// # Errors
    ///
    /// As [`Log::seal`].
    pub fn seal_if_due(&mut self) -> Result<Option<SealedSegment>> {
        let now = self.handles.clock.now();
        // A clock that was set back must not put it off.
        self.unsealed_since = self.unsealed_since.min(now);
        if self.seal_due_at().is_some_and(|due| due <= now) { self.seal() } else { Ok(None) }
    }

    /// Seals everything that is committed: the next segment to store. `None` when there is nothing.
    ///
    /// The segment's file stays until [`Log::checkpointed`]; it is durable on the local disk when this returns.
    ///
    /// # Errors
    ///
    /// `Exhausted` when the disk is full: nothing has changed, and commits go on as far as there is space. Otherwise
    /// `Unknown`: open the log again.
    pub fn seal(&mut self) -> Result<Option<SealedSegment>> {
        self.check_writable()?;
        if self.current.commits().is_empty() {
            return Ok(None);
        }
        let sealed = self.try_seal();
        let sealed = sealed.map_err(|error| match error {
            Error::Exhausted { .. } => error,
            error => self.poison(error),
        })?;
        let segment = sealed.segment().clone();
        self.sealed.push(sealed);
        self.unsynced_since = None;
        Ok(Some(segment))
    }

    /// Everything that needs space is done before anything is renamed.
    fn try_seal(&mut self) -> Result<SealedFile> {
        let directory = Arc::clone(&self.directory);
        let mut sealed =
            self.sealing().seal(&self.current, self.current.header().start, self.current.commits())?;
        let next = self
            .next_header()
            .and_then(|header| CurrentFile::create(&*directory, header, &*self.handles.random));
        let mut next = match next {
            Ok(next) => next,
            Err(error) => {
                let _ = directory.remove_file(&sealed.name().path());
                return Err(error);
            }
        };
        // From the first rename on there is no way back, also if the disk is full.
        self.publish(&mut sealed, &mut next).map_err(|error| match error {
            Error::Exhausted { what } => Error::Unknown { what },
            error => error,
        })?;
        self.current = next;
        Ok(sealed)
    }

    fn publish(&self, sealed: &mut SealedFile, next: &mut CurrentFile) -> Result<()> {
        let directory = &*self.directory;
        sealed.publish(directory)?;
        sync_directory(directory)?;
        next.publish(directory)?;
        remove(directory, self.current.name())?;
        sync_directory(directory)
    }

    fn sealing(&self) -> Sealing<'_> {
        let (directory, random) = (&*self.directory, &*self.handles.random);
        Sealing { directory, random, head: &self.head, compression: self.options.compression }
    }

    fn next_header(&self) -> Result<CurrentHeader> {
        start::header_after(&self.head, self.last.as_ref(), &self.table)
    }
}
