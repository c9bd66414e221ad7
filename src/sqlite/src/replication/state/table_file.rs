//! The page hashes of a database in a file: changed in place, and believed only if they fold to the state checksum.
//!
//! 64 bytes of header, then 8 bytes a page, little-endian: the hash of its image. The header is written after the
//! hashes; whoever crashes in between leaves hashes of the segment behind it, which are those of a file in the spool.

use std::io;
use std::path::Path;

use walkeep::core::{
    Directory, Error, File, FrameNo, HashSeed, LogId, PageCount, PageHash, PageHashTable, PageNo, Result,
};

const NAME: &str = "pages";
const MAGIC: &[u8; 8] = b"WKPAGES1";
const HEADER_LEN: usize = 64;
const CRC_AT: usize = 60;
/// Hashes are written in runs; pages of one run are at most so far apart.
const GAP_MAX: u32 = 64;
const CHUNK: usize = 1 << 20;

/// What stands in front of the hashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TableHeader {
    pub(crate) log_id: LogId,
    pub(crate) seed: HashSeed,
    /// The commit that the hashes are of.
    pub(crate) frame_no: FrameNo,
    pub(crate) size: PageCount,
}

impl TableHeader {
    fn encode(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        let parts: [&[u8]; 5] = [
            MAGIC,
            &self.log_id.0.to_le_bytes(),
            &self.seed.0.to_le_bytes(),
            &self.frame_no.get().to_le_bytes(),
            &self.size.get().to_le_bytes(),
        ];
        let joined = parts.concat();
        for (to, from) in bytes.iter_mut().zip(joined) {
            *to = from;
        }
        let crc = crc32fast::hash(bytes.get(..CRC_AT).unwrap_or_default()).to_le_bytes();
        for (to, from) in bytes.iter_mut().skip(CRC_AT).zip(crc) {
            *to = from;
        }
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        fn part<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
            bytes.get(at..at + N)?.try_into().ok()
        }
        let whole = bytes.starts_with(MAGIC)
            && crc32fast::hash(bytes.get(..CRC_AT)?) == u32::from_le_bytes(part(bytes, CRC_AT)?);
        whole.then_some(Self {
            log_id: LogId(u128::from_le_bytes(part(bytes, 8)?)),
            seed: HashSeed(u64::from_le_bytes(part(bytes, 24)?)),
            frame_no: FrameNo::new(u64::from_le_bytes(part(bytes, 32)?))?,
            size: PageCount(u32::from_le_bytes(part(bytes, 40)?)),
        })
    }
}

/// The file of page hashes.
#[derive(Debug)]
pub(crate) struct TableFile {
    file: Box<dyn File>,
}

impl TableFile {
    /// Reads the file; `None` when there is none that is whole.
    ///
    /// # Errors
    ///
    /// `Io`.
    pub(crate) fn read(directory: &dyn Directory) -> Result<Option<(TableHeader, PageHashTable)>> {
        let failed = |error| Error::io(format!("read {NAME} of the local state"), error);
        let file = match directory.open(Path::new(NAME)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let mut bytes = [0; HEADER_LEN];
        let len = file.read_at(0, &mut bytes).map_err(failed)?;
        let Some(header) = bytes.get(..len).and_then(TableHeader::decode) else { return Ok(None) };
        let hashes = file.len().map_err(failed)?.saturating_sub(HEADER_LEN as u64) / 8;
        if hashes < u64::from(header.size.get()) {
            return Ok(None);
        }
        let mut table = PageHashTable::new(header.seed);
        table.resize(header.size);
        let mut chunk = vec![0; CHUNK];
        let mut page = Some(PageNo::FIRST);
        while let Some(first) = page.filter(|page| header.size.contains(*page)) {
            let len = file.read_at(offset(first), &mut chunk).map_err(failed)?;
            for hash in chunk.get(..len).unwrap_or_default().as_chunks::<8>().0 {
                let Some(current) = page else { break };
                table.set(current, PageHash(u64::from_le_bytes(*hash)));
                page = current.get().checked_add(1).and_then(PageNo::new);
            }
            if len < 8 {
                return Ok(None);
            }
        }
        Ok(Some((header, table)))
    }

    /// Begins the file anew with all hashes.
    ///
    /// # Errors
    ///
    /// `Io`, `Exhausted`.
    pub(crate) fn create(
        directory: &dyn Directory,
        log_id: LogId,
        frame_no: FrameNo,
        table: &PageHashTable,
    ) -> Result<Self> {
        let failed = |error| Error::io(format!("write {NAME} of the local state"), error);
        match directory.remove_file(Path::new(NAME)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let mut made = Self { file: directory.create_new(Path::new(NAME)).map_err(failed)? };
        let all = (1..=table.size().get()).filter_map(PageNo::new);
        made.update(log_id, frame_no, table, all)?;
        Ok(made)
    }

    /// Writes the hashes of these pages, in order, and then whose they are.
    ///
    /// # Errors
    ///
    /// `Io`, `Exhausted`.
    pub(crate) fn update(
        &mut self,
        log_id: LogId,
        frame_no: FrameNo,
        table: &PageHashTable,
        pages: impl Iterator<Item = PageNo>,
    ) -> Result<()> {
        let failed = |error| Error::io(format!("write {NAME} of the local state"), error);
        let size = table.size();
        let (mut first, mut run): (Option<PageNo>, Vec<u8>) = (None, Vec::new());
        let mut next = 0_u32;
        for page in pages.filter(|page| size.contains(*page)) {
            let near = page.get() >= next && page.get() - next <= GAP_MAX && run.len() < CHUNK;
            if let Some(begun) = first.filter(|_| !near) {
                self.file.write_all_at(offset(begun), &run).map_err(failed)?;
                run.clear();
                first = None;
            }
            let from = if first.is_none() { page.get() } else { next };
            first = first.or(Some(page));
            for number in (from..=page.get()).filter_map(PageNo::new) {
                run.extend_from_slice(&table.get(number).0.to_le_bytes());
            }
            next = page.get().saturating_add(1);
        }
        if let Some(begun) = first {
            self.file.write_all_at(offset(begun), &run).map_err(failed)?;
        }
        let header = TableHeader { log_id, seed: table.seed(), frame_no, size };
        // New pages of zeros may not be among those that were written.
        self.file.set_len(HEADER_LEN as u64 + 8 * u64::from(size.get())).map_err(failed)?;
        self.file.write_all_at(0, &header.encode()).map_err(failed)
    }
}

const fn offset(page: PageNo) -> u64 {
    HEADER_LEN as u64 + 8 * (page.get() as u64 - 1)
}

#[cfg(test)]
mod tests {
    use walkeep::backends::os::OsDirectory;

    use super::*;

    #[test]
    fn hashes_come_back_and_a_torn_header_is_noticed() {
        let root = tempfile::tempdir().unwrap();
        let directory = OsDirectory::open(root.path()).unwrap();
        let frame = |n| FrameNo::new(n).unwrap();
        let page = |n| PageNo::new(n).unwrap();
        let mut table = PageHashTable::new(HashSeed(5));
        table.resize(PageCount(1000));
        (1..=1000).for_each(|n| table.set(page(n), PageHash(u64::from(n) * 7)));
        let mut file = TableFile::create(&directory, LogId(3), frame(9), &table).unwrap();
        let changes: [(u32, &[u32]); 4] =
            [(1000, &[1, 2, 70, 500, 999]), (10, &[10]), (900, &[900]), (1200, &[])];
        for (n, (size, pages)) in (10..).zip(changes) {
            table.resize(PageCount(size));
            pages.iter().for_each(|p| table.set(page(*p), PageHash(n * 1_000_003)));
            file.update(LogId(3), frame(n), &table, pages.iter().map(|p| page(*p))).unwrap();
            let (header, read) = TableFile::read(&directory).unwrap().unwrap();
            assert_eq!((header.frame_no, header.size), (frame(n), PageCount(size)));
            assert_eq!(read, table);
        }
        for at in [0, 8, 40, 60] {
            let mut byte = [0];
            file.file.read_at(at, &mut byte).unwrap();
            file.file.write_all_at(at, &[byte[0] ^ 1]).unwrap();
            assert!(TableFile::read(&directory).unwrap().is_none(), "byte {at}");
            file.file.write_all_at(at, &byte).unwrap();
        }
        assert!(TableFile::read(&directory).unwrap().is_some());
    }
}
