//! Local segment files: sealed, not sealed, and what a crash leaves.

use super::*;
use crate::{LogId, SegmentId, UnixMillis};

const STARTS: [u64; 5] = [1, 24, 58, 82, 116];

fn unsealed_file() -> Vec<u8> {
    read("local_segments/unsealed-00000000000000000001.seg")
}

/// The header of a file, changed.
fn with_header(mut file: Vec<u8>, change: impl FnOnce(&mut LocalHeader)) -> Vec<u8> {
    let mut header = LocalHeader::parse("file", &file).unwrap();
    change(&mut header);
    file[..LOCAL_HEADER_LEN].copy_from_slice(&header.encode());
    file
}

fn frame_offset(position: usize) -> usize {
    LOCAL_HEADER_LEN + position * LOCAL_FRAME_LEN
}

/// A file of frames of the pages 1, 2, 3 … whose sizes are these.
fn file_of(sizes: &[u32]) -> LocalWriter {
    let mut writer = LocalWriter::new(frame(10), PageCount(7), LogId(1), 99);
    for (size, n) in sizes.iter().zip(1_u8..) {
        writer.push(page(n.into()), &[n; 4096], PageCount(*size)).unwrap();
    }
    writer
}

#[test]
fn a_sealed_file_gives_the_data_object_that_libsql_stored() {
    for (start, end) in STARTS.into_iter().zip(ENDS) {
        let file = sealed_file(start);
        let local = LocalSegment::open_sealed("file", &file).unwrap();
        let (stored, _) = segment(start, end);
        let stored_id = DataObject::parse("data", &stored).unwrap().header().segment_id;
        let (header, data) = local.to_data(stored_id, local.header().sealed_at).unwrap();
        assert_eq!((header.start, header.end), (frame(start), frame(end)));
        assert!(data == stored, "the data object of {start}-{end}");
    }
}

#[test]
fn sealed_files_in_order_give_every_state_exactly() {
    let mut rebuilt = Rebuilt::default();
    for (start, end) in STARTS.into_iter().zip(ENDS) {
        let file = sealed_file(start);
        let local = LocalSegment::open_sealed("file", &file).unwrap();
        let size = local.commits().last().unwrap().size_after;
        rebuilt.apply(local.newest().into_iter().map(|(page, frame)| (page, frame.image)), size);
        assert!(rebuilt.file(size) == state(end), "the database after frame {end}");
    }
}

#[test]
fn every_file_is_written_back_as_the_same_bytes() {
    let sealed = STARTS.into_iter().map(sealed_file);
    for file in sealed.chain([unsealed_file()]) {
        let recovered = LocalSegment::recover("file", &file).unwrap();
        let (header, frames) = (recovered.segment.header(), recovered.segment.frames());
        let mut writer = LocalWriter::new(header.start, PageCount(0), header.log_id, header.salt);
        for frame in frames {
            assert_eq!(writer.push(frame.page, frame.image, frame.size_after).unwrap(), frame.frame_no);
        }
        let sealed = header.is_sealed();
        let written = if sealed { writer.seal(header.sealed_at).unwrap() } else { writer.into_unsealed() };
        assert!(written == file, "the file that starts at {}", header.start);
    }
}

#[test]
fn the_unsealed_file_recovers_whole() {
    let (unsealed, sealed) = (unsealed_file(), sealed_file(1));
    let recovered = LocalSegment::recover("file", &unsealed).unwrap();
    assert_eq!((recovered.uncommitted_count, recovered.missing_count, recovered.stopped), (0, 0, None));
    let commits = recovered.segment.commits().iter().map(|c| (c.frame_no.get(), c.size_after.get()));
    assert_eq!(commits.collect::<Vec<_>>(), [(2, 2), (4, 3), (23, 19)]);
    let sealed = LocalSegment::open_sealed("file", &sealed).unwrap();
    assert_eq!(recovered.segment.frames(), sealed.frames());
    let refused = LocalSegment::open_sealed("file", &unsealed).unwrap_err();
    assert!(matches!(refused, Error::Invalid { .. }), "{refused}");
}

#[test]
fn a_file_that_lost_its_end_recovers_to_the_last_whole_commit() {
    for file in [unsealed_file(), sealed_file(1)] {
        for held in 0..23 {
            let committed = [0, 0, 2, 2].get(held).copied().unwrap_or(4);
            for len in [frame_offset(held), frame_offset(held) + 1, frame_offset(held + 1) - 1] {
                let recovered = LocalSegment::recover("file", &file[..len]).unwrap();
                assert_eq!(recovered.segment.frames().len(), committed, "{len} bytes");
                assert_eq!(recovered.uncommitted_count, (held - committed) as u64);
                assert_eq!(recovered.missing_count, 23 - held as u64);
                assert_eq!(recovered.stopped.is_some(), len != frame_offset(held));
                assert!(LocalSegment::open_sealed("file", &file[..len]).is_err());
            }
        }
    }
}

#[test]
fn a_damaged_frame_ends_the_chain_before_it() {
    for file in [unsealed_file(), sealed_file(1)] {
        for damaged in 0..23 {
            for at in [0, 4, 8, 12, 20, 2000, LOCAL_FRAME_LEN - 1] {
                let mut file = file.clone();
                file[frame_offset(damaged) + at] ^= 0x10;
                let recovered = LocalSegment::recover("file", &file).unwrap();
                let committed = [0, 0, 2, 2].get(damaged).copied().unwrap_or(4);
                assert_eq!(recovered.segment.frames().len(), committed);
                assert_eq!(recovered.stopped.unwrap().offset, frame_offset(damaged) as u64);
                assert!(LocalSegment::open_sealed("file", &file).is_err());
            }
        }
    }
}

#[test]
fn a_damaged_index_does_not_keep_a_sealed_file_from_recovering() {
    let mut file = sealed_file(24);
    let last = file.len() - 1;
    file[last] ^= 1;
    assert_names(&LocalSegment::open_sealed("file", &file).unwrap_err(), "file");
    let recovered = LocalSegment::recover("file", &file).unwrap();
    assert_eq!((recovered.segment.frames().len(), recovered.missing_count, recovered.stopped), (34, 0, None));
}

/// libsql-wal writes the header at each commit without syncing: after a crash it can be older than the frames.
#[test]
fn commits_behind_a_stale_header_are_recovered() {
    let file = with_header(unsealed_file(), |header| {
        header.last_committed = Some(frame(2));
        (header.frame_count, header.size_after) = (2, PageCount(2));
    });
    let recovered = LocalSegment::recover("file", &file).unwrap();
    assert_eq!(recovered.segment.commits().last().unwrap().frame_no, frame(23));
    let file = with_header(unsealed_file(), |header| {
        header.last_committed = None;
        (header.frame_count, header.size_after) = (0, PageCount(0));
    });
    assert_eq!(LocalSegment::recover("file", &file).unwrap().segment.frames().len(), 23);
}

/// The page of a commit frame was written twice: libsql-wal keeps the first frame, which was not a commit then.
#[test]
fn a_commit_that_only_the_header_names_is_recovered() {
    let file = with_header(file_of(&[0, 2, 0, 0]).into_unsealed(), |header| {
        header.last_committed = Some(frame(13));
        (header.frame_count, header.size_after) = (4, PageCount(4));
    });
    let recovered = LocalSegment::recover("file", &file).unwrap();
    let commits = recovered.segment.commits().iter().map(|c| (c.frame_no.get(), c.size_after.get()));
    assert_eq!(commits.collect::<Vec<_>>(), [(11, 2), (13, 4)]);
    assert_eq!(recovered.segment.to_data(SegmentId(1), UnixMillis(1)).unwrap().0.size_after, PageCount(4));
}

#[test]
fn a_commit_that_nothing_names_merges_with_the_next_one() {
    let file = file_of(&[0, 0, 3, 0]).into_unsealed();
    let recovered = LocalSegment::recover("file", &file).unwrap();
    assert_eq!((recovered.segment.commits().len(), recovered.uncommitted_count), (1, 1));
    assert_eq!(recovered.segment.frames().len(), 3);
}

#[test]
fn a_file_without_a_commit_recovers_to_nothing() {
    for file in [file_of(&[]).into_unsealed(), file_of(&[0, 0]).into_unsealed()] {
        let recovered = LocalSegment::recover("file", &file).unwrap();
        assert!(recovered.segment.frames().is_empty() && recovered.segment.commits().is_empty());
        assert!(recovered.segment.to_data(SegmentId(1), UnixMillis(1)).is_err());
    }
    assert!(file_of(&[]).seal(UnixMillis(1)).is_err());
    assert!(file_of(&[1, 0]).seal(UnixMillis(1)).is_err());
    assert!(file_of(&[]).push(page(1), &[0; 4095], PageCount(1)).is_err());
}

/// When libsql-wal repairs a file after a crash, the index comes behind all frames that hold, also those that were
/// not committed and that the index leaves out; and neither the number of frames nor the time is set.
#[test]
fn a_file_that_libsql_sealed_after_a_crash_opens() {
    let whole = file_of(&[0, 2, 3, 0]).into_unsealed();
    let chain = u32::from_le_bytes(*whole[frame_offset(3)..].first_chunk().unwrap());
    let entries = [1, 2, 3].map(|n| (page(n), u64::from(n) - 1));
    let map = crate::page_fst::PageFst::build(entries).unwrap();
    let crc = local_chain::chained(chain, &[&map]);
    let place = LocalIndexPlace { offset: whole.len() as u64, len: map.len() as u64 };
    let file = [&whole[..], &map, &crc.to_le_bytes()].concat();
    let file = with_header(file, |header| (header.index, header.frame_count) = (Some(place), 2));
    let local = LocalSegment::open_sealed("file", &file).unwrap();
    assert_eq!((local.frames().len(), local.header().sealed_at), (3, UnixMillis(0)));
    assert_eq!(local, LocalSegment::recover("file", &file).unwrap().segment);
}

/// Sealing writes the index over the frames of a transaction that was rolled back, and leaves the rest of them.
#[test]
fn what_follows_the_index_of_a_sealed_file_does_not_matter() {
    let file = sealed_file(1);
    let longer = [&file[..], &[7; 5000]].concat();
    let (local, longer) =
        (LocalSegment::open_sealed("file", &file), LocalSegment::open_sealed("file", &longer));
    assert_eq!(local.unwrap(), longer.unwrap());
}

#[test]
fn an_index_that_is_not_that_of_the_frames_is_refused() {
    let whole = file_of(&[0, 2, 3]).into_unsealed();
    let chain = u32::from_le_bytes(*whole[frame_offset(2)..].first_chunk().unwrap());
    let sealed_with = |entries: &[(u32, u64)]| {
        let entries = entries.iter().map(|(n, position)| (page(*n), *position));
        let map = crate::page_fst::PageFst::build(entries).unwrap();
        let crc = local_chain::chained(chain, &[&map]);
        let place = LocalIndexPlace { offset: whole.len() as u64, len: map.len() as u64 };
        let file = [&whole[..], &map, &crc.to_le_bytes()].concat();
        with_header(file, |header| header.index = Some(place))
    };
    LocalSegment::open_sealed("file", &sealed_with(&[(1, 0), (2, 1), (3, 2)])).unwrap();
    for wrong in [
        &[(1, 0), (2, 1)][..],
        &[(1, 0), (2, 1), (3, 1)],
        &[(1, 0), (2, 1), (4, 2)],
        &[(1, 0), (2, 1), (3, 2), (4, 2)],
    ] {
        let error = LocalSegment::open_sealed("file", &sealed_with(wrong)).unwrap_err();
        assert!(error.to_string().contains("as the frames say"), "{error}");
    }
}

/// On replicas frames come in any order; the last image of a page in the file counts.
#[test]
fn frames_of_a_replica_are_read_in_any_order() {
    let ordered = file_of(&[0, 0, 3]).into_unsealed();
    let file = with_header(ordered, |header| {
        header.unordered = true;
        header.start = frame(11);
        (header.last_committed, header.frame_count) = (Some(frame(12)), 3);
    });
    let recovered = LocalSegment::recover("file", &file).unwrap();
    assert_eq!(recovered.segment.commits().last().unwrap().frame_no, frame(12));
    assert_eq!(recovered.segment.frames().len(), 3);
    assert!(
        recovered.segment.to_data(SegmentId(1), UnixMillis(1)).is_err(),
        "libsql-wal stores no such segment"
    );
    let file = with_header(file, |header| header.unordered = false);
    let recovered = LocalSegment::recover("file", &file).unwrap();
    assert_eq!((recovered.segment.frames().len(), recovered.missing_count), (0, 2));
    assert!(recovered.stopped.unwrap().expected.contains("frame 11"));
}
