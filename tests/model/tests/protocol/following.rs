//! Followers, and what a collection leaves them.

#![expect(clippy::print_stdout, reason = "a search says how many states it saw")]

use walkeep_model::followers::rules::Rules;
use walkeep_model::followers::scene::Scene;
use walkeep_model::followers::*;

const ALL: Rules = Rules::all();
const AT_REST: Scene = Scene::at_rest();

/// Two callers acknowledge for one member while it is collected.
const TWO_CALLERS: Scene = Scene { callers: &[0, 0], asks: 2, collections: 1, lost: 1, ..AT_REST };

/// Two members, one of which may be slow.
const TWO_MEMBERS: Scene = Scene { callers: &[0, 1], asks: 2, collections: 1, ..AT_REST };

/// A group past its cap of one commit.
const CAPPED: Scene =
    Scene { cap: Some(1), asks: 2, writes: 1, polls: 1, collections: 2, lost: 1, ..AT_REST };

/// The group is deleted and created again.
const TWO_LIVES: Scene =
    Scene { commits: 2, asks: 3, polls: 1, collections: 1, creates: 1, deletes: 1, lost: 1, ..AT_REST };

/// Every state is visited, no promise breaks, and every path named is reached.
fn holds(scene: Scene, paths: &[&str]) {
    let found = search(Following { rules: ALL, scene }, None);
    println!("{} states", found.states);
    assert!(found.broken.is_empty(), "{:?}", found.broken);
    for path in paths {
        assert!(found.reached.contains(path), "no state in which {path}");
    }
}

/// Without a rule this promise breaks, within bounds in which it holds otherwise.
fn is_needed(rules: Rules, scene: Scene, promise: &'static str) {
    let found = search(Following { rules, scene }, Some(promise));
    println!("{} states", found.states);
    assert!(found.broken.contains(promise), "{promise}: kept in all {} states", found.states);
}

#[test]
fn two_callers_of_one_member_race_while_it_is_collected() {
    holds(TWO_CALLERS, &[RACED, COLLECTED]);
}

#[test]
fn a_collection_waits_for_the_slower_of_two_members() {
    holds(TWO_MEMBERS, &[RACED, COLLECTED]);
}

#[test]
fn a_group_past_its_cap_is_told() {
    holds(CAPPED, &[COLLECTED, EVICTED, TOLD]);
}

#[test]
fn a_group_is_deleted_and_created_again() {
    holds(TWO_LIVES, &[COLLECTED, REBORN, LEFT_OVER]);
}

#[test]
fn positions_do_not_go_back() {
    is_needed(Rules { largest_counts: false, ..ALL }, TWO_CALLERS, FORWARD);
    is_needed(Rules { smaller_go_afterwards: false, ..ALL }, TWO_CALLERS, FORWARD);
    is_needed(Rules { newer_lives_kept: false, ..ALL }, TWO_MEMBERS, FORWARD);
}

#[test]
fn what_was_answered_is_kept() {
    is_needed(Rules { unknown_is_sent_again: false, ..ALL }, TWO_CALLERS, ANSWERED);
    is_needed(Rules { lost_join_is_looked_up: false, ..ALL }, TWO_CALLERS, ANSWERED);
}

#[test]
fn a_position_belongs_to_a_life_and_is_durable() {
    is_needed(Rules { counts_in_its_life: false, ..ALL }, TWO_LIVES, OWN);
    is_needed(Rules { deletes_what_was_meant: false, ..ALL }, TWO_LIVES, MEANT);
    is_needed(Rules { acknowledged_is_durable: false, ..ALL }, TWO_CALLERS, DURABLE);
}

#[test]
fn what_followers_need_is_kept() {
    is_needed(Rules { member_stands_in_manifest: false, ..ALL }, TWO_MEMBERS, NEEDED);
    is_needed(Rules { begins_behind_frontier: false, ..ALL }, TWO_LIVES, NEEDED);
    is_needed(Rules { frontier_waits: false, ..ALL }, TWO_MEMBERS, NEEDED);
    is_needed(Rules { slowest_counts: false, ..ALL }, TWO_MEMBERS, NEEDED);
    is_needed(Rules { empty_group_holds: false, ..ALL }, TWO_MEMBERS, NEEDED);
    is_needed(Rules { cap_is_a_floor: false, ..ALL }, CAPPED, NEEDED);
    is_needed(Rules { published_first: false, ..ALL }, TWO_LIVES, NEEDED);
    is_needed(Rules { lost_publish_starts_over: false, ..ALL }, TWO_LIVES, NEEDED);
}

#[test]
fn who_is_passed_is_told() {
    is_needed(Rules { passed_is_marked: false, ..ALL }, CAPPED, MARKED);
    is_needed(Rules { gone_is_told: false, ..ALL }, CAPPED, NOTHING_PASSED_OVER);
    is_needed(Rules { manifest_looked_at_again: false, ..ALL }, CAPPED, NOTHING_PASSED_OVER);
}
