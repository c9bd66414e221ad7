//! Listing a directory tree in the byte order of whole keys.
//!
//! The operating system returns names in no order. A directory's names are read once, those that cannot be in the
//! answer are dropped before sorting, and only objects that are in the answer are looked at closer: among 100,000
//! names a listing of a few costs one pass over the names.

use std::io::{self, ErrorKind};
use std::path::Path;

use walkeep_core::files::{Directory, EntryKind};
use walkeep_core::{Error, ObjectMeta, ObjectPath, Result};

/// The objects below `prefix`, in key order, behind `after`, at most `limit`.
pub(super) fn objects(
    directory: &dyn Directory,
    prefix: &ObjectPath,
    after: Option<&ObjectPath>,
    limit: usize,
) -> Result<Vec<ObjectMeta>> {
    let mut walk = Walk { directory, after: after.map(ObjectPath::as_str), limit, found: Vec::new() };
    walk.descend(prefix.as_str()).map_err(|error| unavailable(prefix, error))?;
    Ok(walk.found)
}

/// The directories directly below `prefix` that hold an object, in order of `{name}/`.
pub(super) fn directories(
    directory: &dyn Directory,
    prefix: &ObjectPath,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<String>> {
    let after = after.map(|name| format!("{name}/"));
    let mut names = children(directory, prefix.as_str()).map_err(|error| unavailable(prefix, error))?;
    names.retain(|child| child.ends_with('/') && after.as_ref().is_none_or(|after| child > after));
    names.sort_unstable();
    let mut found = Vec::new();
    for child in names {
        if found.len() == limit {
            break;
        }
        let name = child.trim_end_matches('/');
        let mut walk = Walk { directory, after: None, limit: 1, found: Vec::new() };
        walk.descend(&format!("{prefix}/{name}")).map_err(|error| unavailable(prefix, error))?;
        if !walk.found.is_empty() {
            found.push(name.to_string());
        }
    }
    Ok(found)
}

fn unavailable(prefix: &ObjectPath, error: io::Error) -> Error {
    Error::unavailable(format!("list {prefix}: {error}"), error)
}

/// The names in a directory that can be parts of keys, a `/` behind those of directories; none if it is missing.
fn children(directory: &dyn Directory, path: &str) -> io::Result<Vec<String>> {
    let entries = match directory.entries(Path::new(path)) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        entries => entries?,
    };
    // A name that cannot be part of a key is foreign; hidden ones are among them.
    let visible = entries.into_iter().filter(|entry| ObjectPath::new(entry.name.as_str()).is_ok());
    Ok(visible
        .filter_map(|entry| match entry.kind {
            EntryKind::File => Some(entry.name),
            EntryKind::Directory => Some(entry.name + "/"),
            EntryKind::Other => None,
        })
        .collect())
}

struct Walk<'a> {
    directory: &'a dyn Directory,
    after: Option<&'a str>,
    limit: usize,
    found: Vec<ObjectMeta>,
}

impl Walk<'_> {
    fn descend(&mut self, path: &str) -> io::Result<()> {
        let mut names = children(self.directory, path)?;
        names.retain(|name| self.may_hold_more(path, name));
        while !names.is_empty() && self.found.len() < self.limit {
            let wanted = self.limit - self.found.len();
            let mut rest = Vec::new();
            if names.len() > wanted && !names.iter().any(|name| name.ends_with('/')) {
                // Only files: the smallest names are the answer, and the rest need not be sorted, unless some of
                // these are gone when they are looked at.
                names.select_nth_unstable(wanted);
                rest = names.split_off(wanted);
            }
            names.sort_unstable();
            self.visit_all(path, &names)?;
            names = rest;
        }
        Ok(())
    }

    fn visit_all(&mut self, path: &str, names: &[String]) -> io::Result<()> {
        for name in names {
            if self.found.len() >= self.limit {
                break;
            }
            match name.strip_suffix('/') {
                Some(child) => self.descend(&format!("{path}/{child}"))?,
                None => self.visit(&format!("{path}/{name}"))?,
            }
        }
        Ok(())
    }

    /// Whether the object `path/name`, or one below it, lies behind `after`.
    fn may_hold_more(&self, path: &str, name: &str) -> bool {
        let Some(after) = self.after else {
            return true;
        };
        match after.strip_prefix(path).and_then(|rest| rest.strip_prefix('/')) {
            Some(after) => name > after || (name.ends_with('/') && after.starts_with(name)),
            None => format!("{path}/{name}").as_str() > after,
        }
    }

    fn visit(&mut self, path: &str) -> io::Result<()> {
        // A name that is no object path is foreign; an object may be deleted while it is being listed.
        if let (Ok(object), Some(metadata)) =
            (ObjectPath::new(path), self.directory.metadata(Path::new(path))?)
        {
            self.found.push(ObjectMeta { path: object, size: metadata.len, modified: metadata.modified });
        }
        Ok(())
    }
}
