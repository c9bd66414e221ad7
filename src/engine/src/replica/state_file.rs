//! The file beside a replica that says what it is, and what else lies beside it.
//!
//! Invariant: the state is replaced as a whole, and is durable before anything builds on it.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use walkeep_core::{Directory, Error, REPLICA_STATE_LEN, Random, ReplicaState, Result};

use super::next_file::{hidden_name, hidden_prefix};
use crate::restore::LEFTOVERS;

/// The name of the state of a replica.
pub(super) fn state_name(name: &str) -> String {
    format!("{name}.walkeep")
}

/// Reads the state; `None` when there is none.
///
/// # Errors
///
/// As [`ReplicaState::decode`]; `Io`.
pub(super) fn read(directory: &dyn Directory, name: &str) -> Result<Option<ReplicaState>> {
    let state = state_name(name);
    let failed = |error| Error::io(format!("read {state}"), error);
    let file = match directory.open(Path::new(&state)) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(failed)?,
    };
    // One byte more than it has tells a file that is too long.
    let mut bytes = [0; REPLICA_STATE_LEN + 1];
    let len = file.read_at(0, &mut bytes).map_err(failed)?;
    ReplicaState::decode(&state, bytes.get(..len).unwrap_or_default()).map(Some)
}

/// Replaces the state, durably.
///
/// # Errors
///
/// `Io`, `Exhausted`: the state is this one or the one before.
pub(super) fn write(
    directory: &dyn Directory,
    name: &str,
    state: &ReplicaState,
    random: &dyn Random,
) -> Result<()> {
    let hidden = hidden_name(name, random)?;
    let written = write_hidden(directory, &hidden, state)
        .and_then(|()| directory.rename(&hidden, Path::new(&state_name(name))))
        .and_then(|()| directory.sync_directory(Path::new("")));
    written.map_err(|error| {
        // It may be in place, or never have been made.
        let _ = directory.remove_file(&hidden);
        Error::io(format!("write {}", state_name(name)), error)
    })
}

fn write_hidden(directory: &dyn Directory, hidden: &Path, state: &ReplicaState) -> std::io::Result<()> {
    let file = directory.create_new(hidden)?;
    file.write_all_at(0, &state.encode())?;
    file.sync()
}

/// Removes what an earlier run was making when it was killed.
///
/// # Errors
///
/// `Io`.
pub(super) fn remove_unfinished(directory: &dyn Directory, name: &str) -> Result<()> {
    let prefix = hidden_prefix(name);
    let entries = directory.entries(Path::new(""));
    for entry in entries.map_err(|error| Error::io("list the directory of the replica", error))? {
        let suffix = entry.name.strip_prefix(&prefix);
        if suffix.is_some_and(|suffix| suffix.len() == 16 && suffix.bytes().all(|b| b.is_ascii_hexdigit())) {
            remove(directory, &entry.name)?;
        }
    }
    Ok(())
}

/// A file beside the replica that a program which wrote to it has left, if there is one.
///
/// # Errors
///
/// `Io`.
pub(super) fn leftover(directory: &dyn Directory, name: &str) -> Result<Option<String>> {
    for suffix in LEFTOVERS {
        let beside = format!("{name}{suffix}");
        let found = directory.metadata(Path::new(&beside));
        if found.map_err(|error| Error::io(format!("look at {beside}"), error))?.is_some() {
            return Ok(Some(beside));
        }
    }
    Ok(None)
}

/// Removes such files, durably: they must be gone for good before another version has the name they belong to.
///
/// # Errors
///
/// `Io`.
pub(super) fn remove_leftovers(directory: &dyn Directory, name: &str) -> Result<()> {
    for suffix in LEFTOVERS {
        remove(directory, &format!("{name}{suffix}"))?;
    }
    let synced = directory.sync_directory(&PathBuf::new());
    synced.map_err(|error| Error::io("sync the directory of the replica", error))
}

fn remove(directory: &dyn Directory, name: &str) -> Result<()> {
    match directory.remove_file(Path::new(name)) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::io(format!("remove {name}"), error)),
        _ => Ok(()),
    }
}
