//! Flipped bits, cut ends, lengths that lie, and any bytes at all: an error or the same result, never a panic.

use proptest::prelude::*;

use super::*;

/// Flips each of these bits of `bytes`, one at a time, and hands the damaged bytes over.
fn flip_each(bytes: &[u8], bits: impl IntoIterator<Item = usize>, mut check: impl FnMut(usize, &[u8])) {
    let mut damaged = bytes.to_vec();
    for bit in bits {
        damaged[bit / 8] ^= 1 << (bit % 8);
        check(bit, &damaged);
        damaged[bit / 8] ^= 1 << (bit % 8);
    }
    assert!(damaged == bytes);
}

#[test]
fn a_flipped_bit_of_a_data_object_is_an_error() {
    let (bytes, _) = segment(1, 23);
    let headers = (0..19).flat_map(|i| {
        let begin = (DATA_HEADER_LEN + i * DATA_FRAME_LEN) * 8;
        begin..begin + 16 * 8
    });
    let footer = (bytes.len() - DATA_FOOTER_LEN) * 8..bytes.len() * 8;
    let sample = (0..bytes.len() * 8).step_by(331);
    let bits = (0..DATA_HEADER_LEN * 8).chain(footer).chain(headers).chain(sample);
    flip_each(&bytes, bits, |bit, damaged| match DataObject::parse("data", damaged) {
        Err(error) => assert_names(&error, "data"),
        Ok(_) => panic!("bit {bit} is not covered"),
    });
}

#[test]
fn a_flipped_bit_of_an_index_object_is_an_error() {
    for end in [(1, 23), (1, 57), (58, 81)] {
        let (_, bytes) = segment(end.0, end.1);
        flip_each(&bytes, 0..bytes.len() * 8, |bit, damaged| match PageIndex::parse("index", damaged) {
            Err(error) => assert_names(&error, "index"),
            Ok(_) => panic!("bit {bit} is not covered"),
        });
    }
}

#[test]
fn a_flipped_bit_of_a_local_segment_file_is_an_error() {
    let bytes = sealed_file(1);
    let local = LocalSegment::open_sealed("file", &bytes).unwrap();
    let place = local.header().index.unwrap();
    let header = 0..LOCAL_HEADER_LEN * 8;
    flip_each(&bytes, header.clone(), |bit, damaged| {
        assert_names(&LocalHeader::parse("file", damaged).unwrap_err(), "file");
        assert_names(&LocalSegment::open_sealed("file", damaged).unwrap_err(), "file");
        match LocalSegment::recover("file", damaged) {
            Err(error) => assert_names(&error, "file"),
            Ok(_) => panic!("bit {bit} is not covered"),
        }
    });
    let index = usize::try_from(place.offset).unwrap() * 8..bytes.len() * 8;
    let sample = (header.end..bytes.len() * 8).step_by(509);
    flip_each(&bytes, index.chain(sample), |_, damaged| {
        assert_names(&LocalSegment::open_sealed("file", damaged).unwrap_err(), "file");
        let recovered = LocalSegment::recover("file", damaged).unwrap().segment;
        assert_eq!(recovered.frames(), &local.frames()[..recovered.frames().len()], "a whole prefix, or all");
    });
}

#[test]
fn objects_that_lost_their_end_are_refused() {
    let (data, index) = segment(1, 23);
    let file = sealed_file(1);
    let lens = (0..200).chain([4171, 4172, 4175, 4176, 4177]).chain([data.len() - 4, data.len() - 1]);
    for len in lens {
        assert_names(&DataObject::parse("data", &data[..len]).unwrap_err(), "data");
        assert_names(&LocalSegment::open_sealed("file", &file[..len]).unwrap_err(), "file");
        if len < LOCAL_HEADER_LEN {
            assert_names(&LocalSegment::recover("file", &file[..len]).unwrap_err(), "file");
        }
    }
    for len in 0..index.len() {
        assert_names(&PageIndex::parse("index", &index[..len]).unwrap_err(), "index");
    }
    let longer = |bytes: &[u8]| [bytes, &[0]].concat();
    assert_names(&DataObject::parse("data", &longer(&data)).unwrap_err(), "data");
    assert_names(&PageIndex::parse("index", &longer(&index)).unwrap_err(), "index");
}

#[test]
fn tiny_objects_are_refused() {
    for len in [0, 10, 59, 60, 61, 63, 64] {
        let (zeros, magic) =
            (vec![0; len], [&segment(1, 23).0[..len.min(60)], &vec![0; len.max(60) - 60]].concat());
        for bytes in [zeros, magic] {
            assert_eq!(bytes.len(), len);
            assert_names(&DataObject::parse("data", &bytes).unwrap_err(), "data");
            assert_names(&PageIndex::parse("index", &bytes).unwrap_err(), "index");
            assert_names(&LocalSegment::recover("file", &bytes).unwrap_err(), "file");
            assert_names(&CheckpointFooter::parse("footer", 0, &bytes).unwrap_err(), "footer");
        }
    }
}

#[test]
fn lengths_that_lie_are_refused_before_anything_is_allocated() {
    let (data, index) = segment(1, 23);
    for len in [1 << 60, u64::MAX, 0, 100, 102] {
        let mut wrong = index.clone();
        wrong[10..18].copy_from_slice(&u64::to_le_bytes(len));
        let error = PageIndex::parse("index", &wrong).unwrap_err();
        assert!(
            error.to_string().contains(&format!("offset 10: expected an index of {len} bytes")),
            "{error}"
        );
    }
    for count in [u32::MAX, 20, 18, 0] {
        let mut wrong = data.clone();
        wrong[10..14].copy_from_slice(&count.to_le_bytes());
        let error = DataObject::parse("data", &wrong).unwrap_err();
        assert!(error.to_string().contains("offset 10"), "{error}");
    }
    let file = sealed_file(1);
    for (offset, len) in
        [(1 << 60, 104), (u64::MAX, 104), (94_760, 1 << 60), (94_760, u64::MAX), (91, 1), (1, 0)]
    {
        let mut header = LocalHeader::parse("file", &file).unwrap();
        header.index = Some(LocalIndexPlace { offset, len });
        let wrong = [&header.encode(), &file[LOCAL_HEADER_LEN..]].concat();
        assert_names(&LocalSegment::open_sealed("file", &wrong).unwrap_err(), "file");
        LocalSegment::recover("file", &wrong).unwrap();
    }
    for (start, last) in [(u64::MAX, u64::MAX), (1, u64::MAX), (24, 23), (0, 5)] {
        let mut raw = file.clone();
        raw[10..18].copy_from_slice(&start.to_le_bytes());
        raw[18..26].copy_from_slice(&last.to_le_bytes());
        let crc = crc32fast::hash(&raw[..88]);
        raw[88..92].copy_from_slice(&crc.to_le_bytes());
        assert_names(&LocalSegment::open_sealed("file", &raw).unwrap_err(), "file");
        if let Ok(recovered) = LocalSegment::recover("file", &raw) {
            assert!(recovered.missing_count > 0 || recovered.segment.frames().is_empty());
        }
    }
}

/// Changes bytes of a data object, and makes its checksum right again.
fn resealed(mut data: Vec<u8>, at: usize, bytes: &[u8]) -> Vec<u8> {
    data[at..at + bytes.len()].copy_from_slice(bytes);
    let footer = data.len() - DATA_FOOTER_LEN;
    let crc = crc32fast::hash(&data[..footer]);
    data[footer..].copy_from_slice(&crc.to_le_bytes());
    data
}

#[test]
fn objects_that_make_no_sense_are_refused_though_their_checksum_holds() {
    let (data, _) = segment(1, 23);
    let second = DATA_HEADER_LEN + DATA_FRAME_LEN;
    for (at, bytes, error_at) in [
        (0, &[1][..], 0),
        (8, &[2], 8),
        (50, &[0, 32], 50),
        (30, &[0], 30),
        (38, &[0], 38),
        (30, &[24], 38),
        (46, &[0], 46),
        (38, &[4], 10),
        (second, &[1], second),
        (second, &[0], second),
        (second + 4, &[1], second + 4),
        (second + 8, &[0], second + 8),
        (second + 8, &[24], second + 8),
    ] {
        let error = DataObject::parse("data", &resealed(data.clone(), at, bytes)).unwrap_err();
        assert_names(&error, "data");
        assert!(error.to_string().contains(&format!("offset {error_at}")), "{error}");
    }
}

#[test]
fn unknown_flags_and_versions_are_refused_by_name() {
    let file = sealed_file(1);
    for (at, byte, what) in [(8, 2, "format 2"), (54, 6, "flags 00000006"), (63, 32, "pages of 8192 bytes")] {
        let mut raw = file.clone();
        raw[at] = byte;
        let crc = crc32fast::hash(&raw[..88]);
        raw[88..92].copy_from_slice(&crc.to_le_bytes());
        let error = LocalSegment::recover("file", &raw).unwrap_err();
        assert!(matches!(&error, Error::Invalid { .. }) && error.to_string().contains(what), "{error}");
    }
}

#[test]
fn a_header_that_is_half_sealed_is_refused() {
    let no_index = [0; 8];
    for (at, bytes, what) in [(54, &[0][..], "offset 38"), (38, &no_index, "offset 38")] {
        let mut raw = sealed_file(1);
        raw[at..at + bytes.len()].copy_from_slice(bytes);
        let crc = crc32fast::hash(&raw[..88]);
        raw[88..92].copy_from_slice(&crc.to_le_bytes());
        let error = LocalHeader::parse("file", &raw).unwrap_err();
        assert!(error.to_string().contains(what), "{error}");
    }
    let mut raw = sealed_file(1);
    raw[38..46].copy_from_slice(&no_index);
    raw[54] = 0;
    let crc = crc32fast::hash(&raw[..88]);
    raw[88..92].copy_from_slice(&crc.to_le_bytes());
    assert!(LocalHeader::parse("file", &raw).unwrap_err().to_string().contains("offset 46"));
}

#[test]
fn a_sealed_file_whose_header_tells_another_size_is_refused() {
    let file = sealed_file(1);
    let mut header = LocalHeader::parse("file", &file).unwrap();
    header.size_after = PageCount(20);
    let wrong = [&header.encode(), &file[LOCAL_HEADER_LEN..]].concat();
    let error = LocalSegment::open_sealed("file", &wrong).unwrap_err();
    assert!(error.to_string().contains("offset 34: expected 19 pages after frame 23, found 20"), "{error}");
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
        magic in any::<bool>(),
    ) {
        let bytes = if magic { [&segment_magic()[..], &bytes].concat() } else { bytes };
        let _ = DataObject::parse("data", &bytes);
        let _ = PageIndex::parse("index", &bytes);
        let _ = LocalSegment::open_sealed("file", &bytes);
        let _ = LocalSegment::recover("file", &bytes);
        let _ = CheckpointFooter::split("file", &bytes);
    }
}

/// Magic and version, so that arbitrary bytes come further.
fn segment_magic() -> [u8; 10] {
    [0, 0, 0x4c, 0x51, 0x53, 0x42, 0x49, 0x4c, 1, 0]
}
