//! Whether a database goes on from the newest state of a namespace, as far as local state can tell. No I/O.
//!
//! Invariant: *yes* is said only if the newest commit of the store is one that was captured here, from this very file.

use walkeep::core::PageSize;

use super::newest::Newest;
use super::state::{DatabaseIdentity, Opening, Position, SpoolFile};

/// What local state says.
#[derive(Debug)]
pub(super) enum Lineage {
    /// It goes on from there; of the spool, so many segments are not stored yet.
    Yes {
        /// The newest position that was captured.
        captured: Position,
        /// The position behind the newest commit of the store.
        stored: Position,
        /// Segments behind the newest commit of the store.
        unsent: usize,
    },
    /// The newest commit was captured here, but that is no longer known to the last detail.
    Ours(String),
    /// Not as far as is known here.
    Unknown(String),
    /// The store has lost commits.
    StoreLost(Position),
}

/// Local state, as it was found.
#[derive(Debug, Default)]
pub(super) struct Local {
    pub(super) position: Option<Position>,
    pub(super) spool: Vec<SpoolFile>,
    pub(super) opening: Option<Opening>,
}

impl Local {
    /// The newest position that was captured.
    pub(super) fn newest(&self) -> Option<Position> {
        self.spool.last().map(|file| file.position).or(self.position)
    }

    /// Compares with the newest commit of the store.
    pub(super) fn lineage(
        &self,
        newest: &Newest,
        identity: &DatabaseIdentity,
        page_size: PageSize,
    ) -> Lineage {
        let Some(captured) = self.newest().filter(|captured| captured.log_id == newest.log_id) else {
            return Lineage::Unknown("there is no local state that says that it does".into());
        };
        if !captured.database.goes_on_as(identity) {
            return Lineage::Unknown(
                "the database file was replaced by another one, or by an older one".into(),
            );
        }
        if let Some(stored) = self.position.filter(|stored| {
            stored.log_id == newest.log_id && stored.commit.frame_no > newest.commit.frame_no
        }) {
            return Lineage::StoreLost(stored);
        }
        let is_newest = |position: &Position| {
            position.commit.frame_no == newest.commit.frame_no && position.commit.state == newest.commit.state
        };
        let spooled = self.spool.iter().position(|file| is_newest(&file.position));
        let stored = match spooled {
            Some(at) => self.spool.get(at).map(|file| (file.position, self.spool.len() - at - 1)),
            None => self.position.filter(is_newest).map(|position| (position, self.spool.len())),
        };
        if let Some((stored, unsent)) = stored {
            if page_size != newest.page_size {
                return Lineage::Ours(format!(
                    "the page size was changed from {} to {page_size} bytes",
                    newest.page_size
                ));
            }
            return Lineage::Yes { captured, stored, unsent };
        }
        let ours = self
            .opening
            .is_some_and(|opening| opening.log_id == newest.log_id && newest.epoch <= opening.epoch);
        if ours && newest.commit.frame_no > captured.commit.frame_no {
            return Lineage::Ours("the local state is older than what is stored (a power loss?)".into());
        }
        Lineage::Unknown(format!("another writer has continued the namespace, in epoch {}", newest.epoch))
    }
}
