//! The state checksum of every commit, folded anew from the page hashes, oldest segment first.

use std::collections::BTreeMap;

use walkeep_core::{
    Commit, Error, FrameNo, HashSeed, Manifest, PageCount, PageHashTable, Result, StateChecksum,
};

use super::since::Proven;
use crate::stored_segment::OpenSegment;
use crate::view::{DATABASE_BYTES_MAX, check_size};

/// The database's page hashes as the fold goes on.
///
/// Invariant: `table` is the database at `at`, unless the fold was interrupted by damage.
#[derive(Debug)]
pub(super) struct StateFold {
    manifest: Manifest,
    table: PageHashTable,
    /// The last commit folded; `None` before the first, and after damage.
    at: Option<FrameNo>,
    states: BTreeMap<FrameNo, StateChecksum>,
    proven: u64,
}

impl StateFold {
    /// Begins with nothing, or behind what was proven before.
    pub(super) fn new(manifest: &Manifest, proven: Option<&Proven>) -> Self {
        let table = proven.map(|proven| proven.table.clone());
        let table = table.unwrap_or_else(|| PageHashTable::new(manifest.hash_seed()));
        let at = proven.map(|proven| proven.until);
        Self { manifest: manifest.clone(), table, at, states: BTreeMap::new(), proven: 0 }
    }

    /// The last commit up to which everything is proven.
    pub(super) const fn at(&self) -> Option<FrameNo> {
        self.at
    }

    pub(super) const fn seed(&self) -> HashSeed {
        self.manifest.hash_seed()
    }

    pub(super) const fn proven(&self) -> u64 {
        self.proven
    }

    /// Forgets the database: what follows cannot be folded until a segment begins at the base.
    pub(super) const fn interrupt(&mut self) {
        self.at = None;
    }

    /// Folds a segment in. Segments come in order of ends, the raw one of several first.
    pub(super) fn fold(&mut self, segment: &OpenSegment) -> Result<()> {
        let key = segment.key();
        if self.at.is_some_and(|at| at >= key.end()) {
            return self.check_repeated(segment);
        }
        if key.start() <= self.manifest.base(key.end()) && self.at.is_none_or(|at| at < key.start()) {
            self.table = PageHashTable::new(self.seed());
            self.at = key.start().previous();
        } else if self.at.and_then(FrameNo::next).is_none_or(|next| next < key.start()) {
            // A hole is noted elsewhere, if anybody needs what stands behind it; a wider segment may still join.
            return Ok(());
        }
        if let Err(error) = check_sizes(segment) {
            self.at = None;
            return Err(error);
        }
        let folded = if key.level() == 0 { self.fold_raw(segment) } else { self.fold_compacted(segment) };
        self.at = folded.is_ok().then_some(key.end());
        folded
    }

    /// A segment whose frames are all folded already says the same about its end.
    fn check_repeated(&self, segment: &OpenSegment) -> Result<()> {
        let recorded = segment.commits().last().and_then(|commit| commit.state);
        match (self.states.get(&segment.key().end()), recorded) {
            (Some(state), Some(recorded)) if *state != recorded => {
                Err(wrong_state(segment, segment.key().end(), recorded, *state))
            }
            _ => Ok(()),
        }
    }

    fn fold_raw(&mut self, segment: &OpenSegment) -> Result<()> {
        let index = segment.index();
        let rows = index.frames().iter().zip(index.pages().iter().zip(index.hashes()));
        let mut rows = rows.collect::<Vec<_>>();
        rows.sort_by_key(|(frame, _)| **frame);
        let mut rows = rows.into_iter().peekable();
        for commit in segment.commits() {
            let known = self.at.is_some_and(|at| commit.frame_no <= at);
            if !known {
                self.table.resize(self.table.size().max(commit.size_after));
            }
            while let Some((_, (page, hash))) = rows.next_if(|(frame, _)| **frame <= commit.frame_no) {
                if !known {
                    self.table.set(*page, *hash);
                }
            }
            if !known {
                self.table.resize(commit.size_after);
                self.check(segment, commit)?;
            }
        }
        Ok(())
    }

    fn fold_compacted(&mut self, segment: &OpenSegment) -> Result<()> {
        let index = segment.index();
        let smallest: PageCount = index.footer().min_size_after;
        // What a shrink cut off is gone; what was written after it is in the segment.
        self.table.resize(self.table.size().min(smallest));
        self.table.resize(index.footer().size_after);
        for (page, hash) in index.pages().iter().zip(index.hashes()) {
            self.table.set(*page, *hash);
        }
        segment.commits().last().map_or(Ok(()), |commit| self.check(segment, commit))
    }

    fn check(&mut self, segment: &OpenSegment, commit: &Commit) -> Result<()> {
        let state = self.table.state();
        self.states.insert(commit.frame_no, state);
        match commit.state {
            Some(recorded) if recorded != state => {
                Err(wrong_state(segment, commit.frame_no, recorded, state))
            }
            Some(_) => {
                self.proven += 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

/// Sizes come from a store: no table is made for more than a view would open.
fn check_sizes(segment: &OpenSegment) -> Result<()> {
    let index = segment.index();
    let page_size = index.footer().header.page_size;
    let largest = index.commits().iter().map(|commit| commit.size_after).max().unwrap_or_default();
    check_size(page_size, largest, DATABASE_BYTES_MAX)
        .map_err(|error| Error::Exhausted { what: format!("{}: {error}", segment.path()) })
}

fn wrong_state(
    segment: &OpenSegment,
    frame: FrameNo,
    recorded: StateChecksum,
    found: StateChecksum,
) -> Error {
    let offset = segment.index().footer().sections().start;
    Error::corrupt(segment.path(), offset, format!("state checksum {recorded} for frame {frame}"), found)
}
