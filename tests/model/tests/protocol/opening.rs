//! The rules of opening, one taken away at a time.

use walkeep_model::bounds::Bounds;
use walkeep_model::guards::Guards;
use walkeep_model::properties::*;

use crate::support::{ALL, EMPTY_LOG, LONG_TAKE_OVER, TAKE_OVER, is_needed};

#[test]
fn two_processes_with_one_nonce_share_an_epoch() {
    let without = Guards { fresh_nonce: false, ..ALL };
    is_needed(without, EMPTY_LOG, ACKNOWLEDGED_KEPT);
}

#[test]
fn listing_before_the_claim_misses_what_is_acknowledged_in_between() {
    let without = Guards { pending_claim_before_list: false, ..ALL };
    is_needed(without, TAKE_OVER, ACKNOWLEDGED_KEPT);
}

#[test]
fn a_claim_believed_without_looking_at_the_nonce_makes_two_owners() {
    let without = Guards { claim_won_only_by_own_nonce: false, ..ALL };
    is_needed(without, EMPTY_LOG, ACKNOWLEDGED_KEPT);
}

#[test]
fn a_begin_believed_without_looking_acknowledges_in_an_epoch_that_never_began() {
    let without = Guards { lost_begin_is_looked_up: false, ..ALL };
    is_needed(without, TAKE_OVER, ACKNOWLEDGED_KEPT);
}

/// The first begin is still on its way when the log is listed again, further on. The first one lands: the epoch begins
/// below what the writer builds on.
#[test]
fn listing_again_while_a_begin_is_in_flight_leaves_a_hole() {
    let without = Guards { begin_frame_fixed_once_sent: false, ..ALL };
    is_needed(without, LONG_TAKE_OVER, NO_HOLE);
    is_needed(without, LONG_TAKE_OVER, ACKNOWLEDGED_KEPT);
}

#[test]
fn beginning_at_a_hole_fences_acknowledged_frames_away() {
    let without = Guards { hole_stops_the_opener: false, ..ALL };
    let bounds = Bounds { frames: 3, writers: 2, opens: 1, losses: 1, history: &[1, 1], ..Bounds::none() };
    is_needed(without, bounds, BEGINS_ABOVE);
}

/// The last epoch began at 3, and then segment 2 is gone: nothing valid lies above the damage, but the manifest says that
/// the log reached 2. An opener that only looks for holes begins at 2 and gives the frame away a second time.
#[test]
fn beginning_below_the_last_begin_gives_acknowledged_frames_away() {
    let without = Guards { opener_reaches_last_begin: false, ..ALL };
    let bounds =
        Bounds { frames: 3, writers: 2, opens: 2, crashes: 1, losses: 1, history: &[1, 1], ..Bounds::none() };
    is_needed(without, bounds, BEGINS_ABOVE);
    is_needed(without, bounds, ACKNOWLEDGED_ONCE);
}

#[test]
fn a_local_log_that_was_overtaken_continues_another_history() {
    let without = Guards { local_log_compared: false, ..ALL };
    is_needed(without, Bounds { opens: 2, ..LONG_TAKE_OVER }, ONE_HISTORY);
}
