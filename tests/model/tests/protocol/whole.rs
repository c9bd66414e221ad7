//! The whole protocol, with bounds as wide as a minute allows.

use walkeep_model::bounds::Bounds;
use walkeep_model::properties::*;

use crate::support::{LONG_TAKE_OVER, TAKE_OVER, holds};

#[test]
fn two_writers_open_crash_and_time_out_again_and_again() {
    let bounds = Bounds { frames: 3, writers: 2, opens: 4, crashes: 2, time_outs: 1, ..Bounds::none() };
    let paths =
        [TAKEN_OVER, FENCED_EXISTS, LATE_PUT, LATE_CREATE, ALL_ACKNOWLEDGED, ACKNOWLEDGED_UNCONFIRMED];
    holds("two writers", bounds, &paths);
}

#[test]
fn two_writers_share_two_crashes_and_two_time_outs() {
    let bounds = Bounds { frames: 3, writers: 2, opens: 3, crashes: 2, time_outs: 2, ..Bounds::none() };
    holds("two writers, two time-outs", bounds, &[TAKEN_OVER, FENCED_EXISTS, LATE_PUT, LATE_CREATE]);
}

#[test]
fn three_writers_contend_for_an_empty_log() {
    let bounds = Bounds { frames: 2, writers: 3, opens: 4, time_outs: 2, ..Bounds::none() };
    let paths =
        [TAKEN_OVER, FENCED_EXISTS, LATE_PUT, LATE_CREATE, ALL_ACKNOWLEDGED, ACKNOWLEDGED_UNCONFIRMED];
    holds("three writers", bounds, &paths);
}

#[test]
fn a_reader_reads_at_any_moment_of_contention() {
    let bounds =
        Bounds { frames: 3, writers: 2, opens: 3, crashes: 1, time_outs: 1, reads: 1, ..Bounds::none() };
    holds("reader", bounds, &[TAKEN_OVER, LATE_PUT, CONFIRMED, READ_WHILE_PENDING, ALL_ACKNOWLEDGED]);
}

#[test]
fn segments_of_two_frames_are_taken_over() {
    let bounds = Bounds { frames: 4, segment_frames_max: 2, crashes: 1, time_outs: 2, reads: 1, ..TAKE_OVER };
    holds("wide segments", bounds, &[TAKEN_OVER, FENCED_EXISTS, LATE_PUT, CONFIRMED, ALL_ACKNOWLEDGED]);
}

#[test]
fn compaction_gc_and_pins_work_on_a_log_at_rest() {
    let bounds = Bounds {
        frames: 4,
        compactions: 3,
        thinning: true,
        collections: 2,
        pins: 1,
        history: &[1, 2, 1],
        ..Bounds::none()
    };
    holds("at rest", bounds, &[COMPACTED, COLLECTED, FRONTIER_RAISED, PINNED]);
}

#[test]
fn points_are_kept_and_pins_expire_on_a_log_at_rest() {
    let bounds = Bounds {
        frames: 4,
        compactions: 2,
        thinning: true,
        collections: 2,
        keeps: true,
        pins: 1,
        history: &[1, 1, 2],
        ..Bounds::none()
    };
    holds("thinned", bounds, &[COMPACTED, COLLECTED, THINNED, PINNED, EXPIRED]);
}

#[test]
fn points_are_kept_while_requests_land_late() {
    let bounds = Bounds {
        frames: 3,
        compactions: 1,
        collections: 2,
        keeps: true,
        pins: 1,
        reads: 1,
        time_outs: 1,
        maintenance_times_out: true,
        history: &[1, 1, 1],
        ..Bounds::none()
    };
    holds("thinned, late", bounds, &[COLLECTED, THINNED, PINNED, EXPIRED, LATE_CREATE]);
}

#[test]
fn maintenance_times_out_and_its_requests_land_late() {
    let bounds = Bounds {
        frames: 3,
        compactions: 2,
        thinning: true,
        collections: 2,
        pins: 1,
        reads: 1,
        time_outs: 1,
        maintenance_times_out: true,
        history: &[1, 2],
        ..Bounds::none()
    };
    holds("late maintenance", bounds, &[COMPACTED, COLLECTED, FRONTIER_RAISED, PINNED, LATE_CREATE]);
}

#[test]
fn compaction_and_gc_work_through_two_take_overs() {
    let bounds = Bounds { opens: 2, compactions: 1, collections: 1, ..LONG_TAKE_OVER };
    let paths = [TAKEN_OVER, FENCED_EXISTS, LATE_PUT, COMPACTED, COLLECTED, COLLECTED_AFTER_LATE_PUT];
    holds("maintenance and take-overs", bounds, &paths);
}

#[test]
fn two_compactions_work_through_a_take_over() {
    let bounds = Bounds { compactions: 2, collections: 1, ..LONG_TAKE_OVER };
    holds("two compactions", bounds, &[TAKEN_OVER, FENCED_EXISTS, COMPACTED, COLLECTED, FRONTIER_RAISED]);
}

#[test]
fn everybody_works_at_once() {
    let bounds = Bounds {
        compactions: 1,
        collections: 1,
        pins: 1,
        reads: 1,
        maintenance_times_out: true,
        ..TAKE_OVER
    };
    let paths = [TAKEN_OVER, FENCED_EXISTS, LATE_PUT, LATE_CREATE, COMPACTED, COLLECTED, PINNED, CONFIRMED];
    holds("everybody", bounds, &paths);
}

#[test]
fn a_hole_that_the_store_made_is_never_fenced_away() {
    let bounds =
        Bounds { frames: 4, opens: 2, crashes: 1, losses: 1, reads: 1, history: &[1, 1], ..TAKE_OVER };
    holds("damage", bounds, &[STOPPED, TAKEN_OVER, CONFIRMED]);
}
