//! The rules of reading, one taken away at a time.

use walkeep_model::bounds::Bounds;
use walkeep_model::guards::Guards;
use walkeep_model::properties::*;

use crate::support::{ALL, AT_REST, LONG_TAKE_OVER, TAKE_OVER, is_needed};

const READ_TAKE_OVER: Bounds = Bounds { reads: 1, ..TAKE_OVER };

/// A segment that lands between an opener's listing and its begin is served, and then erased.
#[test]
fn reading_the_manifest_before_listing_confirms_what_is_erased_later() {
    let without = Guards { reader_lists_before_manifest: false, ..ALL };
    is_needed(without, READ_TAKE_OVER, CONFIRMED_KEPT);
}

#[test]
fn confirming_frames_of_a_pending_epoch_confirms_what_is_erased_later() {
    let without = Guards { pending_frames_unconfirmed: false, ..ALL };
    is_needed(without, READ_TAKE_OVER, CONFIRMED_KEPT);
}

/// [1..2] and [2..3] are compacted and 1, 2, 3 deleted: no exact chain is left.
#[test]
fn exact_joins_lose_an_acknowledged_frame_between_two_compactions() {
    let without = Guards { chain_by_cover: false, ..ALL };
    is_needed(without, Bounds { compactions: 2, collections: 1, ..AT_REST }, ACKNOWLEDGED_KEPT);
}

#[test]
fn using_fenced_segments_mixes_two_histories() {
    let without = Guards { fenced_segments_unused: false, ..ALL };
    is_needed(without, READ_TAKE_OVER, ONE_HISTORY);
    is_needed(without, Bounds { reads: 1, ..LONG_TAKE_OVER }, NO_MIX_RETURNED);
}

/// Segment 2 is gone and the last epoch began at 3: the manifest knows that 1 is not the latest.
#[test]
fn answering_with_less_than_the_last_begin_takes_an_acknowledged_frame_back() {
    let without = Guards { reader_reaches_last_begin: false, ..ALL };
    let bounds =
        Bounds { frames: 3, writers: 2, opens: 1, losses: 1, reads: 1, history: &[1, 1], ..Bounds::none() };
    is_needed(without, bounds, DURABLE_FORWARD);
}

#[test]
fn stopping_inside_a_compacted_segment_answers_with_images_that_are_gone() {
    let without = Guards { compacted_interior_refused: false, ..ALL };
    is_needed(without, Bounds { compactions: 1, collections: 1, ..AT_REST }, EXACT);
}
