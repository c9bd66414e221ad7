//! Which file a path leads to, whatever it is called.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Which file a path leads to: equal for two names of one file, symbolic and hard links included.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum FileIdentity {
    /// Device and inode.
    Inode(u64, u64),
    /// Where it would be, if there is nothing yet or it may not be looked at.
    Path(PathBuf),
}

impl FileIdentity {
    pub(crate) fn of(path: &Path) -> Self {
        match std::fs::metadata(path) {
            Ok(metadata) => Self::Inode(metadata.dev(), metadata.ino()),
            Err(_) => Self::Path(resolved(path)),
        }
    }
}

/// The path with symbolic links resolved in that part of it that exists.
fn resolved(path: &Path) -> PathBuf {
    if let Ok(resolved) = std::fs::canonicalize(path) {
        return resolved;
    }
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => resolved(parent).join(name),
        _ => path.to_path_buf(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "test files")]
    fn all_names_of_a_file_are_one() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("a"), "").unwrap();
        std::fs::write(at("b"), "").unwrap();
        std::fs::hard_link(at("a"), at("hard")).unwrap();
        std::os::unix::fs::symlink("a", at("soft")).unwrap();
        std::os::unix::fs::symlink(".", at("here")).unwrap();
        let identity = |name: &str| FileIdentity::of(&at(name));
        for name in ["hard", "soft", "here/a"] {
            assert_eq!(identity(name), identity("a"), "{name}");
        }
        assert_ne!(identity("b"), identity("a"));
        assert_eq!(identity("here/new"), identity("new"));
        assert_eq!(identity("here/new/er"), identity("new/er"));
        assert_ne!(identity("new"), identity("newer"));
    }
}
