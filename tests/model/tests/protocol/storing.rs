//! The rules of storing, one taken away at a time.

use walkeep_model::bounds::Bounds;
use walkeep_model::guards::Guards;
use walkeep_model::properties::*;

use crate::support::{ALL, LONG_TAKE_OVER, TAKE_OVER, is_needed};

#[test]
fn cutting_an_unknown_segment_again_lets_the_first_cut_land_later() {
    let without = Guards { same_key_same_bytes_on_unknown: false, ..ALL };
    is_needed(without, TAKE_OVER, ACKNOWLEDGED_KEPT);
    let wide = Bounds { segment_frames_max: 2, ..LONG_TAKE_OVER };
    is_needed(without, wide, ONE_HISTORY);
}

#[test]
fn taking_an_unknown_put_as_stored_acknowledges_nothing() {
    let without = Guards { unknown_put_is_not_stored: false, ..ALL };
    is_needed(without, TAKE_OVER, ACKNOWLEDGED_KEPT);
}

#[test]
fn a_segment_that_overtakes_an_unknown_one_leaves_a_hole() {
    let without = Guards { put_in_order: false, ..ALL };
    is_needed(without, LONG_TAKE_OVER, NO_HOLE);
}

#[test]
fn checking_before_the_put_acknowledges_what_an_opener_did_not_see() {
    let without = Guards { check_after_put: false, ..ALL };
    is_needed(without, TAKE_OVER, ACKNOWLEDGED_KEPT);
}

#[test]
fn adopting_a_newer_manifest_unread_acknowledges_after_the_take_over() {
    let without = Guards { ownership_checked_on_new_manifest: false, ..ALL };
    is_needed(without, TAKE_OVER, ACKNOWLEDGED_KEPT);
    is_needed(without, TAKE_OVER, ACKNOWLEDGED_ONCE);
}

#[test]
fn a_pending_claim_that_does_not_fence_lets_frames_be_acknowledged_behind_the_opener() {
    let without = Guards { pending_claim_fences: false, ..ALL };
    is_needed(without, TAKE_OVER, ACKNOWLEDGED_KEPT);
    is_needed(without, TAKE_OVER, BEGINS_ABOVE);
}
