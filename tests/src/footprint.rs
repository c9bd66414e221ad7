//! What a directory looks like, in enough detail that no change goes unseen.

use std::collections::BTreeMap;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::database::fingerprint;

/// One name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Print {
    /// The inode: a file that was replaced has another one.
    pub inode: u64,
    /// Type and permissions.
    pub mode: u32,
    /// The length in bytes.
    pub len: u64,
    /// When the content was last changed, in nanoseconds.
    pub modified: i128,
    /// A hash of the content.
    pub content: u64,
}

/// Everything below a directory, by path; of links it is the link itself.
///
/// Do not call it in a process that has one of the files open with SQLite: closing a file drops its locks.
#[must_use]
pub fn footprint(directory: &Path) -> BTreeMap<String, Print> {
    let mut found = BTreeMap::new();
    let own = std::fs::symlink_metadata(directory).unwrap();
    found.insert(".".to_string(), print(&own, 0));
    walk(directory, "", &mut found);
    found
}

fn print(metadata: &std::fs::Metadata, content: u64) -> Print {
    let modified = i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec());
    Print { inode: metadata.ino(), mode: metadata.mode(), len: metadata.len(), modified, content }
}

fn walk(directory: &Path, prefix: &str, found: &mut BTreeMap<String, Print>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        let metadata = entry.metadata().unwrap();
        let content = if metadata.is_file() { content_of(&entry.path()) } else { 0 };
        found.insert(name.clone(), print(&metadata, content));
        if metadata.is_dir() {
            walk(&entry.path(), &format!("{name}/"), found);
        }
    }
}

/// A hash of the pieces that are not zeros: sparse files of a gigabyte are looked at as well.
fn content_of(path: &Path) -> u64 {
    const PIECE: usize = 1 << 18;
    let mut file = std::fs::File::open(path).unwrap();
    let (mut piece, zeros) = (vec![0; PIECE], vec![0; PIECE]);
    let (mut offset, mut content) = (0_usize, 0);
    loop {
        let len = file.read(&mut piece).unwrap();
        if len == 0 {
            return content;
        }
        if piece[..len] != zeros[..len] {
            content =
                fingerprint(&[&offset.to_le_bytes(), &u64::to_le_bytes(content), &piece[..len]].concat());
        }
        offset += len;
    }
}

/// The same without the times of folders, which change when a temporary file comes and goes.
#[must_use]
pub fn lasting_footprint(directory: &Path) -> BTreeMap<String, Print> {
    let mut found = footprint(directory);
    for print in found.values_mut().filter(|print| print.is_folder()) {
        print.modified = 0;
        print.len = 0;
    }
    found
}

impl Print {
    const fn is_folder(&self) -> bool {
        self.mode & 0o170_000 == 0o040_000
    }
}

/// The names below a directory that are not folders.
#[must_use]
pub fn files(directory: &Path) -> Vec<String> {
    footprint(directory).into_iter().filter(|(_, print)| !print.is_folder()).map(|(name, _)| name).collect()
}
