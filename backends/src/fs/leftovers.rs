//! What a put that was killed leaves behind: a file under a hidden name.
//!
//! Nothing reads such a file. It is durable only by chance, and so is its removal: one that comes back after a power
//! loss is removed by a later call.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use walkeep_core::files::{Directory, EntryKind};
use walkeep_core::{Error, Leftovers, ObjectPath, Result, UnixMillis};

use super::put::HIDDEN_PREFIX;

/// Those below `prefix` that were last written to before `before`; with `delete` they are removed.
pub(super) fn leftovers(
    directory: &dyn Directory,
    prefix: &ObjectPath,
    before: UnixMillis,
    delete: bool,
) -> Result<Leftovers> {
    let mut found = Leftovers::default();
    let mut folders = vec![PathBuf::from(prefix.as_str())];
    while let Some(folder) = folders.pop() {
        visit(directory, &folder, before, delete, &mut found, &mut folders).map_err(|error| {
            let what = format!("look for unfinished files in {}: {error}", folder.display());
            Error::unavailable(what, error)
        })?;
    }
    Ok(found)
}

fn visit(
    directory: &dyn Directory,
    folder: &Path,
    before: UnixMillis,
    delete: bool,
    found: &mut Leftovers,
    folders: &mut Vec<PathBuf>,
) -> io::Result<()> {
    let entries = match directory.entries(folder) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let path = folder.join(&entry.name);
        match entry.kind {
            EntryKind::Directory if !entry.name.starts_with('.') => folders.push(path),
            EntryKind::File if entry.name.starts_with(HIDDEN_PREFIX) => {
                // It may be gone: its put has ended.
                let Some(metadata) = directory.metadata(&path)? else { continue };
                if metadata.modified.is_none_or(|modified| modified >= before) {
                    continue;
                }
                if delete {
                    match directory.remove_file(&path) {
                        Err(error) if error.kind() == ErrorKind::NotFound => continue,
                        removed => removed?,
                    }
                }
                found.count += 1;
                found.bytes += metadata.len;
            }
            _ => {}
        }
    }
    Ok(())
}
