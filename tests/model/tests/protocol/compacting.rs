//! The rules of compaction, one taken away at a time.
//!
//! Three of them are a second line (see `guards`). An output is valid only if its last input is, and then every earlier input is valid
//! too, because a later epoch cannot begin below them without beginning below the output's end. So an output made
//! from a stale listing, from a stale manifest or while an epoch is pending is fenced together with its inputs, and
//! breaks nothing, as long as nobody deletes inputs on its account and its epoch is that of the last input. The tests
//! say so, and show what breaks when the first line is gone as well.

use walkeep_model::bounds::Bounds;
use walkeep_model::guards::Guards;
use walkeep_model::properties::*;

use crate::support::{ALL, AT_REST, LONG_TAKE_OVER, TAKE_OVER, breaks, breaks_nothing, is_needed, keeps};

const COMPACTED_TAKE_OVER: Bounds = Bounds { compactions: 1, ..TAKE_OVER };
const COLLECTED_TAKE_OVER: Bounds = Bounds { compactions: 1, collections: 1, ..LONG_TAKE_OVER };
const GC_WHILE_PENDING: Guards = Guards { gc_not_while_pending: false, ..ALL };

#[test]
fn a_fenced_input_spoils_a_valid_output() {
    let without = Guards { compaction_inputs_valid: false, ..ALL };
    is_needed(without, Bounds { compactions: 1, ..LONG_TAKE_OVER }, ONE_HISTORY);
}

#[test]
fn inputs_that_do_not_join_hide_the_frames_between_them() {
    let without = Guards { compaction_inputs_join: false, ..ALL };
    is_needed(without, Bounds { compactions: 1, ..AT_REST }, ACKNOWLEDGED_KEPT);
}

#[test]
fn a_thinned_segment_of_the_same_level_overwrites_its_raw_form() {
    let without = Guards { compaction_raises_level: false, ..ALL };
    let bounds = Bounds { frames: 2, compactions: 1, thinning: true, history: &[2], ..Bounds::none() };
    is_needed(without, bounds, POINTS_KEPT);
}

#[test]
fn compacting_while_pending_is_harmless_until_gc_works_while_pending() {
    let without = Guards { compaction_not_while_pending: false, ..ALL };
    breaks_nothing(without, COLLECTED_TAKE_OVER);
    keeps(GC_WHILE_PENDING, COLLECTED_TAKE_OVER, ACKNOWLEDGED_KEPT);
    let both = Guards { compaction_not_while_pending: false, ..GC_WHILE_PENDING };
    breaks(both, COLLECTED_TAKE_OVER, ACKNOWLEDGED_KEPT);
}

#[test]
fn compacting_from_an_old_manifest_is_harmless_until_gc_works_while_pending() {
    let without = Guards { compactor_lists_before_manifest: false, ..ALL };
    breaks_nothing(without, COLLECTED_TAKE_OVER);
    let both = Guards { compactor_lists_before_manifest: false, ..GC_WHILE_PENDING };
    breaks(both, COLLECTED_TAKE_OVER, ACKNOWLEDGED_KEPT);
}

/// The newest epoch does not own the frames of an earlier one, so the output is merely useless; unless that epoch is
/// still pending and then begins below the output's end.
#[test]
fn an_output_in_the_newest_epoch_is_useless_until_that_epoch_may_be_pending() {
    let without = Guards { compaction_epoch_of_last_input: false, ..ALL };
    breaks_nothing(without, COLLECTED_TAKE_OVER);
    keeps(Guards { compaction_not_while_pending: false, ..ALL }, COMPACTED_TAKE_OVER, ONE_HISTORY);
    let both = Guards { compaction_not_while_pending: false, ..without };
    breaks(both, COMPACTED_TAKE_OVER, ONE_HISTORY);
}
