//! The transactions of a write-ahead log behind a position, one by one.
//!
//! Invariant: a transaction is given only if every frame of it belongs to the round and continues the chain of
//! checksums from the position. Of what live connections hold to be committed, frames count as well that SQLite forgot to
//! seal.

use std::fs::File;
use std::io;

use walkeep::core::{HashSeed, PageCount, PageHash, PageNo, PageSize};

use crate::wal_header::{FRAME_HEADER_LEN, HEADER_LEN, WalHeader, checksum_of, read_at};
use crate::wal_position::WalPosition;

/// Frames are read in pieces of about this size.
const CHUNK: u64 = 1 << 20;

/// A transaction in the log.
#[derive(Clone, Debug)]
pub(crate) struct WalTransaction {
    /// Its pages in order, each with the place of its last image in the file, and the hash of that.
    pub(crate) rows: Vec<(PageNo, u64, PageHash)>,
    /// The size of the database after it.
    pub(crate) size_after: PageCount,
    /// The place behind it.
    pub(crate) end: WalPosition,
    /// Whether its last frame has no sums.
    pub(crate) unsealed: bool,
}

/// How far to read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Frames of the round that are committed; `None`: as far as the chain holds.
    pub(crate) frames: Option<u64>,
    /// No further transaction is begun once so many bytes of frames were read.
    pub(crate) bytes_max: u64,
}

/// A round of a log.
#[derive(Debug)]
pub(crate) struct Round<'a> {
    file: &'a File,
    header: WalHeader,
    seed: HashSeed,
}

impl<'a> Round<'a> {
    /// The log in a file as it is now; `None` when it has no header with this page size.
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub(crate) fn open(file: &'a File, page_size: PageSize, seed: HashSeed) -> io::Result<Option<Self>> {
        let header = WalHeader::read(file)?.filter(|header| header.page_size == page_size);
        Ok(header.map(|header| Self { file, header, seed }))
    }

    pub(crate) const fn salts(&self) -> crate::wal_header::Salts {
        self.header.salts
    }

    fn offset(&self, frame: u64) -> u64 {
        HEADER_LEN as u64 + frame * self.header.frame_len() as u64
    }

    /// Whether the frame before a position is there, with its salts and its sums.
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub(crate) fn holds(&self, position: &WalPosition) -> io::Result<bool> {
        let Some(last) = position.frame.checked_sub(1) else {
            return Ok(position.salts == self.header.salts);
        };
        let mut head = [0; FRAME_HEADER_LEN];
        let len = read_at(self.file, self.offset(last), &mut head)?;
        Ok(len == head.len()
            && head.get(8..16) == Some(&position.salts)
            && checksum_of(&head) == position.checksum)
    }

    /// Reads transactions behind a position, also those of an older round which stand behind the frames of this one.
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub(crate) fn read(&self, from: &WalPosition, bounds: Bounds) -> io::Result<Vec<WalTransaction>> {
        let frame_len = self.header.frame_len();
        let mut sum = if from.frame == 0 { self.header.checksum } else { from.checksum };
        let mut frame_no = from.frame;
        let (mut transactions, mut rows) = (Vec::new(), Vec::new());
        let (mut bytes, mut unsealed) = (0, from.frame > 0 && from.checksum == (0, 0));
        loop {
            let left = bounds.frames.map_or(u64::MAX, |frames| frames.saturating_sub(frame_no));
            let count = (CHUNK / frame_len as u64).max(1).min(left);
            if count == 0 {
                return Ok(transactions);
            }
            let mut chunk = vec![0; usize::try_from(count).unwrap_or(1) * frame_len];
            let len = read_at(self.file, self.offset(frame_no), &mut chunk)?;
            for slot in chunk.get(..len).unwrap_or_default().chunks_exact(frame_len) {
                let read = match bounds.frames {
                    Some(_) => self.header.live_frame(sum, unsealed, slot),
                    None => self.header.frame_of(from.salts, sum, slot).map(|frame| (frame, false)),
                };
                let Some((frame, is_unsealed)) = read else { return Ok(transactions) };
                unsealed = is_unsealed;
                sum = frame.checksum;
                let offset = self.offset(frame_no) + FRAME_HEADER_LEN as u64;
                rows.push((frame.page, offset, self.seed.page(frame.page, frame.image)));
                frame_no += 1;
                bytes += frame_len as u64;
                let Some(size_after) = frame.size_after else { continue };
                let end = WalPosition { salts: from.salts, frame: frame_no, checksum: sum };
                let rows = last_images(std::mem::take(&mut rows));
                transactions.push(WalTransaction { rows, size_after, end, unsealed });
                if bytes >= bounds.bytes_max {
                    return Ok(transactions);
                }
            }
            if len < chunk.len() {
                return Ok(transactions);
            }
        }
    }
}

/// The pages of a transaction in order, each once: with its last image.
fn last_images(mut rows: Vec<(PageNo, u64, PageHash)>) -> Vec<(PageNo, u64, PageHash)> {
    rows.sort_by_key(|(page, ..)| *page);
    rows.reverse();
    rows.dedup_by_key(|(page, ..)| *page);
    rows.reverse();
    rows
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use rusqlite::Connection;

    use super::*;

    const SEED: HashSeed = HashSeed(3);

    /// A log with one transaction for each of `values`, and the open database.
    fn log(directory: &std::path::Path, values: std::ops::Range<i64>) -> (Connection, File) {
        let connection = Connection::open(directory.join("a.db")).unwrap();
        connection
            .execute_batch("PRAGMA journal_mode = wal; PRAGMA wal_autocheckpoint = 0; CREATE TABLE t (a)")
            .unwrap();
        for value in values {
            connection.execute("INSERT INTO t VALUES (?1)", [value]).unwrap();
        }
        let file =
            std::fs::OpenOptions::new().read(true).write(true).open(directory.join("a.db-wal")).unwrap();
        (connection, file)
    }

    fn read(
        file: &File,
        from: Option<&WalPosition>,
        frames: Option<u64>,
        bytes_max: u64,
    ) -> Vec<WalTransaction> {
        let round = Round::open(file, PageSize::DEFAULT, SEED).unwrap().unwrap();
        let start = WalPosition::start(round.salts());
        round.read(from.unwrap_or(&start), Bounds { frames, bytes_max }).unwrap()
    }

    #[test]
    fn reading_goes_on_where_it_ended_whatever_the_pieces() {
        let directory = tempfile::tempdir().unwrap();
        let (_open, file) = log(directory.path(), 0..20);
        let all = read(&file, None, None, u64::MAX);
        // The schema, then 20 rows.
        assert!(all.len() >= 21, "{}", all.len());
        let ends =
            |transactions: &[WalTransaction]| transactions.iter().map(|one| one.end).collect::<Vec<_>>();
        let mut pieces: Vec<WalTransaction> = Vec::new();
        loop {
            let next = read(&file, pieces.last().map(|last| &last.end), None, 1);
            assert!(next.len() <= 1);
            let Some(next) = next.into_iter().next() else { break };
            pieces.push(next);
        }
        assert_eq!(ends(&all), ends(&pieces));
        let bound = all[10].end.frame;
        assert_eq!(ends(&read(&file, None, Some(bound), u64::MAX)), ends(&all[..11]));
        let round = Round::open(&file, PageSize::DEFAULT, SEED).unwrap().unwrap();
        assert!(all.iter().all(|one| round.holds(&one.end).unwrap()));
        let other = WalPosition { checksum: (1, 2), ..all[3].end };
        assert!(!round.holds(&other).unwrap());
    }

    #[test]
    fn a_flipped_bit_ends_the_chain() {
        let directory = tempfile::tempdir().unwrap();
        let (_open, file) = log(directory.path(), 0..5);
        let all = read(&file, None, None, u64::MAX);
        let at = 32 + all[2].end.frame * (24 + 4096) + 24 + 100;
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ 4], at).unwrap();
        assert_eq!(read(&file, None, None, u64::MAX).len(), 3);
    }

    #[test]
    fn frames_without_sums_count_only_where_live_connections_hold_them_to_be_committed() {
        let directory = tempfile::tempdir().unwrap();
        let (_open, file) = log(directory.path(), 0..6);
        let all = read(&file, None, None, u64::MAX);
        let frames = all.last().unwrap().end.frame;
        // The last frame of a transaction, and the first of the next; what follows goes on from nowhere.
        for frame in [all[2].end.frame - 1, all[2].end.frame] {
            file.write_all_at(&[0; 16], 32 + frame * (24 + 4096) + 8).unwrap();
        }
        assert_eq!(read(&file, None, None, u64::MAX).len(), 2);
        let live = read(&file, None, Some(frames), u64::MAX);
        let places = |transactions: &[WalTransaction]| {
            transactions.iter().map(|one| (one.end.frame, one.rows.clone())).collect::<Vec<_>>()
        };
        assert_eq!(places(&live), places(&all));
        assert_eq!(live.last().unwrap().end, all.last().unwrap().end);
        assert!(live[2].unsealed && !live[1].unsealed);
        // Other salts are never taken for that.
        file.write_all_at(&[1; 16], 32 + all[2].end.frame * (24 + 4096) + 8).unwrap();
        assert_eq!(read(&file, None, Some(frames), u64::MAX).len(), 3);
    }

    #[test]
    fn transactions_of_the_round_before_are_read_from_behind_the_new_one() {
        let directory = tempfile::tempdir().unwrap();
        let (open, file) = log(directory.path(), 0..20);
        let all = read(&file, None, None, u64::MAX);
        open.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())).unwrap();
        open.execute("INSERT INTO t VALUES (99)", []).unwrap();
        let tail = read(&file, Some(&all[10].end), None, u64::MAX);
        assert_eq!(tail.len(), all.len() - 11);
        assert_eq!(tail.last().unwrap().end, all.last().unwrap().end);
        assert_eq!(read(&file, None, None, u64::MAX).len(), 1, "the new round");
    }

    #[test]
    fn a_page_that_is_twice_in_a_transaction_counts_with_its_last_image() {
        let page = |n| PageNo::new(n).unwrap();
        let rows = [(2, 10, 1), (1, 20, 2), (2, 30, 3), (3, 40, 4), (2, 50, 5)];
        let rows = rows.map(|(n, at, hash)| (page(n), at, PageHash(hash))).to_vec();
        let kept = [(1, 20, 2), (2, 50, 5), (3, 40, 4)];
        assert_eq!(last_images(rows), kept.map(|(n, at, hash)| (page(n), at, PageHash(hash))));
    }
}
