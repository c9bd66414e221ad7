//! The objects of a bucket: read, written back, and applied.

use super::*;

#[test]
fn a_listing_gives_the_newest_first_and_the_compacted_one_before_its_last_input() {
    for kind in [ObjectKind::Segment, ObjectKind::Index] {
        let ranges = listed(kind).iter().map(|key| (key.start().get(), key.end().get())).collect::<Vec<_>>();
        assert_eq!(ranges, [(116, 172), (82, 115), (58, 81), (1, 57), (24, 57), (1, 23)]);
    }
}

#[test]
fn a_listing_that_starts_at_a_frame_finds_the_newest_segment_up_to_it() {
    let cluster = Cluster::new("cluster0").unwrap();
    let keys = listed(ObjectKind::Index);
    for (until, expected) in [(22, None), (23, Some(23)), (56, Some(23)), (57, Some(57)), (400, Some(172))] {
        let start = cluster.listing_start(&fixture_namespace(), ObjectKind::Index, frame(until));
        let found = keys.iter().find(|key| {
            cluster.object(&fixture_namespace(), ObjectKind::Index, key).as_str() > start.as_str()
        });
        assert_eq!(found.map(|key| key.end().get()), expected, "{until}");
    }
}

#[test]
fn every_data_object_reads_and_writes_back_as_the_same_bytes() {
    for key in listed(ObjectKind::Segment) {
        let bytes = object(ObjectKind::Segment, &key);
        let data = DataObject::parse("data", &bytes).unwrap();
        assert_eq!(data.header().key().unwrap(), key);
        data.header().expect_key("data", &key).unwrap();
        assert_eq!(data.header().object_len(), bytes.len() as u64);

        let mut writer = DataWriter::new(Vec::new(), *data.header()).unwrap();
        for frame in data.frames() {
            writer.push(frame).unwrap();
        }
        assert_eq!(writer.finish().unwrap(), bytes, "{key}");
    }
}

#[test]
fn an_object_under_another_name_is_refused() {
    let keys = listed(ObjectKind::Segment);
    let bytes = object(ObjectKind::Segment, &keys[0]);
    let header = *DataObject::parse("data", &bytes).unwrap().header();
    let later = ObjectKey::new(header.start, header.end, crate::UnixMillis(header.time.get() + 1)).unwrap();
    for other in keys.iter().skip(1).chain([&later]) {
        assert_names(&header.expect_key("data", other).unwrap_err(), "data");
    }
}

#[test]
fn single_frames_are_read_by_range_with_the_index() {
    for key in listed(ObjectKind::Segment) {
        let (data, index) = (object(ObjectKind::Segment, &key), object(ObjectKind::Index, &key));
        let whole = DataObject::parse("data", &data).unwrap();
        let header = DataHeader::parse("data", &data[..DATA_HEADER_LEN], data.len() as u64).unwrap();
        let index = PageIndex::parse("index", &index).unwrap();
        assert_eq!(index.page_count(), u64::from(header.frame_count));
        for number in 0..=64 {
            let Some(page) = PageNo::new(number) else { continue };
            let found = index.find("index", page).unwrap().map(|ordinal| {
                let range = header.frame_range(ordinal).unwrap();
                let offset = usize::try_from(range.start).unwrap();
                let bytes = &data[offset..offset + DATA_FRAME_LEN];
                let frame = header.frame("data", ordinal, bytes).unwrap();
                assert_eq!(frame.page, page);
                frame.image
            });
            assert_eq!(found, whole.image(page), "{key} page {page}");
        }
        assert_eq!(index.find("index", page(u32::MAX)).unwrap(), None);
        assert_eq!(header.frame_range(header.frame_count), None);
    }
}

#[test]
fn every_index_object_reads_and_writes_back_as_the_same_bytes() {
    for key in listed(ObjectKind::Index) {
        let (data, bytes) = (object(ObjectKind::Segment, &key), object(ObjectKind::Index, &key));
        let data = DataObject::parse("data", &data).unwrap();
        let index = PageIndex::parse("index", &bytes).unwrap();
        index.expect_pages("index", data.pages()).unwrap();
        let pages = index.pages("index").collect::<crate::Result<Vec<_>>>().unwrap();
        assert!(pages.iter().copied().eq(data.pages()));
        assert_eq!(index.to_bytes(), bytes);
        assert_eq!(PageIndex::encode(data.pages()).unwrap(), bytes, "{key}");
    }
}

#[test]
fn the_index_of_another_segment_is_refused() {
    let (first, _) = segment(1, 23);
    let (second, index) = segment(58, 81);
    let index = PageIndex::parse("index", &index).unwrap();
    let pages = DataObject::parse("data", &second).unwrap().pages().collect::<Vec<_>>();
    assert_names(
        &index.expect_pages("index", DataObject::parse("data", &first).unwrap().pages()).unwrap_err(),
        "index",
    );
    let mut other = pages.clone();
    *other.last_mut().unwrap() = page(49);
    assert_names(&index.expect_pages("index", other).unwrap_err(), "index");
    assert_names(&index.expect_pages("index", pages[1..].to_vec()).unwrap_err(), "index");
}

/// Applies the segments of these ranges and compares with libsql-wal's own databases after each.
fn apply_and_compare(ranges: &[(u64, u64)]) {
    let mut rebuilt = Rebuilt::default();
    for (start, end) in ranges {
        let (data, _) = segment(*start, *end);
        let data = DataObject::parse("data", &data).unwrap();
        let size = data.header().size_after;
        rebuilt.apply(data.frames().iter().map(|frame| (frame.page, frame.image)), size);
        assert!(rebuilt.file(size) == state(*end), "the database after frame {end}");
    }
}

#[test]
fn the_chain_of_segments_gives_every_state_exactly() {
    apply_and_compare(&[(1, 23), (24, 57), (58, 81), (82, 115), (116, 172)]);
    assert!(state(172) == read("reference.db"));
}

#[test]
fn the_compacted_segment_stands_for_its_inputs() {
    apply_and_compare(&[(1, 57), (58, 81), (82, 115), (116, 172)]);
}

#[test]
fn the_database_shrank_so_a_reader_that_does_not_cut_is_wrong() {
    assert!(state(172).len() < state(115).len());
}

#[test]
fn a_writer_refuses_what_no_object_can_hold() {
    let (bytes, _) = segment(1, 23);
    let data = DataObject::parse("data", &bytes).unwrap();
    let (header, frames) = (*data.header(), data.frames());
    let refused = |header: DataHeader| DataWriter::new(Vec::new(), header).unwrap_err();
    for wrong in [
        DataHeader { frame_count: 0, ..header },
        DataHeader { frame_count: 24, ..header },
        DataHeader { start: frame(24), ..header },
        DataHeader { size_after: PageCount(0), ..header },
    ] {
        assert!(matches!(refused(wrong), Error::Invalid { .. }));
    }
    let mut writer = DataWriter::new(Vec::new(), DataHeader { frame_count: 2, ..header }).unwrap();
    writer.push(&frames[1]).unwrap();
    let short = DataFrame { image: &frames[2].image[1..], ..frames[2] };
    let late = DataFrame { frame_no: frame(24), ..frames[2] };
    for wrong in [frames[0], frames[1], short, late] {
        assert!(matches!(writer.push(&wrong), Err(Error::Invalid { .. })), "{wrong:?}");
    }
    writer.push(&frames[2]).unwrap();
    assert!(matches!(writer.push(&frames[3]), Err(Error::Invalid { .. })));
    writer.finish().unwrap();
    assert!(matches!(DataWriter::new(Vec::new(), header).unwrap().finish(), Err(Error::Invalid { .. })));
    assert!(matches!(PageIndex::encode([page(2), page(1)]), Err(Error::Invalid { .. })));
    assert!(matches!(PageIndex::encode([page(2), page(2)]), Err(Error::Invalid { .. })));
}

#[test]
fn a_reader_that_is_fed_wrongly_says_so() {
    let (bytes, _) = segment(1, 23);
    let begin = || DataReader::new("data", &bytes[..DATA_HEADER_LEN], bytes.len() as u64).unwrap();
    let frame_at = |i: usize| &bytes[DATA_HEADER_LEN + i * DATA_FRAME_LEN..][..DATA_FRAME_LEN];
    let footer = bytes.last_chunk::<4>().unwrap();

    let early = begin().finish(footer).unwrap_err();
    assert!(early.to_string().contains("expected 19 frames, found 0 frames"), "{early}");
    let mut reader = begin();
    reader.frame(frame_at(1)).unwrap();
    assert_names(&reader.frame(frame_at(0)).unwrap_err(), "data");
    assert_names(&reader.frame(frame_at(1)).unwrap_err(), "data");
    assert_names(&reader.frame(&frame_at(2)[1..]).unwrap_err(), "data");
    let mut reader = begin();
    for i in 0..19 {
        reader.frame(frame_at(i)).unwrap();
    }
    assert_names(&reader.frame(frame_at(18)).unwrap_err(), "data");
    assert_eq!(reader.finish(footer).unwrap().end, frame(23));
}
