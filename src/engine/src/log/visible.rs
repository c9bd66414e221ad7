//! Which image of each page counts.

use std::collections::BTreeMap;

use walkeep_core::segment::SizeFloor;
use walkeep_core::{FrameNo, PageNo};

use super::current_file::CurrentFile;
use super::sealed_file::SealedFile;

/// Of each page the newest image in these files at a commit, where it is visible (`docs/format.md`, section 4).
pub(super) fn visible_until(
    sealed: &[SealedFile],
    current: &CurrentFile,
    until: FrameNo,
) -> BTreeMap<PageNo, FrameNo> {
    let commits = sealed.iter().flat_map(SealedFile::commits).chain(current.commits());
    let commits = commits.take_while(|commit| commit.frame_no <= until).copied().collect::<Vec<_>>();
    let floor = SizeFloor::new(&commits);
    let in_sealed = sealed
        .iter()
        .flat_map(|file| file.index().pages().iter().copied().zip(file.index().frames().iter().copied()));
    let frames = (current.header().start.get()..).filter_map(FrameNo::new);
    let in_current = current.rows().iter().map(|row| row.page).zip(frames);
    let mut newest = BTreeMap::new();
    for (page, frame) in in_sealed.chain(in_current).filter(|(_, frame)| *frame <= until) {
        // Within a file images of a page come in order, and so do the files.
        newest.insert(page, frame);
    }
    newest.retain(|page, frame| floor.since(*frame).contains(*page));
    newest
}
