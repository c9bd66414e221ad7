//! The footer of checkpointed database files.

use super::*;

#[test]
fn the_footer_is_found_and_cutting_it_off_leaves_whole_pages() {
    let file = read("checkpointed_with_footer.db");
    let (pages, footer) = CheckpointFooter::split("file", &file).unwrap();
    let footer = footer.unwrap();
    assert_eq!(pages.len() % PAGE_SIZE.bytes(), 0);
    assert!(pages == read("reference.db"));
    assert_eq!(footer.frame_no, Some(frame(172)));
    assert_eq!(footer.encode(), file[pages.len()..]);

    let sealed = sealed_file(116);
    assert_eq!(footer.log_id, LocalHeader::parse("segment", &sealed).unwrap().log_id);
}

#[test]
fn a_file_without_a_footer_is_left_as_it_is() {
    let file = read("reference.db");
    assert_eq!(CheckpointFooter::split("file", &file).unwrap(), (&file[..], None));
    assert_eq!(CheckpointFooter::split("file", &[]).unwrap(), (&[][..], None));
}

#[test]
fn lengths_that_no_checkpoint_leaves_are_refused() {
    let file = read("checkpointed_with_footer.db");
    for cut in [1, 33, 35, 4096 - 1] {
        assert_names(&CheckpointFooter::split("file", &file[..file.len() - cut]).unwrap_err(), "file");
    }
    for len in [1, 33, 35, 4095, u64::MAX] {
        assert_names(&CheckpointFooter::offset("file", len).unwrap_err(), "file");
    }
    assert_eq!(CheckpointFooter::offset("file", 34).unwrap(), Some(0));
    assert_names(&CheckpointFooter::parse("file", u64::MAX, &[0; 33]).unwrap_err(), "file");
    assert_names(&CheckpointFooter::parse("file", u64::MAX, &[0; 34]).unwrap_err(), "file");
}

#[test]
fn a_flipped_bit_in_magic_or_version_is_an_error() {
    let mut file = read("checkpointed_with_footer.db");
    let begin = file.len() - CHECKPOINT_FOOTER_LEN;
    for bit in 0..CHECKPOINT_FOOTER_LEN * 8 {
        let at = begin + bit / 8;
        file[at] ^= 1 << (bit % 8);
        match CheckpointFooter::split("file", &file) {
            Err(error) => assert_names(&error, "file"),
            // Nothing covers the rest of it: what it says is another footer, and nothing worse.
            Ok((pages, footer)) => {
                assert!(bit / 8 >= 10, "bit {bit}");
                assert_eq!((pages.len(), &footer.unwrap().encode()[..]), (begin, &file[begin..]));
            }
        }
        file[at] ^= 1 << (bit % 8);
    }
}
