//! The commits of a segment, 32 bytes each.

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::header::SegmentHeader;
use crate::commit::{Commit, CommitKind};
use crate::frame_no::FrameNo;
use crate::page::PageCount;
use crate::page_hash::StateChecksum;
use crate::unix_millis::UnixMillis;

pub(super) const COMMIT_ROW_LEN: usize = 32;

#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawCommit {
    frame: U64,
    time: U64,
    state: U64,
    size_after: U32,
    kind: u8,
    state_known: u8,
    reserved: [u8; 2],
}

const _: () = assert!(size_of::<RawCommit>() == COMMIT_ROW_LEN);

const KINDS: [CommitKind; 3] = [CommitKind::Transaction, CommitKind::Snapshot, CommitKind::Discontinuous];

/// The place of a kind in [`KINDS`].
const fn kind_byte(kind: CommitKind) -> u8 {
    match kind {
        CommitKind::Transaction => 0,
        CommitKind::Snapshot => 1,
        CommitKind::Discontinuous => 2,
    }
}

pub(super) fn encode(commits: &[Commit]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(commits.len() * COMMIT_ROW_LEN);
    for commit in commits {
        let raw = RawCommit {
            frame: U64::new(commit.frame_no.get()),
            time: U64::new(commit.time.get()),
            state: U64::new(commit.state.map_or(0, |state| state.0)),
            size_after: U32::new(commit.size_after.get()),
            kind: kind_byte(commit.kind),
            state_known: u8::from(commit.state.is_some()),
            reserved: [0; 2],
        };
        bytes.extend_from_slice(raw.as_bytes());
    }
    bytes
}

/// Reads the commits; `None` when a rule of the format does not hold.
pub(super) fn parse(bytes: &[u8], header: &SegmentHeader) -> Option<Vec<Commit>> {
    let rows = <[RawCommit]>::ref_from_bytes(bytes).ok()?;
    let commits = rows.iter().map(decode).collect::<Option<Vec<_>>>()?;
    follow(&commits, header).then_some(commits)
}

fn decode(raw: &RawCommit) -> Option<Commit> {
    let state = match raw.state_known {
        0 if raw.state.get() == 0 => None,
        1 => Some(StateChecksum(raw.state.get())),
        _ => return None,
    };
    Some(Commit {
        frame_no: FrameNo::new(raw.frame.get())?,
        size_after: PageCount(raw.size_after.get()),
        time: UnixMillis(raw.time.get()),
        state,
        kind: *KINDS.get(usize::from(raw.kind)).filter(|_| raw.reserved == [0; 2])?,
    })
}

/// Whether commits are such as a segment may have: rising in the range up to its end, in order of time, the last
/// with its state, and only the last in a compacted segment.
pub(super) fn follow(commits: &[Commit], header: &SegmentHeader) -> bool {
    let Some(last) = commits.last() else {
        return false;
    };
    last.frame_no == header.end
        && last.state.is_some()
        && commits.first().is_some_and(|first| first.frame_no >= header.start)
        && commits.is_sorted_by(|a, b| a.frame_no < b.frame_no && a.time <= b.time)
        && (header.level == 0 || commits.len() == 1)
}
