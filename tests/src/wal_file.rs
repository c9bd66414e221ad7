//! The files of a database in WAL mode as they are, read without SQLite: the `-wal`, the `-shm`, and who locks it.
//!
//! Every descriptor of the database and the `-shm` stays open for ever, because closing one drops all POSIX locks
//! that SQLite holds on the file in this process. This is a second reading of the format beside the one in
//! `src/sqlite`, so that a test of the capture does not stand on the code that it tests.
//!
//! Source: the SQLite documentation, "WAL-mode File Format".

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

use crate::database::{beside, fingerprint};

/// The two salts of a round of the log.
pub type Salts = (u32, u32);

/// The lock of the writer in the `-shm`.
pub const WRITE_LOCK: i64 = 120;

/// The lock of whoever runs a checkpoint.
pub const CHECKPOINT_LOCK: i64 = 121;

/// How many read marks there are.
pub const SLOTS: usize = 5;

const FIRST_SLOT_LOCK: i64 = 123;
const HEADER_LEN: usize = 32;
const FRAME_HEADER_LEN: usize = 24;
const INDEX_LEN: usize = 136;

/// A database and its side files, which must exist.
#[derive(Debug)]
pub struct WalFiles {
    path: PathBuf,
    database: &'static File,
    shm: &'static File,
    shm_writable: &'static File,
}

/// What the `-shm` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Index {
    /// Of the round that is current.
    pub salts: Salts,
    /// How many frames of it are visible.
    pub frames: u32,
    /// Pages of the database after the last visible commit.
    pub pages: u32,
    /// How many frames are in the database file.
    pub back_filled: u32,
    /// What a reader in each slot may need.
    pub marks: [u32; SLOTS],
}

/// What the `-wal` begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WalHeader {
    /// Of the round.
    pub salts: Salts,
    /// The checkpoint sequence number.
    pub sequence: u32,
    /// Of the database.
    pub page_size: u32,
    checksum: (u32, u32),
}

/// What stands at the place of a frame, visible or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Which page it is an image of.
    pub page: u32,
    /// Pages of the database after it; 0 unless it commits.
    pub commit: u32,
    /// Of the round that it was written in.
    pub salts: Salts,
    /// Whether its checksum continues that of the frame before it (the header for the first).
    pub chained: bool,
    /// The page.
    pub image: Vec<u8>,
}

impl WalFiles {
    /// Opens the files of a database that somebody has open in WAL mode.
    #[must_use]
    pub fn open(database: &Path) -> Self {
        let keep = |file: File| -> &'static File { Box::leak(Box::new(file)) };
        let shm = beside(database, "-shm");
        Self {
            path: database.to_path_buf(),
            database: keep(File::open(database).unwrap()),
            shm: keep(File::open(&shm).unwrap()),
            shm_writable: keep(File::options().write(true).open(shm).unwrap()),
        }
    }

    /// What the `-shm` says now; a header that is being written is read again.
    #[must_use]
    pub fn index(&self) -> Index {
        loop {
            let mut bytes = [0; INDEX_LEN];
            self.shm.read_exact_at(&mut bytes, 0).unwrap();
            if bytes[..48] != bytes[48..96] {
                continue;
            }
            let native = |at: usize| u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap());
            return Index {
                salts: (be32(&bytes, 32), be32(&bytes, 36)),
                frames: native(16),
                pages: native(20),
                back_filled: native(96),
                marks: std::array::from_fn(|slot| native(100 + 4 * slot)),
            };
        }
    }

    /// Both copies of the header of the `-shm`.
    #[must_use]
    pub fn index_header(&self) -> [u8; 96] {
        let mut bytes = [0; 96];
        self.shm.read_exact_at(&mut bytes, 0).unwrap();
        bytes
    }

    /// Writes them, as a writer that is killed at the wrong moment might have left them.
    pub fn set_index_header(&self, bytes: &[u8; 96]) {
        self.shm_writable.write_all_at(bytes, 0).unwrap();
    }

    /// Makes the copies of the header differ, as a writer does that is killed between them: the next to look at it
    /// makes the `-shm` anew from the log.
    pub fn tear_index_header(&self) {
        let mut bytes = self.index_header();
        bytes[8] ^= 0xff;
        self.set_index_header(&bytes);
    }

    /// Writes the log anew from its beginning, in place.
    pub fn set_wal(&self, bytes: &[u8]) {
        File::options().write(true).open(beside(&self.path, "-wal")).unwrap().write_all_at(bytes, 0).unwrap();
    }

    /// The read marks that anybody holds, this process included.
    #[must_use]
    pub fn slots(&self) -> Vec<usize> {
        let held = |slot: &usize| self.is_locked(FIRST_SLOT_LOCK + i64::try_from(*slot).unwrap());
        (0..SLOTS).filter(held).collect()
    }

    /// Takes a lock on a byte of the `-shm`, as a stranger to all connections, and gives it back after `meanwhile`.
    pub fn with_lock<T>(&self, byte: i64, meanwhile: impl FnOnce() -> T) -> T {
        let set = |kind| fcntl(self.shm_writable.as_fd(), FcntlArg::F_OFD_SETLK(&lock(kind, byte))).unwrap();
        set(libc::F_WRLCK);
        let result = meanwhile();
        set(libc::F_UNLCK);
        result
    }

    /// Whether anybody has a lock on a byte of the `-shm`.
    #[must_use]
    pub fn is_locked(&self, byte: i64) -> bool {
        let mut probe = lock(libc::F_WRLCK, byte);
        fcntl(self.shm.as_fd(), FcntlArg::F_OFD_GETLK(&mut probe)).unwrap();
        i32::from(probe.l_type) != libc::F_UNLCK
    }

    /// The bytes of the database file.
    #[must_use]
    pub fn database_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(self.database.metadata().unwrap().len()).unwrap()];
        self.database.read_exact_at(&mut bytes, 0).unwrap();
        bytes
    }

    /// One page of the database file.
    #[must_use]
    pub fn database_page(&self, page: u32, page_size: u32) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(page_size).unwrap()];
        self.database.read_exact_at(&mut bytes, u64::from(page - 1) * u64::from(page_size)).unwrap();
        bytes
    }

    /// The bytes of the log; nobody locks it, so that a descriptor may be closed.
    #[must_use]
    pub fn wal_bytes(&self) -> Vec<u8> {
        std::fs::read(beside(&self.path, "-wal")).unwrap()
    }

    /// What the log begins with; `None` for an empty one.
    #[must_use]
    pub fn header(&self) -> Option<WalHeader> {
        header_of(&self.wal_bytes())
    }

    /// What stands at the places of frames, up to the end of the file, whoever wrote it and when.
    #[must_use]
    pub fn frames(&self) -> Vec<Frame> {
        self.frames_between(0, u32::MAX)
    }

    /// The same for the frames behind the first `from`, up to the `to`-th.
    ///
    /// # Panics
    ///
    /// If the checksums are those of a machine of the other byte order.
    #[must_use]
    pub fn frames_between(&self, from: u32, to: u32) -> Vec<Frame> {
        let wal = File::open(beside(&self.path, "-wal")).unwrap();
        let mut header = Vec::new();
        (&wal).take(u64::try_from(HEADER_LEN).unwrap()).read_to_end(&mut header).unwrap();
        let Some(parsed) = header_of(&header) else { return Vec::new() };
        assert_eq!(
            be32(&header, 0) & 1,
            u32::from(cfg!(target_endian = "big")),
            "the order of the checksums"
        );
        let len = FRAME_HEADER_LEN + usize::try_from(parsed.page_size).unwrap();
        let at = |frame: u32| (HEADER_LEN + usize::try_from(frame).unwrap() * len) as u64;
        let mut before = parsed.checksum;
        if from > 0 {
            let mut head = [0; FRAME_HEADER_LEN];
            wal.read_exact_at(&mut head, at(from - 1)).unwrap();
            before = (be32(&head, 16), be32(&head, 20));
        }
        let mut bytes = Vec::new();
        (&wal).seek(SeekFrom::Start(at(from))).unwrap();
        (&wal).take(at(to) - at(from)).read_to_end(&mut bytes).unwrap();
        let parse = |frame: &[u8]| {
            let (head, image) = frame.split_at(FRAME_HEADER_LEN);
            let stored = (be32(head, 16), be32(head, 20));
            let chained = checksum(image, checksum(&head[..8], before)) == stored;
            before = stored;
            let salts = (be32(head, 8), be32(head, 12));
            Frame { page: be32(head, 0), commit: be32(head, 4), salts, chained, image: image.to_vec() }
        };
        bytes.chunks_exact(len).map(parse).collect()
    }

    /// Tells states of the database file and of the log apart.
    #[must_use]
    pub fn fingerprints(&self) -> (u64, u64) {
        (fingerprint(&self.database_bytes()), fingerprint(&self.wal_bytes()))
    }
}

fn lock(kind: libc::c_int, byte: i64) -> libc::flock {
    libc::flock {
        l_type: i16::try_from(kind).unwrap(),
        l_whence: i16::try_from(libc::SEEK_SET).unwrap(),
        l_start: byte,
        l_len: 1,
        l_pid: 0,
    }
}

fn be32(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn header_of(wal: &[u8]) -> Option<WalHeader> {
    (wal.len() >= HEADER_LEN).then(|| WalHeader {
        salts: (be32(wal, 16), be32(wal, 20)),
        sequence: be32(wal, 12),
        page_size: be32(wal, 8),
        checksum: (be32(wal, 24), be32(wal, 28)),
    })
}

fn checksum(bytes: &[u8], (mut a, mut b): (u32, u32)) -> (u32, u32) {
    for eight in bytes.chunks_exact(8) {
        let word = |at: usize| u32::from_ne_bytes(eight[at..at + 4].try_into().unwrap());
        a = a.wrapping_add(word(0)).wrapping_add(b);
        b = b.wrapping_add(word(4)).wrapping_add(a);
    }
    (a, b)
}
