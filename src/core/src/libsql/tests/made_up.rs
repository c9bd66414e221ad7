//! Maps that somebody made up, with right checksums: our reader of them refuses what the crate would trip over.

use proptest::prelude::*;

use super::*;
use crate::page_fst::PageFst;

/// The masked CRC-32C at the end of a transducer, bit by bit.
fn masked_crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
    let crc = bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc)));
    (!crc).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// The map with its checksum made right.
fn signed(mut map: Vec<u8>) -> Vec<u8> {
    let end = map.len() - 4;
    let crc = masked_crc32c(&map[..end]);
    map[end..].copy_from_slice(&crc.to_le_bytes());
    map
}

/// An index object around a map, whatever it holds.
fn index_object(map: &[u8]) -> Vec<u8> {
    let mut bytes = PageIndex::encode([]).unwrap()[..INDEX_HEADER_LEN].to_vec();
    bytes[10..18].copy_from_slice(&(map.len() as u64).to_le_bytes());
    bytes[18..22].copy_from_slice(&crc32fast::hash(map).to_le_bytes());
    [&bytes, map].concat()
}

/// A map of other keys than pages, made by the crate.
fn map_of(entries: &[(&[u8], u64)]) -> Vec<u8> {
    let mut builder = fst::MapBuilder::memory();
    for (key, value) in entries {
        builder.insert(key, *value).unwrap();
    }
    builder.into_inner().unwrap()
}

/// Uses everything there is of an index; nothing may panic or run for ever.
fn exercise(object: &[u8], pages: &[PageNo]) {
    let Ok(index) = PageIndex::parse("index", object) else { return };
    let agrees = index.expect_pages("index", pages.to_vec()).is_ok();
    let listed = index.pages("index").take(pages.len() + 1).collect::<crate::Result<Vec<_>>>();
    if agrees {
        assert_eq!(listed.unwrap(), pages);
    }
    for (page, ordinal) in pages.iter().zip(0..) {
        let found = index.find("index", *page);
        if agrees {
            assert_eq!(found.unwrap(), Some(ordinal));
        }
    }
}

#[test]
fn the_checksum_of_these_tests_is_that_of_the_crate() {
    let map = map_of(&[(b"1234", 1)]);
    assert_eq!(signed(map.clone()), map);
}

#[test]
fn changed_maps_with_right_checksums_are_refused_or_consistent() {
    for (start, end) in [(1, 23), (1, 57), (58, 81)] {
        let (data, index) = segment(start, end);
        let pages = DataObject::parse("data", &data).unwrap().pages().collect::<Vec<_>>();
        let map = &index[INDEX_HEADER_LEN..];
        for at in 0..map.len() - 4 {
            let old = map[at];
            for value in (0..8).map(|bit| old ^ 1 << bit).chain([0, 255, !old]) {
                let mut changed = map.to_vec();
                changed[at] = value;
                exercise(&index_object(&signed(changed)), &pages);
            }
        }
    }
}

#[test]
fn keys_that_are_no_pages_are_refused() {
    let pages = [page(1)];
    for entries in [
        &[(&b""[..], 0)][..],
        &[(b"\0\0\x01", 0)],
        &[(b"\0\0\0\x01\0", 0)],
        &[(b"\0\0\0\x01", 0), (b"\0\0\0\x01\0", 1)],
        &[(b"\0\0\0\x01", 1)],
        &[(b"\0\0\0\0", 0)],
        &[(b"\0\0\0\x01", u64::MAX)],
        &[(b"\0\0\0\x01", 0), (b"\0\0\0\x02", 1)],
    ] {
        let index = PageIndex::parse("index", &index_object(&map_of(entries)));
        let refused = index.and_then(|index| index.expect_pages("index", pages));
        assert_names(&refused.unwrap_err(), "index");
    }
}

/// The transition of a node to the leaf, with an output of this many bytes, behind three plain ones.
fn map_of_page_1(output_len: u8) -> Vec<u8> {
    let output = vec![0; output_len.into()];
    let nodes = [&output[..], &[0, 0x10 | output_len, 1, 0x80], &[0, 0xc0].repeat(3)].concat();
    map_of_nodes(&nodes, 1)
}

fn map_of_nodes(nodes: &[u8], len: u64) -> Vec<u8> {
    let root = 16 + nodes.len() as u64 - 1;
    let (head, version) = ([0; 8], 3_u64.to_le_bytes());
    signed([&version[..], &head, nodes, &len.to_le_bytes(), &root.to_le_bytes(), &[0; 4]].concat())
}

#[test]
fn numbers_of_more_than_eight_bytes_are_refused() {
    for (output_len, is_valid) in [(0, true), (1, true), (8, true), (9, false), (15, false)] {
        let index = PageIndex::parse("index", &index_object(&map_of_page_1(output_len))).unwrap();
        assert_eq!(index.expect_pages("index", [page(1)]).is_ok(), is_valid, "{output_len} bytes");
        assert_eq!(index.find("index", page(1)).is_ok(), is_valid, "{output_len} bytes");
    }
}

#[test]
fn a_root_that_is_not_the_last_node_is_refused() {
    let mut map = map_of_page_1(0);
    let at = map.len() - 12;
    map[at] -= 2;
    assert_names(&PageIndex::parse("index", &index_object(&signed(map))).unwrap_err(), "index");
}

#[test]
fn a_map_whose_own_checksum_differs_is_refused() {
    let mut map = map_of_page_1(0);
    let last = map.len() - 1;
    map[last] ^= 1;
    assert_names(&PageIndex::parse("index", &index_object(&map)).unwrap_err(), "index");
}

#[test]
fn pages_that_do_not_rise_are_refused() {
    let map = map_of(&[(b"\0\0\0\x01", 0), (b"\0\0\0\x02", 1)]);
    let at = map.windows(2).position(|inputs| inputs == [2, 1]).unwrap();
    for inputs in [[1, 2], [1, 1], [2, 2]] {
        let mut swapped = map.clone();
        swapped[at..at + 2].copy_from_slice(&inputs);
        let index = PageIndex::parse("index", &index_object(&signed(swapped))).unwrap();
        assert!(index.pages("index").any(|page| page.is_err()), "{inputs:?}");
    }
}

#[test]
fn a_page_more_than_the_map_says_is_refused() {
    let mut map = map_of(&[(b"\0\0\0\x01", 0), (b"\0\0\0\x02", 1)]);
    let at = map.len() - 20;
    map[at] = 1;
    let index = PageIndex::parse("index", &index_object(&signed(map))).unwrap();
    assert_names(&index.expect_pages("index", [page(1)]).unwrap_err(), "index");
    assert_names(&index.find("index", page(2)).unwrap_err(), "index");
}

#[test]
fn positions_whose_sum_is_too_large_do_not_overflow() {
    let map = map_of(&[(b"\0\0\0\x01", u64::MAX - 1), (b"\0\0\0\x02", u64::MAX)]);
    for at in 16..map.len() - 20 {
        for value in 0..=255 {
            let mut changed = map.clone();
            changed[at] = value;
            exercise(&index_object(&signed(changed)), &[page(1), page(2)]);
        }
    }
}

#[test]
fn positions_that_no_object_has_are_not_found() {
    let index = PageIndex::parse("index", &index_object(&map_of(&[(b"\0\0\0\x01", 1 << 40)]))).unwrap();
    assert_names(&index.find("index", page(1)).unwrap_err(), "index");
    assert_names(&index.pages("index").next().unwrap().unwrap_err(), "index");
    assert_eq!(index.pages("index").count(), 1, "nothing follows an error");
}

#[test]
fn a_number_of_keys_that_lies_is_refused() {
    let mut map = map_of(&[(b"\0\0\0\x01", 0)]);
    let at = map.len() - 20;
    map[at..at + 8].copy_from_slice(&u64::MAX.to_le_bytes());
    let index = PageIndex::parse("index", &index_object(&signed(map))).unwrap();
    assert_eq!(index.page_count(), u64::MAX);
    assert_names(&index.expect_pages("index", [page(1)]).unwrap_err(), "index");
}

#[test]
fn an_index_of_no_pages_reads() {
    let index = PageIndex::parse("index", &PageIndex::encode([]).unwrap()).unwrap();
    assert_eq!((index.page_count(), index.pages("index").count()), (0, 0));
    assert_eq!(index.find("index", page(1)).unwrap(), None);
}

#[test]
fn every_byte_can_be_an_input() {
    let pages = (0..=255).map(|byte| page(0x0101_0101_u32.wrapping_mul(byte).max(1))).collect::<Vec<_>>();
    for page in &pages {
        let object = PageIndex::encode([*page]).unwrap();
        PageIndex::parse("index", &object).unwrap().expect_pages("index", [*page]).unwrap();
    }
    let object = PageIndex::encode(pages.iter().copied()).unwrap();
    PageIndex::parse("index", &object).unwrap().expect_pages("index", pages).unwrap();
}

#[test]
fn nodes_with_256_transitions_are_read() {
    let pages = (1..=70_000).map(page).collect::<Vec<_>>();
    let index = PageIndex::parse("index", &PageIndex::encode(pages.iter().copied()).unwrap()).unwrap();
    assert_eq!(index.find("index", page(65_536)).unwrap(), Some(65_535));
    index.expect_pages("index", pages).unwrap();
}

proptest! {
    #[test]
    fn our_reader_gives_what_the_crate_gives(
        entries in proptest::collection::btree_map(
            prop_oneof![1..=200_u32, 1..=u32::MAX],
            prop_oneof![0..=200_u64, any::<u64>()],
            0..200,
        ),
        absent in any::<u32>(),
    ) {
        let bytes = PageFst::build(entries.iter().map(|(n, position)| (page(*n), *position))).unwrap();
        let ours = PageFst::new(&bytes).unwrap();
        let crates = fst::Map::new(&bytes[..]).unwrap();
        let all = ours.iter().collect::<Result<Vec<_>, _>>().unwrap();
        prop_assert!(all.iter().map(|(page, position)| (page.get(), *position)).eq(entries.iter().map(|(n, p)| (*n, *p))));
        for n in entries.keys().copied().chain([absent.max(1)]) {
            prop_assert_eq!(ours.get(page(n)).unwrap(), crates.get(n.to_be_bytes()));
        }
    }

    #[test]
    fn made_up_nodes_are_refused_or_consistent(
        nodes in proptest::collection::vec(any::<u8>(), 1..400),
        len in 0..5_u64,
    ) {
        exercise(&index_object(&map_of_nodes(&nodes, len)), &[page(1), page(2)]);
    }
}
