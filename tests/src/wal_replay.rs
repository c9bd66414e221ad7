//! The simplest capture that could be: it follows the visible frames of a log, and knows the database from them alone.
//!
//! It is right only while a read mark is held from each look to the next one; that is what it is there to show.

use crate::database::assert_same;
use crate::wal_file::{Frame, Index, WalFiles};

/// What a database is, as far as it was followed.
#[derive(Debug)]
pub struct Replay {
    page_size: usize,
    bytes: Vec<u8>,
    index: Index,
    /// How often the log began anew.
    pub restarts: u32,
    /// How many commits it saw.
    pub commits: u32,
    /// How many pages were added to the database without an image of them in the same commit.
    pub unwritten: u32,
    /// How many images were of pages behind the end that their commit gives.
    pub beyond: u32,
}

impl Replay {
    /// Begins with the database as it is.
    #[must_use]
    pub fn begin(files: &WalFiles) -> Self {
        let index = files.index();
        let (page_size, bytes) = content(files, &index);
        Self { page_size, bytes, index, restarts: 0, commits: 0, unwritten: 0, beyond: 0 }
    }

    /// Reads what has become visible since the last look.
    pub fn follow(&mut self, files: &WalFiles) {
        let index = files.index();
        let mut from = self.index.frames;
        if index.salts != self.index.salts {
            self.restarts += 1;
            from = 0;
        }
        assert!(index.frames >= from, "the log became shorter: {:?}, {index:?}", self.index);
        if index.frames > from {
            let frames = files.frames_between(from, index.frames);
            assert_eq!(frames.len(), usize::try_from(index.frames - from).unwrap());
            assert!(frames.iter().all(|frame| frame.salts == index.salts && frame.chained), "{index:?}");
            for commit in frames.split_inclusive(|frame| frame.commit > 0) {
                self.apply(commit);
            }
        }
        self.index = index;
    }

    fn apply(&mut self, frames: &[Frame]) {
        let pages = usize::try_from(frames.last().unwrap().commit).unwrap();
        assert!(pages > 0, "what is visible ends with a commit");
        let old = self.bytes.len() / self.page_size;
        self.bytes.resize(pages * self.page_size, 0);
        let mut fresh = vec![false; pages.saturating_sub(old)];
        for frame in frames {
            let page = usize::try_from(frame.page).unwrap();
            if page > pages {
                self.beyond += 1;
                continue;
            }
            if page > old {
                fresh[page - old - 1] = true;
            }
            self.bytes[(page - 1) * self.page_size..page * self.page_size].copy_from_slice(&frame.image);
        }
        self.unwritten += u32::try_from(fresh.iter().filter(|written| !**written).count()).unwrap();
        self.commits += 1;
    }

    /// Fails unless this is the database that a reader sees now. Nobody may be writing.
    #[track_caller]
    pub fn assert_current(&self, files: &WalFiles, what: &str) {
        assert_same(&self.bytes, &content(files, &files.index()).1, what);
    }

    /// Fails unless this is the database file.
    #[track_caller]
    pub fn assert_file(&self, files: &WalFiles, what: &str) {
        assert_same(&self.bytes, &files.database_bytes(), what);
    }
}

/// The database file with all visible frames laid over, and the size of a page.
fn content(files: &WalFiles, index: &Index) -> (usize, Vec<u8>) {
    let mut bytes = files.database_bytes();
    let page_size = match u16::from_be_bytes(bytes[16..18].try_into().unwrap()) {
        1 => 65_536,
        other => usize::from(other),
    };
    // While there is no commit in the log, the header of a new `-shm` does not know the size.
    if index.pages > 0 {
        bytes.resize(usize::try_from(index.pages).unwrap() * page_size, 0);
    }
    for frame in files.frames_between(0, index.frames) {
        let at = (usize::try_from(frame.page).unwrap() - 1) * page_size;
        if let Some(place) = bytes.get_mut(at..at + page_size) {
            place.copy_from_slice(&frame.image);
        }
    }
    (page_size, bytes)
}
