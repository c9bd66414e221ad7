//! Which process has a file locked, for messages. Linux tells it in `/proc/locks`; elsewhere it is not known.

use std::fs::File;

/// The process that has the file locked; `None` if nobody has, or it cannot be told.
#[cfg(target_os = "linux")]
pub(super) fn of(file: &File) -> Option<u32> {
    use std::os::unix::fs::MetadataExt;
    let metadata = file.metadata().ok()?;
    let (device, inode) = (metadata.dev(), metadata.ino());
    let place = format!("{:02x}:{:02x}:{inode}", rustix::fs::major(device), rustix::fs::minor(device));
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    locks.lines().find_map(|line| holder_in(line, &place))
}

#[cfg(not(target_os = "linux"))]
pub(super) fn of(_: &File) -> Option<u32> {
    None
}

/// The process in a line like `1: FLOCK  ADVISORY  WRITE 1234 08:01:5678 0 EOF`, if it is a lock on this file that is held,
/// and by a process that can be seen from here.
#[cfg(target_os = "linux")]
fn holder_in(line: &str, place: &str) -> Option<u32> {
    let mut fields = line.split_whitespace().skip(1);
    // A line of somebody who waits has an arrow before its kind.
    if fields.next() == Some("->") {
        return None;
    }
    let process = fields.nth(2)?;
    (fields.next()? == place).then(|| process.parse().ok())?.filter(|process| *process > 0)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn only_a_lock_that_is_held_on_the_same_file_counts() {
        let line = "1: FLOCK  ADVISORY  WRITE 1234 08:01:5678 0 EOF";
        assert_eq!(holder_in(line, "08:01:5678"), Some(1234));
        assert_eq!(holder_in(line, "08:01:567"), None);
        assert_eq!(holder_in("1: -> FLOCK  ADVISORY  WRITE 99 08:01:5678 0 EOF", "08:01:5678"), None);
        for line in ["", "1:", "1: OFDLCK ADVISORY  WRITE -1 08:01:5678 0 EOF", "1: POSIX WRITE"] {
            assert_eq!(holder_in(line, "08:01:5678"), None, "{line:?}");
        }
    }
}
