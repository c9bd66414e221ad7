//! The rules of GC, one taken away at a time.
//!
//! Three of them stand behind one another: publish every time, list before reading the manifest, keep unknown epochs.
//! Any one of them is enough, as long as a publish that raises the frontier comes first; with none of the three GC
//! deletes live segments.

use walkeep_model::bounds::Bounds;
use walkeep_model::guards::Guards;
use walkeep_model::properties::*;

use crate::support::{ALL, AT_REST, LONG_TAKE_OVER, TAKE_OVER, breaks, breaks_nothing, is_needed};

const COLLECTED: Bounds = Bounds { compactions: 2, collections: 1, ..AT_REST };
const COLLECTED_TAKE_OVER: Bounds = Bounds { collections: 1, ..LONG_TAKE_OVER };

/// GC sees a frame that lands behind the opener's listing and moves the frontier up to it; then the frame is erased and
/// the newest acknowledged commit lies below the frontier.
#[test]
fn collecting_while_pending_moves_the_frontier_past_the_end() {
    let without = Guards { gc_not_while_pending: false, ..ALL };
    is_needed(without, Bounds { collections: 1, compactions: 1, ..TAKE_OVER }, FRONTIER_INSIDE);
}

#[test]
fn equal_ranges_delete_each_other() {
    let without = Guards { gc_strict_cover: false, ..ALL };
    let bounds =
        Bounds { frames: 2, compactions: 1, thinning: true, collections: 1, history: &[2], ..Bounds::none() };
    is_needed(without, bounds, ACKNOWLEDGED_KEPT);
}

#[test]
fn a_fenced_segment_that_covers_deletes_what_is_valid() {
    let without = Guards { gc_cover_is_valid: false, ..ALL };
    is_needed(without, Bounds { segment_frames_max: 2, ..COLLECTED_TAKE_OVER }, ACKNOWLEDGED_KEPT);
}

/// Point 2 keeps segment 2, but not segment 1 below it, and [1..3] cannot stand in for it.
#[test]
fn a_point_protected_only_in_its_own_segment_loses_what_is_below() {
    let without = Guards { gc_protects_to_end_of_cover: false, ..ALL };
    is_needed(without, COLLECTED, POINTS_KEPT);
}

/// Reading again does not help: somebody pins between the second look and the delete.
#[test]
fn looking_again_instead_of_publishing_deletes_what_was_pinned_in_between() {
    let without = Guards { gc_publish_before_delete: false, ..ALL };
    let bounds =
        Bounds { frames: 2, compactions: 1, collections: 1, pins: 1, history: &[1, 1], ..Bounds::none() };
    is_needed(without, bounds, PINS_KEPT);
    is_needed(without, bounds, POINTS_KEPT);
}

#[test]
fn deleting_after_a_lost_publish_deletes_what_was_pinned() {
    let without = Guards { gc_lost_publish_starts_over: false, ..ALL };
    let bounds =
        Bounds { frames: 2, compactions: 1, collections: 1, pins: 1, history: &[1, 1], ..Bounds::none() };
    is_needed(without, bounds, PINS_KEPT);
}

#[test]
fn a_frontier_that_goes_back_promises_points_that_are_deleted() {
    let without = Guards { frontier_never_back: false, ..ALL };
    let bounds = Bounds { frames: 2, compactions: 1, collections: 2, history: &[1, 1], ..Bounds::none() };
    is_needed(without, bounds, POINTS_KEPT);
}

/// Points are kept before the frontier, and pins expire.
const KEEPING: Bounds = Bounds { keeps: true, pins: 1, collections: 2, ..COLLECTED };

#[test]
fn a_point_that_comes_back_promises_what_is_deleted() {
    is_needed(Guards { dropped_stays_dropped: false, ..ALL }, Bounds { pins: 0, ..KEEPING }, POINTS_KEPT);
}

#[test]
fn a_kept_point_that_does_not_protect_is_lost() {
    is_needed(Guards { kept_points_protect: false, ..ALL }, Bounds { pins: 0, ..KEEPING }, POINTS_KEPT);
}

/// A point that was kept, or pinned, is dropped: that too must be published before anything is deleted, since it may be
/// pinned in between.
#[test]
fn dropping_a_kept_point_in_silence_deletes_what_is_still_promised() {
    let without = Guards { gc_publishes_what_it_drops: false, ..ALL };
    is_needed(without, KEEPING, POINTS_KEPT);
    is_needed(without, KEEPING, PINS_KEPT);
}

/// What is published is what is dropped: a run that drops nothing may delete without.
#[test]
fn a_run_that_drops_nothing_need_not_publish() {
    breaks_nothing(QUIET, KEEPING);
}

const QUIET: Guards = Guards { gc_publishes_every_time: false, ..ALL };
const UNORDERED: Guards = Guards { gc_lists_before_manifest: false, ..ALL };
const UNKNOWN_DELETED: Guards = Guards { segments_of_unknown_epoch_kept: false, ..ALL };

#[test]
fn each_of_the_three_lines_before_unknown_epochs_can_be_missed_alone() {
    for without in [QUIET, UNORDERED, UNKNOWN_DELETED] {
        breaks_nothing(without, COLLECTED_TAKE_OVER);
        breaks_nothing(without, Bounds { compactions: 1, ..COLLECTED_TAKE_OVER });
        breaks_nothing(without, Bounds { pins: 1, collections: 2, ..COLLECTED });
    }
}

#[test]
fn any_one_of_the_three_lines_before_unknown_epochs_is_enough() {
    let bounds = Bounds { compactions: 1, ..COLLECTED_TAKE_OVER };
    breaks_nothing(Guards { gc_lists_before_manifest: false, ..QUIET }, bounds);
    breaks_nothing(Guards { gc_lists_before_manifest: false, ..UNKNOWN_DELETED }, bounds);
    breaks_nothing(Guards { segments_of_unknown_epoch_kept: false, ..QUIET }, bounds);
}

/// GC holds an old manifest, lists segments of an epoch that it has never heard of, and takes them for fenced.
#[test]
fn without_all_three_lines_segments_of_an_unknown_epoch_are_deleted() {
    let none = Guards { gc_lists_before_manifest: false, segments_of_unknown_epoch_kept: false, ..QUIET };
    breaks(none, COLLECTED_TAKE_OVER, ACKNOWLEDGED_KEPT);
}
