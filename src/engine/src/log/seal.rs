//! Writing the stored form of a current segment.
//!
//! In memory there are 36 bytes a frame and one block; images are read from the current file as they are needed.
//! What was written is synced and its index read back: an image that is no longer what was committed is found here,
//! not in a restore.

use std::sync::Arc;

use walkeep_core::segment::{Compression, SegmentHeader, SegmentWriter};
use walkeep_core::{
    Commit, Directory, Error, File, FileWriter, FrameNo, LogHead, PageCount, PageNo, Random, Result,
    SegmentId,
};

use super::current_file::CurrentFile;
use super::file_name::{FileKind, FileName};
use super::sealed_file::SealedFile;
use super::sync_failed;

/// Where and as what segments are sealed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sealing<'a> {
    pub(super) directory: &'a dyn Directory,
    pub(super) random: &'a dyn Random,
    pub(super) head: &'a LogHead,
    pub(super) compression: Compression,
}

impl Sealing<'_> {
    /// Seals the frames from `start` to the last of `commits`, which are in `current`, under a temporary name.
    ///
    /// # Errors
    ///
    /// `Exhausted` when the disk is full; `Unknown` when a sync failed; `Corrupt`, `Io`. The file is removed then.
    pub(super) fn seal(
        &self,
        current: &CurrentFile,
        start: FrameNo,
        commits: &[Commit],
    ) -> Result<SealedFile> {
        let name = FileName::fresh(start, FileKind::Temporary, self.random)?;
        let sealed = self.write(name, current, start, commits);
        if sealed.is_err() {
            // If it stays, the next opening removes it.
            let _ = self.directory.remove_file(&name.path());
        }
        sealed
    }

    fn write(
        &self,
        name: FileName,
        current: &CurrentFile,
        start: FrameNo,
        commits: &[Commit],
    ) -> Result<SealedFile> {
        let order = in_order(current, start, commits)?;
        let (Some(last), Some(frame_count)) = (commits.last(), u32::try_from(order.len()).ok()) else {
            return Err(Error::invalid(format!("sealing from frame {start}"), "too many frames, or none"));
        };
        let file = self.directory.create_new(&name.path());
        let file: Arc<dyn File> = file.map_err(|error| Error::io(format!("create {name}"), error))?.into();
        let header = SegmentHeader {
            page_size: self.head.page_size,
            log_id: self.head.log_id,
            segment_id: SegmentId::random(self.random)?,
            epoch: self.head.epoch,
            level: 0,
            start,
            end: last.frame_no,
            frame_count,
        };
        let out = FileWriter::new(Arc::clone(&file));
        let once = order.windows(2).all(|pair| matches!(pair, [a, b] if a.0 != b.0));
        let mut writer = SegmentWriter::new(out, header, self.head.hash_seed, self.compression, once)?;
        let mut image = vec![0; self.head.page_size.bytes()];
        for (page, frame) in &order {
            current.read_image(*frame, &mut image)?;
            writer.push(*page, *frame, &image)?;
        }
        let smallest = commits.iter().map(|commit| commit.size_after).min().unwrap_or(PageCount(0));
        writer.finish(commits, smallest)?;
        file.sync().map_err(|error| sync_failed(name, &error))?;
        let sealed = SealedFile::read(file, name)?;
        check_hashes(current, &sealed)?;
        Ok(sealed)
    }
}

/// The frames of these commits in the order of the format.
fn in_order(current: &CurrentFile, start: FrameNo, commits: &[Commit]) -> Result<Vec<(PageNo, FrameNo)>> {
    let end = commits.last().map_or(0, |commit| commit.frame_no.get());
    let frames = (start.get()..=end).filter_map(FrameNo::new);
    let rows = frames.map(|frame| current.row(frame).map(|row| (row.page, frame)));
    let mut order = rows.collect::<Option<Vec<_>>>().ok_or_else(|| {
        Error::invalid(format!("sealing {start}..={end}"), "these frames are not in the current segment")
    })?;
    order.sort_unstable();
    Ok(order)
}

/// Whether every image is the one that was committed.
fn check_hashes(current: &CurrentFile, sealed: &SealedFile) -> Result<()> {
    let index = sealed.index();
    let wrong = index.frames().iter().zip(index.hashes()).find(|(frame, hash)| {
        let row = current.row(**frame);
        row.is_none_or(|row| row.hash != **hash)
    });
    let Some((frame, _)) = wrong else { return Ok(()) };
    let expected = format!("the image that frame {frame} was committed with");
    Err(Error::corrupt(current.name(), current.image_offset(*frame), expected, "another one"))
}
