//! Proving a replica's file: every page is read and hashed.
//!
//! Not here: what to do with a file that is not what it should be.

use walkeep_core::{Error, File, PageHashTable, PageNo, ReplicaVersion, Result};

use super::journal_mode::JournalMode;

/// How many bytes are read at once: a multiple of every page size.
const CHUNK: usize = 1 << 20;

/// The page hashes of a file, if it is this version of a replica.
///
/// # Errors
///
/// `Io`.
pub(super) fn identify(
    file: &dyn File,
    version: &ReplicaVersion,
    mode: JournalMode,
) -> Result<Option<PageHashTable>> {
    let mut table = PageHashTable::new(version.hash_seed);
    if len(file)? != version.size.file_bytes(version.page_size) {
        return Ok(None);
    }
    table.resize(version.size);
    let mut first = Vec::new();
    each_page(file, version, |page, image| {
        if page == PageNo::FIRST {
            first = mode.hashes(version.hash_seed, image);
        } else {
            table.set(page, version.hash_seed.page(page, image));
        }
        true
    })?;
    if version.size.get() == 0 {
        return Ok((table.state() == version.state).then_some(table));
    }
    for hash in first {
        table.set(PageNo::FIRST, hash);
        if table.state() == version.state {
            return Ok(Some(table));
        }
    }
    Ok(None)
}

/// The first page of a file that is not what `expected` says; `None` when all are.
///
/// # Errors
///
/// `Io`.
pub(super) fn first_wrong(
    file: &dyn File,
    version: &ReplicaVersion,
    expected: &PageHashTable,
    mode: JournalMode,
) -> Result<Option<PageNo>> {
    if len(file)? != version.size.file_bytes(version.page_size) {
        return Ok(Some(PageNo::FIRST));
    }
    let mut wrong = None;
    each_page(file, version, |page, image| {
        let right = match page {
            PageNo::FIRST => mode.hashes(version.hash_seed, image).contains(&expected.get(page)),
            _ => version.hash_seed.page(page, image) == expected.get(page),
        };
        if !right {
            wrong = Some(page);
        }
        right
    })?;
    Ok(wrong)
}

/// Hands over the pages in order, until `look` says that it has seen enough.
fn each_page(
    file: &dyn File,
    version: &ReplicaVersion,
    mut look: impl FnMut(PageNo, &[u8]) -> bool,
) -> Result<()> {
    let mut buffer = vec![0; CHUNK];
    let mut pages = (1..=version.size.get()).filter_map(PageNo::new);
    let mut offset = 0;
    loop {
        let read = file.read_at(offset, &mut buffer).map_err(failed)?;
        offset += read as u64;
        for image in buffer.get(..read).unwrap_or_default().chunks(version.page_size.bytes()) {
            let Some(page) = pages.next() else { return Ok(()) };
            if !look(page, image) {
                return Ok(());
            }
        }
        if read < buffer.len() {
            return Ok(());
        }
    }
}

fn len(file: &dyn File) -> Result<u64> {
    file.len().map_err(failed)
}

fn failed(error: std::io::Error) -> Error {
    Error::io("read the replica", error)
}
