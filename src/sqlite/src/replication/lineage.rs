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
        let opened =
            self.opening.filter(|opening| opening.log_id == newest.log_id && newest.epoch <= opening.epoch);
        let Some(captured) = self.newest().filter(|captured| captured.log_id == newest.log_id) else {
            // The opening is made durable, the position only now and then.
            let database = opened.and_then(|opening| opening.database);
            if database.is_some_and(|database| database.goes_on_as(identity)) {
                return Lineage::Ours("the local state was lost (a power loss?)".into());
            }
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
        if opened.is_some() && newest.commit.frame_no > captured.commit.frame_no {
            return Lineage::Ours("the local state is older than what is stored (a power loss?)".into());
        }
        Lineage::Unknown(format!("another writer has continued the namespace, in epoch {}", newest.epoch))
    }
}

#[cfg(test)]
mod tests {
    use walkeep::core::{Commit, CommitKind, Epoch, FrameNo, LogId, PageCount, StateChecksum, UnixMillis};

    use super::*;
    use crate::wal_position::WalPosition;

    fn position(frame: u64) -> Position {
        let commit = Commit {
            frame_no: FrameNo::new(frame).unwrap(),
            size_after: PageCount(1),
            time: UnixMillis(1),
            state: Some(StateChecksum(frame)),
            kind: CommitKind::Transaction,
        };
        let (wal, database) = (WalPosition::start([0; 8]), identity(7, 3));
        Position { log_id: LogId(1), page_size: PageSize::DEFAULT, commit, wal, database }
    }

    fn identity(inode: u64, change_counter: u32) -> DatabaseIdentity {
        serde_json::from_value(
            serde_json::json!({"device": 1, "inode": inode, "change_counter": change_counter, "modified_ns": 0}),
        )
        .unwrap()
    }

    fn newest(frame: u64, epoch: u32) -> Newest {
        let Position { log_id, page_size, commit, .. } = position(frame);
        Newest { log_id, page_size, commit, epoch: Epoch(epoch) }
    }

    fn local(frame: u64, epoch: u32) -> Local {
        let opening = Some(Opening { log_id: LogId(1), epoch: Epoch(epoch), database: Some(identity(7, 3)) });
        Local { position: Some(position(frame)), spool: Vec::new(), opening }
    }

    fn of(local: &Local, newest: &Newest) -> Lineage {
        local.lineage(newest, &identity(7, 3), PageSize::DEFAULT)
    }

    #[test]
    fn only_the_newest_commit_that_was_captured_here_is_continued() {
        assert!(matches!(of(&local(9, 2), &newest(9, 2)), Lineage::Yes { unsent: 0, .. }));
        let other = Newest {
            commit: Commit { state: Some(StateChecksum(1)), ..newest(9, 2).commit },
            ..newest(9, 2)
        };
        assert!(matches!(of(&local(9, 2), &other), Lineage::Unknown(_)), "of the same number, but another");
        assert!(matches!(of(&local(9, 2), &newest(12, 3)), Lineage::Unknown(_)), "another writer's");
        assert!(matches!(of(&local(9, 2), &newest(12, 2)), Lineage::Ours(_)), "ours, but forgotten");
        assert!(matches!(of(&local(9, 2), &newest(5, 2)), Lineage::StoreLost(_)));
        assert!(matches!(of(&Local::default(), &newest(9, 2)), Lineage::Unknown(_)));
        let other = Newest { log_id: LogId(2), ..newest(9, 2) };
        assert!(matches!(of(&local(9, 2), &other), Lineage::Unknown(_)), "another log");
    }

    #[test]
    fn a_lost_position_is_made_up_for_by_the_opening_of_the_same_file() {
        let lost = Local { position: None, ..local(9, 2) };
        assert!(matches!(of(&lost, &newest(9, 2)), Lineage::Ours(_)));
        assert!(matches!(of(&lost, &newest(9, 3)), Lineage::Unknown(_)), "another writer's");
        let other = lost.lineage(&newest(9, 2), &identity(8, 3), PageSize::DEFAULT);
        assert!(matches!(other, Lineage::Unknown(_)), "another file");
    }

    #[test]
    fn another_file_or_an_older_one_is_not_the_same_database() {
        let lineage =
            |inode, counter| local(9, 2).lineage(&newest(9, 2), &identity(inode, counter), PageSize::DEFAULT);
        assert!(matches!(lineage(7, 3), Lineage::Yes { .. }));
        assert!(matches!(lineage(7, 900), Lineage::Yes { .. }));
        assert!(matches!(lineage(8, 3), Lineage::Unknown(_)));
        assert!(matches!(lineage(7, 2), Lineage::Unknown(_)));
    }

    #[test]
    fn another_page_size_is_compared_anew() {
        let small = PageSize::new(512).unwrap();
        let lineage = local(9, 2).lineage(&newest(9, 2), &identity(7, 3), small);
        assert!(matches!(lineage, Lineage::Ours(_)));
    }
}
